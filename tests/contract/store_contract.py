"""What every Store does, whatever it is made of: subclasses give the fixtures `store` and `other`.

`other` is another repository of the same place, so that mounts can be tested. Chunks come in
small pieces here, so that a break lies between two of them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from airgap.content.store import CHUNK_SIZE, Chunks, Deleter, Mounter, ReferrerLister, TagLister
from airgap.errors import (
    AirgapError,
    CancelledError,
    ContentNotFoundError,
    DigestMismatchError,
    SizeMismatchError,
    UnavailableError,
)
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.referrers import fallback_tag
from tests.support import builders
from tests.support.builders import Blob, push, push_blob, random_blob

PIECE = 64 * 1024


class Opener:
    """Opens bytes in pieces, may break off, and remembers at which offsets it was opened."""

    def __init__(
        self, data: bytes, *, stop: int | None = None, error: AirgapError | None = None
    ) -> None:
        self.data = data
        self.offsets: list[int] = []
        self._stop = len(data) if stop is None else stop
        self._error = error

    @contextmanager
    def __call__(self, offset: int) -> Iterator[Chunks]:
        """Open at an offset."""
        self.offsets.append(offset)
        yield self._chunks(offset)

    def _chunks(self, offset: int) -> Chunks:
        for at in range(offset, self._stop, PIECE):
            yield self.data[at : min(at + PIECE, self._stop)]
        if self._error is not None:
            raise self._error


def read(store: Any, descriptor: Descriptor, offset: int = 0) -> bytes:
    """Read a blob from an offset on."""
    with store.open(descriptor, offset=offset) as chunks:
        return b"".join(chunks)


def write(store: Any, descriptor: Descriptor, opener: Opener) -> None:
    """Ingest and commit."""
    with store.ingest(descriptor) as ingest:
        ingest.receive(opener)
        ingest.commit()


class BlobContract:
    """Blobs in and out."""

    keeps_partials = True
    """Whether an ingest can go on where another one ended."""

    @pytest.mark.parametrize("size", [0, 1, PIECE, CHUNK_SIZE, 2 * CHUNK_SIZE + 17])
    def test_a_blob_comes_out_as_it_went_in(self, store, size):
        """Every size of blob, with none and with many chunks, is read back byte for byte."""
        blob = random_blob(size)
        assert not store.has_blob(blob.descriptor)
        push_blob(store, blob)
        assert store.has_blob(blob.descriptor)
        assert read(store, blob.descriptor) == blob.data

    def test_a_blob_can_have_a_sha512_digest(self, store):
        """Both registered algorithms are handled."""
        blob = builders.blob(b"content", algorithm="sha512")
        push_blob(store, blob)
        assert read(store, blob.descriptor) == b"content"

    @pytest.mark.parametrize("offset", [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 9])
    def test_a_blob_is_read_from_an_offset_in_bounded_chunks(self, store, offset):
        """Reading begins exactly at the offset, and no chunk is larger than allowed."""
        blob = random_blob(CHUNK_SIZE + 10)
        push_blob(store, blob)
        with store.open(blob.descriptor, offset=offset) as chunks:
            got = list(chunks)
        assert b"".join(got) == blob.data[offset:]
        assert max(map(len, got)) <= CHUNK_SIZE

    def test_what_is_not_there_is_said_to_be_missing(self, store):
        """A missing blob is not there to be asked for, and cannot be opened."""
        descriptor = random_blob(10, seed=404).descriptor
        assert not store.has_blob(descriptor)
        with pytest.raises(ContentNotFoundError):
            read(store, descriptor)

    def test_another_size_than_the_blob_has_is_noticed(self, store):
        """A descriptor that lies about the size of a present blob is found out."""
        blob = random_blob(100)
        push_blob(store, blob)
        lie = Descriptor(blob.descriptor.media_type, blob.descriptor.digest, 99)
        with pytest.raises(SizeMismatchError):
            store.has_blob(lie)

    def test_a_truncated_ingest_is_continued(self, store):
        """After a source broke off, the next ingest asks from where this one ended."""
        blob, half = random_blob(10 * PIECE), 5 * PIECE
        broken = Opener(blob.data, stop=half, error=UnavailableError("gone"))
        with pytest.raises(UnavailableError, match="gone"):
            write(store, blob.descriptor, broken)
        assert not store.has_blob(blob.descriptor)
        opener = Opener(blob.data)
        with store.ingest(blob.descriptor) as ingest:
            kept = ingest.offset
            ingest.receive(opener)
            ingest.commit()
        assert opener.offsets == [kept]
        assert kept == (half if self.keeps_partials else 0)
        assert read(store, blob.descriptor) == blob.data

    def test_wrong_content_is_refused_and_not_kept(self, store):
        """Content of the right size that hashes to something else never becomes visible."""
        blob = random_blob(3 * PIECE)
        wrong = bytearray(blob.data)
        wrong[-1] ^= 1
        with pytest.raises(DigestMismatchError):
            write(store, blob.descriptor, Opener(bytes(wrong)))
        assert not store.has_blob(blob.descriptor)
        opener = Opener(blob.data)
        write(store, blob.descriptor, opener)
        assert opener.offsets == [0]
        assert read(store, blob.descriptor) == blob.data

    @pytest.mark.parametrize("difference", [-1, 1, PIECE])
    def test_content_of_another_size_is_refused(self, store, difference):
        """Too few or too many bytes never become visible, and the right ones do afterwards."""
        blob = random_blob(3 * PIECE)
        other = (blob.data + bytes(PIECE))[: 3 * PIECE + difference]
        with pytest.raises(SizeMismatchError):
            write(store, blob.descriptor, Opener(other))
        assert not store.has_blob(blob.descriptor)
        write(store, blob.descriptor, Opener(blob.data))
        assert read(store, blob.descriptor) == blob.data

    def test_what_is_not_whole_cannot_be_committed(self, store):
        """A commit before everything was received is refused."""
        blob = random_blob(PIECE)
        with store.ingest(blob.descriptor) as ingest:
            with pytest.raises(SizeMismatchError):
                ingest.commit()
        assert not store.has_blob(blob.descriptor)

    def test_a_second_commit_does_nothing(self, store):
        """Committing twice is committing once."""
        blob = random_blob(PIECE)
        with store.ingest(blob.descriptor) as ingest:
            ingest.receive(blob.opener)
            ingest.commit()
            ingest.commit()
            assert ingest.offset == PIECE
        assert read(store, blob.descriptor) == blob.data

    def test_a_blob_can_be_ingested_again(self, store):
        """Writing what is there already succeeds and changes nothing."""
        blob = random_blob(PIECE)
        push_blob(store, blob)
        write(store, blob.descriptor, Opener(blob.data))
        assert read(store, blob.descriptor) == blob.data

    @pytest.mark.parametrize("received", [0, PIECE, 3 * PIECE])
    def test_a_cancelled_ingest_leaves_nothing_visible(self, store, received):
        """Cancelling at any point leaves no blob, and a later ingest succeeds."""
        blob = random_blob(3 * PIECE)
        opener = Opener(blob.data, stop=received, error=CancelledError("stop"))
        with pytest.raises(CancelledError):
            write(store, blob.descriptor, opener)
        assert not store.has_blob(blob.descriptor)
        write(store, blob.descriptor, Opener(blob.data))
        assert read(store, blob.descriptor) == blob.data

    def test_an_aborted_ingest_begins_anew(self, store):
        """After an abort nothing of what was received is used."""
        blob = random_blob(3 * PIECE)
        opener = Opener(blob.data, stop=PIECE, error=UnavailableError("gone"))
        with store.ingest(blob.descriptor) as ingest:
            with pytest.raises(UnavailableError):
                ingest.receive(opener)
            ingest.abort()
        again = Opener(blob.data)
        write(store, blob.descriptor, again)
        assert again.offsets == [0]

    def test_threads_may_write_the_same_blob(self, store):
        """Two ingests of one blob at the same time both succeed, and the blob is right."""
        blob, meet, errors = random_blob(4 * PIECE), threading.Barrier(2, timeout=30), []

        def ingest() -> None:
            try:
                with store.ingest(blob.descriptor) as ingest:
                    meet.wait()
                    ingest.receive(Opener(blob.data))
                    ingest.commit()
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=ingest) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert read(store, blob.descriptor) == blob.data


class ManifestContract:
    """Manifests, tags and referrers."""

    def test_a_manifest_that_is_not_there_is_missing(self, store):
        """Neither an unknown tag nor an unknown digest resolves."""
        for reference in ("nothing", str(Digest.of(b"nothing"))):
            assert store.resolve(reference) is None
            with pytest.raises(ContentNotFoundError):
                store.manifest(reference)

    @pytest.mark.parametrize(
        "content",
        [
            builders.image(),
            builders.image(docker=True),
            builders.multi_platform(),
            builders.multi_platform(docker=True),
            builders.index([builders.index([builders.image()])]),
            builders.index([]),
            builders.chart(),
            builders.bare_artifact(),
            builders.artifact("application/vnd.example.unknown+weird"),
            builders.manifest(
                builders.blob(b"{}", "application/vnd.example.config"), algorithm="sha512"
            ),
        ],
        ids=lambda content: content.descriptor.media_type.rpartition(".")[2],
    )
    def test_manifests_keep_their_exact_bytes_and_type(self, store, content):
        """Whatever kind of document was pushed is given back with the same bytes and type."""
        # by tag a registry makes a digest of its own, which is always sha256
        tag = "1.0" if content.digest.algorithm == "sha256" else None
        push(store, content, tag=tag)
        references = [str(content.digest)] + ([tag] if tag else [])
        for reference in references:
            found = store.manifest(reference)
            assert found.raw == content.raw
            assert found.descriptor == content.descriptor
            resolved = store.resolve(reference)
            assert (resolved.digest, resolved.size) == (content.digest, len(content.raw))
            assert resolved.media_type == content.descriptor.media_type

    def test_a_tag_names_what_was_pushed_last(self, store):
        """A tag moves, and what it named before stays reachable by digest."""
        first, second = builders.image(seed=1), builders.image(seed=2)
        push(store, first, tag="latest")
        push(store, second, tag="latest")
        assert store.resolve("latest").digest == second.digest
        assert store.manifest(str(first.digest)).raw == first.raw

    def test_a_manifest_without_its_blobs_is_refused(self, store):
        """What a manifest needs must be there first."""
        content = builders.image(layers=(100, 200))
        push_blob(store, content.blobs[0])
        with pytest.raises(ContentNotFoundError):
            store.put_manifest(content.document, tag="early")
        assert store.resolve("early") is None
        assert store.resolve(str(content.digest)) is None

    def test_non_distributable_layers_may_be_missing(self, store):
        """A layer that lives elsewhere is not asked for."""
        foreign = builders.foreign_layer("https://layers.example.com/1")
        content = builders.image(layers=(100, foreign), docker=True)
        push(store, content, tag="1.0")
        assert store.manifest("1.0").layers[1].urls == ("https://layers.example.com/1",)

    def test_an_index_may_be_sparse(self, store):
        """An index is taken although manifests that it lists are missing."""
        there, missing = builders.image(seed=1), builders.image(seed=2)
        push(store, builders.index([there], without=[missing]), tag="sparse")
        assert len(store.manifest("sparse").manifests) == 2

    def test_tags_are_listed_in_lexical_order(self, store):
        """All tags are listed once, in order; an empty repository has none."""
        assert isinstance(store, TagLister)
        assert list(store.tags()) == []
        content = builders.image()
        for tag in ("b", "10", "a", "9", "v1_x.y-Z", "a"):
            push(store, content, tag=tag)
        assert list(store.tags()) == ["10", "9", "a", "b", "v1_x.y-Z"]

    def test_referrers_are_listed(self, store):
        """What has a subject is listed under it with its artifact type and annotations."""
        assert isinstance(store, ReferrerLister)
        content = push(store, builders.image())
        assert store.referrers(content.digest) == ()
        first, second = (builders.sbom(content.descriptor, seed=seed) for seed in (1, 2))
        signed = builders.index([], artifact_type="a/b", subject=content.descriptor)
        plain = builders.image(seed=5, subject=content.descriptor)
        pushed = [push(store, found) for found in (first, second, signed, plain)]
        found = {entry.digest: entry for entry in store.referrers(content.digest)}
        assert set(found) == {entry.digest for entry in pushed}
        assert found[first.digest].artifact_type == builders.SPDX
        assert found[first.digest].annotations == first.document.annotations
        assert found[signed.digest].artifact_type == "a/b"
        assert found[plain.digest].artifact_type == mediatype.OCI_CONFIG

    def test_a_referrer_may_come_before_its_subject(self, store):
        """A subject that is not there is no reason to refuse what refers to it."""
        content = builders.image()
        referrer = push(store, builders.sbom(content.descriptor))
        assert [entry.digest for entry in store.referrers(content.digest)] == [referrer.digest]

    def test_a_fallback_tag_is_a_tag_like_others(self, store):
        """The referrers tag schema and cosign's tags fit into the store's tags."""
        content = push(store, builders.image())
        tag, signature = builders.cosign_signature(content.descriptor)
        push(store, signature, tag=tag)
        push(store, builders.index([]), tag=fallback_tag(content.digest))
        assert set(store.tags()) == {tag, fallback_tag(content.digest)}
        assert store.manifest(tag).raw == signature.raw


class MountContract:
    """Blobs that another repository of the same place has."""

    def test_a_blob_is_mounted_from_another_repository(self, store, other):
        """A mount makes a blob readable that was not reachable before."""
        assert isinstance(store, Mounter)
        blob = random_blob(1000)
        push_blob(other, blob)
        assert not store.has_blob(blob.descriptor)
        name = other.name.partition("/")[2] if ":" in other.name else other.name
        assert store.mount(blob.descriptor, from_repository=name)
        assert read(store, blob.descriptor) == blob.data

    def test_what_the_other_repository_lacks_is_not_mounted(self, store, other):
        """A mount of a blob that is not there says that it must be sent."""
        blob = random_blob(1000, seed=3)
        assert not store.mount(blob.descriptor, from_repository="elsewhere")
        assert not store.has_blob(blob.descriptor)


class DeleteContract:
    """What can be deleted again."""

    def test_a_manifest_goes_with_its_tags_and_its_place_among_referrers(self, store):
        """Deleting a manifest leaves no tag that names it and no entry that lists it."""
        assert isinstance(store, Deleter)
        content = push(store, builders.image(), tag="stays")
        referrer = push(store, builders.sbom(content.descriptor), tag="goes")
        assert store.delete_manifest(referrer.digest)
        assert not store.delete_manifest(referrer.digest)
        assert store.resolve("goes") is None
        assert store.referrers(content.digest) == ()
        assert list(store.tags()) == ["stays"]

    def test_a_tag_goes_alone(self, store):
        """Deleting a tag leaves the manifest and its other tags."""
        content = push(store, builders.image(), tag="one")
        push(store, content, tag="two")
        assert store.delete_tag("one")
        assert not store.delete_tag("one")
        assert list(store.tags()) == ["two"]
        assert store.resolve(str(content.digest)) is not None

    def test_a_blob_goes_from_one_repository(self, store, other):
        """Deleting a blob leaves it where another repository has it."""
        blob: Blob = random_blob(100)
        push_blob(store, blob)
        push_blob(other, blob)
        assert store.delete_blob(blob.descriptor.digest)
        assert not store.delete_blob(blob.descriptor.digest)
        assert not store.has_blob(blob.descriptor)
        assert read(other, blob.descriptor) == blob.data
