"""The packets of PAR2 files, read defensively (Parity Volume Set Specification 2.0).

A PAR2 file is a row of packets, each with its own MD5, and packets that describe the set are
repeated. So what is damaged costs one packet, and reading goes on at the next one.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from airgap.content.storage import storage_errors
from airgap.oci.digest import Md5

MAGIC = b"PAR2\0PKT"
MAIN = b"PAR 2.0\0Main\0\0\0\0"
DESCRIPTION = b"PAR 2.0\0FileDesc"
CHECKSUMS = b"PAR 2.0\0IFSC\0\0\0\0"
RECOVERY = b"PAR 2.0\0RecvSlic"
MAX_FILES = 32_768
HEAD = 16_384
"""So many bytes of each file have an MD5 of their own."""

_HEADER = struct.Struct("<8sQ16s16s16s")
_DESCRIBED = struct.Struct("<16s16s16sQ")
_MAIN_HEAD = struct.Struct("<QI")
_LARGEST = {
    MAIN: _HEADER.size + _MAIN_HEAD.size + 16 * MAX_FILES,
    DESCRIPTION: _HEADER.size + _DESCRIBED.size + 4096,
    CHECKSUMS: _HEADER.size + 16 + 20 * MAX_FILES,
}
_CHUNK = 1 << 20
_ENTRY = 64
_MAX_KEPT = 64 << 20
"""The most bytes of descriptions that are kept of all sets together: a set has 4 MiB at most, where
the tool made it."""
_VAIN = 4 << 20
"""What may be hashed of packets that are none beyond twice the file itself: in a damaged file each
byte is hashed in vain once, and a crafted one claims that each of its packets has all that follows.
"""


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet, whole as far as it was looked at.

    Attributes:
        offset: Where it begins.
        length: How many bytes it has with its header.
        set_id: The set that it belongs to.
        kind: Its type.
        body: What follows the header, for what describes the set.
        exponent: The number of a recovery block.
    """

    offset: int
    length: int
    set_id: bytes
    kind: bytes
    body: bytes = b""
    exponent: int | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes of a PAR2 file that are no whole packet."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class ProtectedFile:
    """A file that parity protects.

    Attributes:
        name: What it was called, not looked at for what it could do as a path.
        size: How many bytes it has.
        md5: What they hash to.
        md5_16k: What the first 16 KiB hash to.
        file_id: How the set calls it.
    """

    name: str
    size: int
    md5: bytes
    md5_16k: bytes
    file_id: bytes


@dataclass(slots=True)
class Collected:
    """What the packets of one set say, while they are read."""

    main: bytes = b""
    described: dict[bytes, ProtectedFile] = field(default_factory=dict)
    checksums: dict[bytes, bytes] = field(default_factory=dict)
    exponents: set[int] = field(default_factory=set)
    paths: dict[Path, None] = field(default_factory=dict)

    def block_size(self) -> int:
        """The bytes of a block; zero while no main packet was seen."""
        return int(_MAIN_HEAD.unpack_from(self.main)[0]) if self.main else 0

    def file_ids(self) -> list[bytes]:
        """The files that can be rebuilt, in the order of their blocks."""
        count = _MAIN_HEAD.unpack_from(self.main)[1]
        return [self.main[12 + 16 * i : 28 + 16 * i] for i in range(count)]

    def cost(self, packet: Packet) -> int:
        """About how many bytes of memory a packet takes that is added."""
        is_known = (
            (packet.kind == MAIN and bool(self.main))
            or (packet.kind == DESCRIPTION and packet.body[:16] in self.described)
            or (packet.kind == CHECKSUMS and packet.body[:16] in self.checksums)
            or packet.exponent in self.exponents
        )
        return 0 if is_known else len(packet.body) + _ENTRY

    def take(self, packet: Packet) -> None:
        """Add one packet, unless it is there already or contradicts itself."""
        if packet.kind == MAIN and not self.main and _is_main(packet):
            self.main = packet.body
        elif packet.kind == DESCRIPTION and (found := _described(packet.body)):
            self.described.setdefault(found.file_id, found)
        elif packet.kind == CHECKSUMS and len(packet.body) >= 16:
            self.checksums.setdefault(packet.body[:16], packet.body)
        elif packet.exponent is not None:
            self.exponents.add(packet.exponent)


_NOTHING = Collected()


def packet_bytes(set_id: bytes, kind: bytes, body: bytes) -> bytes:
    """Write a packet."""
    covered = set_id + kind + body
    return MAGIC + struct.pack("<Q", 32 + len(covered)) + Md5.of(covered) + covered


def description_body(file: ProtectedFile, name: str) -> bytes:
    """Describe a file under another name."""
    encoded = name.encode("utf-8", "surrogateescape")
    encoded += b"\0" * (-len(encoded) % 4)
    return _DESCRIBED.pack(file.file_id, file.md5, file.md5_16k, file.size) + encoded


def scan(path: Path, *, is_deep: bool) -> Iterator[Packet | Gap]:
    """Read a PAR2 file packet by packet.

    Args:
        path: The file.
        is_deep: Whether recovery blocks are hashed, too; others always are.

    Raises:
        StorageError: It could not be read.
    """
    with storage_errors(path), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        offset, begun, left = 0, 0, 2 * size + _VAIN
        while offset < size and left > 0:
            packet = _packet_at(file, offset, size, is_deep=is_deep)
            if packet is None:
                left -= file.tell() - offset
                offset = _next_magic(file, offset + 1, size)
                continue
            if begun < offset:
                yield Gap(begun, offset - begun)
            yield packet
            offset = begun = offset + packet.length
        if begun < size:
            yield Gap(begun, size - begun)


def collect(paths: list[Path]) -> dict[bytes, Collected]:
    """Gather what PAR2 files say, by set; of more than memory should hold, only the first of it.

    Raises:
        StorageError: One of them could not be read.
    """
    sets: dict[bytes, Collected] = {}
    left = _MAX_KEPT
    for path in paths:
        for packet in scan(path, is_deep=False):
            if isinstance(packet, Packet):
                known = sets.get(packet.set_id)
                left -= (known or _NOTHING).cost(packet)
                if left < 0:
                    return sets
                collected = sets.setdefault(packet.set_id, Collected())
                collected.paths[path] = None
                collected.take(packet)
    return sets


def _packet_at(file: BinaryIO, offset: int, size: int, *, is_deep: bool) -> Packet | None:
    file.seek(offset)
    head = file.read(_HEADER.size)
    if len(head) < _HEADER.size:
        return None
    magic, length, md5, set_id, kind = _HEADER.unpack(head)
    if magic != MAGIC or length % 4 or not _HEADER.size <= length <= size - offset:
        return None
    if kind == RECOVERY:
        exponent = file.read(4)
        if length < _HEADER.size + 4 or (
            is_deep and _hash(file, head[32:] + exponent, length - _HEADER.size - 4) != md5
        ):
            return None
        number = int.from_bytes(exponent, "little")
        return Packet(offset, length, set_id, kind, exponent=number) if number < 65_536 else None
    if kind not in _LARGEST:
        good = _hash(file, head[32:], length - _HEADER.size) == md5
        return Packet(offset, length, set_id, kind) if good else None
    if length > _LARGEST[kind]:
        return None
    body = file.read(length - _HEADER.size)
    return Packet(offset, length, set_id, kind, body) if Md5.of(head[32:], body) == md5 else None


def _hash(file: BinaryIO, begun: bytes, left: int) -> bytes:
    state = Md5()
    state.update(begun)
    while left > 0 and (chunk := file.read(min(_CHUNK, left))):
        state.update(chunk)
        left -= len(chunk)
    return state.digest()


def _next_magic(file: BinaryIO, offset: int, size: int) -> int:
    """Where the next packet may begin; the end of the file where there is none."""
    while offset < size:
        file.seek(offset)
        chunk = file.read(_CHUNK)
        found = chunk.find(MAGIC)
        if found >= 0:
            return offset + found
        if len(chunk) < len(MAGIC):
            break
        offset += len(chunk) - len(MAGIC) + 1
    return size


def _is_main(packet: Packet) -> bool:
    if len(packet.body) < _MAIN_HEAD.size or Md5.of(packet.body) != packet.set_id:
        return False
    block: int
    count: int
    block, count = _MAIN_HEAD.unpack_from(packet.body)
    return (
        block > 0
        and block % 4 == 0
        and 0 < count <= MAX_FILES
        and len(packet.body) >= _MAIN_HEAD.size + 16 * count
    )


def _described(body: bytes) -> ProtectedFile | None:
    if len(body) < _DESCRIBED.size:
        return None
    file_id, md5, md5_16k, size = _DESCRIBED.unpack_from(body)
    name = body[_DESCRIBED.size :].rstrip(b"\0")
    if Md5.of(md5_16k, size.to_bytes(8, "little"), name) != file_id:
        return None
    return ProtectedFile(name.decode("utf-8", "surrogateescape"), size, md5, md5_16k, file_id)
