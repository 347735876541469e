"""Manifests are sent, and whether the other side has them is not left to its word."""

from __future__ import annotations

import threading

import pytest

from airgap.content.memory import MemoryDepot
from airgap.errors import (
    ContentNotFoundError,
    IntegrityError,
    InvalidContentError,
    MissingSuccessorError,
)
from airgap.oci.manifest import Index
from airgap.oci.referrers import fallback_tag
from airgap.run import Run
from airgap.transfer.destination import Destination, plan_targets
from airgap.transfer.publication import plan_publications
from airgap.transfer.push_manifests import ManifestPusher
from airgap.transfer.receiver import DepotReceiver
from airgap.transfer.tally import Tally
from tests.support import builders
from tests.support.builders import AMD64
from tests.support.bundles import BundleBuilder

APP = "example.com/app"


class Registry:
    """A repository that has all the blobs, and may lose, exchange or refuse manifests."""

    def __init__(self, *contents):
        self.lost = self.exchanged = self.refuses = None
        self.inner = DepotReceiver(MemoryDepot(), "host").repository("app")
        for content in contents:
            for blob in content.all_blobs().values():
                builders.push_blob(self.inner, blob)

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def resolve(self, reference):
        found = self.inner.resolve(reference)
        if found is None or found.digest == self.lost:
            return None
        if found.digest == self.exchanged:
            return builders.image(seed=77).descriptor
        return found

    def put_manifest(self, document, *, tag=None):
        if self.refuses is not None and isinstance(document, self.refuses):
            raise MissingSuccessorError("it lacks something", origin="destination")
        self.inner.put_manifest(document, tag=tag)


def push(registry, bundle, **options):
    made = bundle.build()
    targets = plan_targets(made.catalog.images, Destination.parse("host"))
    [publication] = plan_publications(targets, made.catalog, made.documents)
    pusher = ManifestPusher(
        registry,
        sparse=options.get("sparse", "index"),
        tags={},
        keep_tags=(),
        tally=Tally(),
        list_lock=threading.Lock(),
        run=Run(),
    )
    return pusher.push(publication)


@pytest.fixture
def world():
    """A registry, and an index of one image that an SBOM refers to."""
    index = builders.index([builders.image(platform=AMD64)])
    sbom = builders.sbom(index.descriptor)
    bundle = BundleBuilder()
    bundle.add(index, f"{APP}:1")
    bundle.refer(APP, index, sbom)
    return Registry(index, sbom), bundle, (index.children[0], index, sbom)


@pytest.mark.parametrize("number", range(3))
def test_what_is_taken_and_lost_is_found_out(world, number):
    """Each manifest is asked back: the image's, the index, and what refers to it."""
    registry, bundle, contents = world
    registry.lost = contents[number].digest
    with pytest.raises(ContentNotFoundError, match=r"took sha256:.* and does not have it"):
        push(registry, bundle)


@pytest.mark.parametrize("number", range(3))
def test_what_is_taken_and_exchanged_is_found_out(world, number):
    """Another manifest under the digest is no success."""
    registry, bundle, contents = world
    registry.exchanged = contents[number].digest
    with pytest.raises(IntegrityError) as caught:
        push(registry, bundle)
    assert caught.value.expected == str(contents[number].digest)


def test_everything_is_there_in_the_end(world):
    """Where nothing goes wrong the tag names the index, and the SBOM is listed."""
    registry, bundle, (image, index, sbom) = world
    assert push(registry, bundle).descriptor.digest == index.digest
    assert registry.resolve("1").digest == index.digest
    assert registry.resolve(str(image.digest)) is not None
    assert [found.digest for found in registry.referrers(index.digest)] == [sbom.digest]


@pytest.mark.parametrize("sparse", ["index", "image", "fail"])
def test_one_image_never_stands_for_a_whole_index(world, sparse):
    """A registry that calls a whole index incomplete has lost something: that is an error."""
    registry, bundle, _ = world
    registry.refuses = Index
    with pytest.raises(MissingSuccessorError):
        push(registry, bundle, sparse=sparse)
    assert registry.resolve("1") is None


def test_a_referrer_that_names_no_subject_is_listed_by_tag():
    """Only the bundle says what it refers to, so no registry can list it by itself."""
    image, note = builders.image(), builders.bare_artifact()
    bundle = BundleBuilder()
    bundle.add(image, f"{APP}:1")
    bundle.refer(APP, image, note)
    registry = Registry(image, note)
    push(registry, bundle)
    listed = registry.manifest(fallback_tag(image.digest))
    assert [entry.digest for entry in listed.manifests] == [note.digest]


def test_a_list_of_referrers_that_is_none_is_not_overwritten():
    """Somebody's image under the fallback tag ends the import instead of being replaced."""
    image, note, other = builders.image(), builders.bare_artifact(), builders.image(seed=5)
    bundle = BundleBuilder()
    bundle.add(image, f"{APP}:1")
    bundle.refer(APP, image, note)
    registry = Registry(image, note)
    builders.push(registry.inner, other, tag=fallback_tag(image.digest))
    with pytest.raises(InvalidContentError, match="is no index"):
        push(registry, bundle)
    assert registry.resolve(fallback_tag(image.digest)).digest == other.digest
