"""The inventory of a registry by its API: all of it, with as few requests as that takes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from airgap.errors import (
    CancelledError,
    SizeMismatchError,
    UnauthorizedError,
    UnavailableError,
)
from airgap.oci import mediatype
from airgap.transfer.inventory_findings import WalkOptions
from airgap.transfer.inventory_registry import InventoryOptions, InventoryOrigin, take_inventory
from tests.support import builders
from tests.support.datafolders import opened
from tests.support.embedded import EmbeddedRegistry, Seen, Status
from tests.support.inventories import MADE, rebuild
from tests.support.inventory_walks import Plain, expect_all_held, fill, take
from tests.support.registry_client import open_lab


@pytest.fixture
def registry() -> Iterator[Plain]:
    with Plain() as found:
        yield found


def test_all_that_tags_lead_to_is_in_the_inventory_with_who_holds_it(registry: Plain) -> None:
    """Indexes, what they list, configs, layers and signatures, each with its repositories."""
    multi, single = fill(registry)
    report = take(registry.host)
    expect_all_held(report, "team/app", multi)
    expect_all_held(report, "base", single)
    expect_all_held(report, "copy", single)
    found = report.inventory.find(single.digest)
    assert found is not None
    assert found.repositories == ("base", "copy")
    images = dict(report.inventory.images)
    assert images["team/app:1.0"] == images["team/app:latest"] == multi.digest
    assert images["base:3"] == single.digest
    assert (report.inventory.place, report.inventory.by) == (registry.host, "Ada")
    assert report.inventory.is_complete
    assert report.failed == ()
    assert rebuild(report.inventory).raw == report.inventory.raw


@pytest.mark.parametrize("jobs", [1, 4, 16])
def test_a_first_run_asks_once_for_each_tag_list_and_each_tag_or_manifest(
    registry: Plain, jobs: int
) -> None:
    """One request a page of tags, one a tag, one for what only an index names, none for blobs."""
    multi, _ = fill(registry)
    take(registry.host, jobs=jobs)
    children = len(list(multi.walk())) - 1
    assert registry.count("GET", "/tags/list") == 3
    assert registry.bodies() == 3 + 2 + children  # the tags of team/app, and the others
    assert registry.count("GET", "/v2/_catalog") == 1
    assert registry.count("GET", "/referrers/") == 1  # to learn that there is no such list
    assert registry.count("", "/blobs/") == 0
    assert registry.count("HEAD") == 0
    assert registry.count() == 3 + registry.bodies() + 1 + 1 + 1  # and airgap's own inventory


def test_the_next_run_fetches_no_manifest_again(registry: Plain, tmp_path: Path) -> None:
    """Tags are asked for without bodies, and what indexes list not at all."""
    fill(registry)
    first = take(registry.host, tmp_path)
    registry.clear()
    second = take(registry.host, tmp_path)
    assert registry.bodies() == 0
    assert registry.count("HEAD", "/manifests/") == 5
    assert registry.count() == 5 + 3 + 1 + 1 + 1
    assert second.inventory.raw == first.inventory.raw
    assert (second.manifests_fetched, second.manifests_known) == (0, first.manifests_fetched)


def test_only_what_is_new_is_fetched(registry: Plain, tmp_path: Path) -> None:
    """A tag that is new, and one that moved, cost their manifests; the others none."""
    fill(registry)
    take(registry.host, tmp_path)
    new, moved = builders.image(seed=21), builders.image(seed=22)
    builders.push(registry.repository("base"), new, tag="4")
    builders.push(registry.repository("base"), moved, tag="3")
    registry.clear()
    report = take(registry.host, tmp_path)
    assert registry.bodies() == 2
    expect_all_held(report, "base", new)
    expect_all_held(report, "base", moved)
    assert dict(report.inventory.images)["base:3"] == moved.digest


def test_a_manifest_that_is_known_from_elsewhere_is_asked_for_without_its_body(
    registry: Plain, tmp_path: Path
) -> None:
    """What an index of another registry lists is not claimed where it is not."""
    multi, _ = fill(registry)
    take(registry.host, tmp_path)
    children = [part.digest for part in multi.walk()][:-1]
    with Plain() as other:
        builders.push(other.repository("mirror"), multi, tag="1")
        other.depot.repository("mirror").delete_manifest(children[0])  # type: ignore[attr-defined]
        report = take(other.host, tmp_path)
        assert other.count("HEAD", "/manifests/sha256:") == len(children)
        assert other.bodies() == 1
    assert report.inventory.find(children[0]) is None
    assert all(report.inventory.find(digest) for digest in children[1:])


@pytest.mark.parametrize("damage", ["changed", "empty", "long", "a folder"])
def test_a_broken_entry_of_the_cache_is_dropped(
    registry: Plain, tmp_path: Path, damage: str
) -> None:
    """What does not hash to its name is fetched again, and what was seen is asked for again."""
    fill(registry)
    first = take(registry.host, tmp_path)
    for path in [p for p in tmp_path.rglob("*") if p.is_file()]:
        raw = path.read_bytes()
        path.unlink()
        match damage:
            case "changed":
                path.write_bytes(raw[:-1] + b"\0")
            case "empty":
                path.write_bytes(b"")
            case "long":
                path.write_bytes(raw)
                os.truncate(path, 65 << 20)
            case _:
                path.mkdir()
    again = take(registry.host, tmp_path)
    assert again.inventory.raw == first.inventory.raw
    assert again.manifests_fetched == first.manifests_fetched


def test_a_cache_that_cannot_be_written_costs_only_requests(
    registry: Plain, tmp_path: Path
) -> None:
    """Its folder is a file: the inventory is the same, and a warning says why."""
    fill(registry)
    (tmp_path / "file").write_text("")
    options = InventoryOptions(InventoryOrigin(MADE), cache_folder=tmp_path / "file")
    with open_lab() as lab:
        run = lab.client.network.run
        report = take_inventory(lab.client, registry.host, options=options, run=run)
        warned = [event for event in lab.events if getattr(event, "code", "") == "cache-unwritable"]
    assert report.inventory.blob_count > 0
    assert len(warned) == 1


def test_a_run_that_breaks_off_is_continued_where_it_was(registry: Plain, tmp_path: Path) -> None:
    """What was fetched before the break is not fetched again."""
    for number in range(12):
        builders.push(registry.repository(f"r{number:02}"), builders.image(seed=number), tag="1")
    broken = [0]

    def breaks(seen: Seen) -> Status | None:
        if "/manifests/" in seen.path:
            broken[0] += 1
            if broken[0] > 7:
                return Status(403)
        return None

    registry.also = breaks
    with pytest.raises(UnauthorizedError):
        take(registry.host, tmp_path, jobs=2)
    registry.also = None
    registry.clear()
    report = take(registry.host, tmp_path, jobs=2)
    assert registry.bodies() == 12 - 7
    assert len(report.inventory.images) == 12


def test_a_run_that_is_cancelled_is_continued_where_it_was(registry: Plain, tmp_path: Path) -> None:
    """Ctrl-C keeps what was fetched, of repositories that are half done, too."""
    repository = registry.repository("one")
    for number in range(10):
        builders.push(repository, builders.image(seed=number), tag=str(number))
    options = InventoryOptions(
        InventoryOrigin(MADE), walk=WalkOptions(jobs=1), cache_folder=tmp_path
    )
    with open_lab() as lab:
        run = lab.client.network.run

        def cancels(seen: Seen) -> None:
            if registry.bodies() >= 4:
                run.cancel.cancel()

        registry.also = cancels
        with pytest.raises(CancelledError):
            take_inventory(lab.client, registry.host, options=options, run=run)
    registry.also = None
    registry.clear()
    assert len(take(registry.host, tmp_path, jobs=1).inventory.images) == 10
    assert registry.bodies() == 10 - 4


def test_referrers_of_everything_are_found_where_the_registry_lists_them(tmp_path: Path) -> None:
    """An SBOM that no tag names is held, and what refers to the SBOM, too."""
    with Plain(referrers=True) as registry:
        image = builders.push(registry.repository("app"), builders.image(), tag="1")
        sbom = builders.push(registry.repository("app"), builders.sbom(image.descriptor))
        deeper = builders.push(registry.repository("app"), builders.sbom(sbom.descriptor, seed=5))
        report = take(registry.host, tmp_path)
        expect_all_held(report, "app", sbom)
        expect_all_held(report, "app", deeper)
        assert registry.count("GET", "/referrers/") == 3
        without = take(registry.host, tmp_path, referrers=False)
        assert without.inventory.find(sbom.digest) is None
        assert not without.inventory.is_complete


def test_referrers_behind_a_fallback_tag_are_found_with_the_tags(registry: Plain) -> None:
    """The list that a client keeps under a tag is a tag like others."""
    image = builders.push(registry.repository("app"), builders.image(), tag="1")
    sbom = builders.push(registry.repository("app"), builders.sbom(image.descriptor))
    listed = builders.index([sbom])
    tag = f"sha256-{image.digest.hex}"
    builders.push(registry.repository("app"), listed, tag=tag)
    report = take(registry.host)
    expect_all_held(report, "app", sbom)
    assert f"app:{tag}" in dict(report.inventory.images)


def test_layers_that_are_not_distributed_are_not_claimed() -> None:
    """Such a layer lies elsewhere, unless the registry is asked and has it."""
    layer = builders.foreign_layer("https://elsewhere.example/layer")
    with Plain() as registry:
        image = builders.manifest(config=builders.blob(b"{}", mediatype.OCI_CONFIG), layers=[layer])
        builders.push(registry.repository("app"), image, tag="1")
        for check in (False, True):
            report = take(registry.host, check_blobs=check)
            assert report.inventory.find(layer.descriptor.digest) is None
            assert report.missing_blobs == 0


def test_with_check_blobs_what_is_not_there_is_not_claimed(registry: Plain, tmp_path: Path) -> None:
    """A layer that was collected is found by asking, counted and told."""
    image = builders.push(registry.repository("app"), builders.image(layers=(900, 800)), tag="1")
    take(registry.host, tmp_path)
    lost, kept = image.blobs[1].descriptor.digest, image.blobs[2].descriptor.digest
    registry.also = lambda seen: (
        Status(404) if seen.method == "HEAD" and str(lost) in seen.path else None
    )
    report = take(registry.host, tmp_path, check_blobs=True)
    assert report.inventory.find(lost) is None
    assert report.inventory.find(kept) is not None
    assert report.missing_blobs == 1
    assert registry.count("HEAD", "/blobs/") == 3
    assert registry.count("GET", "/blobs/") == 0


def test_with_check_blobs_what_many_images_lack_is_told_once(registry: Plain) -> None:
    """Also where several of them are looked at in the same moment."""
    lost = builders.layer(700, seed=1)
    for number in range(24):
        image = builders.image(layers=[lost, builders.layer(50, seed=10 + number)], seed=number)
        builders.push(registry.repository("app"), image, tag=str(number))
    digest = str(lost.descriptor.digest)
    registry.also = lambda seen: (
        Status(404) if seen.method == "HEAD" and digest in seen.path else None
    )
    report = take(registry.host, check_blobs=True, jobs=12)
    assert report.missing_blobs == 1


def test_with_check_blobs_a_blob_of_another_size_is_an_error(registry: Plain) -> None:
    """A registry whose blob is not what its manifest says is broken there."""
    image = builders.push(registry.repository("app"), builders.image(), tag="1")
    wrong = str(image.blobs[0].descriptor.digest)
    registry.also = lambda seen: (
        Status(200, {"Content-Length": "7"}, b"1234567") if wrong in seen.path else None
    )
    with pytest.raises(SizeMismatchError):
        take(registry.host, check_blobs=True)


def test_named_repositories_are_looked_at_alone(registry: Plain) -> None:
    """The list of repositories is not asked for, and the inventory says that it is not all."""
    fill(registry)
    report = take(registry.host, None, "base", "nowhere")
    assert report.inventory.repositories == ("base",)
    assert not report.inventory.is_complete
    assert registry.count("GET", "_catalog") == 0


def test_a_closed_list_of_repositories_says_what_to_name(registry: Plain) -> None:
    """The error is that of the registry, and the hint names the option."""
    registry.also = lambda seen: Status(401) if "_catalog" in seen.path else None
    with pytest.raises(UnauthorizedError) as caught:
        take(registry.host)
    assert "--repository NAME" in str(caught.value.hint)


def test_a_repository_that_cannot_be_read_ends_it_unless_it_may_be_left_out(
    registry: Plain,
) -> None:
    """Left out, it is listed, and the inventory says that it is not complete."""
    multi, single = fill(registry)
    registry.also = lambda seen: Status(403) if "/v2/base/tags" in seen.path else None
    with pytest.raises(UnauthorizedError):
        take(registry.host)
    report = take(registry.host, keep_going=True)
    assert [failure.name for failure in report.failed] == ["base"]
    assert not report.inventory.is_complete
    assert report.inventory.repositories == ("copy", "team/app")
    expect_all_held(report, "copy", single)
    expect_all_held(report, "team/app", multi)


def test_a_manifest_that_cannot_be_read_leaves_the_rest_of_its_repository(
    registry: Plain,
) -> None:
    """One broken tag is left out by its name."""
    multi, _ = fill(registry)
    registry.also = lambda seen: Status(403) if "/manifests/latest" in seen.path else None
    report = take(registry.host, keep_going=True)
    assert [failure.name for failure in report.failed] == ["team/app:latest"]
    assert "team/app:1.0" in dict(report.inventory.images)
    expect_all_held(report, "team/app", multi)


def test_a_tag_that_goes_away_meanwhile_is_no_failure(registry: Plain, tmp_path: Path) -> None:
    """Whether its manifest was known before or not."""
    fill(registry)
    for _ in range(2):
        registry.also = lambda seen: Status(404) if "/manifests/latest" in seen.path else None
        report = take(registry.host, tmp_path)
        assert "team/app:latest" not in dict(report.inventory.images)
        assert report.failed == ()
        registry.also = None
        take(registry.host, tmp_path)


def test_a_registry_that_asks_for_patience_is_not_asked_on(registry: Plain) -> None:
    """Also where failures may be left out: everything else would fail, too."""
    fill(registry)
    registry.also = lambda seen: (
        Status(429, {"Retry-After": "86400"}) if "/manifests/" in seen.path else None
    )
    with pytest.raises(UnavailableError):
        take(registry.host, keep_going=True, jobs=1)
    assert registry.count("GET", "/manifests/") == 1


def test_what_the_embedded_registry_tells_of_itself_is_taken(tmp_path: Path) -> None:
    """One request, the same holdings as the walk finds, and our own name, time and author."""
    depot = opened(tmp_path / "data")
    with closing(depot), EmbeddedRegistry(depot=depot) as registry:
        fill(registry)
        told = take(registry.host)
        assert registry.count() == 1
        registry.fault = lambda seen: Status(404) if "_airgap" in seen.path else None
        walked = take(registry.host)
    assert told.inventory.raw == walked.inventory.raw
    assert (told.inventory.place, told.inventory.by) == (registry.host, "Ada")
