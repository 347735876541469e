"""`airgap log`: the log of custody shown, checked and copied."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import click

from airgap.cli.invocation import Invocation
from airgap.cli.options import (
    BUNDLE,
    FILE,
    CustodyFlags,
    OutputFlags,
    custody_option,
    output_options,
)
from airgap.cli.output import Output
from airgap.cli.session import Session
from airgap.cli.values import as_digest
from airgap.cli.visible import count_text, cut
from airgap.content.atomic import write_chunks
from airgap.content.storage import is_there, storage_errors
from airgap.errors import (
    AirgapError,
    BundleFormatError,
    ConflictError,
    IntegrityError,
    SettingsError,
)
from airgap.oci.digest import Digest
from airgap.record.log import Anchor, ChainCheck, Flaw, LogEntry
from airgap.record.origin import time_text
from airgap.run import Run
from airgap.transfer.custody import CustodyLog
from airgap.wording import visible

_SHOWN = 20
_HINT = "copy the log from where it is kept twice, and ask who could write to it"


class ShowFlags(OutputFlags, CustodyFlags):
    """The options of `log show`."""

    count: int


class VerifyFlags(OutputFlags, CustodyFlags):
    """The options of `log verify`."""

    log: Path | None
    receipt: tuple[Path, ...]
    expect: str | None


class ExportFlags(OutputFlags, CustodyFlags):
    """The options of `log export`."""

    output: Path
    overwrite: bool


@dataclass(frozen=True, slots=True)
class ShownEntry:
    """An entry, for JSON (docs/json-output.md)."""

    seq: int
    previous: Digest | None
    time: str
    event: str
    version: str
    by: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ShowResult:
    """The last entries of a log, for JSON (docs/json-output.md)."""

    path: str
    length: int
    head: Digest | None
    entries: tuple[ShownEntry, ...]


@dataclass(frozen=True, slots=True)
class LogCheckResult:
    """What a check of a log found, for JSON (docs/json-output.md)."""

    path: str
    length: int
    head: Digest | None
    torn_bytes: int
    compared: int
    flaw_count: int
    flaws: tuple[Flaw, ...]


@dataclass(frozen=True, slots=True)
class LogExportResult:
    """What was copied of a log, for JSON (docs/json-output.md)."""

    path: str
    length: int
    head: Digest | None


@click.command("show")
@click.option(
    "-n",
    "--count",
    type=click.IntRange(1, 100_000),
    default=_SHOWN,
    show_default=True,
    metavar="N",
    help="So many entries, the last ones.",
)
@custody_option
@output_options
@click.pass_obj
def show_log(invocation: Invocation, **flags: Unpack[ShowFlags]) -> None:
    """Show the last entries of the log of custody.

    Each export, verification, import and repair of a bundle that was run here adds one.
    """
    session = Session(invocation, flags, command="log show")
    log = CustodyLog(session.custody_log)
    with session.run() as run:
        last: deque[bytes] = deque(maxlen=flags["count"])
        for line in log.lines():
            if line.endswith(b"\n"):
                run.cancel.check()
                last.append(line)
        entries = tuple(_shown(last, run))
        head = Digest.of(last[-1]) if last else None
        length = entries[-1].seq if entries else 0
        result = ShowResult(str(log.path), length, head, entries)
        session.show_result(result, lambda: _show_lines(result))


@click.command("verify")
@click.argument("log", type=FILE, required=False)
@click.option(
    "--receipt",
    type=FILE,
    multiple=True,
    metavar="FILE",
    help="The log must hold what this receipt of an import names (repeatable).",
)
@click.option("--expect", metavar="HEAD", help="The log must hold the entry of this head.")
@custody_option
@output_options
@click.pass_obj
def verify_log(invocation: Invocation, **flags: Unpack[VerifyFlags]) -> None:
    """Check that no entry of the log of custody was changed, removed or moved.

    LOG is one that `airgap log export` wrote; without it the log of this side is checked.

    Entries that are gone at the end, or the whole log written anew, are found only by what others
    remember: the receipts of imports name its length and head, and this command prints them. Who
    made a receipt is checked by `airgap verify receipt`.
    """
    session = Session(invocation, flags, command="log verify")
    path = flags["log"]
    log = CustodyLog(session.custody_log if path is None else path)
    anchors = [_anchor(receipt) for receipt in flags["receipt"]]
    if (expect := flags["expect"]) is not None:
        head = as_digest(
            expect, "--expect", what="the head of a log", printed_by="`airgap log verify` prints it"
        )
        anchors.append(Anchor("--expect", head))
    with session.run() as run:
        found = log.check(anchors=anchors, must_exist=path is not None, run=run)
        chain = found.chain
        if chain.lines and not chain.entries:
            raise BundleFormatError(
                f"{log.path} is no log of custody: no line of it is an entry",
                hint="`airgap log export` makes a copy of one",
                origin="local",
            )
        result = LogCheckResult(
            str(log.path),
            chain.position.length,
            chain.position.head,
            found.torn,
            len(anchors),
            chain.flaw_count,
            tuple(chain.flaws),
        )
        session.show_result(result, lambda: _check_lines(result))
        if chain.flaw_count:
            count = count_text(chain.flaw_count, "problem")
            raise IntegrityError(f"{log.path}: {count} found", hint=_HINT, origin="local")


@click.command("export")
@click.option(
    "-o",
    "--output",
    type=BUNDLE,
    default="-",
    metavar="FILE",
    help="Where the lines go (default: standard output).",
)
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
@custody_option
@output_options
@click.pass_obj
def export_log(invocation: Invocation, **flags: Unpack[ExportFlags]) -> None:
    """Copy the log of custody: one JSON object a line.

    The bytes are those of the log, so that `airgap log verify FILE` checks them elsewhere.
    """
    output = flags["output"]
    is_pipe = str(output) == "-"
    session = Session(invocation, flags, command="log export", is_bundle_on_stdout=is_pipe)
    log = CustodyLog(session.custody_log)
    if not is_pipe and is_there(output):
        with storage_errors(output):
            is_log = is_there(log.path) and output.samefile(log.path)
        if is_log:
            raise SettingsError(f"{output} is the log itself", hint="name another file")
        if not flags["overwrite"]:
            raise ConflictError(f"{output} is there already", hint="--overwrite replaces it")
    with session.run() as run:
        chain = ChainCheck()
        lines = _whole_lines(log, chain, run)
        if is_pipe:
            stdout = Output(sys.stdout)
            for line in lines:
                stdout.write_bytes(line)
        else:
            write_chunks(output, lines, mode=0o600)
        if chain.flaw_count:
            run.warn("custody-log", "the log has flaws: airgap log verify tells which")
        result = LogExportResult(str(output), chain.position.length, chain.position.head)
        session.show_result(result, lambda: _export_lines(result))


def _anchor(path: Path) -> Anchor:
    from airgap.transfer.receipts import read_receipt  # only where there are receipts

    position = read_receipt(path).receipt.log
    if position is None or position.head is None:
        raise SettingsError(
            f"{path} does not name the log", hint="it was made where no log could be written"
        )
    return Anchor(f"the receipt {path.name}", position.head, position.length)


def _whole_lines(log: CustodyLog, chain: ChainCheck, run: Run) -> Iterator[bytes]:
    for line in log.lines():
        if not line.endswith(b"\n"):
            run.warn("custody-log", f"{len(line):,} bytes of an unfinished entry are left out")
            return
        run.cancel.check()
        chain.take(line)
        yield line


def _shown(lines: Sequence[bytes], run: Run) -> Iterator[ShownEntry]:
    damaged = 0
    for line in lines:
        try:
            entry = LogEntry.parse(line)
        except AirgapError:
            damaged += 1
            continue
        time = time_text(entry.time)
        yield ShownEntry(
            entry.seq, entry.previous, time, entry.event, entry.version, entry.by, entry.details
        )
    if damaged:
        count = count_text(damaged, "line")
        run.warn("custody-log", f"{count} cannot be read: airgap log verify tells which")


def _show_lines(result: ShowResult) -> Iterator[str]:
    yield from cut(map(_entry_line, result.entries), rest="--json lists them all")
    yield f"{result.path}: {count_text(result.length, 'entry', 'entries')}"
    if result.head is not None:
        yield f"head: {result.head}"


def _entry_line(entry: ShownEntry) -> str:
    details = entry.details
    parts = [str(entry.seq), entry.time, entry.event, _outcome_text(details)]
    paths = details.get("paths")
    if isinstance(paths, list) and paths:
        more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
        parts.append(f"{paths[0]}{more}")
    if isinstance(destination := details.get("destination"), str):
        parts.append(f"-> {destination}")
    if isinstance(images := details.get("images"), list):
        parts.append(count_text(len(images), "image"))
    if isinstance(bundle := details.get("bundle"), str):
        parts.append(bundle)
    return visible("  ".join([*parts, entry.by]))


def _outcome_text(details: Mapping[str, Any]) -> str:
    code = details.get("exit", 0)
    error = details.get("error")
    if not code:
        return "done"
    return f"exit {code} ({error})" if isinstance(error, str) else f"exit {code}"


def _check_lines(result: LogCheckResult) -> Iterator[str]:
    yield from (f"{flaw.kind}: {flaw.message} (line {flaw.line:,})" for flaw in result.flaws)
    if result.flaw_count > len(result.flaws):
        yield f"… and {result.flaw_count - len(result.flaws):,} more"
    entries = count_text(result.length, "entry", "entries")
    state = count_text(result.flaw_count, "problem") if result.flaw_count else "whole"
    yield f"{result.path}: {entries}, {state}"
    if result.torn_bytes:
        yield (
            f"note: {count_text(result.torn_bytes, 'byte')} at the end are of an entry that was "
            "not finished; the next one moves them aside"
        )
    if not is_there(Path(result.path)):
        yield "note: there is no such file: nothing was noted here yet, or all of it is gone"
    if not result.compared and result.length:
        yield "note: what is gone at the end is found only with --receipt or --expect"
    if result.head is not None:
        yield f"head: {result.head}"


def _export_lines(result: LogExportResult) -> Iterator[str]:
    where = "standard output" if result.path == "-" else result.path
    yield f"{where}: {count_text(result.length, 'entry', 'entries')}"
    if result.head is not None:
        yield f"head: {result.head}"
