"""Writing a bundle, or a volume of one, to a pipe: the same bytes as in a file, front to back.

Bytes that have left cannot be called back: the layout is fixed once it has begun, and where a blob
fails for good there is no seal.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Protocol, Self

from airgap.bundle.layout import Layout, check_size, frame
from airgap.bundle.placement import Extent
from airgap.content.storage import storage_error
from airgap.content.store import Chunks, Opener
from airgap.content.verify import verified
from airgap.errors import (
    AirgapError,
    ContentNotFoundError,
    IncompleteBundleError,
    IntegrityError,
    UnavailableError,
)
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest, Hasher, Verifier
from airgap.oci.manifest import Document
from airgap.run import Run
from airgap.run.events import PhaseFinished, PhaseStarted


class ByteSink(Protocol):
    """What takes bytes in order: a pipe, or what encrypts them."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Take some of the bytes, and say how many."""
        ...

    def flush(self) -> object:
        """Hand on what is held back."""
        ...


class PipeWriter:
    """A bundle on its way into a pipe. A `content.store.Sink` that takes only the next blob.

    For one thread. Of a blob that is cut, the volume gets its piece; the whole of it is asked for
    and hashed all the same, since nothing else says that the piece is right.

    Args:
        stream: Takes the bytes; stays open.
        run: Progress and cancellation.
        name: What it is called in messages.
    """

    def __init__(self, stream: ByteSink, *, run: Run, name: str = "standard output") -> None:
        self.name = name
        self._stream = stream
        self._run = run
        self._layout: Layout | None = None
        self._sent: set[Digest] = set()
        self._pieces: list[Digest] = []
        self._sizes: dict[Digest, int] = {}
        self._waiting: list[Extent] = []
        self._current: PipeIngest | None = None
        self._offset = 0

    @property
    def next_position(self) -> Extent | None:
        """The blob that is wanted next; None when all were sent."""
        return self._waiting[-1] if self._waiting else None

    def begin(self, layout: Layout) -> None:
        """Send the front: all that is known before the first blob.

        Raises:
            UnavailableError: Whoever reads the pipe is gone.
        """
        assert self._layout is None, "the layout of a pipe is fixed"
        self._layout = layout
        self._waiting = list(reversed(layout.blobs))
        self._sizes = dict(layout.catalog.blobs)
        self.send(layout.front)

    def has_blob(self, descriptor: Descriptor, /) -> bool:
        """Whether the blob was sent, or the piece of it that belongs here."""
        return descriptor.digest in self._sent

    @contextmanager
    def ingest(self, descriptor: Descriptor, /) -> Iterator[PipeIngest]:
        """Begin or go on with sending the next blob.

        Raises:
            ContentNotFoundError: Another blob is to be sent next.
            SizeMismatchError: The layout has another size for it.
        """
        extent = self.next_position
        if extent is None or extent.digest != descriptor.digest:
            raise ContentNotFoundError(f"{self.name} does not take {descriptor.digest} next")
        size = self._sizes[extent.digest]
        check_size(replace(extent, length=size), descriptor)
        if self._current is None:
            self._send_frame(extent, is_head=True)
            self._current = PipeIngest(self, extent, size, run=self._run)
        yield self._current

    def put_manifest(self, document: Document, /, *, tag: str | None = None) -> None:
        """Check that a manifest is in the layout, which is all there is to do for it.

        Raises:
            ContentNotFoundError: It is not.
        """
        assert self._layout is not None, "begin() comes first"
        self._layout.check_manifest(document.descriptor.digest, name=self.name)

    def finish(self) -> None:
        """Send the seal.

        Raises:
            IncompleteBundleError: Blobs are missing: what was sent stays without a seal.
            UnavailableError: Whoever reads the pipe is gone.
        """
        assert self._layout is not None, "begin() comes first"
        if self._waiting:
            raise IncompleteBundleError(
                f"{self.name}: {len(self._waiting)} blobs are missing",
                missing=[str(extent.digest) for extent in reversed(self._waiting)],
                hint="what was sent has no seal and cannot be used; send it again",
            )
        self._run.emit(PhaseStarted("seal"))
        self.send(self._layout.tail(tuple(self._pieces)))
        with self._errors():
            self._stream.flush()
        self._run.emit(PhaseFinished("seal"))

    def close(self) -> None:
        """There is nothing to give up; there so that both writers can be used alike."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, data: bytes | memoryview) -> None:
        """Send the next bytes.

        Raises:
            UnavailableError: Whoever reads the pipe is gone.
        """
        view = memoryview(data)
        with self._errors():
            while view:
                written = self._stream.write(view)
                view = view[written:]
                self._offset += written

    def sent(self, extent: Extent, content: Digest) -> None:
        """Note that a blob or a piece was sent, and what it hashes to."""
        self._send_frame(extent, is_head=False)
        if extent.start is not None:
            self._pieces.append(content)
        self._waiting.pop()
        self._sent.add(extent.digest)
        self._current = None

    def _send_frame(self, extent: Extent, *, is_head: bool) -> None:
        for offset, data in frame(extent):
            if (offset < extent.offset) == is_head:
                assert offset == self._offset, "bytes go where the layout has them"
                self.send(data)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._translated(error) from error

    def _translated(self, error: OSError) -> AirgapError:
        if error.errno in (errno.EPIPE, errno.ECONNRESET):
            return UnavailableError(
                "the reader of the pipe went away",
                hint="see what it says; then start both again",
                origin="local",
            )
        return storage_error(error, self.name)


class PipeIngest:
    """Sends one blob into a pipe. A `content.store.Ingest` that lives until the blob is sent.

    Args:
        pipe: Where it is sent.
        extent: Its place, or that of a piece.
        size: How many bytes all of it has.
        run: Cancellation.
    """

    def __init__(self, pipe: PipeWriter, extent: Extent, size: int, *, run: Run) -> None:
        self._pipe = pipe
        self._extent = extent
        self._size = size
        self._run = run
        self._verifier = Verifier(extent.digest, size, origin="source")
        self._piece = Hasher()
        self._start = extent.start or 0
        self._passed = 0
        self._held = b""
        self._is_verified = self._is_committed = False
        self._is_broken = False

    @property
    def offset(self) -> int:
        """How many bytes of the blob have passed."""
        return self._passed

    def receive(self, open_at: Opener, /) -> None:
        """Pull the rest, verifying as it goes; the last bytes leave when the digest is right.

        Raises:
            SizeMismatchError: There were more or fewer bytes than the layout says.
            DigestMismatchError: The bytes hash to something else. Some of them have left.
            UnavailableError: Whoever reads the pipe is gone, or an earlier try sent wrong bytes.
        """
        if self._is_verified:
            return
        if self._is_broken:
            raise UnavailableError(
                f"a part of {self._extent.digest} that was not right has left already",
                hint="start again; what was sent has no seal and cannot be used",
                origin="local",
            )
        offset = self._verifier.size
        try:
            with open_at(offset) as chunks:
                for chunk in verified(self._joined(chunks), self._verifier, offset=self._passed):
                    self._send(chunk)
                    self._passed += len(chunk)
        except IntegrityError:
            self.abort()
            raise
        self._is_verified = True

    def commit(self) -> None:
        """Go on to the next blob. A second commit does nothing.

        Raises:
            SizeMismatchError: It is not whole yet.
        """
        if self._is_committed:
            return
        if not self._is_verified:
            raise replace(self._extent, length=self._size).short_error(self._passed)
        is_piece = self._extent.start is not None
        self._pipe.sent(self._extent, self._piece.digest() if is_piece else self._extent.digest)
        self._is_committed = True

    def abort(self) -> None:
        """Give the blob up. What has left cannot be called back."""
        if self._is_verified:
            return
        self._is_broken = self._passed > self._start
        self._verifier = Verifier(self._extent.digest, self._size, origin="source")
        self._held = b""
        self._passed = 0 if not self._is_broken else self._passed

    def _send(self, chunk: bytes) -> None:
        """Send what of a chunk belongs to the piece."""
        first = max(0, self._start - self._passed)
        last = max(0, self._start + self._extent.length - self._passed)
        view = memoryview(chunk)[first:last]
        if self._extent.start is not None:
            self._piece.update(view)
        self._pipe.send(view)

    def _joined(self, chunks: Chunks) -> Chunks:
        """What was hashed before but has not left, and then what comes now.

        The last chunk of an attempt that broke off is hashed and not sent. It is kept here, so
        that the bytes that leave are the ones that were hashed.
        """
        if self._held:
            yield self._held
        for chunk in chunks:
            self._run.cancel.check()
            if chunk:
                self._held = chunk
                yield chunk
