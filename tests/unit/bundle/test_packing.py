"""Blobs are shared out to as few volumes as there can be, and cut only where that saves one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from airgap.bundle import members
from airgap.bundle.packing import MIN_PIECE, Blob, Gauge, Group, pack
from airgap.bundle.placement import Extent
from airgap.oci.digest import Digest

ROOM = 100_000
GAUGE = Gauge(ROOM, 6)


def blob(name: str, size: int) -> Blob:
    """A blob of a size."""
    return Digest.of(name.encode()), size


def spare(contents: Sequence[Extent]) -> int:
    """What is left of a volume in which members take what the gauge says."""
    return ROOM - sum(map(GAUGE.cost, contents))


def filled(*shares: float) -> list[Blob]:
    """Blobs that take these shares of a volume."""
    overhead = GAUGE.cost(Extent(Digest.of(b""), 0, 0))
    sizes = [int(ROOM * share) - overhead - members.BLOCK for share in shares]
    return [blob(str(number), size) for number, size in enumerate(sizes)]


def packed(groups: Sequence[Group]) -> list[tuple[Extent, ...]]:
    """What volumes hold, which is everything once, and never too much."""
    volumes = pack(groups, GAUGE, spare)
    found: dict[Digest, int] = {}
    for volume in volumes:
        assert volume
        assert spare(volume) >= 0
        for extent in volume:
            assert (extent.start or 0) == found.get(extent.digest, 0)
            found[extent.digest] = found.get(extent.digest, 0) + extent.length
    assert found == {digest: size for group in groups for digest, size in group}
    return volumes


def cuts(volumes: Sequence[Sequence[Extent]]) -> int:
    """How many blobs are cut."""
    return len({e.digest for volume in volumes for e in volume if e.start is not None})


def test_what_fits_into_one_volume_is_one() -> None:
    """In the order in which it was given."""
    (volume,) = packed([tuple(filled(0.5, 0.3, 0.15))])
    assert [extent.digest for extent in volume] == [d for d, _ in filled(0.5, 0.3, 0.15)]


def test_blobs_that_fill_volumes_exactly_in_another_order_are_not_cut() -> None:
    """Taken one after the other, the second and the third would have to be."""
    volumes = packed([(found,) for found in filled(0.6, 0.7, 0.4, 0.3)])
    assert (len(volumes), cuts(volumes)) == (2, 0)


def test_a_blob_is_cut_where_that_saves_a_volume() -> None:
    """Three that take two thirds each fit into two volumes only with one of them cut."""
    volumes = packed([(found,) for found in filled(0.65, 0.65, 0.65)])
    assert (len(volumes), cuts(volumes)) == (2, 1)


def test_a_blob_larger_than_a_volume_fills_those_before_its_last() -> None:
    """And what is left of the last is for others."""
    volumes = packed([(blob("large", 350_000), *filled(0.3))])
    assert len(volumes) == 4
    assert cuts(volumes) == 1
    assert all(spare(volume) < 2 * members.BLOCK for volume in volumes[:3])
    assert len(volumes[3]) == 2


def test_an_image_stays_together_where_it_can() -> None:
    """Though a blob of the second image would still fit beside the first."""
    first, second, third, fourth = filled(0.5, 0.4, 0.45, 0.35)
    volumes = packed([(first,), (second, third), (fourth,)])
    assert len(volumes) == 2
    homes = [{e.digest for e in volume} for volume in volumes]
    assert {second[0], third[0]} in [home & {second[0], third[0]} for home in homes]


def test_a_piece_is_never_too_short_to_be_worth_it() -> None:
    """Room for less than a few blocks is left empty."""
    volumes = packed([(*filled(0.98), blob("next", 150_000))])
    pieces = [e for volume in volumes for e in volume if e.start is not None]
    assert all(piece.length >= MIN_PIECE for piece in pieces[:-1])
    assert len(volumes[0]) == 1


def test_a_blob_without_bytes_has_a_place() -> None:
    """Alone, and behind a full volume."""
    empty = blob("empty", 0)
    assert [e.length for volume in packed([(empty,)]) for e in volume] == [0]
    volumes = packed([(*filled(1.0), empty)])
    assert [len(volume) for volume in volumes] == [1, 1]


@pytest.mark.parametrize("count", [1, 2, 7, 50])
def test_no_volume_but_the_last_is_wasted_on_small_blobs(count: int) -> None:
    """Many small ones are as many volumes as their bytes take, and one more at most."""
    blobs = [blob(str(number), 7000 + number) for number in range(count)]
    volumes = packed([(found,) for found in blobs])
    costs = sum(GAUGE.cost(Extent(d, 0, s)) for d, s in blobs)
    assert len(volumes) <= costs // ROOM + 1
    assert cuts(volumes) <= len(volumes)


def test_the_gauge_counts_header_blocks_and_both_entries() -> None:
    """A piece costs more: it has a start, and a digest of its own in the seal."""
    digest = Digest.of(b"x")
    whole, piece = GAUGE.cost(Extent(digest, 0, 513)), GAUGE.cost(Extent(digest, 0, 513, 0))
    entry = len('{"digest":"","length":,"offset":},') + 71 + 2 * 6
    assert whole == 512 + 1024 + 2 * entry
    assert piece > whole
    assert GAUGE.longest_piece(digest, 0, 600) == 0
    length = GAUGE.longest_piece(digest, 0, 50_000)
    assert length % members.BLOCK == 0
    assert GAUGE.cost(Extent(digest, 0, length, 0)) <= 50_000
    assert GAUGE.cost(Extent(digest, 0, length + members.BLOCK, 0)) > 50_000
