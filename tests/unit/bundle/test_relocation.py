"""In which order blobs move when a layout changes."""

from __future__ import annotations

import pytest

from airgap.bundle.placement import Extent
from airgap.bundle.relocation import Relocation, plan_relocation
from airgap.oci.digest import Digest


def extents(*spans: tuple[str, int, int]) -> dict[Digest, Extent]:
    return {Digest.of(n.encode()): Extent(Digest.of(n.encode()), o, s) for n, o, s in spans}


def plan(old: list[tuple[str, int, int]], new: list[tuple[str, int, int]]) -> Relocation:
    return plan_relocation(extents(*old).values(), extents(*new))


def moved(relocation: Relocation) -> list[tuple[int, int]]:
    return [(move.held.offset, move.target) for move in relocation.moves]


def test_what_lies_right_stays() -> None:
    """Blobs whose place does not change are kept without a move."""
    found = plan([("a", 0, 10), ("b", 10, 10)], [("a", 0, 10), ("b", 10, 10)])
    assert len(found.kept) == 2
    assert found.moves == found.dropped == ()


def test_what_is_not_wanted_is_dropped() -> None:
    """Blobs that the new layout does not have are dropped, whatever lies there then."""
    found = plan([("a", 0, 10), ("b", 10, 10)], [("b", 0, 10)])
    assert moved(found) == [(10, 0)]
    assert [e.offset for e in found.dropped] == [0]


def test_all_move_back() -> None:
    """When all move towards the end, the last one goes first, each onto a part of itself."""
    found = plan(
        [("a", 0, 10), ("b", 10, 10), ("c", 20, 10)],
        [("a", 5, 10), ("b", 15, 10), ("c", 25, 10)],
    )
    assert moved(found) == [(20, 25), (10, 15), (0, 5)]
    assert not any(move.target < move.held.offset for move in found.moves)
    assert found.moved_bytes == 30


def test_all_move_forward() -> None:
    """When all move towards the start, the first one goes first."""
    found = plan([("a", 5, 10), ("b", 15, 10)], [("a", 0, 10), ("b", 10, 10)])
    assert moved(found) == [(5, 0), (15, 10)]
    assert all(move.target < move.held.offset for move in found.moves)


def test_circle_gives_up_its_smallest() -> None:
    """Blobs that change places lose the smallest of them, which is fetched again."""
    found = plan(
        [("a", 0, 30), ("b", 30, 20), ("c", 60, 30)],
        [("b", 0, 20), ("c", 30, 30), ("a", 60, 30)],
    )
    assert [e.length for e in found.dropped] == [20]
    assert moved(found) == [(60, 30), (0, 60)]


def test_who_waits_for_a_circle_is_kept() -> None:
    """A smaller blob that only waits for the circle is no part of it, and is not given up."""
    found = plan(
        [("small", 0, 5), ("a", 100, 30), ("b", 200, 20)],
        [("small", 100, 5), ("b", 110, 20), ("a", 200, 30)],
    )
    assert [e.length for e in found.dropped] == [20]
    assert moved(found) == [(100, 200), (0, 100)]


def test_beginnings_move_too() -> None:
    """The beginning of a blob moves like a whole one."""
    found = plan_relocation(extents(("a", 0, 5)).values(), extents(("a", 100, 50)))
    assert moved(found) == [(0, 100)]


@pytest.mark.parametrize("length", [11, 1000])
def test_longer_than_it_should_be(length: int) -> None:
    """What is longer than the layout allows cannot be right and is dropped."""
    found = plan_relocation(extents(("a", 0, length)).values(), extents(("a", 0, 10)))
    assert len(found.dropped) == 1


def test_many_circles_end() -> None:
    """Ten thousand blobs turned round are ordered at once, with few of them given up."""
    count = 10_000
    old = extents(*((str(n), n * 10, 10) for n in range(count)))
    new = extents(*((str(n), (count - 1 - n) * 10, 10) for n in range(count)))
    found = plan_relocation(old.values(), new)
    assert len(found.dropped) == count // 2
    assert len(found.moves) == count // 2
