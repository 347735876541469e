"""The inventory of bundles and image layouts tells what they carry, and what of it where."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.errors import ConflictError
from airgap.record.inventory import Inventory
from airgap.transfer.bundle_source import Holdings
from airgap.transfer.inventory_holdings import inventory_of_holdings
from airgap.transfer.inventory_registry import InventoryOrigin
from tests.support import builders
from tests.support.inventories import MADE, rebuild
from tests.support.layouts import lay_out
from tests.support.transfers import export


def take(*paths: Path) -> Inventory:
    with Holdings(paths) as holdings:
        return inventory_of_holdings(holdings, InventoryOrigin(MADE, "Ada", "1"))


@pytest.fixture
def team(outside):
    """An index with an SBOM and an image, which share nothing."""
    multi = builders.push(outside.repository("team/app"), builders.multi_platform(), tag="1")
    sbom = builders.push(outside.repository("team/app"), builders.sbom(multi.descriptor))
    single = builders.push(
        outside.repository("base"), builders.image(layers=(2_500_000,), seed=5), tag="3"
    )
    return multi, sbom, single


def names(outside):
    return [f"{outside.host}/team/app:1", f"{outside.host}/base:3"]


def assert_held(inventory, repository, *contents):
    """Everything of the contents is held by a repository."""
    for part in (part for content in contents for part in content.walk()):
        for digest, size in [
            (part.digest, len(part.raw)),
            *((blob.descriptor.digest, blob.descriptor.size) for blob in part.blobs),
        ]:
            held = inventory.find(digest)
            assert held is not None
            assert held.size == size
            assert repository in held.repositories


def test_a_bundle_tells_all_that_it_carries(outside, team, tmp_path):
    """Under the full names of the source, referrers included."""
    multi, sbom, single = team
    export(names(outside), tmp_path / "b.tar")
    inventory = take(tmp_path / "b.tar")
    assert (inventory.kind, inventory.place, inventory.by) == ("bundle", "", "Ada")
    assert_held(inventory, f"{outside.host}/team/app", multi, sbom)
    assert_held(inventory, f"{outside.host}/base", single)
    assert dict(inventory.images) == {
        names(outside)[0]: multi.digest,
        names(outside)[1]: single.digest,
    }
    assert inventory.is_complete
    assert rebuild(inventory).raw == inventory.raw


def test_volumes_tell_what_one_file_tells(outside, team, tmp_path):
    """How the bundle lies on media does not show."""
    export(names(outside), tmp_path / "b.tar")
    (tmp_path / "v").mkdir()
    export(names(outside), tmp_path / "v" / "b.tar", volume_size=1_500_000)
    volumes = sorted((tmp_path / "v").iterdir())
    assert len(volumes) > 1
    assert take(tmp_path / "v").raw == take(*volumes).raw == take(tmp_path / "b.tar").raw


def test_what_a_bundle_left_out_is_not_in_it(outside, team, tmp_path):
    """A platform that was not exported is not held."""
    multi, _, _ = team
    export(names(outside)[:1], tmp_path / "b.tar", platforms=(builders.AMD64,))
    inventory = take(tmp_path / "b.tar")
    held = [part for part in multi.walk() if inventory.find(part.digest)]
    assert 0 < len(held) < len(list(multi.walk()))


def test_several_bundles_are_one_place(outside, team, tmp_path):
    """Two bundles tell what one with both images tells."""
    for number, name in enumerate(names(outside)):
        export(name, tmp_path / f"{number}.tar")
    export(names(outside), tmp_path / "both.tar")
    assert take(tmp_path / "0.tar", tmp_path / "1.tar").raw == take(tmp_path / "both.tar").raw


def test_a_name_with_two_meanings_is_a_conflict(outside, team, tmp_path):
    """One bundle says this of a tag and another one that."""
    export(names(outside)[1], tmp_path / "0.tar")
    builders.push(outside.repository("base"), builders.image(seed=6), tag="3")
    export(names(outside)[1], tmp_path / "1.tar")
    with pytest.raises(ConflictError):
        take(tmp_path / "0.tar", tmp_path / "1.tar")


def test_a_layout_tells_only_of_files_that_are_there(outside, team, tmp_path):
    """A layer whose file is missing is not claimed."""
    _, _, single = team
    folder = lay_out(tmp_path / "layout", (single, names(outside)[1]))
    assert_held(take(folder), f"{outside.host}/base", single)
    assert take(folder).kind == "layout"
    lost = single.blobs[1].descriptor.digest
    (folder / "blobs" / lost.algorithm / lost.hex).unlink()
    inventory = take(folder)
    assert inventory.find(lost) is None
    assert inventory.find(single.digest) is not None
