"""The only loop that moves the bytes of blobs from one place to another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from airgap.content.store import Chunks, Ingest, Opener
from airgap.oci.descriptor import Descriptor
from airgap.run import Run
from airgap.run.events import BlobAdvanced, BlobFinished, BlobStarted


class BlobSink(Protocol):
    """The part of a `Sink` that blobs need."""

    @property
    def name(self) -> str:
        """What this place is called in messages."""
        ...

    def ingest(self, descriptor: Descriptor, /) -> AbstractContextManager[Ingest]:
        """Begin or go on with writing a blob."""
        ...


def copy_blob(open_at: Opener, sink: BlobSink, descriptor: Descriptor, *, run: Run) -> None:
    """Copy one blob, going on from whatever the sink already holds.

    Args:
        open_at: Opens the source at an offset.
        sink: Where the blob goes.
        descriptor: What it is.
        run: Checked between chunks; takes the progress.

    Raises:
        AirgapError: Either side failed; what is durable at the sink stays there, invisible.
    """
    run.cancel.check()
    with sink.ingest(descriptor) as ingest:
        run.emit(BlobStarted(descriptor, sink.name, ingest.offset))
        ingest.receive(_observed(open_at, descriptor, sink.name, run))
        ingest.commit()
    run.emit(BlobFinished(descriptor, sink.name))


def _observed(open_at: Opener, descriptor: Descriptor, place: str, run: Run) -> Opener:
    """Let cancellation and progress see each chunk on its way."""

    @contextmanager
    def opened(offset: int) -> Iterator[Chunks]:
        with open_at(offset) as chunks:
            yield _chunks(chunks, offset)

    def _chunks(chunks: Chunks, offset: int) -> Iterator[bytes]:
        for chunk in chunks:
            run.cancel.check()
            yield chunk
            offset += len(chunk)
            run.emit(BlobAdvanced(descriptor, place, offset))

    return opened
