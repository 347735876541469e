"""What manifests need is compared with what the bundle has."""

from pathlib import Path

import pytest

from airgap.bundle import closure
from airgap.bundle.catalog import CatalogImage
from airgap.bundle.check import check_bundle
from airgap.bundle.reader import open_bundle
from airgap.errors import BundleFormatError, ExitCode
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.run import Run
from tests.support import builders
from tests.support.bundles import BundleBuilder, MadeBundle, assemble, make_bundle

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
    referrers = closure.referrers_by_subject(made.catalog.referrers)
    found = closure.with_referrers([image.digest], made.documents, referrers)
    assert {image.digest, sbom.digest, signature.digest} <= found
    closure.check_steps(made.catalog, made.documents)


def stray_manifest(bundle: BundleBuilder, image: builders.Content) -> None:
    del image
    bundle.contents.append(builders.chart())


def stray_blob(bundle: BundleBuilder, image: builders.Content) -> None:
    extra = builders.Content(image.document, (*image.blobs, builders.random_blob(10)))
    bundle.contents.append(extra)


def referrer_elsewhere(bundle: BundleBuilder, image: builders.Content) -> None:
    bundle.refer("example.com/other", image, builders.sbom(image.descriptor))


def referrer_of_nothing(bundle: BundleBuilder, image: builders.Content) -> None:
    del image
    bundle.refer("example.com/a", builders.chart(), builders.sbom(builders.chart().descriptor))


@pytest.mark.parametrize(
    ("add", "message"),
    [
        (stray_manifest, "nothing in the bundle asks for"),
        (stray_blob, "nothing in the bundle asks for"),
        (referrer_elsewhere, "in example.com/other, which no image"),
        (referrer_of_nothing, "in example.com/a, which no image"),
    ],
)
def test_what_belongs_to_no_image_is_refused(tmp_path: Path, add, message: str) -> None:
    """What no import would send is not accepted: it would be left behind without a word."""
    bundle = BundleBuilder()
    add(bundle, bundle.add(builders.image(), "example.com/a:1"))
    path = bundle.build().write(tmp_path)
    with pytest.raises(BundleFormatError, match=message):
        open_bundle(path)
    assert check_bundle(path, run=Run()).exit_code == ExitCode.BUNDLE_FORMAT


def doubling(levels: int) -> MadeBundle:
    """Indexes of which each names the one below twice over, by two indexes that differ."""
    below = builders.image()
    bundle = BundleBuilder([below])
    for level in range(levels):
        halves = [builders.index([below], annotations={"half": f"{level}-{n}"}) for n in (0, 1)]
        made = (*halves, builders.index(halves))
        bundle.contents += [builders.Content(content.document) for content in made]
        below = bundle.contents[-1]
    bundle.add(below, "example.com/bomb:1")
    return bundle.build()


def test_indexes_that_multiply_are_refused_at_once(tmp_path: Path) -> None:
    """Ninety small indexes that stand for a billion entries are counted and not walked."""
    made = doubling(30)
    path = made.write(tmp_path)
    with pytest.raises(BundleFormatError, match="in all"):
        open_bundle(path)
    report = check_bundle(path, run=Run())
    assert report.exit_code == 22
    assert any("in all" in finding.message for finding in report.findings)


def test_indexes_that_share_a_little_are_not_refused(tmp_path: Path) -> None:
    """Sharing is what bundles are for."""
    made = doubling(10)
    with open_bundle(made.write(tmp_path)) as reader:
        assert len(reader.documents) == 1 + 10 * 3


def test_docker_loads_the_image_that_a_name_stands_for(tmp_path: Path) -> None:
    """A catalog that gives docker another image under a name is refused."""
    bundle = BundleBuilder()
    good = bundle.add(builders.image(seed=1), "example.com/good:1")
    evil = bundle.add(builders.image(seed=2), "example.com/evil:1")
    made = bundle.build()
    lying = CatalogImage(Reference.parse("example.com/good:1"), good.digest, evil.digest)
    path = assemble(made.documents, made.contents, images=[lying, made.catalog.images[0]]).write(
        tmp_path
    )
    with pytest.raises(BundleFormatError, match="docker would load"):
        open_bundle(path)
    report = check_bundle(path, run=Run())
    assert [f.message.split(" sha")[0] for f in report.findings] == ["docker would load"]
