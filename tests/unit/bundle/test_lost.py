"""What a lost volume held is told by those before and behind it."""

from __future__ import annotations

import pytest

from airgap.bundle.layout import plan_layout
from airgap.bundle.lost import lost_share
from airgap.bundle.placement import Placement
from tests.support.volume_sets import MadeVolumes, split
from tests.support.writing import BIG, bundle_of


@pytest.fixture
def made() -> MadeVolumes:
    """Six volumes; the large layer is cut into five pieces."""
    return split(bundle_of([BIG[:5000], BIG, b"small" * 100, BIG[:7000]]), 11_000)


def placements(made: MadeVolumes, *lost: int) -> dict[int, Placement]:
    """What the volumes say that are left."""
    return {
        number: layout.placement
        for number, layout in enumerate(made.layouts, 1)
        if number not in lost
    }


def test_a_lost_volume_is_known_by_its_neighbours(made: MadeVolumes) -> None:
    """Each blob and piece of it, whatever their order was."""
    assert len(made.data) == 6
    for number, layout in enumerate(made.layouts, 1):
        share = lost_share(number, made.made.catalog, placements(made, number))
        assert share is not None
        assert (share.volume, share.volumes) == (number, 6)
        assert {(e.digest, e.start, e.length) for e in share.contents} == {
            (e.digest, e.start, e.length)
            for e in layout.placement.extents
            if e.digest not in made.made.documents
        }
        planned = plan_layout(made.made.catalog, made.made.documents, share)
        assert planned.size == layout.size
        assert planned.placement.homes == layout.placement.homes


def test_the_cut_between_two_lost_volumes_is_not_known(made: MadeVolumes) -> None:
    """Side by side, neither can be told; apart, both can."""
    for lost in (2, 3):
        assert lost_share(lost, made.made.catalog, placements(made, 2, 3)) is None
    for lost in (2, 4):
        assert lost_share(lost, made.made.catalog, placements(made, 2, 4)) is not None


def test_whole_blobs_of_volumes_that_are_lost_together_are_known() -> None:
    """Where nothing is cut, one volume is enough to tell of all."""
    made = split(bundle_of([BIG[:9963], BIG[10_000:20_000], BIG[20_000:30_000]]), 10_000)
    assert not made.cut
    share = lost_share(2, made.made.catalog, placements(made, 2, 3))
    assert share is not None
    assert [e.length for e in share.contents] == [10_000]


def test_neighbours_that_contradict_each_other_tell_nothing(made: MadeVolumes) -> None:
    """A piece that would end before it begins."""
    known = placements(made, 3)
    known[2], known[4] = known[4], known[2]
    assert lost_share(3, made.made.catalog, known) is None


def test_there_is_no_such_volume(made: MadeVolumes) -> None:
    """Beyond the last, before the first, or where nothing is known."""
    for number in (0, 7):
        assert lost_share(number, made.made.catalog, placements(made)) is None
    assert lost_share(1, made.made.catalog, {}) is None
