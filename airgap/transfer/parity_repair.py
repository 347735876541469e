"""Rebuilding by parity in a folder of its own, where nothing that is there is touched."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from airgap.bundle.par2 import ParitySet
from airgap.bundle.par2_repair import ParityRepair, repair_with_parity
from airgap.content.storage import storage_errors
from airgap.errors import (
    BundleFormatError,
    IncompleteBundleError,
    SettingsError,
    StorageFullError,
)
from airgap.run import Run

_WORK = ".airgap-repair-"


def folders_of(paths: Sequence[Path]) -> list[Path]:
    """The folders that are named, or hold a file that is, each once."""
    return list(dict.fromkeys(path if path.is_dir() else path.parent for path in paths))


def rebuild_by_parity(
    found: ParitySet,
    paths: Sequence[Path],
    work: Path,
    *,
    memory: int | None,
    jobs: int,
    has_copies: bool,
    run: Run,
) -> ParityRepair | None:
    """Rebuild what a parity set protects; None, with a warning, where that is beyond it.

    Args:
        found: The parity.
        paths: The files, and folders of files.
        work: Takes what is rebuilt.
        memory: About how many bytes the tool may use; None leaves it to the tool.
        jobs: How much goes on at once.
        has_copies: Whether there is another way if parity cannot be used here at all.
        run: Progress and cancellation.

    Raises:
        SettingsError: The tool is not installed, and there is no other way.
        StorageFullError: There is no room, and there is no other way.
        StorageError: A file could not be read or written.
    """
    try:
        return repair_with_parity(found, [*paths], work, memory=memory, jobs=jobs, run=run)
    except (BundleFormatError, IncompleteBundleError) as error:
        run.warn("parity", error.message)
    except (SettingsError, StorageFullError) as error:
        # no tool, or no room for what it claims to need: copies may do without
        if not has_copies:
            raise
        run.warn("parity", error.message)
    return None


@contextmanager
def workshop(folder: Path) -> Iterator[Path]:
    """A folder for what is not finished; those that a crash left go first.

    Raises:
        StorageError: It cannot be made.
    """
    with storage_errors(folder):
        for left in folder.glob(f"{_WORK}*") if folder.is_dir() else ():
            shutil.rmtree(left, ignore_errors=True)
        work = folder / f"{_WORK}{secrets.token_hex(4)}"
        work.mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
