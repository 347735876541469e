"""What manifests need is compared with what the bundle has."""

from airgap.bundle import closure
from airgap.oci.digest import Digest
from tests.support import builders
from tests.support.bundles import BundleBuilder, make_bundle

MADE = make_bundle()


def test_a_whole_bundle_has_no_gaps() -> None:
    """What is listed as left out is no gap."""
    assert list(closure.gaps(MADE.catalog, MADE.documents)) == []
    assert closure.unreferenced(MADE.catalog, MADE.documents) == []


def test_every_digest_concerns_an_image() -> None:
    """Each manifest and blob is needed by a name, itself or by a referrer."""
    wanted = MADE.catalog.sizes()
    found = closure.affected(wanted, MADE.catalog, MADE.documents)
    assert set(found) == set(wanted)
    assert all(found.values())


def test_an_unknown_digest_concerns_nobody() -> None:
    """What no image needs has no names."""
    absent = Digest.of(b"absent")
    assert closure.affected([absent], MADE.catalog, MADE.documents) == {absent: ()}


def test_referrers_of_referrers_belong_to_the_image() -> None:
    """A chain is followed to its end, and a ring of referrers ends."""
    image = builders.image()
    sbom = builders.sbom(image.descriptor)
    signature = builders.artifact("application/x", subject=sbom.descriptor)
    bundle = BundleBuilder()
    bundle.add(image, "example.com/a:1")
    bundle.refer("example.com/a", image, sbom)
    bundle.refer("example.com/a", sbom, signature)
    bundle.refer("example.com/a", signature, sbom)
    made = bundle.build()
    referrers = closure.referrers_by_subject(made.catalog)
    found = closure.with_referrers(image.digest, made.documents, referrers)
    assert {image.digest, sbom.digest, signature.digest} <= found
