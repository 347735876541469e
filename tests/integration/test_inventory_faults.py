"""Inventories by the API where the registry is asked for all, breaks off, or refuses meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from airgap.errors import UnauthorizedError, UnavailableError
from airgap.transfer.inventory_registry import InventoryOptions, InventoryOrigin, take_inventory
from airgap.transfer.manifest_cache import ManifestCache
from tests.support import builders
from tests.support.command_line import airgap
from tests.support.datafolders import opened
from tests.support.embedded import Drop, EmbeddedRegistry, Fault, Seen, Status
from tests.support.inventories import MADE
from tests.support.inventory_walks import Plain, expect_all_held, fill, take
from tests.support.registry_client import open_lab


@pytest.fixture
def registry() -> Iterator[Plain]:
    with Plain() as found:
        yield found


def test_with_check_blobs_a_registry_is_not_taken_at_its_word(tmp_path: Path) -> None:
    """What airgap's own registry tells of itself is not asked for: every blob is."""
    with (
        closing(opened(tmp_path / "data")) as depot,
        EmbeddedRegistry(depot=depot) as registry,
    ):
        image = builders.push(registry.repository("app"), builders.image(), tag="1")
        lost = image.blobs[1].descriptor.digest
        registry.fail(Status(404), method="HEAD", path=str(lost), times=9)
        report = take(registry.host, check_blobs=True)
        assert registry.count("GET", "_airgap") == 0
    assert report.missing_blobs == 1
    assert report.inventory.find(lost) is None


def test_with_check_blobs_a_known_manifest_is_asked_for_again(
    registry: Plain, tmp_path: Path
) -> None:
    """What an index lists is there where it was before, unless every manifest is to be asked."""
    multi, _ = fill(registry)
    take(registry.host, tmp_path)
    child = multi.children[0].digest
    registry.depot.repository("team/app").delete_manifest(child)  # type: ignore[attr-defined]
    assert take(registry.host, tmp_path).inventory.find(child) is not None
    assert take(registry.host, tmp_path, check_blobs=True).inventory.find(child) is None


def test_no_tag_of_a_manifest_that_could_not_be_looked_through_is_an_image(
    registry: Plain,
) -> None:
    """Neither the tag that led to it nor another one of the same manifest."""
    fill(registry)
    single = builders.push(registry.repository("one"), builders.image(seed=40), tag="1")
    builders.push(registry.repository("one"), single, tag="2")
    blob = single.blobs[0].descriptor.digest
    registry.also = lambda seen: Status(403) if str(blob) in seen.path else None
    report = take(registry.host, keep_going=True, check_blobs=True, jobs=1)
    names = dict(report.inventory.images)
    assert not {"one:1", "one:2"} & names.keys()
    assert "team/app:1.0" in names
    assert report.inventory.find(single.digest) is None
    assert not report.inventory.is_complete


def test_a_repository_that_was_named_and_has_nothing_is_warned_of(registry: Plain) -> None:
    """Whoever mistypes a name should not take it for an empty place."""
    fill(registry)
    options = InventoryOptions(InventoryOrigin(MADE), ("base", "bsae"))
    with open_lab() as lab:
        run = lab.client.network.run
        take_inventory(lab.client, registry.host, options=options, run=run)
        warned = [event for event in lab.events if getattr(event, "code", "") == "repository-empty"]
    [text] = [event.message for event in warned if event.level == "warning"]
    assert text.startswith(f"{registry.host}/bsae has no tags")


def test_a_walk_leaves_no_more_files_than_may_stay(
    registry: Plain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not used for longest is let go when the walk ends."""
    monkeypatch.setitem(ManifestCache.__init__.__kwdefaults__, "max_files", 3)
    fill(registry)
    take(registry.host, tmp_path)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 3


def nth(number: int, fault: Fault, path: str = "/manifests/", *, for_ever: bool = False) -> object:
    """What lets a request fail, and all that follow if wanted."""
    seen_so_far = [0]

    def choose(seen: Seen) -> Fault | None:
        if path not in seen.path:
            return None
        seen_so_far[0] += 1
        is_meant = seen_so_far[0] >= number if for_ever else seen_so_far[0] == number
        return fault if is_meant else None

    return choose


@pytest.mark.parametrize("path", ["/v2/_catalog", "/tags/list", "/manifests/"])
def test_a_connection_that_breaks_once_takes_nothing_from_an_inventory(
    registry: Plain, path: str
) -> None:
    """It is asked again, wherever it broke."""
    multi, single = fill(registry)
    whole = take(registry.host)
    registry.also = nth(1, Drop(), path)
    again = take(registry.host)
    assert again.inventory.raw == whole.inventory.raw
    assert again.failed == ()
    expect_all_held(again, "team/app", multi)
    expect_all_held(again, "base", single)


def test_a_network_that_stays_away_makes_no_inventory(registry: Plain, tmp_path: Path) -> None:
    """What was fetched before is not fetched again when the network is back."""
    for number in range(6):
        builders.push(registry.repository(f"r{number}"), builders.image(seed=number), tag="1")
    registry.also = nth(4, Drop(), for_ever=True)
    with pytest.raises(UnavailableError):
        take(registry.host, tmp_path, jobs=1)
    registry.also = None
    registry.clear()
    assert len(take(registry.host, tmp_path, jobs=1).inventory.images) == 6
    assert registry.bodies() == 3


def test_a_refusal_in_the_middle_is_an_error_and_no_end(registry: Plain, tmp_path: Path) -> None:
    """A registry that lets nobody in any more has not become empty; nothing is written."""
    fill(registry)
    registry.also = nth(3, Status(401), for_ever=True)
    with pytest.raises(UnauthorizedError):
        take(registry.host, jobs=1)
    registry.also = nth(3, Status(401), for_ever=True)
    path = tmp_path / "inside.inventory"
    command = ("export", "inventory", "--from", registry.host, "-o", path, "--jobs", "1")
    registry.also = None
    assert airgap(*command).code == 0
    before = path.read_bytes()
    registry.also = nth(3, Status(401), for_ever=True)
    done = airgap(*command)
    assert done.code == 11, done.err
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
