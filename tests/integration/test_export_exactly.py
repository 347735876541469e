"""Exports of exactly what somebody found to be missing for a bundle."""

from __future__ import annotations

import re

import pytest

from airgap.errors import ContentNotFoundError, ExitCode, IncompleteBundleError
from airgap.record.bases import Base
from airgap.transfer.against import read_need
from airgap.transfer.bundle_source import Holdings
from tests.support import builders
from tests.support.builders import AMD64, ARM64
from tests.support.command_line import airgap, assert_refused
from tests.support.differentials import put_blob
from tests.support.known import inventory, known_by, need
from tests.support.transfers import assert_holds, assert_sound, bring, catalog_of, export

SHARED = builders.layer(900_000, seed=1)
OLD = builders.image(layers=(SHARED, 1000), seed=1)
NEW = builders.image(layers=(SHARED, 300_000), seed=2)
TOOL = builders.image(layers=(50_000,), seed=3)


@pytest.fixture
def names(outside):
    """The new release and something that lacks nothing, by name."""
    builders.push(outside.repository("team/app"), NEW, tag="1.1")
    builders.push(outside.repository("team/tool"), TOOL, tag="2")
    return [f"{outside.host}/team/app:1.1", f"{outside.host}/team/tool:2"]


@pytest.fixture
def update(names, inside, tmp_path):
    """A bundle that builds on what is not inside any more."""
    held = inventory({"team/app:1.0": OLD}, place=inside.host)
    export(names, tmp_path / "update.tar", known=known_by(held))
    return tmp_path / "update.tar"


@pytest.fixture
def lacking(update, names, inside, tmp_path):
    """What the registry inside lacks of it."""
    made = need(
        catalog_of(update).id, {names[0]: NEW}, [SHARED.descriptor.digest], place=inside.host
    )
    path = tmp_path / "need.inventory"
    path.write_bytes(made.raw)
    return path


def supplement(lacking, output, **options):
    """Export what is needed."""
    wanted = read_need(lacking)
    return export([str(r) for r in wanted.references], output, known=wanted.known, **options)


def test_exactly_what_is_needed_travels(update, lacking, outside, inside, tmp_path):
    """Of the image that lacks something one layer travels, by digest, whatever its tag says now."""
    builders.push(outside.repository("team/app"), builders.image(seed=9), tag="1.1")
    outside.clear()
    done = airgap("export", "images", "--exactly", lacking, "-o", tmp_path / "need.tar")
    assert done.code == 0, done.err
    catalog = catalog_of(tmp_path / "need.tar")
    assert [digest for digest, _ in catalog.blobs] == [SHARED.descriptor.digest]
    assert [image.digest for image in catalog.images] == [NEW.digest]
    assert catalog.bases == (Base("need", catalog_of(update).id, inside.host),)
    assert {(blob.digest, blob.repository) for blob in catalog.held} == {
        (blob.descriptor.digest, "team/app") for blob in (NEW.blobs[0], NEW.blobs[2])
    }
    assert outside.count("GET", r"/blobs/") == 1
    assert_sound(tmp_path / "need.tar")


def test_a_supplement_completes_the_update(update, lacking, inside, tmp_path):
    """The update that was refused goes through, and the images are whole."""
    supplement(lacking, tmp_path / "need.tar")
    with pytest.raises(IncompleteBundleError):
        bring(update, inside.host)
    result = bring(tmp_path / "need.tar", inside.host)
    assert [image.outcome for image in result.images] == ["waiting"]
    bring(update, inside.host)
    assert_holds(inside, "team/app", NEW, "1.1")
    assert_holds(inside, "team/tool", TOOL, "2")


def test_a_supplement_may_come_late(update, lacking, inside, tmp_path):
    """After an update that went on without the image, the supplement itself completes it."""
    supplement(lacking, tmp_path / "need.tar")
    result = bring(update, inside.host, keep_going=True)
    assert len(result.failed) == 1
    bring(tmp_path / "need.tar", inside.host)
    bring(update, inside.host)
    assert_holds(inside, "team/app", NEW, "1.1")


def test_a_need_is_met_out_of_a_bundle(names, update, lacking, tmp_path):
    """Where a whole bundle is at hand no registry is needed."""
    export(names, tmp_path / "whole.tar")
    supplement(lacking, tmp_path / "online.tar")
    wanted = read_need(lacking)
    with Holdings([tmp_path / "whole.tar"]) as holdings:
        references = [str(reference) for reference in wanted.references]
        export(references, tmp_path / "need.tar", client=holdings, known=wanted.known)
    assert (tmp_path / "need.tar").read_bytes() == (tmp_path / "online.tar").read_bytes()


def test_a_need_is_not_met_by_what_lacks_it_too(update, lacking, tmp_path):
    """The update itself left the layer to the receiver: that is not taken for having it."""
    wanted = read_need(lacking)
    references = [str(reference) for reference in wanted.references]
    with Holdings([update]) as holdings, pytest.raises(ContentNotFoundError) as caught:
        export(references, tmp_path / "need.tar", client=holdings, known=wanted.known)
    assert str(SHARED.descriptor.digest) in caught.value.message
    assert not (tmp_path / "need.tar").exists()


def test_platforms_that_the_update_left_out_need_not_travel(outside, inside, tmp_path):
    """With all platforms looked up, still nothing travels but what is needed."""
    multi = builders.multi_platform((AMD64, ARM64), seed=4, layers=(8000,), attested=False)
    builders.push(outside.repository("m"), multi, tag="1")
    name = f"{outside.host}/m:1"
    export(name, tmp_path / "amd.tar", platforms=(AMD64,))
    layer = multi.children[0].blobs[1].descriptor.digest
    made = need(catalog_of(tmp_path / "amd.tar").id, {name: multi}, [layer], place=inside.host)
    (tmp_path / "need").write_bytes(made.raw)
    supplement(tmp_path / "need", tmp_path / "all.tar")
    supplement(tmp_path / "need", tmp_path / "one.tar", platforms=(AMD64,))
    for name in ("all.tar", "one.tar"):
        assert [digest for digest, _ in catalog_of(tmp_path / name).blobs] == [layer]
    assert len(catalog_of(tmp_path / "one.tar").manifests) == 2


def test_a_need_that_no_image_explains_is_told_of(update, names, inside, tmp_path):
    """A blob that none of its images names does not travel, and the export warns."""
    made = need(
        catalog_of(update).id,
        {names[0]: NEW, names[1]: TOOL},
        [SHARED.descriptor.digest, TOOL.blobs[1].descriptor.digest],
        place=inside.host,
    )
    both = tmp_path / "both"
    both.write_bytes(made.raw)
    done = airgap("export", "images", "--exactly", both, "-o", tmp_path / "a.tar")
    assert "of the need" not in done.err
    export(names[0], tmp_path / "first.tar")
    of = ("--from", tmp_path / "first.tar", "--keep-going")
    done = airgap("export", "images", "--exactly", both, "-o", tmp_path / "b.tar", *of)
    assert "1 blob of the need is not in this bundle" in done.err
    assert done.code == ExitCode.PARTIAL


def test_a_need_of_nothing_asks_for_no_bundle(tmp_path):
    """It is told as such, and not as a command that lacks its images; so does what wrote it."""
    empty = need(NEW.digest, {}, [])
    path = tmp_path / "need.inventory"
    path.write_bytes(empty.raw)
    done = airgap("export", "images", "--exactly", path, "-o", tmp_path / "n.tar")
    assert_refused(done, 2, "settings", f"{path} says that nothing is missing", str(NEW.digest))
    shown = airgap("inspect", "inventory", path).out
    assert f"nothing is missing: the bundle {NEW.digest} can be imported" in shown
    assert "repositories" not in shown


@pytest.mark.parametrize(
    "more", [["nginx"], ["--against", "x"], ["-f", "images.txt"], ["--from", "x", "--only", "y"]]
)
def test_a_need_says_itself_what_is_wanted(lacking, tmp_path, more):
    """Nothing else can be asked for beside it."""
    done = airgap("export", "images", "--exactly", lacking, "-o", tmp_path / "n.tar", *more)
    assert done.code == ExitCode.USAGE
    assert "--exactly" in done.err


def test_what_the_receiver_has_meanwhile_is_harmless(update, lacking, inside, tmp_path):
    """A supplement that brings what is there already changes nothing."""
    put_blob(inside.repository("team/app"), SHARED)
    supplement(lacking, tmp_path / "need.tar")
    bring(update, inside.host)
    bring(tmp_path / "need.tar", inside.host)
    assert_holds(inside, "team/app", NEW, "1.1")
    assert inside.count("PUT", re.escape(str(SHARED.descriptor.digest))) == 0
