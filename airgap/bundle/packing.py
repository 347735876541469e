"""Which blobs go into which volume, and where a blob is cut. Pure.

As few volumes as there can be; among the ways to do with so many, one that cuts few blobs and
keeps those of an image together. The same blobs make the same volumes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from airgap.bundle import members
from airgap.bundle.placement import Extent
from airgap.oci.digest import Digest

Blob = tuple[Digest, int]
Group = tuple[Blob, ...]
"""What should lie together: the blobs of an image that no image before it has."""

MIN_PIECE = 4096
"""A shorter piece is not worth its header: the room is left empty."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """How much room members take in a volume, at most.

    Attributes:
        room: The bytes of an empty volume that its blobs and pieces may take.
        digits: How many digits a number of the placement has at most.
    """

    room: int
    digits: int

    def cost(self, extent: Extent) -> int:
        """What a blob or piece takes: its member, and its entries in placement and seal."""
        header = len(members.header(extent.name, extent.length))
        return header + members.padded(extent.length) + self.entries(extent)

    def entries(self, extent: Extent) -> int:
        """What the entries in placement and seal take."""
        names = '{"digest":"","length":,"offset":},' + (',"start":' if _is_piece(extent) else "")
        numbers = 3 if _is_piece(extent) else 2
        entry = len(names) + len(str(extent.digest)) + numbers * self.digits
        # a piece has a digest of its own in the seal
        return 2 * entry + (80 if _is_piece(extent) else 0)

    def longest_piece(self, digest: Digest, start: int, room: int) -> int:
        """How many bytes of a blob fit into some room, in whole blocks; 0 if too few."""
        empty = self.cost(Extent(digest, 0, 0, start))
        length = (room - empty) // members.BLOCK * members.BLOCK
        return length if length >= MIN_PIECE else 0


@dataclass(slots=True)
class _Filling:
    """A volume that is being filled."""

    room: int
    contents: list[Extent] = field(default_factory=list[Extent])

    def add(self, extent: Extent, cost: int) -> None:
        self.contents.append(extent)
        self.room -= cost


Spare = Callable[[Sequence[Extent]], int]
"""Says how many bytes of a volume with some contents are still free, exactly."""


def pack(groups: Sequence[Group], gauge: Gauge, spare: Spare) -> list[tuple[Extent, ...]]:
    """Say what each volume holds; offsets mean nothing yet.

    Args:
        groups: The blobs, each once.
        gauge: What they take.
        spare: Asked before a volume that ends with a piece is closed, so that it becomes full.
    """
    fewest = _fill(groups, gauge, spare, waste=0)
    whole = _without_cuts(groups, gauge, len(fewest), spare)
    if whole is not None:
        return whole
    waste = len(fewest) * gauge.room - sum(
        gauge.cost(extent) for volume in fewest for extent in volume
    )
    # What the greedy way may leave empty without needing another volume; tried with less and less.
    while waste > MIN_PIECE:
        found = _fill(groups, gauge, spare, waste=waste)
        if len(found) <= len(fewest):
            return found
        waste //= 2
    return fewest


def _fill(
    groups: Sequence[Group], gauge: Gauge, spare: Spare, *, waste: int
) -> list[tuple[Extent, ...]]:
    """Fill one volume after the other, and cut where a blob does not fit.

    Args:
        groups: The blobs.
        gauge: What they take.
        spare: As for `pack`.
        waste: How many bytes may be left empty in all, where that saves a cut.
    """
    volumes = [_Filling(gauge.room)]
    for digest, size in (blob for group in groups for blob in group):
        start = 0
        while start < size or not size:
            volume = volumes[-1]
            rest = Extent(digest, 0, size - start, start or None)
            cost = gauge.cost(rest)
            if cost <= volume.room:
                volume.add(rest, cost)
                break
            if volume.contents and not start and cost <= gauge.room and volume.room <= waste:
                waste -= volume.room
            else:
                start += _cut(volume, rest, gauge, spare)
            volumes.append(_Filling(gauge.room))
    return [tuple(volume.contents) for volume in volumes]


def _cut(volume: _Filling, rest: Extent, gauge: Gauge, spare: Spare) -> int:
    """Put as much of a blob into a volume as fits, and tell how much that is."""
    start = rest.start or 0
    length = gauge.longest_piece(rest.digest, start, volume.room)
    if not length:
        return 0
    piece = Extent(rest.digest, 0, length, start)
    more = spare([*volume.contents, piece]) // members.BLOCK * members.BLOCK
    if 0 < more < rest.length - length:
        longer = replace(piece, length=length + more)
        while spare([*volume.contents, longer]) < 0:
            longer = replace(longer, length=longer.length - members.BLOCK)
        piece = longer
    volume.contents.append(piece)
    volume.room = 0
    return piece.length


def _without_cuts(
    groups: Sequence[Group], gauge: Gauge, count: int, spare: Spare
) -> list[tuple[Extent, ...]] | None:
    """Put every blob that fits into a volume into one of so many, whole; None if that fails.

    The largest groups first, each into the first volume that has room for all of it; blob by blob
    where none has. What is larger than a volume fills some and shares the last.
    """
    volumes: list[_Filling] = []
    waiting: list[tuple[int, Group]] = []
    for group in groups:
        fitting = tuple(b for b in group if gauge.cost(Extent(b[0], 0, b[1])) <= gauge.room)
        whole = frozenset(fitting)
        for digest, size in (blob for blob in group if blob not in whole):
            volumes += _spill(digest, size, gauge, spare)
        if fitting:
            waiting.append((sum(gauge.cost(Extent(d, 0, s)) for d, s in fitting), fitting))
    if len(volumes) > count:
        return None
    volumes += [_Filling(gauge.room) for _ in range(count - len(volumes))]
    for _, group in sorted(waiting, key=lambda entry: -entry[0]):
        if not _place_together(group, volumes, gauge):
            return None
    return [tuple(volume.contents) for volume in volumes if volume.contents]


def _spill(digest: Digest, size: int, gauge: Gauge, spare: Spare) -> list[_Filling]:
    """Volumes for a blob that is larger than one."""
    volumes: list[_Filling] = []
    start = 0
    while True:
        volume = _Filling(gauge.room)
        volumes.append(volume)
        rest = Extent(digest, 0, size - start, start)
        cost = gauge.cost(rest)
        if cost <= volume.room:
            volume.add(rest, cost)
            return volumes
        start += _cut(volume, rest, gauge, spare)


def _place_together(group: Group, volumes: Sequence[_Filling], gauge: Gauge) -> bool:
    extents = [Extent(digest, 0, size) for digest, size in group]
    costs = [gauge.cost(extent) for extent in extents]
    total = sum(costs)
    home = next((volume for volume in volumes if volume.room >= total), None)
    for extent, cost in sorted(
        zip(extents, costs, strict=True), key=lambda entry: 0 if home else -entry[1]
    ):
        place = home or next((volume for volume in volumes if volume.room >= cost), None)
        if place is None:
            return False
        place.add(extent, cost)
    return True


def _is_piece(extent: Extent) -> bool:
    return extent.start is not None
