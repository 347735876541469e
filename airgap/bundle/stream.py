"""A bundle or a volume that comes through a pipe: read once, front to back, never kept on disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from airgap.bundle.front import Front, Tape, read_front, take_header, take_padding
from airgap.bundle.placement import Extent
from airgap.bundle.volume_file import behind_the_end, refuse_tail
from airgap.content.storage import storage_error
from airgap.content.store import CHUNK_SIZE, Chunks
from airgap.errors import IncompleteBundleError, StorageError, UnavailableError
from airgap.oci.digest import Digest, Hasher
from airgap.run import Run


class ByteSource(Protocol):
    """What gives bytes in order: a pipe, or what decrypts them."""

    def read(self, size: int, /) -> bytes:
        """Give at most so many bytes; none at the end."""
        ...


@dataclass(frozen=True, slots=True)
class StreamedBlob:
    """A blob, or a piece of a cut one, whose bytes are next in the pipe.

    Attributes:
        digest: What it must hash to; who takes the bytes verifies them.
        size: How many bytes it has.
        chunks: The bytes, once, in chunks of at most `CHUNK_SIZE`; valid until the next blob.
        start: Where in the blob the piece begins; None where it is no piece.
    """

    digest: Digest
    size: int
    chunks: Chunks = field(repr=False)
    start: int | None = None


class BundleStream:
    """Reads a bundle from a stream of bytes: the front, then the blobs, then the seal.

    Args:
        stream: Gives bytes, blocking; it is not closed here.
        run: Where a cancellation comes from.
        name: What the bundle is called in messages.
    """

    def __init__(self, stream: ByteSource, *, run: Run, name: str = "standard input") -> None:
        self._stream = stream
        self._run = run
        self._tape = Tape(self._read, name=name)
        self._front: Front | None = None
        self._blobs: Iterator[StreamedBlob] | None = None
        self._pieces: list[Digest] = []
        self._is_finished = False
        self.name = name

    @property
    def offset(self) -> int:
        """How many bytes have passed."""
        return self._tape.offset

    def front(self) -> Front:
        """What the bundle carries; reads it from the pipe when it is asked for first.

        Raises:
            BundleFormatError: This is no bundle, is damaged, or needs a newer airgap.
            IncompleteBundleError: The pipe ends too early.
            IntegrityError: A manifest has another digest or size than it should have.
            StorageError: The pipe cannot be read.
        """
        if self._front is None:
            self._front = read_front(self._tape)
        return self._front

    def check_alone(self) -> None:
        """See that this is a whole bundle and no volume of several.

        Raises:
            IncompleteBundleError: It is one of several.
        """
        placement = self.front().layout.placement
        if placement.volumes > 1:
            raise IncompleteBundleError(
                f"{self.name} is volume {placement.volume} of {placement.volumes}",
                missing=("the other volumes",),
                hint="name the volumes, or the folder that holds them: a pipe brings only one",
            )

    def blobs(self) -> Iterator[StreamedBlob]:
        """Every blob, in the order of the file: the configs, then the layers.

        What is not taken of a blob passes unread when the next one is asked for. There is one
        such iterator; asking again goes on where it is.

        Raises:
            BundleFormatError: Another member comes than the one that the catalog asks for.
            IncompleteBundleError: The pipe ends too early.
            StorageError: The pipe cannot be read.
            CancelledError: Somebody asked to stop.
        """
        if self._blobs is None:
            self._blobs = self._each_blob(self.front())
        return self._blobs

    def finish(self) -> None:
        """Let pass what was not asked for, and see that the seal is there and nothing behind it.

        All bytes that no blob's digest covers were compared with planned ones as they passed, so
        the seal is right exactly when it is the planned one, with what pieces hashed to.

        Raises:
            BundleFormatError: The seal is another one, or something lies behind it.
            IncompleteBundleError: There is no seal.
            StorageError: The pipe cannot be read.
            CancelledError: Somebody asked to stop.
        """
        if self._is_finished:
            return
        for _ in self.blobs():
            pass
        tail = self.front().layout.tail(tuple(self._pieces))
        actual = self._tape.upto(len(tail))
        if len(actual) < len(tail):
            self._tape.cut("the seal")
        if actual != tail:
            refuse_tail(actual, name=self.name)
        if self._tape.some(1):
            raise behind_the_end(self.name)
        self._is_finished = True

    def _each_blob(self, front: Front) -> Iterator[StreamedBlob]:
        for extent in front.layout.blobs:
            piece = None if extent.start is None else Hasher()
            take_header(self._tape, extent.name, extent.length)
            chunks = self._chunks(extent, piece)
            yield StreamedBlob(extent.digest, extent.length, chunks, extent.start)
            for _ in self._chunks(extent, piece):
                pass
            if piece is not None:
                self._pieces.append(piece.digest())
            take_padding(self._tape, extent.name, extent.length)

    def _chunks(self, extent: Extent, piece: Hasher | None) -> Iterator[bytes]:
        """What is left of a blob: nothing once the pipe is behind it."""
        while (left := extent.end - self._tape.offset) > 0:
            chunk = self._tape.some(left)
            if not chunk:
                self._tape.cut(extent.name)
            if piece is not None:
                piece.update(chunk)
            yield chunk

    def _read(self, size: int) -> bytes:
        self._run.cancel.check()
        try:
            data = self._stream.read(min(size, CHUNK_SIZE))
        except OSError as error:
            raise storage_error(error, self.name) from error
        except (ValueError, EOFError) as error:
            raise StorageError(
                f"{self.name} cannot be read: it is closed", origin="local"
            ) from error
        if data is None:
            raise UnavailableError(
                f"{self.name} has no data now and does not wait for any",
                hint="give it a pipe or a file that blocks",
                origin="bundle",
            )
        if not data:
            # Ctrl-C ends the whole pipeline: then it is the cancellation that ended the pipe.
            self._run.cancel.check()
        return data
