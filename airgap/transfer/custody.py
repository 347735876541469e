"""The log of custody on disk: commands append to it, one after the other, and nothing is rewritten.

An entry is one write behind the last line, and synced. What a power cut leaves of one has no line
break at its end: the next append moves those bytes to `<log>.torn` and says so in an entry, which
is how they differ from a line that somebody changed. Only the last line is read for an append.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airgap.content.atomic import PRIVATE, make_folder
from airgap.content.posix import (
    read_at,
    sync_data,
    sync_folder,
    unlock,
    wait_for_lock,
    write_at,
)
from airgap.content.storage import storage_errors
from airgap.errors import ContentNotFoundError, IntegrityError
from airgap.oci.digest import Digest
from airgap.record.log import (
    MAX_LINE,
    START,
    TORN,
    Anchor,
    ChainCheck,
    LogEntry,
    LogPosition,
)
from airgap.run import Run

if TYPE_CHECKING:  # who only appends needs no history
    from airgap.transfer.rollback import ImportHistory

_BLOCK = 64 * 1024
_CHECKED = 1000
"""How many lines are read between two looks at whether the run was cancelled."""
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Author:
    """Who appends: a version of airgap, and somebody who runs it."""

    version: str
    by: str


@dataclass(frozen=True, slots=True)
class LogCheck:
    """What a check of a whole log found.

    Attributes:
        chain: Its chain.
        torn: How many bytes at its end are of an entry that was not finished.
    """

    chain: ChainCheck
    torn: int


@dataclass(frozen=True, slots=True)
class _Tail:
    """The last whole line, where it ends, and what is behind it."""

    line: bytes
    end: int
    torn: bytes


class CustodyLog:
    """A log in a file, which need not be there yet.

    Args:
        path: The file.
        now: Tells the time, in UTC.
    """

    def __init__(self, path: Path, *, now: Clock = lambda: datetime.now(UTC)) -> None:
        self.path = path
        self._now = now

    def append(self, event: str, details: Mapping[str, Any], *, author: Author) -> LogPosition:
        """Add an entry, durable once this returns. Waits for others that append.

        Args:
            event: What was done.
            details: What it was done with and how it ended.
            author: Who did it.

        Raises:
            StorageError: It could not be written; the log is as it was.
            IntegrityError: What is there is no log.
        """
        with self._opened() as fd:
            tail = self._tail(fd)
            position = self._position(tail.line)
            lines: list[bytes] = []
            if tail.torn:
                moved = self._move_aside(fd, tail)
                position = self._add(lines, position, TORN, moved, author)
            position = self._add(lines, position, event, details, author)
            self._write(fd, b"".join(lines), tail.end)
        return position

    def check_writable(self) -> None:
        """See that an entry could be added now.

        Raises:
            StorageError: It could not.
            IntegrityError: What is there is no log.
        """
        with self._opened() as fd:
            self._position(self._tail(fd).line)

    def lines(self, *, must_exist: bool = False) -> Iterator[bytes]:
        """All that is in the file at this moment, line by line; the last may lack its end.

        Args:
            must_exist: Whether a file that is not there is an error, instead of an empty log.

        Raises:
            ContentNotFoundError: It must be there, and is not.
            StorageError: It cannot be read.
        """
        with storage_errors(self.path):
            try:
                file = self.path.open("rb", buffering=1 << 20)
            except FileNotFoundError as error:
                if must_exist:
                    raise ContentNotFoundError(
                        f"{self.path}: there is no such file", hint="check the path", origin="local"
                    ) from error
                return
            with file:
                # With the lock no entry is half written; without it others need not wait for us.
                wait_for_lock(file.fileno(), shared=True)
                left = os.fstat(file.fileno()).st_size
                unlock(file.fileno())
                while left and (line := file.readline(min(left, MAX_LINE + 1))):
                    left -= len(line)
                    yield line

    def check(
        self, *, anchors: Iterable[Anchor] = (), must_exist: bool = False, run: Run | None = None
    ) -> LogCheck:
        """Check the whole chain.

        Args:
            anchors: What others remember of the log.
            must_exist: Whether a file that is not there is an error, instead of an empty log.
            run: Cancellation.

        Raises:
            ContentNotFoundError: It must be there, and is not.
            StorageError: It cannot be read.
            BundleFormatError: A newer version of airgap wrote it.
        """
        run = run or Run()
        chain, torn = ChainCheck(anchors), 0
        for line in self.lines(must_exist=must_exist):
            if not line.endswith(b"\n") and len(line) <= MAX_LINE:
                torn = len(line)
                break
            if chain.lines % _CHECKED == 0:
                run.cancel.check()
            chain.take(line)
        chain.finish()
        return LogCheck(chain, torn)

    def history(self, names: Collection[str], *, is_strict: bool = False) -> ImportHistory:
        """What the log knows of images that were imported under some names.

        Args:
            names: Their full names on the destination.
            is_strict: Whether the whole chain is checked, too, and must be right.

        Raises:
            StorageError: It cannot be read.
            IntegrityError: A line is no entry, or the chain is not right.
            BundleFormatError: A newer version of airgap wrote it.
        """
        from airgap.transfer.rollback import EVENT, ImportHistory

        imported = f'"event":"{EVENT}"'.encode()
        history, chain = ImportHistory(names), ChainCheck()
        for line in self.lines():
            if not line.endswith(b"\n"):
                break
            if is_strict:
                entry = chain.take(line)
            else:
                entry = LogEntry.parse(line) if imported in line else None
            if chain.flaws:
                raise self._no_log(chain.flaws[0].message)
            if entry is not None:
                history.take(entry)
        return history

    @contextmanager
    def _opened(self) -> Iterator[int]:
        make_folder(self.path.parent, mode=PRIVATE)
        fd = self._open_locked()
        try:
            yield fd
        finally:
            os.close(fd)

    def _open_locked(self) -> int:
        # With O_APPEND a file that may only be appended to (chattr +a) can be written, too.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        while True:
            with storage_errors(self.path):
                fd = os.open(self.path, flags, 0o600)
                try:
                    wait_for_lock(fd)
                    if self._is_still(fd):
                        return fd
                except BaseException:
                    os.close(fd)
                    raise
                os.close(fd)

    def _is_still(self, fd: int) -> bool:
        """Whether a file has not been moved away while its lock was waited for."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == (os.fstat(fd).st_dev, os.fstat(fd).st_ino)

    def _tail(self, fd: int) -> _Tail:
        with storage_errors(self.path):
            size, width = os.fstat(fd).st_size, _BLOCK
            while True:
                start = max(0, size - width)
                raw = read_at(fd, size - start, start)
                end = raw.rfind(b"\n") + 1
                begin = raw.rfind(b"\n", 0, end - 1) + 1 if end else 0
                if begin or not start:
                    return _Tail(raw[begin:end], start + end, raw[end:])
                if width > 2 * MAX_LINE:
                    raise self._no_log("its lines are too long")
                width *= 2

    def _position(self, line: bytes) -> LogPosition:
        if not line:
            return START
        try:
            entry = LogEntry.parse(line)
        except IntegrityError as error:
            raise self._no_log(error.message) from error
        return LogPosition(entry.seq, Digest.of(line))

    def _add(
        self,
        lines: list[bytes],
        after: LogPosition,
        event: str,
        details: Mapping[str, Any],
        author: Author,
    ) -> LogPosition:
        seq = after.length + 1
        entry = LogEntry(seq, after.head, self._now(), event, author.version, author.by, details)
        lines.append(entry.to_line())
        return LogPosition(seq, Digest.of(lines[-1]))

    def _move_aside(self, fd: int, tail: _Tail) -> dict[str, Any]:
        aside = self.path.with_name(f"{self.path.name}.torn")
        with storage_errors(aside):
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            other = os.open(aside, flags, 0o600)
            try:
                write_at(other, tail.torn, os.fstat(other).st_size)
                sync_data(other)
            finally:
                os.close(other)
            sync_folder(aside.parent)
        with storage_errors(self.path):
            os.ftruncate(fd, tail.end)
        digest = str(Digest.of(tail.torn))
        return {"bytes": len(tail.torn), "digest": digest, "file": aside.name}

    def _write(self, fd: int, data: bytes, end: int) -> None:
        with storage_errors(self.path):
            try:
                write_at(fd, data, end)
                sync_data(fd)
                if end == 0:
                    sync_folder(self.path.parent)
            except BaseException:
                with suppress(OSError):  # otherwise the next append moves it aside
                    os.ftruncate(fd, end)
                raise

    def _no_log(self, reason: str) -> IntegrityError:
        return IntegrityError(
            f"the log {self.path} is damaged: {reason}",
            hint="airgap log verify tells where; move it away to begin a new one",
            origin="local",
        )
