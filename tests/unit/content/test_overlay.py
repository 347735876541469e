"""A depot over others: reads both, writes above, and is complete above."""

from __future__ import annotations

import pytest

from airgap.bundle.depot import BundleDepot
from airgap.bundle.reader import open_bundle
from airgap.content import overlay
from airgap.content.depot import BlobHolders, Depot, FileBacked, RepositoryPager
from airgap.content.folder import FolderDepot
from airgap.content.memory import MemoryDepot
from airgap.content.overlay import OverlayDepot
from airgap.errors import ContentNotFoundError, ReadOnlyError
from airgap.oci.digest import Digest
from airgap.transfer.serving import import_names
from tests.contract.store_contract import (
    BlobContract,
    DeleteContract,
    ManifestContract,
    MountContract,
)
from tests.support import builders
from tests.support.builders import push, push_blob
from tests.support.bundles import make_bundle

APP = "team/app"


class TestOverlayIsAStore(BlobContract, ManifestContract, MountContract, DeleteContract):
    """Repositories of a depot that lies over an empty one."""

    @pytest.fixture
    def depot(self):
        return OverlayDepot(MemoryDepot(), [MemoryDepot()])

    @pytest.fixture
    def store(self, depot):
        return depot.repository(APP)

    @pytest.fixture
    def other(self, depot):
        return depot.repository("team/other")


@pytest.fixture
def made():
    return make_bundle()


@pytest.fixture
def upper(tmp_path):
    return FolderDepot(tmp_path / "data", durable=False)


@pytest.fixture
def depot(made, upper, tmp_path):
    """A data folder over a bundle."""
    lower = BundleDepot([open_bundle(made.write(tmp_path))], import_names())
    depot = OverlayDepot(upper, [lower])
    yield depot
    depot.close()


def assert_complete(repository, content):
    """All of a content can be read."""
    for part in content.walk():
        assert repository.manifest(str(part.digest)).raw == part.raw
        for found in part.blobs:
            with repository.open(found.descriptor) as chunks:
                assert b"".join(chunks) == found.data


def test_it_has_every_power_of_a_depot(depot):
    """Pages, holders and places in files are there, as a server looks for them."""
    checked: Depot = depot
    assert isinstance(checked, RepositoryPager)
    assert isinstance(checked, BlobHolders)
    assert isinstance(depot.repository(APP), FileBacked)


def test_what_lies_below_is_there(depot, made):
    """Manifests and blobs of the bundle are read in place; nothing of it is written above."""
    repository = depot.repository(APP)
    assert repository.exists
    digest = repository.resolve("1.4").digest
    assert repository.read_manifest(str(digest))[1] == made.documents[digest].raw
    blob = next(d for d in made.contents if repository.find_blob(d))
    assert repository.locate(made.descriptor(blob)).path.name == "bundle.tar"
    with repository.open(made.descriptor(blob)) as chunks:
        assert b"".join(chunks) == made.contents[blob]
    assert not depot.upper.repository(APP).exists
    assert not depot.repository("none").exists


def test_lists_are_merged(depot):
    """Repositories and tags come once, in lexical order, whole and by pages."""
    push(depot.repository("a"), builders.index([]), tag="1")
    for tag in ("0", "1.4", "zz"):
        push(depot.repository(APP), builders.image(seed=5), tag=tag)
    names = ["a", "charts/demo", APP, "tool", "win"]
    assert list(depot.repositories()) == names
    assert depot.repositories_page(last="a", limit=2) == names[1:3]
    repository = depot.repository(APP)
    tags = list(repository.tags())
    assert tags == sorted({"0", "1.4", "latest", "zz", *tags})
    assert len(tags) == 5
    got, last = [], None
    while page := repository.tags_page(last=last, limit=2):
        got += page
        last = page[-1]
    assert got == tags


def test_a_tag_above_hides_the_one_below(depot):
    """What was pushed last is what the tag names; the old digest is still there."""
    repository = depot.repository(APP)
    old = repository.resolve("1.4").digest
    new = push(repository, builders.image(seed=5), tag="1.4")
    assert repository.resolve("1.4").digest == new.digest
    assert repository.manifest("1.4").raw == new.raw
    assert repository.resolve(str(old)).digest == old
    assert depot.lowers[0].repository(APP).resolve("1.4").digest == old


def test_what_a_pushed_manifest_needs_from_below_is_copied(depot, upper, made):
    """The upper depot alone then has all of the image."""
    repository = depot.repository(APP)
    base = next(
        document
        for document in made.documents.values()
        if len(document.blobs()) == 3 and repository.resolve(str(document.descriptor.digest))
    )
    own = builders.layer(50, seed=77)
    layers = [*base.layers, own.descriptor]
    config = builders.blob(b'{"os":"linux"}', base.config.media_type)
    image = builders.manifest(config, [builders.Blob(layer, b"") for layer in layers])
    for found in (config, own):
        push_blob(repository, found)
    repository.put_manifest(image.document, tag="mine")
    alone = upper.repository(APP)
    assert alone.resolve("mine").digest == image.digest
    for layer in base.layers:
        with alone.open(layer) as chunks:
            assert b"".join(chunks) == made.contents[layer.digest]


def test_an_index_from_below_that_gets_a_new_tag_is_copied(depot, upper):
    """With its children and their blobs, as far as the bundle has them."""
    repository = depot.repository(APP)
    index = repository.manifest("1.4")
    repository.put_manifest(index, tag="stable")
    alone = upper.repository(APP)
    assert alone.manifest("stable").raw == index.raw
    there = [child for child in index.children() if repository.resolve(str(child.digest))]
    assert len(there) == 2
    for child in there:
        for blob in alone.manifest(str(child.digest)).blobs():
            assert alone.has_blob(blob)


def test_a_manifest_whose_blobs_are_nowhere_is_refused(depot):
    """Blobs of other repositories of the bundle do not count either."""
    image = builders.image(seed=9)
    with pytest.raises(ContentNotFoundError):
        depot.repository(APP).put_manifest(image.document)
    chart = depot.repository("charts/demo").manifest("1.2.3")
    with pytest.raises(ContentNotFoundError):
        depot.repository(APP).put_manifest(chart)


def test_a_blob_from_below_can_be_mounted(depot, upper, made, monkeypatch):
    """It is copied, so that it stays without the bundle; too large a one is to be sent."""
    chart = depot.repository("charts/demo").manifest("1.2.3")
    blob = chart.layers[0]
    target = depot.repository("mine")
    assert not target.mount(blob, from_repository=APP)
    monkeypatch.setattr(overlay, "MAX_MOUNT", blob.size - 1)
    assert not target.mount(blob, from_repository="charts/demo")
    monkeypatch.undo()
    assert target.mount(blob, from_repository="charts/demo")
    with upper.repository("mine").open(blob) as chunks:
        assert b"".join(chunks) == made.contents[blob.digest]
    assert list(depot.holders(blob.digest)) == ["charts/demo", "mine"]
    assert depot.repository("again").mount(blob, from_repository="mine")
    assert depot.repository("again").link_blob(Digest.of(b"x"), from_repository=None) is None


def test_referrers_are_merged(depot, made):
    """Those that were pushed and those of the bundle are listed together, each once."""
    repository = depot.repository(APP)
    known = next(r for r in made.catalog.referrers if not r.tag)
    subject = made.documents[known.subject].descriptor
    pushed = push(repository, builders.sbom(subject, seed=8))
    repository.put_manifest(repository.manifest(str(known.digest)), tag="sbom")
    found = [entry.digest for entry in repository.referrers(known.subject)]
    assert found == sorted({known.digest, pushed.digest})


def test_what_lies_below_is_not_deleted(depot, made):
    """Tags, manifests and blobs of the bundle stay, whatever lies over them."""
    repository = depot.repository(APP)
    old = repository.resolve("1.4").digest
    blob = next(d for d in made.contents if repository.find_blob(d))
    new = push(repository, builders.image(seed=5), tag="1.4")
    for delete in (
        lambda: repository.delete_tag("latest"),
        lambda: repository.delete_tag("1.4"),
        lambda: repository.delete_manifest(old),
        lambda: repository.delete_manifest(new.digest),
        lambda: repository.delete_blob(blob),
    ):
        with pytest.raises(ReadOnlyError):
            delete()
    assert repository.resolve("1.4").digest == new.digest


def test_what_was_pushed_is_deleted(depot):
    """Above, everything can be deleted as ever."""
    repository = depot.repository(APP)
    new = push(repository, builders.image(seed=5), tag="new")
    blob = new.blobs[0].descriptor.digest
    assert repository.delete_tag("new")
    assert not repository.delete_tag("new")
    assert repository.delete_manifest(new.digest)
    assert not repository.delete_manifest(new.digest)
    assert repository.delete_blob(blob)
    assert not repository.delete_blob(blob)


def test_uploads_go_above(depot, upper):
    """An upload can be found again, and its blob is in the upper depot."""
    repository = depot.repository(APP)
    upload = repository.start_upload()
    upload.append(b"content")
    upload.close()
    again = repository.find_upload(upload.id)
    digest = Digest.of(b"content")
    again.commit(digest)
    assert upper.repository(APP).find_blob(digest).size == 7
    image = builders.image(seed=3)
    push(repository, image)
    assert_complete(upper.repository(APP), image)
