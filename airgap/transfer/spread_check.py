"""Whether a medium gives back what was written to it, read past the page cache."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from airgap.bundle.check import check_bundle
from airgap.bundle.check_parity import check_parity_file
from airgap.bundle.volumes import VolumePlan
from airgap.content.atomic import remove_file
from airgap.content.filesystem import drop_cache_file
from airgap.content.posix import mount_point
from airgap.content.storage import storage_errors
from airgap.errors import AirgapError, CancelledError, StorageError
from airgap.run import Event, Run
from airgap.run.events import Notice, Reporter

_PARITY = ".par2"


def is_whole(path: Path, *, jobs: int, run: Run) -> bool:
    """Whether the medium gives every byte of a volume back; other volumes need not be on it."""
    quiet = Run(_WithoutMissing(run.reporter), run.cancel)
    try:
        report = check_bundle(path, run=quiet, jobs=jobs, read_back=True)
        problems = [f.message for f in report.findings if f.kind != "missing-volume"]
    except CancelledError:
        raise
    except AirgapError as error:
        problems = [error.message]
    if problems:
        run.warn("medium", f"{path} is not as it was written: {problems[0]}")
    return not problems


def is_planned(path: Path, plan: VolumePlan, number: int) -> bool:
    """Whether a file has the size and the front of a volume of a plan."""
    front = plan.layout(number - 1).front
    with storage_errors(path):
        if not path.is_file() or path.stat().st_size != plan.sizes[number - 1]:
            return False
        with path.open("rb") as file:
            return file.read(len(front)) == front


def check_mounted(folder: Path, mount: str) -> None:
    """See that a medium is there, before the disk below its mount point is written to.

    Raises:
        StorageError: It is not.
    """
    with storage_errors(folder):
        # a stick may be mounted elsewhere, but what it was mounted on is no stick
        if mount_point(folder) in Path(mount).parents:
            raise StorageError(
                f"nothing is mounted at {mount}",
                hint="mount the medium, and run the same command again",
                origin="local",
            )


def is_parity_whole(files: Iterable[str], *, run: Run) -> bool:
    """Whether the medium gives parity back as it was written."""
    for path in map(Path, files):
        if path.suffix != _PARITY:
            continue
        try:
            drop_cache_file(path)
            problems = [finding.message for finding in check_parity_file(path, run)]
        except StorageError as error:
            problems = [error.message]
        if problems:
            run.warn("medium", f"{path} is not as it was written: {problems[0]}")
            return False
    return True


def drop_files(paths: Iterable[Path]) -> None:
    """Remove files that the medium did not keep, as far as it lets itself be written to."""
    for path in paths:
        with suppress(StorageError):
            remove_file(path)


class _WithoutMissing:
    """Keeps back that other volumes are missing: of one medium this is no news."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def emit(self, event: Event, /) -> None:
        """Take one event."""
        if not (isinstance(event, Notice) and event.code == "missing-volume"):
            self._reporter.emit(event)
