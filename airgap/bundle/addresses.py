"""One space of addresses for the files of a bundle, so that several are written like one. Pure.

A byte of a file has the number of the file in its upper bits and the offset below. A blob that is
cut has a run of addresses of its own, without gaps, which stands for its pieces in their order.
What writes, resumes and journals blobs need not know how many files there are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from airgap.bundle.placement import Extent
from airgap.oci.digest import Digest, Hasher

_BITS = 48
_MASK = (1 << _BITS) - 1
_CUT = 1 << 62

Parts = tuple[tuple[int, Extent], ...]
"""The files, from 0, in which a blob lies, with the extents there, in the order of the blob."""


def address(file: int, offset: int) -> int:
    """The address of a byte."""
    return file << _BITS | offset


def locate(place: int) -> tuple[int, int]:
    """The file and the offset of an address that is not one of a cut blob."""
    return place >> _BITS, place & _MASK


def is_cut(extent: Extent) -> bool:
    """Whether an extent stands for all pieces of a cut blob."""
    return bool(extent.offset & _CUT)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where blobs lie, by address.

    Attributes:
        extents: All of each blob as one run of addresses.
        parts: Where it really lies: itself, or the pieces, by address.
    """

    extents: Mapping[Digest, Extent] = field(default_factory=dict[Digest, Extent])
    parts: Mapping[Digest, tuple[Extent, ...]] = field(
        default_factory=dict[Digest, tuple[Extent, ...]]
    )
    _cuts: tuple[tuple[int, tuple[Extent, ...]], ...] = ()

    @classmethod
    def of(cls, found: Mapping[Digest, Parts]) -> Addresses:
        """Give addresses to what a plan has placed."""
        extents: dict[Digest, Extent] = {}
        parts: dict[Digest, tuple[Extent, ...]] = {}
        cuts: list[tuple[int, tuple[Extent, ...]]] = []
        for digest, places in found.items():
            mapped = tuple(replace(e, offset=address(file, e.offset)) for file, e in places)
            parts[digest] = mapped
            if mapped[0].start is None:
                extents[digest] = mapped[0]
            else:
                base = _CUT | mapped[0].offset
                extents[digest] = Extent(digest, base, sum(part.length for part in mapped))
                cuts.append((base, mapped))
        return cls(extents, parts, tuple(sorted(cuts, key=lambda cut: cut[0])))

    def runs(self, place: int, length: int) -> Iterator[tuple[int, int]]:
        """What a run of addresses stands for: runs within one file each, with their lengths."""
        if not place & _CUT:
            yield place, length
            return
        base, parts = self._cuts[bisect_right(self._cuts, place, key=lambda cut: cut[0]) - 1]
        start, end = place - base, place - base + length
        for part in parts:
            assert part.start is not None
            low, high = max(start, part.start), min(end, part.start + part.length)
            if low < high:
                yield part.offset + low - part.start, high - low


class PieceHasher:
    """Hashes each piece of a cut blob while the bytes of the blob pass in their order.

    Args:
        pieces: Its pieces in order.
        skip: How many bytes pass before the first of them.
    """

    def __init__(self, pieces: tuple[Extent, ...], *, skip: int = 0) -> None:
        self._skip = skip
        self._waiting = list(reversed(pieces))
        self._hasher = Hasher()
        self._done: list[Digest] = []

    def update(self, data: bytes) -> None:
        """Take the next bytes of the blob."""
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        view = memoryview(data)[skipped:]
        while view and self._waiting:
            left = self._waiting[-1].length - self._hasher.size
            self._hasher.update(view[:left])
            view = view[left:]
            if self._hasher.size == self._waiting[-1].length:
                self._done.append(self._hasher.digest())
                self._hasher = Hasher()
                self._waiting.pop()

    def digests(self) -> tuple[Digest, ...]:
        """What the pieces that passed whole hash to."""
        return tuple(self._done)
