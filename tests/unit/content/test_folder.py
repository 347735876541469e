"""A depot in a folder keeps what it was given: over restarts, and against somebody else."""

from __future__ import annotations

import json
import os

import pytest

from airgap.content import atomic, folder
from airgap.content.depot import FileBacked
from airgap.content.folder import FolderDepot
from airgap.errors import (
    DigestMismatchError,
    InvalidContentError,
    InvalidReferenceError,
    LockedError,
    StorageError,
    StorageFullError,
    UnavailableError,
)
from airgap.oci.digest import Digest
from airgap.oci.layout import blob_path
from tests.contract.store_contract import Opener, read
from tests.support import builders
from tests.support.builders import push, push_blob, random_blob


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


def reopened(depot, root):
    """The same folder, as after a restart."""
    depot.close()
    return FolderDepot(root, durable=False)


def test_everything_survives_a_restart(root):
    """Blobs, manifests, tags and referrers are there when the folder is opened again."""
    depot = FolderDepot(root, durable=True)
    content = push(depot.repository("a/b"), builders.multi_platform(), tag="1.0")
    referrer = push(depot.repository("a/b"), builders.sbom(content.descriptor))
    depot = reopened(depot, root)
    store = depot.repository("a/b")
    assert list(depot.repositories()) == ["a/b"]
    assert store.manifest("1.0").raw == content.raw
    assert [entry.digest for entry in store.referrers(content.digest)] == [referrer.digest]
    assert all(read(store, b.descriptor) == b.data for b in content.all_blobs().values())
    depot.close()


def test_an_ingest_goes_on_after_a_restart(root):
    """What a broken ingest had received is used by the next process."""
    blob = random_blob(300_000)
    depot = FolderDepot(root, durable=False)
    with pytest.raises(UnavailableError):
        with depot.repository("a").ingest(blob.descriptor) as ingest:
            ingest.receive(Opener(blob.data, stop=200_000, error=UnavailableError("gone")))
    depot = reopened(depot, root)
    opener = Opener(blob.data)
    with depot.repository("a").ingest(blob.descriptor) as ingest:
        assert ingest.offset == 200_000
        ingest.receive(opener)
        ingest.commit()
    assert opener.offsets == [200_000]
    assert read(depot.repository("a"), blob.descriptor) == blob.data
    depot.close()


def test_an_upload_goes_on_after_a_restart(root):
    """An upload in pieces is found by its id in its own repository, and hashed from the start."""
    depot = FolderDepot(root, durable=False)
    upload = depot.repository("a").start_upload()
    upload.append(b"first ")
    upload.close()
    depot = reopened(depot, root)
    assert depot.repository("b").find_upload(upload.id) is None
    upload = depot.repository("a").find_upload(upload.id)
    assert upload.offset == 6
    upload.append(b"second")
    descriptor = upload.commit(Digest.of(b"first second"))
    assert read(depot.repository("a"), descriptor) == b"first second"
    assert depot.repository("a").find_upload(upload.id) is None
    depot.close()


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_an_upload_may_end_with_another_algorithm(root, algorithm):
    """The digest at the end decides, whatever the upload was begun for."""
    depot = FolderDepot(root, durable=False)
    upload = depot.repository("a").start_upload(algorithm="sha512")
    upload.append(b"content")
    descriptor = upload.commit(Digest.of(b"content", algorithm))
    assert depot.repository("a").has_blob(descriptor)
    depot.close()


def test_a_wrong_digest_ends_an_upload(root):
    """Nothing is kept of an upload whose content is not what it should be."""
    depot = FolderDepot(root, durable=False)
    store = depot.repository("a")
    upload = store.start_upload()
    upload.append(b"content")
    with pytest.raises(DigestMismatchError):
        upload.commit(Digest.of(b"other"))
    assert store.find_upload(upload.id) is None
    assert list((root / "uploads").iterdir()) == []
    depot.close()


@pytest.mark.parametrize("upload_id", ["", ".", "..", "../lock", "x" * 32 + "/", "\u00e9" * 32])
def test_an_id_never_becomes_a_path(root, upload_id):
    """Ids that this registry did not make are not looked for in the folder."""
    depot = FolderDepot(root, durable=False)
    assert depot.repository("a").find_upload(upload_id) is None
    depot.close()


@pytest.mark.parametrize("name", ["", "..", "/etc", "a/../b", "A", "_blobs", "a/_tags"])
def test_a_name_that_is_none_is_refused(root, name):
    """Only the name of a repository becomes a folder."""
    depot = FolderDepot(root, durable=False)
    with pytest.raises(InvalidReferenceError):
        depot.repository(name)
    depot.close()


def test_a_tag_that_is_none_is_refused(root):
    """Only a tag becomes a file."""
    depot = FolderDepot(root, durable=False)
    content = builders.index([])
    with pytest.raises(InvalidReferenceError):
        depot.repository("a").put_manifest(content.document, tag="../../x")
    assert depot.repository("a").resolve(str(content.digest)) is None
    depot.close()


def test_a_second_process_is_refused(root):
    """Two depots on one folder would not know of each other's uploads; it says who has it."""
    depot = FolderDepot(root, durable=False)
    with pytest.raises(LockedError, match=f"process {os.getpid()}"):
        FolderDepot(root, durable=False)
    depot.close()
    FolderDepot(root, durable=False).close()


def test_a_blob_is_kept_once(root):
    """The same blob in two repositories is one file, laid out as in an image layout."""
    depot = FolderDepot(root, durable=False)
    blob = random_blob(1000)
    push_blob(depot.repository("a"), blob)
    assert depot.repository("b").mount(blob.descriptor, from_repository="a")
    files = [path for path in (root / "blobs").rglob("*") if path.is_file()]
    assert files == [root / blob_path(blob.descriptor.digest)]
    assert files[0].read_bytes() == blob.data
    depot.close()


def test_a_blob_says_in_which_file_it_lies(root):
    """A server can let the system send the file; only through a repository that has the blob."""
    depot = FolderDepot(root, durable=False)
    blob = random_blob(1000)
    push_blob(depot.repository("a"), blob)
    store = depot.repository("a")
    assert isinstance(store, FileBacked)
    region = store.locate(blob.descriptor)
    assert (region.path.read_bytes(), region.offset, region.size) == (blob.data, 0, 1000)
    assert depot.repository("b").locate(blob.descriptor) is None
    depot.close()


def test_repositories_are_listed_with_those_inside_of_others(root):
    """A repository may lie below another one's name, and folders of neither are listed."""
    depot = FolderDepot(root, durable=False)
    for name in ("b", "a/b/c", "a"):
        push(depot.repository(name), builders.index([]), tag="x")
    assert list(depot.repositories()) == ["a", "a/b/c", "b"]
    assert depot.repository("a").exists
    assert not depot.repository("a/b").exists
    depot.close()


def test_a_deleted_referrer_leaves_no_file(root):
    """Deleting takes back everything that was noted of a manifest."""
    depot = FolderDepot(root, durable=False)
    store = depot.repository("a")
    subject = builders.image().descriptor
    referrer = push(store, builders.sbom(subject), tag="x")
    store.delete_manifest(referrer.digest)
    left = {path.parts[-3] for path in (root / "repositories").rglob("*") if path.is_file()}
    assert left == {"_blobs"}
    depot.close()


def test_damage_on_the_disk_is_found(root):
    """A manifest whose bytes have changed is not given out by a Store."""
    depot = FolderDepot(root, durable=False)
    content = push(depot.repository("a"), builders.image(), tag="1.0")
    path = root / blob_path(content.digest)
    path.write_bytes(content.raw.replace(b"schemaVersion", b"schemaVersi0n"))
    with pytest.raises(DigestMismatchError):
        depot.repository("a").manifest("1.0")
    push(depot.repository("a"), content)
    assert depot.repository("a").manifest("1.0").raw == content.raw
    depot.close()


def test_damaged_metadata_is_an_error_and_not_a_crash(root):
    """An entry that is not JSON any more is said to be invalid."""
    depot = FolderDepot(root, durable=False)
    content = push(depot.repository("a"), builders.image())
    entry = root / "repositories/a/_manifests/sha256" / content.digest.hex
    assert json.loads(entry.read_bytes())["digest"] == str(content.digest)
    entry.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidContentError):
        depot.repository("a").resolve(str(content.digest))
    depot.close()


def test_a_full_disk_keeps_what_was_there(root, monkeypatch):
    """A write that fails is translated, and the piece that failed does not count as there."""
    depot = FolderDepot(root, durable=False)
    upload = depot.repository("a").start_upload()
    upload.append(b"kept")

    def fails(fd, data, offset):
        os.pwrite(fd, bytes(data)[:2], offset)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(folder, "write_at", fails)
        with pytest.raises(StorageFullError):
            upload.append(b"lost")
    upload.close()
    depot = reopened(depot, root)
    upload = depot.repository("a").find_upload(upload.id)
    assert upload.offset == 4
    upload.abort()
    depot.close()


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    """A file in the way is said in one line."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="file"):
        FolderDepot(tmp_path / "file" / "data")


def test_what_is_durable_is_synced(root, monkeypatch):
    """A committed blob and the folder of its name are synced before the commit returns."""
    synced = []
    real_file, real_folder = folder.sync_data, atomic.sync_folder
    monkeypatch.setattr(folder, "sync_data", lambda fd: (synced.append("data"), real_file(fd)))
    monkeypatch.setattr(
        atomic, "sync_folder", lambda path: (synced.append(path.name), real_folder(path))
    )
    depot = FolderDepot(root, durable=True)
    push_blob(depot.repository("a"), random_blob(1000))
    assert synced.index("data") < len(synced) - synced[::-1].index("sha256") - 1
    depot.close()
