"""A bundle that comes through a pipe is read once, front to back."""

import io
import os
import threading
import tracemalloc
from collections.abc import Callable

import pytest

from airgap.bundle import members
from airgap.bundle.stream import BundleStream
from airgap.content.store import CHUNK_SIZE
from airgap.errors import (
    AirgapError,
    BundleFormatError,
    CancelledError,
    IncompleteBundleError,
    StorageError,
    UnavailableError,
)
from airgap.oci.digest import Digest
from airgap.oci.layout import blob_path
from airgap.run import CancelToken, Run
from tests.support import bundles
from tests.support.bundles import make_bundle, member, pack, tiny_bundle, unpack

MADE = make_bundle()


class Dribble(io.RawIOBase):
    """Gives a few bytes at a time, as a slow pipe does."""

    def __init__(self, data: bytes, step: int = 700) -> None:
        self._data = io.BytesIO(data)
        self._step = step

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, self._step))


def stream_of(data: bytes) -> BundleStream:
    return BundleStream(io.BytesIO(data), run=Run())


def drain(stream: BundleStream) -> dict[Digest, bytes]:
    found = {blob.digest: b"".join(blob.chunks) for blob in stream.blobs()}
    stream.finish()
    return found


def refusal(data: bytes) -> AirgapError:
    with pytest.raises(AirgapError) as caught:
        drain(stream_of(data))
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("make", [io.BytesIO, Dribble])
def test_a_pipe_gives_what_a_file_has(make: Callable[[bytes], io.RawIOBase]) -> None:
    """Front and blobs are those of the bundle, in the order of the file."""
    stream = BundleStream(make(MADE.data), run=Run())
    front = stream.front()
    assert front.catalog == MADE.catalog
    assert front.documents == MADE.documents
    assert list(drain(stream).items()) == list(MADE.contents.items())
    assert stream.offset == len(MADE.data)
    stream.finish()


def test_a_real_pipe_is_read() -> None:
    """What another process writes arrives whole."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as out:
            out.write(MADE.data)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(reading, "rb") as source:
        assert drain(BundleStream(source, run=Run())) == MADE.contents
    writer.join()


def test_blobs_may_be_skipped_or_left_in_the_middle() -> None:
    """What is not taken of a blob passes, and the next one is right."""
    stream = BundleStream(Dribble(MADE.data, step=100), run=Run())
    for number, blob in enumerate(stream.blobs()):
        if number % 3 == 0:
            assert b"".join(blob.chunks) == MADE.contents[blob.digest]
        elif number % 3 == 1:
            next(blob.chunks)
    stream.finish()


def test_chunks_of_a_blob_that_has_passed_give_nothing() -> None:
    """An iterator that is held too long never gives bytes of the next blob."""
    stream = stream_of(MADE.data)
    blobs = stream.blobs()
    first = next(blobs)
    second = next(blobs)
    assert list(first.chunks) == []
    assert b"".join(second.chunks) == MADE.contents[second.digest]


def test_finish_lets_everything_pass() -> None:
    """The seal is checked even where no blob was asked for, and twice does no harm."""
    stream = stream_of(MADE.data)
    stream.finish()
    stream.finish()
    assert stream.offset == len(MADE.data)


def test_memory_does_not_grow_with_the_blobs() -> None:
    """A layer of many chunks passes with a few of them in memory."""
    size = 24 * CHUNK_SIZE
    made = tiny_bundle(layers=(bytes(size),))
    data = made.data
    tracemalloc.start()
    try:
        stream = stream_of(data)
        seen = sum(len(chunk) for blob in stream.blobs() for chunk in blob.chunks)
        stream.finish()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seen > size
    assert peak < 5 * CHUNK_SIZE


@pytest.mark.parametrize("fraction", range(1, 20))
def test_a_pipe_that_ends_early_is_incomplete(fraction: int) -> None:
    """Wherever the pipe ends, the exit code is 23."""
    error = refusal(MADE.data[: len(MADE.data) * fraction // 20])
    assert isinstance(error, IncompleteBundleError)
    assert error.missing


def test_no_seal_no_success() -> None:
    """All blobs without the seal are not a bundle yet."""
    seal = MADE.layout.placement.seal
    for data in (MADE.data[:seal], MADE.data[: seal + 700], MADE.data[:-1]):
        assert isinstance(refusal(data), IncompleteBundleError)
    zeros = MADE.data[:seal].ljust(len(MADE.data), b"\0")
    assert "never finished" in refusal(zeros).message


def test_bytes_behind_the_end_are_refused() -> None:
    """Nothing hides behind the end of the tar."""
    assert isinstance(refusal(MADE.data + b"x"), BundleFormatError)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../escape", "leads out"),
        ("/etc/passwd", "absolute"),
        ("note.txt", "not a member"),
        ("index.json", "stands twice"),
    ],
)
@pytest.mark.parametrize("position", [-1, -2, -5])
def test_members_that_do_not_belong_are_refused_as_they_come(
    name: str, words: str, position: int
) -> None:
    """Behind the front, too, only what the catalog explains may come."""
    parts = list(unpack(MADE.data).items())
    data = pack([*parts[:position], (name, b"?"), *parts[position:]])
    error = refusal(data)
    if position == -1:
        assert error.exit_code == 22
    else:
        assert words in error.message


def test_a_blob_that_stands_twice_is_refused() -> None:
    """A second member of a name does not replace the first."""
    parts = list(unpack(MADE.data).items())
    error = refusal(pack([*parts[:-2], parts[-3], *parts[-2:]]))
    assert isinstance(error, BundleFormatError)
    assert "stands twice" in error.message


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"5", b"x"])
def test_members_that_are_no_plain_files_are_refused_as_they_come(kind: bytes) -> None:
    """A link in the place of a layer is refused."""
    extent = MADE.layout.blobs[-1]
    start = extent.offset - members.BLOCK
    swapped = member(f"blobs/sha256/{extent.digest.hex}", kind=kind)
    assert refusal(bundles.replace(MADE.data, start, swapped)).exit_code == 22


def test_a_pax_record_is_compared() -> None:
    """A blob above 8 GiB has its size in a record, and nothing else stands there."""
    small = tiny_bundle()
    (document,) = small.documents.values()
    size = 9 << 30
    huge = bundles.parse(document.raw.replace(b'"size": 7', b'"size": %d' % size))
    (config, _), (layer, _) = small.catalog.blobs
    made = bundles.assemble(
        {huge.descriptor.digest: huge},
        {config: small.contents[config]},
        images=[bundles.named("example.com/huge:1", huge)],
        absent=[(layer, size)],
    )
    *_, (offset, head), _ = made.layout.frames()
    assert len(head) > members.BLOCK
    content = small.contents[config]
    before = (made.layout.front + members.header(blob_path(config), len(content)) + content).ljust(
        offset, b"\0"
    )
    error = refusal(before + bundles.flip(head, members.BLOCK + 5))
    assert isinstance(error, BundleFormatError)
    assert f"{layer.hex} at byte {offset} is damaged" in error.message


def test_bytes_that_fill_a_block_are_zeros() -> None:
    """Nothing hides between two members."""
    extent = MADE.layout.blobs[0]
    assert isinstance(refusal(bundles.flip(MADE.data, extent.end)), BundleFormatError)


def test_an_error_of_the_pipe_is_translated() -> None:
    """An input error is a storage error, also in the middle of a blob."""

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > MADE.layout.blobs[-1].offset - 1000:
                raise OSError(5, "Input/output error")
            return super().read(min(size or 0, 300))

    stream = BundleStream(Broken(MADE.data), run=Run())
    with pytest.raises(StorageError, match="standard input"):
        drain(stream)


def test_a_closed_stream_is_translated() -> None:
    """Reading from what is closed is no traceback."""
    source = io.BytesIO(MADE.data)
    source.close()
    with pytest.raises(StorageError):
        BundleStream(source, run=Run()).front()


def test_a_stream_that_does_not_wait_is_refused() -> None:
    """No data now is not the end of the data."""

    class Impatient(Dribble):
        def read(self, size: int = -1) -> bytes:
            return super().read(size) if self._data.tell() < 2000 else None

    with pytest.raises(UnavailableError):
        drain(BundleStream(Impatient(MADE.data), run=Run()))


def test_a_cancelled_run_stops_between_chunks() -> None:
    """Nothing is read after a cancellation."""
    token = CancelToken()
    stream = BundleStream(io.BytesIO(MADE.data), run=Run(cancel=token))
    blobs = stream.blobs()
    next(blobs)
    token.cancel()
    before = stream.offset
    with pytest.raises(CancelledError):
        next(blobs)
    assert stream.offset == before


def test_a_pipe_that_ends_by_ctrl_c_is_a_cancellation() -> None:
    """Ctrl-C ends the whole pipeline: that is an interruption, and no damaged bundle."""
    token = CancelToken()

    class Interrupted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            if not data:
                token.cancel()
            return data

    stream = BundleStream(Interrupted(MADE.data[:9000]), run=Run(cancel=token))
    with pytest.raises(CancelledError):
        stream.front()
