"""What commands write to the log of custody: one entry for each run, however it ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from airgap.cli.author import author_name
from airgap.cli.session import Session
from airgap.cli.visible import visible
from airgap.errors import AirgapError, ExitCode
from airgap.record.log import LogPosition
from airgap.run import Run
from airgap.transfer.custody import Author, CustodyLog
from airgap.version import __version__

if TYPE_CHECKING:  # each command has loaded what its own result is
    from airgap.bundle.finding import CheckReport, Finding
    from airgap.oci.digest import Digest
    from airgap.record.receipt import Receipt, ReceiptImage
    from airgap.transfer.outcome import ExportResult, Failure, ImportedImage, ImportResult
    from airgap.transfer.repair import RepairResult
    from airgap.transfer.spread_outcome import SpreadResult

_MAX_MESSAGE = 500


class CustodyEntry:
    """The entry of one run, which is written once.

    Args:
        log: Where it goes; None for a run that does nothing, such as a dry one.
        event: What is done.
        run: Takes a warning where the entry cannot be written.
        is_required: Whether that is an error instead.

    Attributes:
        position: How far the log goes with it; None before it is written, or where it is not.
    """

    def __init__(self, log: CustodyLog | None, event: str, run: Run, *, is_required: bool) -> None:
        self._log = log
        self._event = event
        self._run = run
        self._is_required = is_required
        self._details: dict[str, object] = {}
        self.position: LogPosition | None = None

    def tell(self, **details: object) -> None:
        """Add something that is to stand in it."""
        self._details.update(details)

    def exported(self, result: ExportResult) -> None:
        """Write what an export came to."""
        images = [
            {"name": image.reference.tagged, "digest": str(image.digest)}
            for image in result.plan.images
        ]
        self.tell(bundle=str(result.plan.bundle_id), images=images)
        if result.files:
            self.tell(paths=file_names(result.files))
        self._end_partly(result.failed)

    def spread(self, result: SpreadResult) -> None:
        """Write what an export to several media came to."""
        files = [path for medium in result.written for path in medium.files]
        images = [{"name": name} for name in result.images]
        self.tell(bundle=str(result.bundle_id), images=images, paths=file_names(files))
        self._end_partly(result.failed)

    def imported(self, result: ImportResult) -> None:
        """Write what an import came to."""
        self.tell(bundle=str(result.bundle_id), images=[_imported(i) for i in result.images])
        self._end_partly(result.failed)

    def stopped(self, receipt: Receipt | None, error: AirgapError) -> None:
        """Write how far an import came that an error ended: names that it moved are moved.

        Args:
            receipt: What was done; None where it is not known of which bundle.
            error: What ended it.
        """
        if receipt is not None:
            self.tell(bundle=str(receipt.bundle))
            images = [i for i in receipt.images if i.repository]
            self.tell(images=[_stopped(receipt.registry, image) for image in images])
        self.end(error=error)

    def verified(self, report: CheckReport) -> None:
        """Write what a check found."""
        self._tell_bundle(report.bundle_id)
        self.tell(findings=_kinds(report.findings))
        self.end(exit_code=report.exit_code if report.findings else ExitCode.OK)

    def repaired(self, result: RepairResult, failure: AirgapError | None) -> None:
        """Write what a repair came to, and what is left to say of it."""
        self._tell_bundle(result.after.bundle_id)
        self.tell(
            damage=_kinds(result.before.findings),
            findings=_kinds(result.after.findings),
            repaired=file_names(file.path for file in result.repaired),
        )
        self.end(error=failure)

    def end(self, *, error: AirgapError | None = None, exit_code: ExitCode = ExitCode.OK) -> None:
        """Write the entry; the first call counts.

        Args:
            error: What ends the run.
            exit_code: What the run ends with where no error was raised.

        Raises:
            AirgapError: It could not be written, and is required; where an error ends the run,
                that one counts.
        """
        log, self._log = self._log, None
        if log is None:
            return
        self.tell(exit=int(exit_code if error is None else error.exit_code))
        if error is not None:
            self.tell(error=error.code, message=visible(error.message)[:_MAX_MESSAGE])
        try:
            author = Author(__version__, author_name())
            self.position = log.append(self._event, self._details, author=author)
        except AirgapError as failure:
            if self._is_required and error is None:
                raise
            hint = f" ({failure.hint})" if failure.hint else ""
            self._run.warn("custody-log", f"the log of custody lacks this: {failure}{hint}")

    def _end_partly(self, failed: Iterable[Failure]) -> None:
        names = [failure.name for failure in failed]
        if names:
            self.tell(failed=names)
        self.end(exit_code=ExitCode.PARTIAL if names else ExitCode.OK)

    def _tell_bundle(self, bundle: Digest | None) -> None:
        if bundle is not None:
            self.tell(bundle=str(bundle))


@contextmanager
def custody(
    session: Session, run: Run, event: str, *, is_dry: bool = False, is_required: bool = False
) -> Iterator[CustodyEntry]:
    """Give the entry of a run, and write it when the context ends if nobody did before.

    A command writes it itself before it shows its result: what is said of the log comes first.

    Args:
        session: The command.
        run: Takes a warning where the log cannot be written.
        event: What is done.
        is_dry: Whether nothing is done at all.
        is_required: Whether nothing may be done that the log does not hold.

    Raises:
        StorageError: The log cannot be written, and must be.
        IntegrityError: The log is damaged, and must be written.
    """
    log = None if is_dry else CustodyLog(session.custody_log)
    if log is not None and is_required:
        log.check_writable()
    entry = CustodyEntry(log, event, run, is_required=is_required)
    try:
        yield entry
    except AirgapError as error:
        entry.end(error=error)
        raise
    except BaseException:
        entry.end(exit_code=ExitCode.FAILURE)
        raise
    entry.end()


def file_names(paths: Iterable[Path | str]) -> list[str]:
    """The names of files without their folders, which say more of a machine than others need."""
    return [visible(Path(path).name or Path(path).resolve().name) for path in paths]


def _imported(image: ImportedImage) -> dict[str, str]:
    return {"target": image.target, "digest": str(image.digest), "outcome": image.outcome}


def _stopped(registry: str, image: ReceiptImage) -> dict[str, str]:
    digest = image.named or image.digest
    locator = f":{image.tag}" if image.tag else f"@{digest}"
    target = f"{registry}/{image.repository}{locator}"
    return {"target": target, "digest": str(digest), "outcome": image.outcome}


def _kinds(findings: Iterable[Finding]) -> dict[str, int]:
    return dict(Counter(finding.kind for finding in findings))
