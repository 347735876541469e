"""Options of the receipt that an import writes, and the receipt itself, however the import ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from airgap.cli.author import author_of
from airgap.cli.options import FILE, Command, all_of
from airgap.cli.signing_options import SignFlags, sign_options, signers
from airgap.errors import AirgapError, ConflictError, SettingsError
from airgap.run.events import Notice
from airgap.transfer.ledger import Ledger
from airgap.transfer.outcome import ImportResult, WrittenReceipt

if TYPE_CHECKING:
    from airgap.cli.custody import CustodyEntry
    from airgap.cli.session import Session
    from airgap.record.receipt import Receipt
    from airgap.run import Run
    from airgap.trust.keys import PrivateKey


class ReceiptFlags(SignFlags):
    """What a command takes that writes a receipt."""

    receipt: Path | None
    by: str | None


def receipt_options(command: Command) -> Command:
    """Add `--receipt`, `--by`, and the options of whoever signs."""
    return all_of(
        click.option(
            "--receipt",
            type=FILE,
            metavar="FILE",
            help="Write what arrived, digest by digest, also where the import fails.",
        ),
        click.option(
            "--by", metavar="TEXT", help="Who imports, for the receipt (default: USER@MACHINE)."
        ),
        sign_options,
    )(command)


class KeptReceipt:
    """The receipt of one run, which is written once; without a path, none.

    Args:
        path: Where it goes.
        ledger: Takes down what is done, for the log as well; None for a dry run.
        keys: Those who sign it.
        entry: The entry of the log of custody, which the receipt names.
        run: Is told where the receipt of a failed import lies.
        before: The receipt that is there, and would be replaced.
    """

    def __init__(
        self,
        path: Path | None,
        ledger: Ledger | None,
        keys: tuple[PrivateKey, ...],
        entry: CustodyEntry,
        run: Run,
        *,
        before: Receipt | None = None,
    ) -> None:
        self._path = path
        self._before = before
        self._keys = keys
        self._entry = entry
        self._run = run
        self.ledger = ledger

    def imported(self, result: ImportResult) -> ImportResult:
        """Write the receipt of an import that came to its end; the result names it.

        Raises:
            StorageError: It could not be written.
        """
        written = self._write(None)
        return result if written is None else replace(result, receipt=written)

    def failed(self, error: BaseException) -> None:
        """Write the receipt of an import that ended early; where that fails, warn."""
        path, ledger = self._path, self.ledger
        try:
            if ledger is not None and isinstance(error, AirgapError):
                self._entry.stopped(ledger.receipt(error), error)
            written = self._write(error)
        except AirgapError as failure:
            self._run.warn("receipt", f"{path} could not be written: {failure.message}")
            return
        if written is not None:
            text = f"{written.path} says how far the import came"
            self._run.emit(Notice("info", "receipt", text))
        elif path is not None and not isinstance(error, ConflictError):
            self._run.warn("receipt", f"{path} was not written: it is not known of which bundle")

    def _write(self, error: BaseException | None) -> WrittenReceipt | None:
        path, ledger, self.ledger = self._path, self.ledger, None
        if path is None or ledger is None:
            return None
        receipt = ledger.receipt(error, log=self._entry.position)
        if receipt is None:
            return None
        from airgap.transfer.receipts import RECEIPT_FILE, write_receipt_file  # only where wanted

        is_proven = self._before is not None and self._before.outcome == "complete"
        if is_proven and receipt.outcome != "complete":
            # What proves that all of it arrived once is not given up for what proves less.
            path = path.with_name(f"{path.name}.incomplete")
            RECEIPT_FILE.before(path)
        write_receipt_file(path, receipt, self._keys)
        return WrittenReceipt(str(path), receipt.id, receipt.outcome)


@contextmanager
def kept_receipt(
    session: Session, flags: ReceiptFlags, entry: CustodyEntry, run: Run, *, is_dry: bool
) -> Iterator[KeptReceipt]:
    """Give the receipt of a run, and write it when the context ends in an error.

    Args:
        session: The command.
        flags: Its options.
        entry: The entry of the log of custody.
        run: Takes warnings.
        is_dry: Whether nothing is done at all.

    Raises:
        SettingsError: The options make no sense together.
        ConflictError: There is a file that is no receipt, or is one of another import.
    """
    path = flags["receipt"]
    if path is None and (flags["sign"] or flags["by"] is not None):
        name = "--sign signs a receipt" if flags["sign"] else "--by stands in a receipt"
        raise SettingsError(name, hint="--receipt FILE writes one")
    if path is not None and is_dry:
        raise SettingsError("a dry run has no receipt", hint="leave out --receipt or --dry-run")
    before = None if path is None else _receipt_before(path)
    ledger = Ledger(lambda: datetime.now(UTC), by=author_of(flags["by"]), before=before)
    keys = signers(flags, session)
    kept = KeptReceipt(path, None if is_dry else ledger, keys, entry, run, before=before)
    try:
        yield kept
    except BaseException as error:
        if kept.ledger is not None:
            kept.failed(error)
        raise


def _receipt_before(path: Path) -> Receipt | None:
    """The receipt that a new one would replace."""
    from airgap.transfer.receipts import RECEIPT_FILE  # only where one is wanted

    return RECEIPT_FILE.before(path)
