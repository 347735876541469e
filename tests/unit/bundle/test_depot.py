"""Bundles are served as an import would put their content into a registry."""

from __future__ import annotations

import logging
import os

import pytest

from airgap.bundle.depot import BundleDepot
from airgap.bundle.reader import open_bundle
from airgap.content.depot import Depot, FileBacked, ReadOnly
from airgap.errors import (
    ConflictError,
    ContentNotFoundError,
    DigestMismatchError,
    InvalidReferenceError,
    ReadOnlyError,
    SizeMismatchError,
    StorageError,
)
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.transfer.serving import import_names
from tests.support import builders
from tests.support.bundles import BundleBuilder, MadeBundle, flip, make_bundle

APP = "team/app"


@pytest.fixture
def made() -> MadeBundle:
    return make_bundle()


@pytest.fixture
def path(made, tmp_path):
    return made.write(tmp_path)


@pytest.fixture
def serve():
    """Opens bundles as a depot that is closed in the end."""
    opened = []

    def serve(*paths, keep_host=False, rest=0.0) -> BundleDepot:
        readers = [open_bundle(path) for path in paths]
        try:
            depot = BundleDepot(readers, import_names(keep_host=keep_host), rest=rest)
        except BaseException:
            for reader in readers:
                reader.close()
            raise
        opened.append(depot)
        return depot

    yield serve
    for depot in opened:
        depot.close()


def one(folder, name, content, file="one.tar"):
    """A bundle of one image."""
    bundle = BundleBuilder()
    bundle.add(content, name)
    path = folder / file
    path.write_bytes(bundle.build().data)
    return path


def test_it_is_a_depot(serve, path):
    """Everything that a server asks for is there, and it says that it takes no writes."""
    depot: Depot = serve(path)
    assert isinstance(depot, ReadOnly)
    assert depot.is_read_only
    assert isinstance(depot.repository(APP), FileBacked)


def test_images_have_the_names_of_an_import(serve, path, made):
    """Repositories and tags are those that `import bundle` would make, with or without hosts."""
    depot = serve(path)
    assert list(depot.repositories()) == ["charts/demo", APP, "tool", "win"]
    assert depot.repositories_page(last="charts/demo", limit=2) == [APP, "tool"]
    repository = depot.repository(APP)
    digest = repository.resolve("1.4").digest
    cosign = f"sha256-{digest.hex}.sig"
    assert list(repository.tags()) == ["1.4", "latest", cosign]
    assert repository.tags_page(last="1.4", limit=1) == ["latest"]
    assert repository.tags_page(last=None, limit=1) == ["1.4"]
    assert repository.resolve("1.4").digest == repository.resolve("latest").digest
    assert list(depot.repository("win").tags()) == []
    assert "example.com/team/app" in list(serve(path, keep_host=True).repositories())


def test_manifests_have_their_exact_bytes_and_types(serve, path, made):
    """Every manifest can be had by its digest in the repositories of its images, not elsewhere."""
    depot = serve(path)
    names = list(depot.repositories())
    for digest, document in made.documents.items():
        holders = [depot.repository(name) for name in names]
        holders = [repository for repository in holders if repository.resolve(str(digest))]
        assert holders
        assert len(holders) < len(names)
        for repository in holders:
            descriptor, raw = repository.read_manifest(str(digest))
            assert raw == document.raw
            assert descriptor.media_type == document.descriptor.media_type
            assert repository.manifest(str(digest)).raw == document.raw
    repository = depot.repository(APP)
    for reference in ("nothing", "no/tag", str(Digest.of(b"x"))):
        assert repository.resolve(reference) is None
        assert repository.read_manifest(reference) is None
        with pytest.raises(ContentNotFoundError):
            repository.manifest(reference)


def test_a_blob_is_reachable_only_through_a_repository_that_needs_it(serve, path, made):
    """Its bytes come from their place in the file; other repositories do not have it."""
    depot = serve(path)
    app, tool = depot.repository(APP), depot.repository("tool")
    shared = 0
    for digest, data in made.contents.items():
        descriptor = made.descriptor(digest)
        holders = [r for r in map(depot.repository, depot.repositories()) if r.find_blob(digest)]
        assert holders
        shared += len(holders) > 1
        for repository in holders:
            assert repository.find_blob(digest) == descriptor
            region = repository.locate(descriptor)
            with region.path.open("rb") as file:
                file.seek(region.offset)
                assert file.read(region.size) == data
            with repository.open(descriptor, offset=1) as chunks:
                assert b"".join(chunks) == data[1:]
    assert shared == 1
    only_app = next(d for d in made.contents if app.find_blob(d) and not tool.find_blob(d))
    descriptor = made.descriptor(only_app)
    assert tool.locate(descriptor) is None
    assert not tool.has_blob(descriptor)
    with pytest.raises(ContentNotFoundError), tool.open(descriptor):
        pass
    with pytest.raises(SizeMismatchError):
        app.has_blob(Descriptor(mediatype.OCTET_STREAM, only_app, 1))


def test_referrers_are_listed(serve, path, made):
    """What refers to a manifest is listed by its subject, as the referrers API says it."""
    repository = serve(path).repository(APP)
    referrers = [r for r in made.catalog.referrers if not r.tag]
    assert len(referrers) == 2
    for referrer in referrers:
        (entry,) = repository.referrers(referrer.subject)
        assert entry.digest == referrer.digest
        assert entry.artifact_type == made.documents[referrer.digest].artifact_type
    assert repository.referrers(Digest.of(b"x")) == ()


def test_what_only_a_list_says_to_refer_is_listed(serve, tmp_path):
    """A referrer that travelled because of a referrers tag is found, though it names no subject."""
    bundle = BundleBuilder()
    image = bundle.add(builders.image(), "example.com/a:1")
    note = builders.artifact("application/vnd.example.note")
    bundle.refer("example.com/a", image, note)
    (entry,) = serve(bundle.build().write(tmp_path)).repository("a").referrers(image.digest)
    assert (entry.digest, entry.artifact_type) == (note.digest, "application/vnd.example.note")


def test_an_unknown_repository_does_not_exist(serve, path):
    """It is empty; a name that is none is refused."""
    depot = serve(path)
    repository = depot.repository("other")
    assert not repository.exists
    assert list(repository.tags()) == []
    assert depot.repository(APP).exists
    with pytest.raises(InvalidReferenceError):
        depot.repository("../etc")


def test_nothing_is_written(serve, path):
    """Every write says that it cannot be, whether what it is about exists or not."""
    repository = serve(path).repository(APP)
    digest = repository.resolve("1.4").digest
    for write in (
        lambda: repository.put_manifest(repository.manifest("1.4"), tag="new"),
        lambda: repository.ingest(Descriptor.of(b"x", "a/b")),
        lambda: repository.mount(Descriptor.of(b"x", "a/b"), from_repository="tool"),
        lambda: repository.link_blob(digest, from_repository=None),
        repository.start_upload,
        lambda: repository.delete_manifest(digest),
        lambda: repository.delete_tag("1.4"),
        lambda: repository.delete_blob(digest),
    ):
        with pytest.raises(ReadOnlyError) as caught:
            write()
        assert "--data" in caught.value.hint
    assert repository.find_upload("0" * 32) is None


def test_several_bundles_are_one_registry(serve, tmp_path):
    """Repositories of the same name become one, and the same tag may name the same content."""
    first, second = builders.image(seed=1), builders.image(seed=2)
    one_path = one(tmp_path, "example.com/a:1", first)
    two_path = one(tmp_path, "example.com/a:2", second, "two.tar")
    again = one(tmp_path, "mirror.example/a:1", first, "three.tar")
    depot = serve(one_path, two_path, again)
    repository = depot.repository("a")
    assert list(repository.tags()) == ["1", "2"]
    for content in (first, second):
        for found in content.blobs:
            assert repository.has_blob(found.descriptor)
    assert [state.path.name for state in depot.states] == ["one.tar", "two.tar", "three.tar"]


def test_two_bundles_that_name_a_tag_differently_are_refused(serve, tmp_path):
    """Nobody could say which one is meant; the error names both and the way out."""
    one_path = one(tmp_path, "example.com/a:1", builders.image(seed=1))
    two_path = one(tmp_path, "mirror.example/a:1", builders.image(seed=2), "two.tar")
    with pytest.raises(ConflictError) as caught:
        serve(one_path, two_path)
    for part in ("example.com/a:1", "one.tar", "mirror.example/a:1", "two.tar"):
        assert part in caught.value.message
    assert "--keep-host" in caught.value.hint
    assert len(list(serve(one_path, two_path, keep_host=True).repositories())) == 2


def damage(path, made, digest):
    """Turn a bit of a blob over without a trace in size and time."""
    before = path.stat()
    extent = next(e for e in made.layout.blobs if e.digest == digest)
    path.write_bytes(flip(path.read_bytes(), extent.offset))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_damaged_blob_is_not_given_out_once_that_is_known(serve, path, made, caplog):
    """The background check finds it and logs it; from then on it fails, and all others do not."""
    digest, other = list(made.contents)[:2]
    damage(path, made, digest)
    depot = serve(path)
    holders = [r for r in map(depot.repository, depot.repositories()) if r.find_blob(digest)]
    with caplog.at_level(logging.ERROR, "airgap"):
        depot.start_checking()
        depot.finish_checking()
    assert str(digest) in caplog.text
    descriptor = made.descriptor(digest)
    for ask in (
        lambda: holders[0].find_blob(digest),
        lambda: holders[0].locate(descriptor),
        lambda: holders[0].open(descriptor).__enter__(),
    ):
        with pytest.raises(DigestMismatchError):
            ask()
    assert any(depot.repository(name).find_blob(other) for name in depot.repositories())
    (state,) = depot.states
    assert state.wrong == (digest,)
    assert state.checked == state.total == sum(map(len, made.contents.values()))


def test_a_damaged_blob_is_taken_from_another_bundle(serve, tmp_path):
    """Where a second bundle has the same content, it is given out from there."""
    content = builders.image()
    bundle = BundleBuilder()
    bundle.add(content, "example.com/a:1")
    made = bundle.build()
    good, bad = tmp_path / "good.tar", tmp_path / "bad.tar"
    good.write_bytes(made.data)
    bad.write_bytes(made.data)
    digest = content.blobs[-1].descriptor.digest
    damage(bad, made, digest)
    depot = serve(bad, good)
    assert depot.repository("a").locate(made.descriptor(digest)).path == bad
    depot.start_checking()
    depot.finish_checking()
    assert depot.repository("a").locate(made.descriptor(digest)).path == good


def test_a_sound_bundle_is_hashed_to_the_end(serve, path):
    """Then all bytes of its blobs are checked and none is wrong."""
    depot = serve(path, rest=0.1)
    depot.start_checking()
    depot.finish_checking()
    (state,) = depot.states
    assert (state.checked, state.wrong, state.is_unchanged) == (state.total, (), True)


@pytest.mark.parametrize("how", ["shorter", "longer", "newer", "replaced", "gone"])
def test_a_bundle_that_is_changed_is_not_read_any_more(serve, path, made, how):
    """Blobs fail instead of coming from another file; manifests are in memory and stay."""
    depot = serve(path)
    repository = depot.repository(APP)
    digest = next(d for d in made.contents if repository.find_blob(d))
    if how == "shorter":
        os.truncate(path, path.stat().st_size - 1)
    elif how == "longer":
        with path.open("ab") as file:
            file.write(b"x")
    elif how == "newer":
        os.utime(path, ns=(0, 0))
    elif how == "replaced":
        copy = path.with_name("copy")
        copy.write_bytes(made.data)
        copy.replace(path)
    else:
        path.unlink()
    with pytest.raises(StorageError):
        repository.find_blob(digest)
    with pytest.raises(StorageError):
        repository.locate(made.descriptor(digest))
    assert repository.read_manifest("1.4") is not None
    assert not depot.states[0].is_unchanged
    depot.start_checking()
    depot.finish_checking()
    assert depot.states[0].wrong == ()


def test_closing_ends_the_check(path):
    """A check that has long to go ends with the depot."""
    depot = BundleDepot([open_bundle(path)], import_names(), rest=1e9)
    depot.start_checking()
    depot.close()
