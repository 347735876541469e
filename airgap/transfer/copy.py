"""The only loop that moves the bytes of blobs from one place to another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from airgap.content.store import Chunks, Ingest, Opener
from airgap.oci.descriptor import Descriptor
from airgap.run import Run
from airgap.run.events import BlobAdvanced, BlobFinished, BlobStarted


class BlobSource(Protocol):
    """The part of a `Source` that blobs need."""

    def open(self, descriptor: Descriptor, /, *, offset: int = 0) -> AbstractContextManager[Chunks]:
        """Read a blob from an offset on, in chunks."""
        ...


class BlobSink(Protocol):
    """The part of a `Sink` that blobs need."""

    @property
    def name(self) -> str:
        """What this place is called in messages."""
        ...

    def ingest(self, descriptor: Descriptor, /) -> AbstractContextManager[Ingest]:
        """Begin or go on with writing a blob."""
        ...


def copy_blob(open_at: Opener, sink: BlobSink, descriptor: Descriptor, *, run: Run) -> int | None:
    """Copy one blob, going on from whatever the sink already holds.

    Args:
        open_at: Opens the source at an offset.
        sink: Where the blob goes.
        descriptor: What it is.
        run: Checked between chunks; takes the progress.

    Returns:
        How many bytes the source gave, those counted twice that were sent twice; None where it
        was not opened, since the sink found all of it by itself.

    Raises:
        AirgapError: Either side failed; what is durable at the sink stays there, invisible.
    """
    run.cancel.check()
    observed = _Observed(open_at, descriptor, sink.name, run)
    with sink.ingest(descriptor) as ingest:
        run.emit(BlobStarted(descriptor, sink.name, ingest.offset))
        ingest.receive(observed.open_at)
        ingest.commit()
    if observed.moved is not None:
        run.emit(BlobFinished(descriptor, sink.name))
    return observed.moved


class _Observed:
    """Lets cancellation and progress see each chunk on its way, and counts."""

    def __init__(self, open_at: Opener, descriptor: Descriptor, place: str, run: Run) -> None:
        self._open_at = open_at
        self._descriptor = descriptor
        self._place = place
        self._run = run
        self.moved: int | None = None

    @contextmanager
    def open_at(self, offset: int, /) -> Iterator[Chunks]:
        """Open the source."""
        self.moved = self.moved or 0
        with self._open_at(offset) as chunks:
            yield self._chunks(chunks, offset)

    def _chunks(self, chunks: Chunks, offset: int) -> Iterator[bytes]:
        for chunk in chunks:
            self._run.cancel.check()
            self.moved = (self.moved or 0) + len(chunk)
            yield chunk
            offset += len(chunk)
            self._run.emit(BlobAdvanced(self._descriptor, self._place, offset))
