"""What the database does beyond what every depot does."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from airgap.content.arrival import Arrival, ArrivalLedger, ArrivedImage
from airgap.errors import ContentNotFoundError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.server.database import recency
from airgap.server.database.check import check_storage
from tests.support import builders
from tests.support.builders import push, push_blob, random_blob
from tests.support.datafolders import Clock, opened


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def depot(tmp_path, clock):
    depot = opened(tmp_path / "data", clock)
    yield depot
    depot.close()


def entry(number: int) -> Descriptor:
    return Descriptor.of(b"manifest %d" % number, "application/vnd.oci.image.manifest.v1+json")


def test_lists_come_in_pages_in_the_order_of_bytes(depot):
    """Upper case before lower case, digits before both, and the last item need not exist."""
    tags = ["Z", "a", "10", "9", "b-1", "b.1", "b_1", "_x", "A"]
    for tag in tags:
        depot.metadata.put_manifest("r", entry(1), subject=None, tag=tag)
    ordered = sorted(tags)
    store = depot.repository("r")
    assert list(store.tags()) == ordered
    assert store.tags_page(last=None, limit=3) == ordered[:3]
    assert store.tags_page(last=ordered[2], limit=3) == ordered[3:6]
    assert store.tags_page(last="B", limit=100) == [tag for tag in ordered if tag > "B"]
    assert store.tags_page(last=None, limit=0) == []
    for name in ("b", "a/b", "a-b", "a.b", "a", "ab"):
        depot.metadata.put_manifest(name, entry(1), subject=None)
    every = sorted(["b", "a/b", "a-b", "a.b", "a", "ab", "r"])
    assert depot.repositories_page(last=None, limit=2) == every[:2]
    assert depot.repositories_page(last="a-c", limit=9) == [n for n in every if n > "a-c"]


def test_a_manifest_its_needs_and_its_tag_are_one_step(depot):
    """If a blob is missing, neither the manifest nor the tag is there."""
    blob = random_blob(10)
    with pytest.raises(ContentNotFoundError, match=str(blob.descriptor.digest)):
        depot.metadata.put_manifest(
            "r", entry(1), subject=None, needs=[blob.descriptor.digest], tag="t"
        )
    assert depot.metadata.manifest("r", entry(1).digest) is None
    assert depot.metadata.tagged("r", "t") is None
    assert not depot.metadata.has_repository("r")


def test_a_manifest_may_name_very_many_blobs(depot, tmp_path):
    """More than fit into one statement are all noted, and all are needed."""
    needs = [Digest.of(b"%d" % number) for number in range(1700)]
    for digest in needs[:3]:
        depot.metadata.link_blob("r", digest, size=1)
    with pytest.raises(ContentNotFoundError, match=str(needs[3])):
        depot.metadata.put_manifest("r", entry(1), subject=None, needs=needs)
    depot.metadata.put_manifest("r", entry(1), subject=None, needs=needs[:3], mentions=needs)


def test_the_holders_of_a_blob_are_found_without_asking_each(depot):
    """In lexical order, and only those that link it."""
    digest = Digest.of(b"shared")
    for name in ("b", "a", "c/d"):
        depot.metadata.link_blob(name, digest, size=6)
    depot.metadata.link_blob("other", Digest.of(b"other"), size=5)
    assert list(depot.holders(digest)) == ["a", "b", "c/d"]


def test_asking_often_writes_seldom(depot, clock, monkeypatch):
    """A blob that is asked for a thousand times is noted once in ten minutes."""
    blob = random_blob(10)
    store = depot.repository("a")
    push_blob(store, blob)
    noted = []
    monkeypatch.setattr(depot.metadata.writer, "later", noted.append)
    for _ in range(1000):
        store.find_blob(blob.descriptor.digest)
    assert len(noted) == 1
    depot.metadata.writer.run(noted[0])
    clock.advance(recency.REFRESH_SECONDS + 1)
    store.find_blob(blob.descriptor.digest)
    assert len(noted) == 2


def test_what_is_known_of_questions_is_bounded(depot, monkeypatch):
    """However many blobs are asked for, memory does not grow with them."""
    monkeypatch.setattr(recency, "_MAX_KNOWN", 10)
    for number in range(100):
        depot.metadata.touch(Digest.of(b"%d" % number))
    assert len(depot.metadata.recency._known) <= 10


def test_two_clients_push_the_same_at_once(depot, tmp_path):
    """Blob, manifest and tag are there once and are right, whoever came first."""
    contents = [builders.image(seed=seed, layers=[3000]) for seed in (1, 1, 2, 2)]
    meet, errors = threading.Barrier(len(contents), timeout=30), []

    def push_one(content):
        try:
            meet.wait()
            push(depot.repository("team/app"), content, tag="latest")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=push_one, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    found = depot.repository("team/app").manifest("latest")
    assert found.raw in {content.raw for content in contents}
    for content in contents:
        assert depot.repository("team/app").manifest(str(content.digest)).raw == content.raw
    assert check_storage(tmp_path / "data") == ()


def test_bundles_that_came_are_remembered(depot, tmp_path):
    """With what each brought, when and by whom, the latest first, over a restart."""
    assert isinstance(depot, ArrivalLedger)
    images = tuple(
        ArrivedImage(f"docker.io/library/x:{n}", "x", str(n), Digest.of(b"%d" % n), "pushed")
        for n in range(3)
    )
    when = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    made = [
        Arrival(Digest.of(b"%d" % n), f"bundle-{n}.tar", images[:n], when, "alice", n, ("note",))
        for n in range(3)
    ]
    for arrival in made:
        depot.note_arrival(arrival)
    depot.note_arrival(Arrival(Digest.of(b"x"), "x.tar", ()))
    depot.close()
    again = opened(tmp_path / "data")
    assert list(again.arrivals()) == [Arrival(Digest.of(b"x"), "x.tar", ()), *reversed(made)]
    again.close()


def test_many_bundles_are_listed_in_pages(depot, monkeypatch):
    """The list is read piece by piece and is complete."""
    monkeypatch.setattr("airgap.server.database.arrivals._PAGE", 3)
    for number in range(7):
        depot.note_arrival(Arrival(Digest.of(b"%d" % number), f"{number}.tar", ()))
    assert [arrival.name for arrival in depot.arrivals()] == [f"{n}.tar" for n in range(6, -1, -1)]


def test_what_is_asked_for_often_is_not_looked_up_often(depot, monkeypatch):
    """Until something may have changed: then the next answer is the new one."""
    content, other = builders.image(seed=1), builders.image(seed=2)
    store = depot.repository("a")
    push(store, content, tag="1.0")
    blob = content.blobs[0].descriptor
    assert store.resolve("1.0").digest == content.digest
    assert store.has_blob(blob)

    def refuse(*_):
        raise AssertionError("the database was asked")

    with monkeypatch.context() as patch:
        patch.setattr(depot.metadata.database.reading, "connect", refuse)
        for _ in range(3):
            assert store.resolve("1.0").digest == content.digest
            assert store.has_blob(blob)
        depot.metadata.link_blob("a", Digest.of(b"another"), size=7)
        assert store.resolve("1.0").digest == content.digest
    push(store, other, tag="1.0")
    assert store.resolve("1.0").digest == other.digest
    assert store.delete_tag("1.0")
    assert store.resolve("1.0") is None
    assert store.resolve(str(other.digest)).digest == other.digest
    assert store.delete_manifest(other.digest)
    assert store.resolve(str(other.digest)) is None
    assert store.delete_blob(blob.digest)
    assert not store.has_blob(blob)


def test_an_answer_that_was_overtaken_is_not_kept(depot, monkeypatch):
    """What was read before a change and arrives after it is not taken for the new state."""
    first, second = entry(1), entry(2)
    metadata = depot.metadata
    metadata.put_manifest("a", first, subject=None, tag="t")
    real = metadata.database.reading.connect

    def slow():
        connection = real()

        class Slow:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                connection.close()

            def execute(self, query):
                result = connection.execute(query).fetchall()
                metadata.put_manifest("a", second, subject=None, tag="t")

                class Result:
                    def first(self):
                        return result[0]

                return Result()

        return Slow()

    with monkeypatch.context() as patch:
        patch.setattr(metadata.database.reading, "connect", slow)
        assert metadata.tagged("a", "t") == first
    assert metadata.tagged("a", "t") == second


def test_the_answers_that_are_kept_are_bounded(depot, monkeypatch):
    """Memory does not grow with what is asked for."""
    monkeypatch.setattr("airgap.server.database.recall._MAX_ANSWERS", 10)
    depot.metadata.put_manifest("a", entry(0), subject=None)
    for number in range(40):
        depot.metadata.put_manifest("a", entry(number), subject=None)
    for number in range(40):
        assert depot.metadata.manifest("a", entry(number).digest) == entry(number)
    assert len(depot.metadata._entries._answers) <= 10
