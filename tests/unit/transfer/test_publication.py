"""What an import sends, and in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airgap.errors import BundleFormatError, ConflictError, IncompleteBundleError
from airgap.transfer.destination import Destination, plan_targets
from airgap.transfer.publication import plan_publications
from tests.support import builders
from tests.support.builders import AMD64, ARM64
from tests.support.bundles import BundleBuilder, assemble, differential, make_bundle

APP = "example.com/team/app"


def publications(made, **options):
    targets = plan_targets(made.catalog.images, Destination.parse("host"), **options)
    return plan_publications(targets, made.catalog, made.documents)


def order(documents):
    return [document.descriptor.digest for document in documents]


def test_children_come_before_their_parents():
    """A registry may want what an index names to be there first."""
    inner = builders.multi_platform([AMD64, ARM64], seed=1)
    outer = builders.index([inner, builders.image(seed=9)])
    bundle = BundleBuilder()
    bundle.add(outer, f"{APP}:1")
    [publication] = publications(bundle.build())
    sent = order(publication.documents)
    assert sent[-1] == outer.digest == publication.root.descriptor.digest
    assert len(sent) == len(set(sent)) == 7
    for part in outer.walk():
        for child in part.children:
            assert sent.index(child.digest) < sent.index(part.digest)


def test_referrers_come_after_their_subjects():
    """A signature of an SBOM follows the SBOM, which follows the image."""
    [publication, *_] = publications(make_bundle(), only=[f"{APP}:1.4"])
    known = set(order(publication.documents))
    assert len(publication.referrals) == 3
    for referral in publication.referrals:
        assert referral.subject in known
        known.add(referral.document.descriptor.digest)


def test_a_referrer_with_a_tag_is_listed_and_tagged():
    """What the API lists and cosign's tag names is sent as both: neither way in is lost."""
    image = builders.image()
    tag, signature = builders.cosign_signature(image.descriptor)
    bundle = BundleBuilder()
    bundle.add(image, f"{APP}:1")
    bundle.refer(APP, image, signature)
    bundle.refer(APP, image, signature, tag)
    [publication] = publications(bundle.build())
    assert [referral.tag for referral in publication.referrals] == [None, tag]
    assert {referral.document.descriptor.digest for referral in publication.referrals} == {
        signature.digest
    }


def test_all_blobs_are_wanted_once_referrers_included():
    """What must be there before the manifests is everything that any of them names."""
    made = make_bundle()
    [publication] = publications(made, only=[f"{APP}:1.4"])
    wanted = [blob.digest for blob in publication.blobs]
    assert len(wanted) == len(set(wanted))
    needed = {b.digest for d in publication.all_documents() for b in d.blobs()}
    assert set(wanted) == needed


def test_an_index_without_a_platform_is_sparse():
    """What was left out on purpose makes the index sparse, and one image can stand for it."""
    [publication] = publications(make_bundle(), only=[f"{APP}:1.4"])
    assert publication.is_sparse
    single = publication.single_image()
    assert single is not None
    assert single.descriptor.digest == publication.target.image.load


def test_several_platforms_cannot_be_one_image():
    """An index of two images has no single one, and one of charts has none at all."""
    bundle = BundleBuilder()
    bundle.add(builders.multi_platform([AMD64, ARM64]), f"{APP}:1")
    bundle.add(builders.index([builders.chart()]), f"{APP}:2")
    assert [p.single_image() for p in publications(bundle.build())] == [None, None]


def test_a_sparse_referrer_does_not_make_its_image_sparse():
    """What is missing of something that refers to an image is no reason to split the image."""
    image = builders.multi_platform([AMD64])
    missing = builders.image(platform=ARM64, seed=5)
    referrer = builders.index([builders.image(seed=4)], without=[missing], subject=image.descriptor)
    bundle = BundleBuilder()
    bundle.add(image, f"{APP}:1")
    bundle.refer(APP, image, referrer)
    bundle.leave_out(missing.entry, "platform", referrer)
    [publication] = publications(bundle.build())
    assert not publication.is_sparse


def test_a_hole_in_the_closure_is_refused():
    """Content that is neither held nor listed as left out means a broken bundle."""
    image = builders.image()
    missing = builders.image(platform=ARM64, seed=5)
    bundle = BundleBuilder()
    bundle.add(builders.index([image], without=[missing]), f"{APP}:1")
    with pytest.raises(IncompleteBundleError) as raised:
        publications(bundle.build())
    assert raised.value.missing == (str(missing.digest),)


def test_a_manifest_among_layers_is_wanted_as_a_blob():
    """A registry wants it in its blobs before the manifest that carries it as a layer."""
    inner = builders.image()
    carrier = builders.artifact(
        "application/x", [builders.Blob(inner.descriptor, inner.raw), builders.blob(b"more")]
    )
    bundle = BundleBuilder()
    bundle.add(inner, f"{APP}:1")
    bundle.add(carrier, f"{APP}:2")
    made = bundle.build()
    made.contents.pop(inner.digest)
    again = assemble(made.documents, made.contents, images=bundle.images)
    _, publication = publications(again)
    assert inner.digest in {blob.digest for blob in publication.blobs}


def test_referrers_of_another_repository_stay_there():
    """Each image takes the referrers that were found in its own repository."""
    image = builders.image()
    bundle = BundleBuilder()
    bundle.add(image, "a.example.com/x:1", "b.example.com/y:1")
    bundle.refer("b.example.com/y", image, builders.sbom(image.descriptor))
    assert [len(p.referrals) for p in publications(bundle.build())] == [0, 1]


def test_two_cosign_tags_that_would_become_one_are_refused():
    """Signatures from two sources under one tag: one of them would be lost."""
    image = builders.image()
    tag, one = builders.cosign_signature(image.descriptor)
    other = builders.artifact("application/other")
    bundle = BundleBuilder()
    bundle.add(image, "a.example.com/x:1", "b.example.com/x:2")
    bundle.refer("a.example.com/x", image, one, tag)
    bundle.refer("b.example.com/x", image, other, tag)
    made = bundle.build()
    with pytest.raises(ConflictError, match=tag):
        publications(made)
    assert len(publications(made, keep_host=True)) == 2


def test_what_is_left_to_the_destination_is_needed_and_not_sent():
    """A held blob stands apart from those that the bundle brings, with where it is held."""
    app = builders.image(layers=(1000, 2000), seed=4)
    bundle = BundleBuilder()
    bundle.add(app, f"{APP}:1")
    layer = app.blobs[1].descriptor.digest
    made = differential(bundle.build(), [layer])
    [publication] = publications(made)
    assert [blob.digest for blob in publication.held] == [layer]
    assert layer not in {blob.digest for blob in publication.blobs}
    assert len(publication.blobs) == len(app.blobs) - 1


def test_a_held_blob_of_another_size_is_refused():
    """A catalog cannot let an image pass with another blob than its manifest names."""
    app = builders.image(layers=(1000,), seed=4)
    bundle = BundleBuilder()
    bundle.add(app, f"{APP}:1")
    made = differential(bundle.build(), [app.blobs[1].descriptor.digest])
    [blob] = made.catalog.held
    wrong = replace(made.catalog, held=(replace(blob, size=blob.size + 1),))
    targets = plan_targets(wrong.images, Destination.parse("host"))
    with pytest.raises(BundleFormatError, match="leaves"):
        plan_publications(targets, wrong, made.documents)
