"""Making a bundle durable while it is being fetched, so that little is left to do at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from queue import SimpleQueue
from threading import Lock, Thread

from airgap.bundle.bundle_files import BundleFiles
from airgap.bundle.journal import Journal
from airgap.bundle.placement import Extent
from airgap.errors import StorageError
from airgap.oci.digest import Digest

_BYTES = 64 * 1024 * 1024
_SECONDS = 1.0


class Syncer:
    """Syncs a file in a thread of its own, and then records in the journal what became durable.

    It is woken by those who write, when enough was written or enough time has passed since the
    last time: where nothing is written, there is nothing to sync. What fails in the thread fails
    the next one who asks.

    Args:
        file: What is being written.
        journal: Where it is recorded.
        clock: Seconds that only grow.
    """

    def __init__(self, file: BundleFiles, journal: Journal, *, clock: Callable[[], float]) -> None:
        self.journal = journal
        self._file = file
        self._clock = clock
        self._lock = Lock()
        self._begun: dict[Digest, Extent] = dict(journal.holdings.begun)
        self._bytes = 0
        self._last = clock()
        self._failure: StorageError | None = None
        self._is_asked = False
        self._asked: SimpleQueue[bool] = SimpleQueue()
        self._thread: Thread | None = Thread(target=self._work, name="airgap-sync", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Fail if the file could not be synced.

        Raises:
            StorageError: It could not: nothing that is written from now on would be safe.
        """
        failure = self._failure
        if failure is not None:
            # each thread gets an error of its own, since raising one writes to it
            raise type(failure)(failure.message, hint=failure.hint, origin=failure.origin)

    def note(self, size: int) -> None:
        """Count bytes that were written, and have them synced when it is time."""
        with self._lock:
            self._bytes += size
            if self._is_asked:
                return
            if self._bytes < _BYTES and self._clock() - self._last < _SECONDS:
                return
            self._is_asked = True
        self._asked.put(True)

    def begun(self, digest: Digest) -> int:
        """How many bytes of a blob were written from its start."""
        with self._lock:
            extent = self._begun.get(digest)
            return extent.length if extent else 0

    def advance(self, extent: Extent) -> None:
        """Note up to where a blob was written.

        Raises:
            StorageError: The file could not be synced.
        """
        self.check()
        with self._lock:
            before = self._begun.get(extent.digest)
            self._begun[extent.digest] = extent
        self.note(extent.length - (before.length if before else 0))

    def forget(self, digest: Digest) -> None:
        """Take back what was written of a blob: it will be written again."""
        with self._lock:
            self._begun.pop(digest, None)
            # under the lock, so that no record of what is taken back can follow
            self.journal.drop([digest])
        self.journal.sync()

    def commit(self, extent: Extent) -> None:
        """Record that a blob is whole and right."""
        self.check()
        with self._lock:
            self._begun.pop(extent.digest, None)
            self.journal.add_verified(extent)
        self.note(0)

    def close(self) -> None:
        """Sync what is left and end the thread. A second time does nothing.

        Raises:
            StorageError: The file could not be synced, now or before.
        """
        if self.stop():
            self._sync()

    def stop(self) -> bool:
        """End the thread and sync no more; False where it had ended.

        What became durable after the last sync is then not recorded: who goes on hashes it again.

        Raises:
            StorageError: The file could not be synced before.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return False
        self._asked.put(False)
        thread.join()
        self.check()
        return True

    def _work(self) -> None:
        while self._asked.get():
            try:
                synced = self._sync_file()
                if self._thread is not None:  # else nobody waits for the record but its end
                    self._record(*synced)
            except StorageError as error:
                # The system says once that writing back failed, so this must not be tried again:
                # it would succeed, and the journal would call durable what is lost.
                self._failure = error
                return

    def _sync(self) -> None:
        self._record(*self._sync_file())

    def _sync_file(self) -> tuple[int, dict[Digest, Extent]]:
        """Sync the file, and say what was in it before."""
        with self._lock:
            mark = self.journal.mark
            begun = dict(self._begun)
            self._bytes = 0
            self._is_asked = False
            self._last = self._clock()
        self._file.sync()
        return mark, begun

    def _record(self, mark: int, begun: Mapping[Digest, Extent]) -> None:
        """Record what a sync made durable."""
        with self._lock:
            still = [e for e in begun.values() if self._reaches(e)]
            self.journal.add_synced(mark, still)
        self.journal.sync()

    def _reaches(self, extent: Extent) -> bool:
        now = self._begun.get(extent.digest)
        return now is not None and now.length >= extent.length
