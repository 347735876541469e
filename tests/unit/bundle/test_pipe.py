"""Writing bundles to pipes: in order, and nothing that cannot be called back."""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from airgap.bundle.pipe import PipeWriter
from airgap.errors import (
    CancelledError,
    ContentNotFoundError,
    DigestMismatchError,
    IncompleteBundleError,
    SizeMismatchError,
    StorageFullError,
    UnavailableError,
)
from airgap.oci.descriptor import Descriptor
from airgap.run import Run
from tests.support.bundles import MadeBundle, make_bundle, tiny_bundle
from tests.support.volume_sets import split
from tests.support.writing import bundle_of, descriptors, opener, put

LAYER = bytes(range(256)) * 20


@pytest.fixture
def made() -> MadeBundle:
    """A bundle with a layer of several chunks behind a small one."""
    return bundle_of([b"first", LAYER, b""])


def started(made: MadeBundle, stream: io.BytesIO | None = None, run: Run | None = None):
    writer = PipeWriter(stream or io.BytesIO(), run=run or Run())
    writer.begin(made.layout)
    return writer


def at_layer(made: MadeBundle, stream: io.BytesIO | None = None, run: Run | None = None):
    """A writer that wants the large layer next, and the layer's descriptor."""
    writer = started(made, stream, run)
    put(writer, made.layout, made.contents, limit=2)
    wanted = writer.next_position
    assert wanted is not None
    assert wanted.length == len(LAYER)
    return writer, descriptors(made.layout)[2]


def breaking_off(data: bytes, after: int):
    """A source that gives so many chunks and breaks off."""

    @contextmanager
    def open_at(offset: int):
        def chunks() -> Iterator[bytes]:
            for number, at in enumerate(range(offset, len(data), 1000)):
                if number == after:
                    raise UnavailableError("cut")
                yield data[at : at + 1000]
                yield b""

        yield chunks()

    return open_at


def test_same_bytes_as_a_file() -> None:
    """A piped bundle is byte for byte the one that is planned, and the stream stays open."""
    made = make_bundle()
    stream = io.BytesIO()
    with PipeWriter(stream, run=Run()) as writer:
        writer.begin(made.layout)
        put(writer, made.layout, made.contents)
        assert writer.next_position is None
        writer.finish()
    assert stream.getvalue() == made.data


@pytest.mark.parametrize("limit", [1700, 4000, 3])
def test_volumes_are_piped_as_they_are_in_files(made: MadeBundle, limit: int) -> None:
    """Of a cut blob each volume gets its piece, and the seal says what the piece hashes to."""
    volumes = split(bundle_of([b"first", LAYER[:30], b""]) if limit == 3 else made, limit)
    assert volumes.cut
    for layout, data in zip(volumes.layouts, volumes.data, strict=True):
        stream = io.BytesIO()
        with PipeWriter(stream, run=Run()) as writer:
            writer.begin(layout)
            for extent in layout.blobs:
                content = volumes.made.contents[extent.digest]
                descriptor = Descriptor("application/x", extent.digest, len(content))
                with writer.ingest(descriptor) as ingest:
                    ingest.receive(opener(content))
                    ingest.commit()
            writer.finish()
        assert stream.getvalue() == data


def test_wrong_bytes_before_a_piece_are_found_before_any_has_left(made: MadeBundle) -> None:
    """All of a cut blob is hashed, and another source may still give it."""
    volumes = split(made, 4000)
    layout, data = volumes.layouts[-1], volumes.data[-1]
    (extent,) = layout.pieces
    content = made.contents[extent.digest]
    stream = io.BytesIO()
    writer = PipeWriter(stream, run=Run())
    writer.begin(layout)
    with writer.ingest(Descriptor("application/x", extent.digest, len(content))) as ingest:
        with pytest.raises((DigestMismatchError, SizeMismatchError)):
            ingest.receive(opener(content[: extent.start] + b"?", chunk=100_000))
        assert len(stream.getvalue()) == extent.offset
        ingest.receive(opener(content))
        ingest.commit()
    for other in layout.blobs[1:]:
        found = made.contents[other.digest]
        with writer.ingest(Descriptor("application/x", other.digest, len(found))) as ingest:
            ingest.receive(opener(found))
            ingest.commit()
    writer.finish()
    assert stream.getvalue() == data


def test_short_writes(made: MadeBundle) -> None:
    """A stream that takes a few bytes at a time gets all of them."""

    class Narrow(io.BytesIO):
        def write(self, data, /) -> int:
            return super().write(bytes(memoryview(data)[:100]))

    stream = Narrow()
    writer = started(made, stream)
    put(writer, made.layout, made.contents)
    writer.finish()
    assert stream.getvalue() == made.data


def test_only_the_next_blob(made: MadeBundle) -> None:
    """A blob that is not the next one, or has another size, is refused."""
    writer = started(made)
    config, first, *_ = descriptors(made.layout)
    with pytest.raises(ContentNotFoundError):
        with writer.ingest(first):
            pass
    with pytest.raises(SizeMismatchError):
        with writer.ingest(Descriptor(config.media_type, config.digest, config.size + 1)):
            pass
    put(writer, made.layout, made.contents, limit=1)
    assert writer.has_blob(config)
    assert not writer.has_blob(first)


def test_manifests_are_in_the_front(made: MadeBundle) -> None:
    """Putting a manifest of the layout does nothing, and another one is refused."""
    writer = started(made)
    for document in made.documents.values():
        writer.put_manifest(document)
    with pytest.raises(ContentNotFoundError):
        writer.put_manifest(next(iter(tiny_bundle().documents.values())))


@pytest.mark.parametrize("after", range(7))
def test_a_source_that_breaks_off_goes_on(made: MadeBundle, after: int) -> None:
    """A blob whose source broke off goes on where it was, with the bytes that were hashed."""
    stream = io.BytesIO()
    writer, layer = at_layer(made, stream)
    if after < 6:
        with pytest.raises(UnavailableError), writer.ingest(layer) as ingest:
            ingest.receive(breaking_off(LAYER, after))
    asked: list[int] = []
    with writer.ingest(layer) as ingest:
        assert ingest.offset == max(0, min(after, 6) - 1) * 1000 * (after < 6)
        ingest.receive(opener(LAYER, opened=asked))
        ingest.receive(opener(b"ignored"))
        ingest.commit()
        ingest.commit()
    assert asked == [after * 1000 * (after < 6)]
    put(writer, made.layout, made.contents)
    writer.finish()
    assert stream.getvalue() == made.data


def test_a_source_that_changes_its_mind_is_found_out(made: MadeBundle) -> None:
    """What is sent is what was hashed, even if a source gives other bytes the second time."""
    stream = io.BytesIO()
    writer, layer = at_layer(made, stream)
    with pytest.raises(UnavailableError), writer.ingest(layer) as ingest:
        ingest.receive(breaking_off(LAYER, 3))
    changed = b"?" * 3000 + LAYER[3000:]
    with writer.ingest(layer) as ingest:
        ingest.receive(opener(changed))
        ingest.commit()
    put(writer, made.layout, made.contents)
    writer.finish()
    assert stream.getvalue() == made.data


def test_wrong_bytes_end_it(made: MadeBundle) -> None:
    """Where wrong bytes have left, the blob cannot be sent any more, and there is no seal."""
    stream = io.BytesIO()
    writer, layer = at_layer(made, stream)
    with writer.ingest(layer) as ingest:
        with pytest.raises(DigestMismatchError):
            ingest.receive(opener(b"?" + LAYER[1:]))
        with pytest.raises(UnavailableError):
            ingest.receive(opener(LAYER))
        with pytest.raises(SizeMismatchError):
            ingest.commit()
    with pytest.raises(IncompleteBundleError) as caught:
        writer.finish()
    assert len(caught.value.missing) == 2
    assert b"airgap/seal.json" not in stream.getvalue()


@pytest.mark.parametrize("wrong", [b"wrong", b"firs", b"firsts"])
def test_wrong_bytes_that_have_not_left(made: MadeBundle, wrong: bytes) -> None:
    """A small blob that is wrong is held back, so another source may still give it."""
    stream = io.BytesIO()
    writer = started(made, stream)
    put(writer, made.layout, made.contents, limit=1)
    with writer.ingest(descriptors(made.layout)[1]) as ingest:
        with pytest.raises((DigestMismatchError, SizeMismatchError)):
            ingest.receive(opener(wrong))
    put(writer, made.layout, made.contents)
    writer.finish()
    assert stream.getvalue() == made.data


def test_cancelled(made: MadeBundle) -> None:
    """A cancellation stops between chunks."""
    run = Run()
    writer, layer = at_layer(made, run=run)
    run.cancel.cancel()
    with pytest.raises(CancelledError), writer.ingest(layer) as ingest:
        ingest.receive(opener(LAYER))


def test_reader_goes_away(made: MadeBundle) -> None:
    """A pipe whose reader has gone is said to be one, whenever it happens."""
    source, sink = os.pipe()
    reader = threading.Thread(target=lambda: (os.read(source, 100), os.close(source)))
    reader.start()
    with os.fdopen(sink, "wb", buffering=0) as stream:
        writer = PipeWriter(stream, run=Run())
        with pytest.raises(UnavailableError) as caught:
            for _ in range(100):
                writer.begin(made.layout)
                writer._layout = None
        assert "reader" in caught.value.message
    reader.join()


def test_full_disk_behind_it(made: MadeBundle) -> None:
    """Standard output that goes to a full disk says so."""

    class Full(io.BytesIO):
        def write(self, _: object, /) -> int:
            raise OSError(errno.ENOSPC, "no space")

    with pytest.raises(StorageFullError):
        PipeWriter(Full(), run=Run()).begin(made.layout)
