"""The journal beside an unfinished bundle: which blobs lie where in it, and what is durable.

It knows nothing of plans: each record names a blob and the place where its bytes lie, so that it
is as good for another layout as for the one it was written under. A record that is damaged, and
all behind it, is dropped. Losing records only means to fetch or to hash more; what the rules make
sure of is that no record ever says more than is true:

- a blob is recorded as verified when its bytes are written, and counts as durable only once a
  later record says that the file was synced after that;
- the beginning of a blob is recorded only after it was synced;
- a record is taken back, durably, before the bytes that it speaks of are overwritten.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from airgap.bundle.placement import Extent
from airgap.content.atomic import move_file, remove_file
from airgap.content.posix import sync_data, write_at
from airgap.content.storage import storage_errors
from airgap.oci.digest import ALGORITHMS, Digest

MAGIC = b"airgap journal 1\n"
_HEAD = struct.Struct(">QI")
_SYNCED = struct.Struct(">BQI")
_EXTENT = struct.Struct(">BBQQ")
_CHECK = struct.Struct(">I")
_ALGORITHMS = tuple(sorted(ALGORITHMS))
_KIND_SYNCED, _KIND_VERIFIED, _KIND_BEGUN, _KIND_DROPPED = 1, 2, 3, 4
_SLACK = 128 * 1024
_MAX_SIZE = 1 << 30


@dataclass(slots=True)
class Holdings:
    """What an unfinished bundle holds, by its journal.

    Attributes:
        verified: Blobs whose bytes were all written and had the right digest.
        durable: Those of them that were synced since.
        begun: The beginnings of other blobs that are durable.
    """

    verified: dict[Digest, Extent] = field(default_factory=dict[Digest, Extent])
    durable: set[Digest] = field(default_factory=set[Digest])
    begun: dict[Digest, Extent] = field(default_factory=dict[Digest, Extent])

    def extents(self) -> list[Extent]:
        """Everything that is there."""
        return [*self.verified.values(), *self.begun.values()]

    def sizes(self) -> dict[Digest, int]:
        """How many bytes of each blob are there."""
        return {extent.digest: extent.length for extent in self.extents()}

    def drop(self, digest: Digest) -> None:
        """Forget a blob."""
        self.verified.pop(digest, None)
        self.begun.pop(digest, None)
        self.durable.discard(digest)

    def is_consistent(self, fits: Callable[[Extent], bool]) -> bool:
        """Whether nothing lies over another, and all of it where there is a file.

        Args:
            fits: Says whether an extent lies within a file.
        """
        end = 0
        for extent in sorted(self.extents(), key=lambda e: (e.offset, e.length)):
            if extent.offset < end or not fits(extent):
                return False
            end = extent.end
        return True


def read_journal(path: Path) -> tuple[Holdings, int] | None:
    """Read what a journal says, and of which file (its inode number) it speaks.

    None: there is none, or it is damaged at its beginning or of another version.

    Raises:
        StorageError: It is there and cannot be read.
    """
    with storage_errors(path):
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_SIZE)
        except FileNotFoundError:
            return None
    start = len(MAGIC) + _HEAD.size
    if len(data) < start or not data.startswith(MAGIC):
        return None
    inode, check = _HEAD.unpack_from(data, len(MAGIC))
    if zlib.crc32(data[: start - _CHECK.size]) != check:
        return None
    return _replay(memoryview(data)[start:]), inode


class Journal:
    """A journal that is being written. Appending is thread-safe.

    Args:
        path: Its file; what is there is replaced.
        inode: Of which file it speaks.
        holdings: What that file holds; kept up to date here.

    Raises:
        StorageError: It cannot be written.
    """

    def __init__(self, path: Path, inode: int, holdings: Holdings) -> None:
        self.path = path
        # a fixed name, so that what a crash leaves is used or removed by the next run
        self._new = path.with_name(path.name + ".new")
        self.holdings = holdings
        self._inode = inode
        self._lock = Lock()
        self._fd = -1
        self._size = self._limit = self._count = 0
        self._unsynced: dict[Digest, int] = {}
        self._write_anew()

    @property
    def mark(self) -> int:
        """How many records there are; to be asked before the file is synced."""
        return self._count

    def add_verified(self, extent: Extent) -> None:
        """Record that a blob is whole and right."""
        with self._lock:
            self.holdings.begun.pop(extent.digest, None)
            self.holdings.verified[extent.digest] = extent
            self._append(_pack(_KIND_VERIFIED, extent))
            self._unsynced[extent.digest] = self._count

    def add_synced(self, mark: int, begun: Iterable[Extent] = ()) -> None:
        """Record that the file was synced after a mark was taken, and which beginnings it holds.

        A beginning counts only as long as its blob was not verified or dropped meanwhile; whoever
        calls this makes sure of the second.
        """
        with self._lock:
            if any(ordinal <= mark for ordinal in self._unsynced.values()):
                self._add_synced(mark)
            for extent in begun:
                known = self.holdings.begun.get(extent.digest)
                if extent.digest not in self.holdings.verified and known != extent:
                    self.holdings.begun[extent.digest] = extent
                    self._append(_pack(_KIND_BEGUN, extent))
            if self._size > self._limit:
                self._write_anew()

    def drop(self, digests: Iterable[Digest]) -> None:
        """Take back what was recorded of blobs. Sync before their bytes are overwritten."""
        with self._lock:
            for digest in digests:
                self.holdings.drop(digest)
                self._unsynced.pop(digest, None)
                self._append(_pack(_KIND_DROPPED, Extent(digest, 0, 0)))

    def sync(self) -> None:
        """Make what was recorded durable."""
        with storage_errors(self.path):
            sync_data(self._fd)

    def remove(self) -> None:
        """Remove the file, when there is nothing left to go on with."""
        self.close()
        remove_file(self._new, durable=False)
        remove_file(self.path)

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _add_synced(self, mark: int) -> None:
        for digest in [d for d, ordinal in self._unsynced.items() if ordinal <= mark]:
            del self._unsynced[digest]
            self.holdings.durable.add(digest)
        head = struct.pack(">BQ", _KIND_SYNCED, mark)
        self._append(head + _CHECK.pack(zlib.crc32(head)))

    def _append(self, record: bytes) -> None:
        with storage_errors(self.path):
            write_at(self._fd, record, self._size)
        self._size += len(record)
        self._count += 1

    def _write_anew(self) -> None:
        """Write the state with one record for each blob, in place of the history.

        What one blob adds is bounded, but beginnings are recorded again and again, so the file is
        written anew whenever it has grown by more than a fixed amount over what it must hold.
        """
        holdings = self.holdings
        durable = [e for d, e in holdings.verified.items() if d in holdings.durable]
        others = [e for d, e in holdings.verified.items() if d not in holdings.durable]
        synced = struct.pack(">BQ", _KIND_SYNCED, len(durable))
        head = MAGIC + struct.pack(">Q", self._inode)
        data = b"".join(
            [
                head,
                _CHECK.pack(zlib.crc32(head)),
                *(_pack(_KIND_VERIFIED, extent) for extent in durable),
                synced + _CHECK.pack(zlib.crc32(synced)),
                *(_pack(_KIND_VERIFIED, extent) for extent in others),
                *(_pack(_KIND_BEGUN, extent) for extent in holdings.begun.values()),
            ]
        )
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with storage_errors(self._new):
            fd = os.open(self._new, flags, 0o644)
            try:
                write_at(fd, data, 0)
                sync_data(fd)
                move_file(self._new, self.path)
            except BaseException:
                os.close(fd)
                raise
        self.close()
        self._fd = fd
        self._size = len(data)
        self._limit = len(data) + _SLACK
        self._count = len(durable) + 1 + len(others) + len(holdings.begun)
        self._unsynced = {
            extent.digest: len(durable) + 2 + number for number, extent in enumerate(others)
        }


def _pack(kind: int, extent: Extent) -> bytes:
    algorithm = _ALGORITHMS.index(extent.digest.algorithm)
    body = _EXTENT.pack(kind, algorithm, extent.offset, extent.length)
    body += bytes.fromhex(extent.digest.hex)
    return body + _CHECK.pack(zlib.crc32(body))


def _replay(data: memoryview) -> Holdings:
    holdings = Holdings()
    unsynced: dict[Digest, int] = {}
    count = 0
    while data:
        found = _unpack(data)
        if found is None:
            break
        kind, extent, mark, length = found
        data = data[length:]
        count += 1
        if kind == _KIND_SYNCED:
            for digest in [d for d, ordinal in unsynced.items() if ordinal <= mark]:
                del unsynced[digest]
                holdings.durable.add(digest)
            continue
        holdings.drop(extent.digest)
        unsynced.pop(extent.digest, None)
        if kind == _KIND_VERIFIED:
            holdings.verified[extent.digest] = extent
            unsynced[extent.digest] = count
        elif kind == _KIND_BEGUN:
            holdings.begun[extent.digest] = extent
    return holdings


def _unpack(data: memoryview) -> tuple[int, Extent, int, int] | None:
    """The record that data begins with: its kind, extent, mark and length; None if damaged."""
    nothing = Extent(Digest("sha256", ""), 0, 0)
    if data[0] == _KIND_SYNCED:
        if len(data) < _SYNCED.size:
            return None
        kind, mark, check = _SYNCED.unpack_from(data)
        is_right = zlib.crc32(data[: _SYNCED.size - _CHECK.size]) == check
        return (kind, nothing, mark, _SYNCED.size) if is_right else None
    if len(data) < _EXTENT.size or data[1] >= len(_ALGORITHMS):
        return None
    kind, number, offset, length = _EXTENT.unpack_from(data)
    algorithm = _ALGORITHMS[number]
    end = _EXTENT.size + ALGORITHMS[algorithm] // 2
    if kind not in (_KIND_VERIFIED, _KIND_BEGUN, _KIND_DROPPED) or len(data) < end + _CHECK.size:
        return None
    if zlib.crc32(data[:end]) != _CHECK.unpack_from(data, end)[0]:
        return None
    digest = Digest(algorithm, data[_EXTENT.size : end].hex())
    return kind, Extent(digest, offset, length), 0, end + _CHECK.size
