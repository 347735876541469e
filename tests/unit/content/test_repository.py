"""What a depot's repositories do beyond what every Store does."""

from __future__ import annotations

import pytest

from airgap.content import sessions
from airgap.content.memory import MemoryDepot
from airgap.errors import InvalidContentError, SizeMismatchError
from airgap.oci.digest import Digest
from tests.contract.store_contract import Opener
from tests.support.builders import push_blob, random_blob


@pytest.fixture
def depot():
    return MemoryDepot()


def test_asking_does_not_make_a_repository(depot):
    """A repository exists from the first write on, not from the first question."""
    store = depot.repository("a")
    assert store.resolve("x") is None
    assert list(store.tags()) == []
    assert not store.delete_tag("x")
    assert not store.exists
    assert list(depot.repositories()) == []
    push_blob(store, random_blob(1))
    assert store.exists
    assert list(depot.repositories()) == ["a"]


def test_a_blob_is_found_by_its_digest(depot):
    """A server knows no size before it asks."""
    blob = random_blob(77)
    push_blob(depot.repository("a"), blob)
    assert depot.repository("a").find_blob(blob.descriptor.digest) == blob.descriptor
    assert depot.repository("b").find_blob(blob.descriptor.digest) is None


def test_a_blob_can_be_linked_from_wherever_it_is(depot):
    """An anonymous mount finds a blob in any repository, but not one that was deleted there."""
    blob = random_blob(77)
    digest = blob.descriptor.digest
    push_blob(depot.repository("a"), blob)
    assert depot.repository("b").link_blob(digest, from_repository=None) == blob.descriptor
    assert depot.repository("c").link_blob(digest, from_repository="../a") is None
    depot.repository("a").delete_blob(digest)
    depot.repository("b").delete_blob(digest)
    assert depot.repository("c").link_blob(digest, from_repository=None) is None


def test_what_is_not_committed_stays_invisible(depot):
    """A whole and verified blob is still not there before its commit."""
    store, blob = depot.repository("a"), random_blob(1000)
    with store.ingest(blob.descriptor) as ingest:
        ingest.receive(blob.opener)
        assert not store.has_blob(blob.descriptor)
    assert not store.has_blob(blob.descriptor)
    opener = Opener(blob.data)
    with store.ingest(blob.descriptor) as ingest:
        ingest.receive(opener)
        ingest.commit()
    assert opener.offsets == []


def test_nothing_is_kept_of_content_that_is_too_long(depot):
    """What came before too many bytes is as doubtful as they are: the next ingest begins anew."""
    store, blob = depot.repository("a"), random_blob(200_000)
    with pytest.raises(SizeMismatchError):
        with store.ingest(blob.descriptor) as ingest:
            ingest.receive(Opener(bytes(100_000) + blob.data))
    with store.ingest(blob.descriptor) as ingest:
        assert ingest.offset == 0


def test_an_upload_of_an_unknown_algorithm_is_refused(depot):
    """Only registered algorithms are hashed with."""
    with pytest.raises(InvalidContentError, match="md5"):
        depot.repository("a").start_upload(algorithm="md5")


def test_an_upload_that_was_forgotten_is_hashed_again(depot, monkeypatch):
    """However many uploads are under way, each one can be finished."""
    monkeypatch.setattr(sessions, "MAX_LIVE_UPLOADS", 2)
    store = depot.repository("a")
    uploads = [store.start_upload() for _ in range(4)]
    for number, upload in enumerate(uploads):
        store.find_upload(upload.id).append(b"content %d" % number)
    for number, upload in enumerate(uploads):
        digest = Digest.of(b"content %d" % number)
        assert store.find_upload(upload.id).commit(digest).digest == digest
