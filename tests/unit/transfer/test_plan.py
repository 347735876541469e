"""What an export writes, decided from what was found."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from airgap.bundle.closure import gaps, unreferenced
from airgap.errors import (
    ContentNotFoundError,
    UnavailableError,
)
from airgap.oci.manifest import parse_manifest
from airgap.oci.platform import Platform
from airgap.transfer.plan import select_export
from airgap.transfer.resolution import Selection
from tests.support import builders
from tests.support.builders import AMD64, ARM64
from tests.support.transfers import Finds

APP = "example.com/team/app"
ARM_ONLY = Selection(platforms=(Platform("linux", "arm64"),))


def select(finds, selection=None, **options):
    selected = select_export(finds.resolution(), selection or Selection(), **options)
    assert not list(gaps(selected.catalog, selected.documents))
    assert not unreferenced(selected.catalog, selected.documents)
    assert [(f.descriptor.digest, f.descriptor.size) for f in selected.fetches] == list(
        selected.catalog.blobs
    )
    return selected


def omitted(selected):
    return {o.descriptor.digest: (o.reason, o.parents) for o in selected.catalog.omitted}


def test_an_image_travels_with_its_config_before_its_layers():
    """Configs come first in the bundle, then the layers in their order."""
    finds = Finds()
    image = builders.image(layers=(300, 100, 200))
    finds.image(f"{APP}:1", image)
    selected = select(finds)
    assert [f.descriptor.digest for f in selected.fetches] == [
        b.descriptor.digest for b in image.blobs
    ]
    assert {f.repositories for f in selected.fetches} == {(APP,)}
    assert selected.images[0].size == len(image.raw) + sum(len(b.data) for b in image.blobs)


def test_a_shared_blob_is_planned_once_with_all_its_places():
    """Each blob is fetched once, from any of the repositories that have it."""
    layer = builders.layer(500)
    finds = Finds()
    finds.image("b.example.com/x:1", builders.image(layers=(layer,), seed=1))
    finds.image("a.example.com/y:1", builders.image(layers=(layer,), seed=2))
    finds.image("a.example.com/y:2", builders.image(layers=(layer,), seed=3))
    found = [f for f in select(finds).fetches if f.descriptor.digest == layer.descriptor.digest]
    assert [f.repositories for f in found] == [("a.example.com/y", "b.example.com/x")]


def test_what_a_platform_choice_leaves_out_is_listed():
    """The index stays whole; what is not chosen stands among the omissions, with its parent."""
    multi = builders.multi_platform([AMD64, ARM64])
    amd64, arm64, of_amd64, of_arm64 = multi.children
    finds = Finds()
    finds.image(f"{APP}:1", multi)
    selected = select(finds, ARM_ONLY)
    assert set(selected.documents) == {multi.digest, arm64.digest, of_arm64.digest}
    assert omitted(selected) == {
        amd64.digest: ("platform", (multi.digest,)),
        of_amd64.digest: ("platform", (multi.digest,)),
    }
    assert selected.images[0].platforms == (ARM64,)


def test_a_nested_index_is_cut_where_it_names_platforms():
    """Each level of nested indexes is judged by its own entries."""
    amd64, arm64 = builders.image(), builders.image(platform=ARM64, seed=1)
    inner = builders.index([amd64, arm64])
    outer = builders.index([inner])
    finds = Finds()
    finds.image(f"{APP}:1", outer)
    selected = select(finds, ARM_ONLY)
    assert set(selected.documents) == {outer.digest, inner.digest, arm64.digest}
    assert omitted(selected) == {amd64.digest: ("platform", (inner.digest,))}


def test_what_one_image_leaves_out_and_another_takes_along_is_not_left_out():
    """An omission is a statement about the bundle, not about one image of it."""
    multi = builders.multi_platform([AMD64, ARM64], attested=False)
    amd64 = multi.children[0]
    finds = Finds()
    finds.image(f"{APP}:1", multi)
    finds.image(f"{APP}:amd64", amd64)
    finds.platforms[amd64.digest] = AMD64
    both = Selection(platforms=(AMD64,))
    assert set(omitted(select(finds, both))) == {multi.children[1].digest}


def test_a_platform_that_an_image_lacks_fails_that_image_by_name():
    """Asking for what is not there is an error that says what is there."""
    finds = Finds()
    finds.image(f"{APP}:1", builders.multi_platform([AMD64, ARM64]))
    finds.image(f"{APP}:2", builders.multi_platform([AMD64], seed=1))
    selected = select(finds, ARM_ONLY)
    [(reference, error)] = selected.failed
    assert str(reference) == f"{APP}:2"
    assert isinstance(error, ContentNotFoundError)
    assert "linux/arm64" in error.message
    assert "linux/amd64" in error.message


def test_a_single_image_is_judged_by_its_config():
    """An image that is no index has the platform that its config names."""
    finds = Finds()
    image = builders.image()
    finds.image(f"{APP}:1", image)
    finds.platforms[image.digest] = AMD64
    assert select(finds, Selection(platforms=(AMD64,))).failed == ()
    assert [str(r) for r, _ in select(finds, ARM_ONLY).failed] == [f"{APP}:1"]


def test_what_no_engine_runs_travels_with_every_platform():
    """A chart has no platform, so no choice leaves it out."""
    finds = Finds()
    chart = builders.chart()
    finds.image("example.com/charts/demo:1", chart)
    selected = select(finds, ARM_ONLY)
    assert set(selected.documents) == {chart.digest}
    assert selected.images[0].platforms == ()


def test_referrers_travel_with_each_manifest_and_their_own_referrers():
    """A signature of an SBOM of a platform's manifest is found in the bundle."""
    multi = builders.multi_platform([AMD64, ARM64], attested=False)
    amd64, arm64 = multi.children
    sbom = builders.sbom(amd64.descriptor)
    signed = builders.artifact("application/sig", subject=sbom.descriptor)
    stays = builders.sbom(arm64.descriptor, seed=1)
    tag, cosign = builders.cosign_signature(multi.descriptor)
    finds = Finds()
    finds.image(f"{APP}:1", multi)
    finds.refer(APP, amd64, sbom)
    finds.refer(APP, sbom, signed)
    finds.refer(APP, arm64, stays)
    finds.refer(APP, multi, cosign, tag)
    selected = select(finds, Selection(platforms=(AMD64,)))
    assert {(r.subject, r.digest, r.tag) for r in selected.catalog.referrers} == {
        (amd64.digest, sbom.digest, ""),
        (sbom.digest, signed.digest, ""),
        (multi.digest, cosign.digest, tag),
    }
    assert stays.digest not in selected.documents
    assert [image.digest for image in selected.catalog.images] == [multi.digest]


def test_referrers_belong_to_the_repository_in_which_they_were_found():
    """One image in two repositories takes along the referrers of each under its own name."""
    image = builders.image()
    sbom = builders.sbom(image.descriptor)
    finds = Finds()
    finds.image("a.example.com/x:1", image)
    finds.image("b.example.com/y:1", image)
    finds.refer("b.example.com/y", image, sbom)
    assert {r.repository for r in select(finds).catalog.referrers} == {"b.example.com/y"}


def test_non_distributable_layers_are_left_out_unless_asked_for():
    """They are listed with the manifest that names them, or fetched with the option."""
    layer = builders.foreign_layer("https://example.com/layer")
    image = builders.image(layers=(layer, 100))
    finds = Finds()
    finds.image(f"{APP}:1", image)
    digest = layer.descriptor.digest
    selected = select(finds)
    assert omitted(selected) == {digest: ("non-distributable", (image.digest,))}
    assert digest not in dict(selected.catalog.blobs)
    fetched = select(finds, Selection(non_distributable=True))
    assert omitted(fetched) == {}
    assert digest in dict(fetched.catalog.blobs)


def test_what_two_images_leave_out_names_them_both():
    """One entry for the content, with every manifest that asks for it."""
    foreign = builders.foreign_layer("https://example.com/layer")
    images = [builders.image(layers=(foreign,), seed=seed) for seed in (1, 2)]
    finds = Finds()
    for number, image in enumerate(images):
        finds.image(f"{APP}:{number}", image)
    parents = tuple(sorted(image.digest for image in images))
    assert omitted(select(finds)) == {foreign.descriptor.digest: ("non-distributable", parents)}


def test_a_lost_blob_takes_exactly_the_images_that_need_it():
    """Images that share nothing with it stay, and nothing of the others is left behind."""
    shared, own = builders.layer(500), builders.layer(300, seed=5)
    finds = Finds()
    first = builders.image(layers=(shared, 100), seed=1)
    second = builders.image(layers=(shared, own), seed=2)
    third = builders.image(layers=(own,), seed=3)
    for number, image in enumerate((first, second, third), 1):
        finds.image(f"{APP}:{number}", image)
    error = UnavailableError("gone")
    selected = select(finds, lost={shared.descriptor.digest: error})
    assert [(str(r), e) for r, e in selected.failed] == [(f"{APP}:1", error), (f"{APP}:2", error)]
    assert set(selected.documents) == {third.digest}
    fresh = Finds()
    fresh.image(f"{APP}:3", third)
    assert selected.catalog.raw == select(fresh).catalog.raw


def test_a_lost_blob_of_a_referrer_takes_the_image_along():
    """An image without its signature would be less than what was asked for."""
    image = builders.image()
    sbom = builders.sbom(image.descriptor)
    finds = Finds()
    finds.image(f"{APP}:1", image)
    finds.refer(APP, image, sbom)
    blob = sbom.blobs[1].descriptor.digest
    selected = select(finds, lost={blob: UnavailableError("gone")})
    assert [str(r) for r, _ in selected.failed] == [f"{APP}:1"]
    assert selected.catalog.images == ()


def test_what_the_source_lacks_is_left_out_only_where_that_is_allowed():
    """A blob that the source names and does not have is listed, or fails the image."""
    image = builders.image(layers=(100, 200))
    finds = Finds()
    finds.image(f"{APP}:1", image)
    digest = image.blobs[2].descriptor.digest
    lost = {digest: ContentNotFoundError("gone")}
    assert [str(r) for r, _ in select(finds, lost=lost).failed] == [f"{APP}:1"]
    allowed = select(finds, Selection(allow_missing_at_source=True), lost=lost)
    assert allowed.failed == ()
    assert omitted(allowed) == {digest: ("missing-at-source", (image.digest,))}


def test_a_blob_that_only_broke_off_is_never_left_out():
    """Unavailable is not missing: the option does not cover it."""
    image = builders.image()
    finds = Finds()
    finds.image(f"{APP}:1", image)
    lost = {image.blobs[1].descriptor.digest: UnavailableError("broke off")}
    selected = select(finds, Selection(allow_missing_at_source=True), lost=lost)
    assert [str(r) for r, _ in selected.failed] == [f"{APP}:1"]


def test_a_pruned_child_and_a_dead_referrer_are_errors_or_omissions():
    """What a manifest or a list names and nobody has fails the image, or is listed."""
    multi = builders.multi_platform([AMD64, ARM64], attested=False)
    dead = builders.sbom(multi.descriptor)
    for broken in (multi.children[1], dead):
        finds = Finds()
        finds.image(f"{APP}:1", multi)
        finds.refer(APP, multi, dead)
        error = finds.lack(APP, broken)
        assert [e for _, e in select(finds).failed] == [error]
        allowed = select(finds, Selection(allow_missing_at_source=True))
        assert allowed.failed == ()
        assert omitted(allowed) == {broken.digest: ("missing-at-source", (multi.digest,))}


def test_referrers_that_could_not_be_listed_fail_the_image():
    """An error of the referrers API is never taken for "none", whatever may be missing."""
    image = builders.image()
    finds = Finds()
    finds.image(f"{APP}:1", image)
    finds.errors[APP, image.digest] = UnavailableError("500")
    for selection in (Selection(), Selection(allow_missing_at_source=True)):
        assert [str(r) for r, _ in select(finds, selection).failed] == [f"{APP}:1"]


def test_an_index_entry_that_is_a_blob_travels_as_one():
    """What an index lists and only the blobs endpoint has is fetched from there."""
    listed = builders.blob(b"not a manifest", "application/vnd.example.data")
    value = {"schemaVersion": 2, "manifests": [listed.descriptor.to_json()]}
    raw = json.dumps(value).encode()
    document = parse_manifest(raw, "application/vnd.oci.image.index.v1+json")
    finds = Finds()
    finds.image(f"{APP}:1", builders.Content(document))
    finds.unreadable[listed.descriptor.digest] = listed.descriptor
    assert [f.descriptor.digest for f in select(finds).fetches] == [listed.descriptor.digest]


def test_a_referrer_that_is_no_manifest_is_a_dead_one():
    """A bundle whose catalog called a blob a manifest could not be read on the other side."""
    image = builders.image()
    stray = builders.blob(b"no manifest", "application/vnd.example.data")
    finds = Finds()
    finds.image(f"{APP}:1", image)
    found = builders.sbom(image.descriptor)
    finds.refer(APP, image, found)
    [listed] = finds.referrers[APP, image.digest]
    digest = stray.descriptor.digest
    finds.referrers[APP, image.digest] = (
        replace(listed, descriptor=stray.descriptor, digest=digest),
    )
    finds.documents.pop(found.digest)
    finds.unreadable[digest] = stray.descriptor
    finds.errors[APP, digest] = ContentNotFoundError("no manifest")
    assert [str(r) for r, _ in select(finds).failed] == [f"{APP}:1"]
    allowed = select(finds, Selection(allow_missing_at_source=True))
    assert omitted(allowed) == {digest: ("missing-at-source", (image.digest,))}


def test_a_manifest_among_layers_lies_in_the_bundle_once():
    """A manifest that another one carries as a layer is not written a second time."""
    inner = builders.image()
    layer = builders.Blob(inner.descriptor, inner.raw)
    finds = Finds()
    finds.image(f"{APP}:1", inner)
    finds.image(f"{APP}:2", builders.artifact("application/x", [layer]))
    assert inner.digest not in dict(select(finds).catalog.blobs)


@pytest.mark.parametrize(
    ("load", "platforms", "expected"),
    [
        (None, [ARM64, AMD64], 1),
        (None, [ARM64, builders.ARMV7], 0),
        ("linux/arm", [AMD64, ARM64, builders.ARMV7], 2),
        ("linux/s390x", [AMD64, ARM64], 0),
    ],
)
def test_an_index_is_loaded_as_one_platform(load, platforms, expected):
    """linux/amd64 by default if it travels, else the first; or the one that is asked for."""
    multi = builders.multi_platform(platforms)
    finds = Finds()
    finds.image(f"{APP}:1", multi)
    selection = Selection(load_platform=Platform.parse(load) if load else None)
    [image] = select(finds, selection).catalog.images
    assert image.load == multi.children[expected].digest


def test_an_index_that_nothing_runs_is_not_loaded():
    """An index of charts is not for docker load."""
    finds = Finds()
    finds.image(f"{APP}:1", builders.index([builders.chart()]))
    assert select(finds).catalog.images[0].load is None


def test_the_load_platform_is_one_that_travels():
    """A platform that was left out cannot be loaded on the other side."""
    multi = builders.multi_platform([AMD64, ARM64])
    finds = Finds()
    finds.image(f"{APP}:1", multi)
    assert select(finds, ARM_ONLY).catalog.images[0].load == multi.children[1].digest
