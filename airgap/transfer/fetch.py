"""Bringing a bundle's blobs here: several at once, the largest first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from airgap.content.store import Chunks, Opener, Placer
from airgap.errors import (
    AirgapError,
    CancelledError,
    ContentNotFoundError,
    IntegrityError,
    StorageError,
)
from airgap.oci import mediatype
from airgap.oci.digest import Digest
from airgap.run import Run
from airgap.run.events import ItemFinished
from airgap.transfer.copy import BlobSink, copy_blob
from airgap.transfer.outcome import may_go_on
from airgap.transfer.plan import Fetch
from airgap.transfer.resolution import Selection
from airgap.transfer.sources import Sources
from airgap.transfer.workers import Workers

PHASE = "fetch"


class Fetcher:
    """Fetches blobs into a sink.

    Args:
        sources: Where repositories are opened.
        sink: Where the blobs go.
        selection: What is wanted, and what may be missing.
        contents: Blobs that are in memory already.
        keep_going: Whether a blob that cannot be had is noted instead of ending the work.
    """

    def __init__(
        self,
        sources: Sources,
        sink: BlobSink,
        selection: Selection,
        *,
        contents: Mapping[Digest, bytes],
        keep_going: bool,
        run: Run,
    ) -> None:
        self._sources = sources
        self._sink = sink
        self._selection = selection
        self._contents = contents
        self._keep_going = keep_going
        self._run = run
        self._lock = threading.Lock()
        self._fetched_bytes = 0
        self.lost: dict[Digest, AirgapError] = {}

    @property
    def fetched_bytes(self) -> int:
        """The bytes that came from sources."""
        return self._fetched_bytes

    def fetch(self, fetches: Iterable[Fetch]) -> None:
        """Fetch blobs in parallel, the largest first, so that none is left alone at the end.

        A sink that wants the order of places gets that.

        Blobs that cannot be had are in `lost` afterwards, where the work goes on without them.

        Raises:
            AirgapError: One failed, and that ends the work.
        """
        sink = self._sink
        if isinstance(sink, Placer) and sink.wants_order:
            ordered = sorted(fetches, key=lambda f: sink.position(f.descriptor))
        else:
            ordered = sorted(fetches, key=lambda f: (-f.descriptor.size, f.descriptor.digest))
        workers = Workers(self._sources.width, run=self._run, ends=self._sources.scope)
        workers.finish([self._task(fetch, workers.run) for fetch in ordered])

    def fetch_in_order(self, fetches: Iterable[Fetch]) -> None:
        """Fetch blobs one after the other in the given order, for a sink that takes no other."""
        for fetch in fetches:
            self._fetch(fetch, self._run)

    def _task(self, fetch: Fetch, run: Run) -> Callable[[], None]:
        return lambda: self._fetch(fetch, run)

    def _fetch(self, fetch: Fetch, run: Run) -> None:
        digest = fetch.descriptor.digest
        try:
            moved = self._from_any(fetch, run)
        except (CancelledError, StorageError):
            raise
        except AirgapError as error:
            is_allowed = (
                isinstance(error, ContentNotFoundError) and self._selection.allow_missing_at_source
            )
            if not is_allowed and not (self._keep_going and may_go_on(error)):
                raise
            with self._lock:
                self.lost[digest] = error
            run.emit(ItemFinished(PHASE, str(digest), "failed"))
            return
        with self._lock:
            self._fetched_bytes += moved
        run.emit(ItemFinished(PHASE, str(digest)))

    def _from_any(self, fetch: Fetch, run: Run) -> int:
        """Take the blob from the first of its places that has it."""
        descriptor = fetch.descriptor
        openers = [self._opener(fetch, repository) for repository in fetch.repositories]
        if descriptor.digest in self._contents:
            openers.insert(0, _memory_opener(self._contents[descriptor.digest]))
        if mediatype.is_non_distributable(descriptor.media_type) and descriptor.urls:
            openers.append(lambda offset: self._sources.open_foreign(descriptor, offset=offset))
        absent: ContentNotFoundError | None = None
        for opener in openers:
            try:
                return copy_blob(opener, self._sink, descriptor, run=run) or 0
            except ContentNotFoundError as error:
                absent = error
            except IntegrityError as error:
                error.origin = error.origin or "source"
                self._sources.accuse(error, descriptor, fetch.repositories)
                raise
        is_one = len(fetch.repositories) == 1
        raise ContentNotFoundError(
            f"{' and '.join(fetch.repositories)} {'names' if is_one else 'name'} the blob "
            f"{descriptor.digest} and {'does' if is_one else 'do'} not have it",
            hint="--allow-missing-at-source leaves it out and says so in the bundle",
            origin="source",
        ) from absent

    def _opener(self, fetch: Fetch, repository: str) -> Opener:
        source = self._sources.open(repository)
        return lambda offset: source.open(fetch.descriptor, offset=offset)


def _memory_opener(data: bytes) -> Opener:
    @contextmanager
    def opened(offset: int) -> Iterator[Chunks]:
        yield iter([data[offset:]])

    return opened
