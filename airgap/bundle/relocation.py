"""The order in which blobs move inside an unfinished bundle when its layout changes.

Pure: it says what to copy from where to where. `airgap.bundle.writer` does it, in that order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from airgap.bundle.placement import Extent
from airgap.oci.digest import Digest


@dataclass(frozen=True, slots=True)
class Move:
    """One blob, or the part of it that is there, on its way to its new place.

    Attributes:
        held: Where its bytes lie now.
        target: The offset at which they shall begin.
    """

    held: Extent
    target: int


@dataclass(frozen=True, slots=True)
class Relocation:
    """What becomes of the bytes that are there.

    Attributes:
        kept: Blobs that lie right already.
        moves: What is to be copied, in this order: none overwrites what is still to be moved.
        dropped: What is not wanted any more, or must be fetched again since it could not be moved
            without overwriting others.
    """

    kept: tuple[Extent, ...]
    moves: tuple[Move, ...]
    dropped: tuple[Extent, ...]

    @property
    def moved_bytes(self) -> int:
        """How many bytes are to be copied."""
        return sum(move.held.length for move in self.moves)


def plan_relocation(held: Iterable[Extent], wanted: Mapping[Digest, Extent]) -> Relocation:
    """Plan how blobs get from where they are to where a new layout wants them.

    A blob whose target lies over the place of another one waits for that one. Where such waiting
    goes in a circle, the smallest blob in the circle is given up.

    Args:
        held: What is there: whole blobs and beginnings of blobs, none over another.
        wanted: The extents of the new layout, none over another.
    """
    kept: list[Extent] = []
    dropped: list[Extent] = []
    moves: list[Move] = []
    for extent in sorted(held, key=lambda e: e.offset):
        target = wanted.get(extent.digest)
        if target is None or extent.length > target.length:
            dropped.append(extent)
        elif target.offset == extent.offset:
            kept.append(extent)
        else:
            moves.append(Move(extent, target.offset))
    ordered, given_up = _order(moves)
    return Relocation(tuple(kept), tuple(ordered), tuple(dropped + given_up))


def _order(moves: list[Move]) -> tuple[list[Move], list[Extent]]:
    waits_for = _overlaps(moves)
    blocks: list[list[int]] = [[] for _ in moves]
    for mover, others in enumerate(waits_for):
        for other in others:
            blocks[other].append(mover)
    ordered: list[Move] = []
    given_up: list[Extent] = []
    ready = [mover for mover, others in enumerate(waits_for) if not others]
    waiting = dict.fromkeys(mover for mover, others in enumerate(waits_for) if others)
    while ready or waiting:
        if ready:
            done = ready.pop()
            ordered.append(moves[done])
        else:
            done = _smallest_of_circle(next(iter(waiting)), waits_for, moves)
            given_up.append(moves[done].held)
            del waiting[done]
        for mover in blocks[done]:
            waits_for[mover].discard(done)
            if mover in waiting and not waits_for[mover]:
                del waiting[mover]
                ready.append(mover)
    return ordered, given_up


def _overlaps(moves: list[Move]) -> list[set[int]]:
    """For each move, the others whose bytes lie where it writes.

    Sources do not overlap each other, nor do targets, so one walk over both finds all pairs.
    """
    by_source = [m for m in range(len(moves)) if moves[m].held.length]
    by_target = sorted(by_source, key=lambda m: moves[m].target)
    waits_for: list[set[int]] = [set() for _ in moves]
    first = 0
    for mover in by_target:
        start, end = moves[mover].target, moves[mover].target + moves[mover].held.length
        while first < len(by_source) and moves[by_source[first]].held.end <= start:
            first += 1
        at = first
        while at < len(by_source) and moves[by_source[at]].held.offset < end:
            if by_source[at] != mover:
                waits_for[mover].add(by_source[at])
            at += 1
    return waits_for


def _smallest_of_circle(start: int, waits_for: list[set[int]], moves: list[Move]) -> int:
    """Follow who waits for whom from any waiting move until one comes again.

    Nothing is ready when this is asked, so everything waits for something that waits.
    """
    seen: dict[int, None] = {}
    at = start
    while at not in seen:
        seen[at] = None
        at = min(waits_for[at])
    path = list(seen)
    circle = path[path.index(at) :]
    return min(circle, key=lambda m: (moves[m].held.length, moves[m].held.digest))
