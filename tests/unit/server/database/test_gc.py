"""What garbage collection frees, and what it leaves alone."""

from __future__ import annotations

import os

import pytest

from airgap.errors import CancelledError, ContentNotFoundError, LockedError
from airgap.oci.digest import Digest
from airgap.oci.referrers import fallback_tag
from airgap.run.cancel import CancelToken
from airgap.server.database.check import check_storage
from airgap.server.gc import GarbageReport, collect_garbage, without_collection
from tests.contract.store_contract import read
from tests.support import builders
from tests.support.builders import push, push_blob, random_blob
from tests.support.datafolders import DAY, HOUR, Clock, digests, files, opened


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def depot(root, clock):
    depot = opened(root, clock)
    yield depot
    depot.close()
    assert check_storage(root) == ()


@pytest.fixture
def store(depot):
    return depot.repository("team/app")


def test_what_a_manifest_needs_stays(depot, store, root, clock):
    """Tagged or not, a manifest keeps itself and its blobs for as long as it is there."""
    tagged = push(store, builders.multi_platform(), tag="1.0")
    untagged = push(store, builders.image(seed=9))
    clock.advance(1000 * DAY)
    assert collect_garbage(depot) == GarbageReport()
    assert files(root) == digests(tagged, untagged)
    assert store.manifest("1.0").raw == tagged.raw


def test_what_nothing_needs_goes(depot, store, root, clock):
    """The blobs of a deleted manifest go with their files, but not those that another one needs."""
    shared = builders.layer(5000, seed=1)
    gone = push(store, builders.image(layers=[shared, 700], seed=1), tag="1.0")
    kept = push(store, builders.image(layers=[shared, 800], seed=2), tag="2.0")
    assert store.delete_manifest(gone.digest)
    clock.advance(2 * HOUR)
    freed = digests(gone) - digests(kept)
    sizes = {blob.descriptor.digest: len(blob.data) for blob in gone.blobs}
    sizes[gone.digest] = len(gone.raw)
    expected = sum(sizes[digest] for digest in freed)
    report = collect_garbage(depot)
    assert (report.blobs, report.size) == (3, expected)
    assert files(root) == digests(kept)
    assert read(store, shared.descriptor) == shared.data
    assert collect_garbage(depot) == GarbageReport()


def test_what_was_pushed_lately_stays(depot, store, root, clock):
    """A blob whose manifest is still to come is left alone for an hour."""
    blob = random_blob(100)
    push_blob(store, blob)
    clock.advance(HOUR)
    assert collect_garbage(depot).blobs == 0
    clock.advance(HOUR)
    assert collect_garbage(depot).blobs == 1
    assert not store.has_blob(blob.descriptor)
    assert files(root) == set()


def test_what_was_asked_for_lately_stays(depot, store, clock):
    """Who was told that a blob is there has an hour to push the manifest that names it."""
    blob = random_blob(100)
    push_blob(store, blob)
    clock.advance(5 * HOUR)
    assert store.find_blob(blob.descriptor.digest) is not None
    clock.advance(HOUR)
    assert collect_garbage(depot).blobs == 0
    clock.advance(HOUR)
    assert collect_garbage(depot).blobs == 1


def test_asking_counts_after_a_restart(root, clock):
    """What was asked for is remembered by the folder and not by the process."""
    blob = random_blob(100)
    first = opened(root, clock)
    push_blob(first.repository("a"), blob)
    clock.advance(5 * HOUR)
    assert first.repository("a").has_blob(blob.descriptor)
    first.close()
    second = opened(root, clock)
    assert collect_garbage(second).blobs == 0
    second.close()


def test_a_blob_that_is_held_stays(depot, store, root, clock):
    """A blob between its file and its row, or in the middle of an ingest, is not looked at."""
    blob = random_blob(100)
    push_blob(store, blob)
    clock.advance(5 * HOUR)
    with depot.sessions.holds.hold(blob.descriptor.digest):
        assert collect_garbage(depot).blobs == 0
    assert files(root) == {blob.descriptor.digest}
    assert collect_garbage(depot).blobs == 1


def test_a_link_that_its_repository_does_not_need_goes(depot, clock):
    """A blob stays unreachable through a repository whose image of it is gone."""
    content = builders.image()
    for name in ("public", "private"):
        push(depot.repository(name), content, tag="1.0")
    depot.repository("public").delete_manifest(content.digest)
    clock.advance(2 * HOUR)
    report = collect_garbage(depot)
    assert (report.links, report.blobs, report.repositories) == (2, 0, 1)
    blob = content.blobs[0].descriptor
    assert depot.repository("private").has_blob(blob)
    assert not depot.repository("public").has_blob(blob)
    assert list(depot.repositories()) == ["private"]


@pytest.mark.parametrize("days", [0.5, 30])
def test_untagged_manifests_go_when_they_are_old_enough(depot, store, root, clock, days):
    """Only what neither a tag nor an index names, and what was pushed so long ago."""
    old = push(store, builders.multi_platform(seed=1))
    kept = push(store, builders.multi_platform(seed=2), tag="kept")
    clock.advance(days * DAY)
    young = push(store, builders.image(seed=3))
    clock.advance(2 * HOUR)
    assert collect_garbage(depot).manifests == 0
    report = collect_garbage(depot, untagged_days=days)
    assert report.manifests == len(list(old.walk()))
    assert files(root) == digests(kept, young)


def test_a_referrer_lives_as_long_as_its_subject(depot, store, root, clock):
    """Referrers of referrers, too: untagged, they stay for their subject and go after it."""
    subject = push(store, builders.image(), tag="1.0")
    sbom = push(store, builders.sbom(subject.descriptor))
    signature = push(store, builders.sbom(sbom.descriptor, seed=2))
    clock.advance(10 * DAY)
    assert collect_garbage(depot, untagged_days=1) == GarbageReport()
    store.delete_manifest(subject.digest)
    assert collect_garbage(depot).manifests == 0
    assert files(root) == digests(sbom, signature)
    clock.advance(2 * HOUR)
    assert collect_garbage(depot).manifests == 2
    assert files(root) == set()


def test_a_referrer_without_its_subject_waits_for_it(depot, store, clock):
    """A referrer may come first: nobody deleted its subject, so it stays."""
    subject = builders.image()
    sbom = push(store, builders.sbom(subject.descriptor))
    clock.advance(100 * DAY)
    assert collect_garbage(depot).manifests == 0
    assert store.manifest(str(sbom.digest)).raw == sbom.raw


def test_a_subject_that_comes_back_keeps_its_referrers(depot, store, clock):
    """Deleted and pushed again, a subject has the referrers that it had."""
    subject = push(store, builders.image(), tag="1.0")
    sbom = push(store, builders.sbom(subject.descriptor))
    store.delete_manifest(subject.digest)
    push(store, subject, tag="1.0")
    clock.advance(10 * DAY)
    assert collect_garbage(depot).manifests == 0
    assert [entry.digest for entry in store.referrers(subject.digest)] == [sbom.digest]


def test_a_tagged_referrer_stays(depot, store, clock):
    """Somebody gave it a name of its own."""
    subject = push(store, builders.image(), tag="1.0")
    push(store, builders.sbom(subject.descriptor), tag="sbom-of-1.0")
    store.delete_manifest(subject.digest)
    clock.advance(10 * DAY)
    assert collect_garbage(depot).manifests == 0


def test_tags_made_of_a_subject_go_with_it(depot, store, root, clock):
    """cosign's signature and a list of referrers have only names that speak of their subject."""
    subject = push(store, builders.image(), tag="1.0")
    other = push(store, builders.image(seed=5), tag="2.0")
    tag, signature = builders.cosign_signature(subject.descriptor)
    push(store, signature, tag=tag)
    listed = builders.artifact("a/b", [builders.blob(b"no subject", "a/b")])
    push(store, builders.index([listed]), tag=fallback_tag(subject.digest))
    kept_tag, kept = builders.cosign_signature(other.descriptor)
    push(store, kept, tag=kept_tag)
    store.delete_manifest(subject.digest)
    clock.advance(2 * HOUR)
    assert collect_garbage(depot).manifests == 3
    assert list(store.tags()) == sorted(["2.0", kept_tag])
    assert files(root) == digests(other, kept)


def test_a_dry_run_tells_and_changes_nothing(depot, store, root, clock):
    """It tells what the real run frees right after it, also what is freed in several steps."""
    push(store, builders.index([builders.multi_platform(seed=1)]))
    push_blob(store, random_blob(50))
    upload = store.start_upload()
    upload.append(b"x" * 77)
    upload.close()
    for path in (root / "uploads").iterdir():
        os.utime(path, (clock.now, clock.now))
    clock.advance(2 * DAY)
    before = files(root)
    told = collect_garbage(depot, untagged_days=1, is_dry_run=True)
    assert told.is_dry_run
    assert files(root) == before
    real = collect_garbage(depot, untagged_days=1)
    assert not real.is_dry_run
    assert (told.manifests, told.links, told.blobs, told.size) == (
        real.manifests,
        real.links,
        real.blobs,
        real.size,
    )
    assert (told.uploads, told.upload_size) == (real.uploads, real.upload_size) == (1, 77)
    assert told.repositories == real.repositories == 1
    assert files(root) == set()


def test_an_upload_is_kept_for_a_day(depot, store, root, clock):
    """Within a day it can be finished; after that it is gone, and not half of it."""
    young, old = store.start_upload(), store.start_upload()
    for upload in (young, old):
        upload.append(b"one half, ")
        upload.close()
    clock.advance(2 * DAY)
    key = next(path for path in (root / "uploads").iterdir() if young.id in path.name)
    os.utime(key, (clock.now, clock.now))
    assert collect_garbage(depot).uploads == 1
    assert store.find_upload(old.id) is None
    found = store.find_upload(young.id)
    found.append(b"other half")
    found.commit(Digest.of(b"one half, other half"))


def test_many_go_in_several_steps(depot, store, root, clock, monkeypatch):
    """More than fits into one transaction goes all the same."""
    monkeypatch.setattr("airgap.server.database.garbage.BATCH", 3)
    for seed in range(10):
        push(store, builders.image(seed=seed, layers=[50 + seed]))
    clock.advance(DAY)
    report = collect_garbage(depot, untagged_days=0.5)
    assert (report.manifests, report.blobs) == (10, 30)
    assert files(root) == set()


def test_it_can_be_stopped(depot, store, root, clock):
    """A collection that is told to stop leaves everything in order."""
    push_blob(store, random_blob(50))
    clock.advance(DAY)
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError):
        collect_garbage(depot, cancel=token)
    assert len(files(root)) == 1


def test_one_at_a_time(depot):
    """While a backup reads files, or another one removes them, none is removed."""
    with without_collection(depot):
        with pytest.raises(LockedError, match="backup"):
            collect_garbage(depot)
    collect_garbage(depot)


def test_a_manifest_that_comes_after_its_blob_went_is_refused(depot, store, clock):
    """Nothing is acknowledged whose blobs are not there, and pushing all of it again works."""
    content = builders.image()
    for blob in content.blobs:
        push_blob(store, blob)
    clock.advance(DAY)
    assert collect_garbage(depot).blobs == 2
    with pytest.raises(ContentNotFoundError):
        store.put_manifest(content.document, tag="1.0")
    push(store, content, tag="1.0")
    assert store.manifest("1.0").raw == content.raw
