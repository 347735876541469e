"""Writing a bundle to a file: every blob straight to its final place, in parallel, resumable.

Until it is whole the bundle is `NAME.partial`, with a journal beside it. Whatever stops a run, the
next one to the same name goes on: verified blobs stay, begun blobs are continued, and where the
layout has changed meanwhile they are moved to where it wants them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from airgap.bundle.ingest import BlobIngest
from airgap.bundle.journal import Holdings, Journal, read_journal
from airgap.bundle.layout import Layout, check_size, frame
from airgap.bundle.partial import PartialFile, journal_path, partial_path
from airgap.bundle.placement import Extent
from airgap.bundle.relocation import Move, plan_relocation
from airgap.bundle.sync import Syncer
from airgap.errors import (
    AirgapError,
    ContentNotFoundError,
    IncompleteBundleError,
)
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest, Hasher
from airgap.oci.manifest import Document
from airgap.run import Run
from airgap.run.events import (
    BlobAdvanced,
    BlobFinished,
    BlobStarted,
    PhaseFinished,
    PhaseStarted,
)

_BATCH = 64 * 1024 * 1024
"""How many bytes are moved between two syncs: what a crash in between makes be fetched again."""


class BundleWriter:
    """A bundle that is being written to a file. A `content.store.Sink` for its blobs.

    Ingests may run in parallel, one for each blob; all else is for one thread.

    Args:
        file: The locked file.
        holdings: What an earlier run left in it.
        run: Progress and cancellation.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        file: PartialFile,
        holdings: Holdings,
        *,
        run: Run,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._run = run
        self._clock = clock
        self._holdings = holdings
        self._extents: dict[Digest, Extent] = {}
        self._layout: Layout | None = None
        self._journal: Journal | None = None
        self._syncer: Syncer | None = None
        self._held: Mapping[Digest, int] | None = None
        self._is_finished = False

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        overwrite: bool,
        run: Run,
        clock: Callable[[], float] = time.monotonic,
    ) -> BundleWriter:
        """Lock the unfinished bundle, and learn what an earlier run left in it.

        Args:
            path: The final name.
            overwrite: Whether a file of that name may be replaced, once the new one is whole.
            run: Progress and cancellation.
            clock: Seconds that only grow, for tests.

        Raises:
            SettingsError: The name is a folder or a device.
            ConflictError: It is there already.
            LockedError: Another run writes to it.
            StorageError: It cannot be created.
        """
        file = PartialFile(path, overwrite=overwrite)
        try:
            if not file.is_locked:
                run.warn("no-lock", f"{file.path.parent} has no locks: start no second run there")
            holdings = _left_holdings(file.journal, file.size, file.inode, run)
        except BaseException:
            file.close()
            raise
        return cls(file, holdings, run=run, clock=clock)

    @staticmethod
    def left_at(path: Path) -> Holdings:
        """What an interrupted run left at a bundle's name; locks and changes nothing."""
        try:
            file = partial_path(path).stat()
            found = read_journal(journal_path(path))
        except (OSError, AirgapError):
            return Holdings()
        if found is None or not found[0].is_consistent(file.st_size):
            return Holdings()
        return found[0]

    @property
    def name(self) -> str:
        """The final name."""
        return str(self._file.target)

    @property
    def held(self) -> Mapping[Digest, int]:
        """How many bytes of each blob an earlier run left; once begun, those that are kept."""
        return self._holdings.sizes() if self._held is None else self._held

    def begin(self, layout: Layout) -> None:
        """Make the file ready for a layout, with what is there already moved to where it belongs.

        Raises:
            StorageFullError: There is no room for the bundle; nothing was written.
            StorageError: The file cannot be written.
        """
        self._adopt(layout)
        self._held = self._holdings.sizes()

    def replan(self, layout: Layout) -> None:
        """Go over to another layout while no ingest is open, and keep what it still wants."""
        if self._syncer is not None:
            self._syncer.close()
        self._adopt(layout)

    def has_blob(self, descriptor: Descriptor, /) -> bool:
        """Whether the blob is there, whole."""
        return descriptor.digest in self._holdings.verified

    @contextmanager
    def ingest(self, descriptor: Descriptor, /) -> Iterator[BlobIngest]:
        """Begin or go on with writing a blob to its place.

        Raises:
            ContentNotFoundError: The layout has no place for it.
            SizeMismatchError: The layout has another size for it.
        """
        assert self._syncer is not None, "begin() comes first"
        self._syncer.check()
        extent = self._extents.get(descriptor.digest)
        if extent is None:
            raise ContentNotFoundError(f"{self.name} has no place for {descriptor.digest}")
        check_size(extent, descriptor)
        ingest = BlobIngest(self._file, self._syncer, extent, run=self._run)
        try:
            yield ingest
        finally:
            ingest.close()

    def put_manifest(self, document: Document, /, *, tag: str | None = None) -> None:
        """Check that a manifest is in the layout, which is all there is to do for it.

        Raises:
            ContentNotFoundError: It is not.
        """
        assert self._layout is not None, "begin() comes first"
        self._layout.check_manifest(document.descriptor.digest, name=self.name)

    def finish(self) -> None:
        """Seal the bundle, make it durable and give it its name.

        Raises:
            IncompleteBundleError: Blobs are missing.
            ConflictError: Meanwhile, somebody else made a file of that name.
            StorageError: It could not be made durable.
        """
        assert self._layout is not None, "begin() comes first"
        assert self._syncer is not None, "begin() comes first"
        self._syncer.check()
        missing = [str(digest) for digest in self._extents if digest not in self._holdings.verified]
        if missing:
            raise IncompleteBundleError(
                f"{self.name}: {len(missing)} blobs are missing, among them {missing[0]}",
                missing=missing,
                hint="run the same command again to go on",
            )
        self._run.emit(PhaseStarted("seal"))
        self._syncer.close()
        self._file.write(self._layout.tail(), self._layout.placement.seal)
        self._file.sync()
        self._file.publish()
        self._is_finished = True
        self._syncer.journal.remove()
        self._run.emit(PhaseFinished("seal"))

    def close(self) -> None:
        """Give up the lock. What was written stays for the next run. A second time does nothing."""
        syncer, self._syncer = self._syncer, None
        try:
            if syncer is not None and not self._is_finished:
                syncer.close()
        except AirgapError as error:
            # what made the run end was said before, and losing a record only costs a fetch
            self._run.debug("journal", error.message)
        finally:
            if self._journal is not None:
                self._journal.close()
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _adopt(self, layout: Layout) -> None:
        self._layout = layout
        self._extents = {extent.digest: extent for extent in layout.blobs}
        if self._journal is None:
            self._journal = Journal(self._file.journal, self._file.inode, self._holdings)
        journal = self._journal
        self._drop_resized(journal)
        self._rehash_unsynced(journal)
        relocation = plan_relocation(self._holdings.extents(), self._extents)
        # Room first, so that a run that cannot succeed destroys nothing; but what lies behind the
        # new end is cut off only after it was moved.
        self._file.reserve(layout.size)
        if relocation.dropped:
            journal.drop(extent.digest for extent in relocation.dropped)
        if relocation.moves:
            self._move(relocation.moves, relocation.moved_bytes, journal)
        journal.sync()
        self._file.cut(layout.size)
        self._file.write(layout.front, 0)
        for digest in (*self._holdings.verified, *self._holdings.begun):
            self._write_frame(self._extents[digest])
        self._syncer = Syncer(self._file, journal, clock=self._clock)
        self._syncer.note(len(layout.front))

    def _drop_resized(self, journal: Journal) -> None:
        """Forget whole blobs that the layout gives another size: one of the two is a lie.

        Kept, the blob would be sealed with bytes behind it that are not its own.
        """
        journal.drop(
            [
                digest
                for digest, held in self._holdings.verified.items()
                if digest in self._extents and self._extents[digest].length != held.length
            ]
        )

    def _rehash_unsynced(self, journal: Journal) -> None:
        """Hash what was written but maybe not synced before an earlier run ended."""
        holdings = self._holdings
        unsynced = [e for d, e in holdings.verified.items() if d not in holdings.durable]
        if not unsynced:
            return
        waiting = [extent for extent in unsynced if extent.digest in self._extents]
        total = sum(extent.length for extent in waiting)
        self._run.emit(PhaseStarted("verify", len(waiting), total))
        # what is not wanted is not worth hashing, and must not pass for durable below
        wrong = [extent.digest for extent in unsynced if extent.digest not in self._extents]
        for extent in waiting:
            hasher = Hasher(extent.digest.algorithm)
            self._file.forget_cache(extent.offset, extent.length)
            with self._told(extent) as advance:
                for chunk in self._file.chunks(extent.offset, extent.length):
                    self._run.cancel.check()
                    hasher.update(chunk)
                    advance(hasher.size)
            if hasher.digest() != extent.digest:
                wrong.append(extent.digest)
        if wrong:
            journal.drop(wrong)
        mark = journal.mark
        self._file.sync()
        journal.add_synced(mark)
        self._run.emit(PhaseFinished("verify"))

    def _move(self, moves: Sequence[Move], total: int, journal: Journal) -> None:
        """Move blobs in the planned order, a batch at a time.

        Before a byte of a batch is overwritten its entries are dropped, durably; they come back
        when the new places are synced. What is lost by a crash in between is fetched again.
        """
        self._run.emit(PhaseStarted("move", len(moves), total))
        for batch in _batches(moves):
            self._run.cancel.check()
            whole = {m.held.digest for m in batch if m.held.digest in self._holdings.verified}
            journal.drop(move.held.digest for move in batch)
            journal.sync()
            for move in batch:
                with self._told(move.held) as advance:
                    for done in self._file.copy(move.held.offset, move.held.length, move.target):
                        advance(done)
            self._file.sync()
            begun = []
            for move in batch:
                extent = Extent(move.held.digest, move.target, move.held.length)
                if extent.digest in whole:
                    journal.add_verified(extent)
                else:
                    begun.append(extent)
            journal.add_synced(journal.mark, begun)
        self._run.emit(PhaseFinished("move"))

    @contextmanager
    def _told(self, extent: Extent) -> Iterator[Callable[[int], None]]:
        """Report a blob that is worked on; gives what is to be called with each offset."""
        descriptor = Descriptor(mediatype.OCTET_STREAM, extent.digest, extent.length)
        self._run.emit(BlobStarted(descriptor, self.name))
        yield lambda offset: self._run.emit(BlobAdvanced(descriptor, self.name, offset))
        self._run.emit(BlobFinished(descriptor, self.name))

    def _write_frame(self, extent: Extent) -> None:
        for offset, data in frame(extent):
            self._file.write(data, offset)


def _batches(moves: Iterable[Move]) -> Iterator[list[Move]]:
    batch: list[Move] = []
    size = 0
    for move in moves:
        if batch and size + move.held.length > _BATCH:
            yield batch
            batch, size = [], 0
        batch.append(move)
        size += move.held.length
    if batch:
        yield batch


def _left_holdings(path: Path, size: int, inode: int, run: Run) -> Holdings:
    """What an earlier run left, as far as it can be believed."""
    if size == 0:
        return Holdings()
    found = read_journal(path)
    if found is None or not found[0].is_consistent(size):
        run.warn(
            "journal",
            f"{path} cannot be used: what an earlier run wrote is not known, and is fetched again",
        )
        return Holdings()
    holdings, of_inode = found
    if of_inode != inode:
        # a copy of the file, or another file system: true or not, so hash it
        holdings.durable.clear()
    return holdings
