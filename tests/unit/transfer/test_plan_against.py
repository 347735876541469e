"""What an export leaves to its receiver, decided from what the receiver is known to hold."""

from __future__ import annotations

from dataclasses import replace

from airgap.bundle.catalog import Catalog
from airgap.bundle.closure import gaps, unreferenced
from airgap.bundle.held import HeldBlob
from airgap.errors import ContentNotFoundError
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.record.bases import Base
from airgap.transfer.known import Claim, Known, Witness
from airgap.transfer.plan import select_export
from airgap.transfer.resolution import Selection
from tests.support import builders
from tests.support.builders import AMD64, ARM64
from tests.support.known import PLACE, inventory, known_by, witness
from tests.support.transfers import Finds

APP = "example.com/team/app"
SHARED = builders.layer(500, seed=1)
OLD = builders.image(layers=(SHARED, 100), seed=1)
NEW = builders.image(layers=(SHARED, 200), seed=2)
HELD = inventory({"team/app:1.0": OLD})
INVENTORY = Base("inventory", HELD.id, PLACE)


def select(finds, known, selection=None, **options):
    selected = select_export(finds.resolution(), selection or Selection(), known=known, **options)
    catalog = selected.catalog
    assert not list(gaps(catalog, selected.documents))
    assert not unreferenced(catalog, selected.documents)
    assert Catalog.parse(catalog.raw) == catalog
    assert [f.descriptor.digest for f in selected.fetches] == [d for d, _ in catalog.blobs]
    return selected


def found(content=NEW, name=f"{APP}:1.1"):
    finds = Finds()
    finds.image(name, content)
    return finds


def digests(*blobs):
    return [blob.descriptor.digest for blob in blobs]


def test_what_is_held_is_left_to_the_receiver():
    """The shared layer stays behind with who says so; the config and the new layer travel."""
    selected = select(found(), known_by(HELD))
    size = SHARED.descriptor.size
    assert selected.catalog.bases == (INVENTORY,)
    assert selected.catalog.held == (HeldBlob(SHARED.descriptor.digest, size, 0, "team/app"),)
    assert [d for d, _ in selected.catalog.blobs] == digests(NEW.blobs[0], NEW.blobs[2])
    [image] = selected.images
    assert (image.left_blobs, image.left_bytes) == (1, size)
    assert [(s.kind, s.id, s.blobs, s.size) for s in image.left_by] == [
        ("inventory", HELD.id, 1, size)
    ]
    assert image.size == len(NEW.raw) + sum(len(b.data) for b in NEW.blobs)


def test_manifests_travel_though_they_are_held():
    """Names and manifests are what an import works with, so all of them are in every bundle."""
    selected = select(found(OLD), known_by(HELD))
    assert selected.catalog.blobs == ()
    assert [m.digest for m in selected.catalog.manifests] == [OLD.digest]
    assert {blob.digest for blob in selected.catalog.held} == set(digests(*OLD.blobs))


def test_nothing_changes_where_nothing_is_known():
    """A bundle that leaves nothing to anybody has the bytes that it always had."""
    plain = select_export(found().resolution(), Selection()).catalog.raw
    assert select(found(), None).catalog.raw == plain
    assert select(found(), Known()).catalog.raw == plain


def test_a_base_is_named_though_it_knows_nothing():
    """The bundle says what it was planned against, in an order that does not depend on flags."""
    empty = inventory({}, place="other.internal")
    one, two = known_by(HELD, empty), known_by(empty, HELD)
    selected = select(found(), one)
    assert len(selected.catalog.bases) == 2
    assert selected.catalog.raw == select(found(), two).catalog.raw
    assert selected.catalog.raw != select(found(), known_by(HELD)).catalog.raw
    nothing = select(found(builders.image(seed=9)), one).catalog
    assert (len(nothing.bases), nothing.held) == (2, ())


def test_a_carried_base_is_named_only_where_it_counts():
    """What a bundle that is exported from was planned against says nothing about other images."""
    claims = {SHARED.descriptor.digest: Claim(SHARED.descriptor.size, ("team/app",))}
    carried = Witness(INVENTORY, claims.get, is_carried=True)
    resolution = replace(found().resolution(), held=(carried,))
    selected = select_export(resolution, Selection())
    assert selected.catalog.bases == (INVENTORY,)
    assert len(selected.catalog.held) == 1
    other = replace(found(builders.image(seed=9)).resolution(), held=(carried,))
    without = replace(other, held=())
    plain = select_export(without, Selection()).catalog.raw
    assert select_export(other, Selection()).catalog.raw == plain


def test_referrers_are_left_like_images():
    """An SBOM that the receiver has stays behind but for its manifest."""
    sbom = builders.sbom(NEW.descriptor)
    finds = found()
    finds.refer(APP, NEW, sbom)
    selected = select(finds, known_by(inventory({"team/app": [OLD, sbom]})))
    assert set(digests(*sbom.blobs)) <= {blob.digest for blob in selected.catalog.held}
    assert sbom.digest in {m.digest for m in selected.catalog.manifests}


def test_layers_that_do_not_travel_anyway_stay_left_out():
    """A foreign layer that the receiver has is left out as before, and not left to it."""
    foreign = builders.foreign_layer("https://example.com/layer")
    image = builders.image(layers=(foreign, 100), seed=4)
    claims = {foreign.descriptor.digest: Claim(foreign.descriptor.size, ("team/app",))}
    known = Known([witness(INVENTORY, claims)])
    selected = select(found(image), known)
    assert [o.reason for o in selected.catalog.omitted] == ["non-distributable"]
    assert selected.catalog.held == ()
    fetched = select(found(image), known, Selection(non_distributable=True))
    assert [blob.digest for blob in fetched.catalog.held] == [foreign.descriptor.digest]


def test_platforms_that_do_not_travel_are_no_business_of_the_receiver():
    """Only what the wanted platforms need is left to it."""
    multi = builders.multi_platform((AMD64, ARM64), layers=(SHARED, 50), attested=False)
    known = known_by(inventory({"team/app": multi}))
    selected = select(found(multi), known, Selection(platforms=(AMD64,)))
    wanted = set(digests(*multi.children[0].blobs))
    assert {blob.digest for blob in selected.catalog.held} == wanted


def test_what_only_the_blobs_endpoint_knows_is_not_left_to_anybody():
    """An index entry of a type that no registry lists travels, since it stands for a manifest."""
    entry = builders.blob(b"something", "application/vnd.example.thing")
    raw = builders.Content(builders.image(seed=6).document)
    index = builders.index(
        [replace(raw, document=replace(raw.document, descriptor=entry.descriptor))]
    )
    finds = Finds()
    finds.image(f"{APP}:1.1", builders.Content(index.document))
    finds.unreadable[entry.descriptor.digest] = entry.descriptor
    claims = {entry.descriptor.digest: Claim(entry.descriptor.size, ("team/app",))}
    selected = select(finds, Known([witness(INVENTORY, claims)]))
    assert selected.catalog.held == ()
    assert [d for d, _ in selected.catalog.blobs] == [entry.descriptor.digest]


def test_a_wrong_size_is_not_believed():
    """The blob travels, and the plan says who was wrong."""
    claims = {SHARED.descriptor.digest: Claim(1, ("team/app",))}
    selected = select(found(), Known([witness(INVENTORY, claims)]))
    assert selected.catalog.held == ()
    assert [(d.blob.digest, d.base, d.told) for d in selected.doubts] == [
        (SHARED.descriptor.digest, INVENTORY, 1)
    ]


def test_what_is_held_need_not_be_had():
    """A blob that is left to the receiver is never asked for, so the source may lack it."""
    selected = select(found(OLD), known_by(HELD), lost={})
    assert selected.failed == ()
    lost = {NEW.blobs[0].descriptor.digest: ContentNotFoundError("gone")}
    failed = select(found(), known_by(HELD), lost=lost)
    assert [str(reference) for reference, _ in failed.failed] == [f"{APP}:1.1"]
    assert failed.catalog.held == ()


def test_images_of_several_repositories_name_one_that_has_the_blob():
    """The repository is that of one of the images, wherever the inventory has it, too."""
    finds = found()
    finds.image("example.com/a/first:1", builders.image(layers=(SHARED,), seed=8))
    known = known_by(inventory({"x/y": OLD, "team/app": OLD, "a/zzz": OLD}))
    [held] = [b for b in select(finds, known).catalog.held if b.size == SHARED.descriptor.size]
    assert held.repository == "team/app"


def test_a_bundle_is_told_by_the_names_of_the_source():
    """What an earlier bundle carried lies where an import of it puts the names of its images."""
    base = Base("bundle", Digest.of(b"earlier"))
    claims = {SHARED.descriptor.digest: Claim(SHARED.descriptor.size, (APP,))}
    selected = select(found(), Known([witness(base, claims)]))
    assert [(h.base, h.repository) for h in selected.catalog.held] == [(0, APP)]
    assert Reference.parse(f"{APP}:1.1").name == APP
