"""What an earlier run left in the files of a bundle: hashed again, or moved to its new place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from airgap.bundle.addresses import Addresses, PieceHasher, is_cut
from airgap.bundle.bundle_files import BundleFiles
from airgap.bundle.journal import Journal
from airgap.bundle.placement import Extent
from airgap.bundle.relocation import Move, Relocation
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest, Hasher
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


class Keeper:
    """Keeps as much as can be kept of what the files hold.

    Args:
        files: The files.
        journal: What they hold.
        places: Where the plan wants blobs.
        name: What the bundle is called in events.
        run: Progress and cancellation.
    """

    def __init__(
        self, files: BundleFiles, journal: Journal, places: Addresses, *, name: str, run: Run
    ) -> None:
        self._files = files
        self._journal = journal
        self._holdings = journal.holdings
        self._places = places
        self._name = name
        self._run = run

    def rehash_unsynced(self) -> dict[Digest, tuple[Digest, ...]]:
        """Hash what was written but maybe not synced before an earlier run ended.

        Returns:
            What the pieces of cut blobs hash to.
        """
        hashed: dict[Digest, tuple[Digest, ...]] = {}
        journal, holdings = self._journal, self._holdings
        unsynced = [e for d, e in holdings.verified.items() if d not in holdings.durable]
        if not unsynced:
            return hashed
        wanted = self._places.parts
        waiting = [extent for extent in unsynced if extent.digest in wanted]
        total = sum(extent.length for extent in waiting)
        self._run.emit(PhaseStarted("verify", len(waiting), total))
        # what is not wanted is not worth hashing, and must not pass for durable below
        wrong = [extent.digest for extent in unsynced if extent.digest not in wanted]
        for extent in waiting:
            hasher = Hasher(extent.digest.algorithm)
            pieces = PieceHasher(wanted[extent.digest] if is_cut(extent) else ())
            self._files.forget_cache(extent.offset, extent.length)
            with self._told(extent) as advance:
                for chunk in self._files.chunks(extent.offset, extent.length):
                    self._run.cancel.check()
                    hasher.update(chunk)
                    pieces.update(chunk)
                    advance(hasher.size)
            hashed[extent.digest] = pieces.digests()
            if hasher.digest() != extent.digest:
                wrong.append(extent.digest)
        if wrong:
            journal.drop(wrong)
        mark = journal.mark
        self._files.sync()
        journal.add_synced(mark)
        self._run.emit(PhaseFinished("verify"))
        return hashed

    def move(self, relocation: Relocation) -> None:
        """Move blobs in the planned order, a batch at a time.

        Before a byte of a batch is overwritten its entries are dropped, durably; they come back
        when the new places are synced. What is lost by a crash in between is fetched again.
        """
        moves, journal = relocation.moves, self._journal
        self._run.emit(PhaseStarted("move", len(moves), relocation.moved_bytes))
        for batch in _batches(moves):
            self._run.cancel.check()
            whole = {m.held.digest for m in batch if m.held.digest in self._holdings.verified}
            journal.drop(move.held.digest for move in batch)
            journal.sync()
            for move in batch:
                with self._told(move.held) as advance:
                    for done in self._files.copy(move.held.offset, move.held.length, move.target):
                        advance(done)
            self._files.sync()
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
        self._run.emit(BlobStarted(descriptor, self._name))
        yield lambda offset: self._run.emit(BlobAdvanced(descriptor, self._name, offset))
        self._run.emit(BlobFinished(descriptor, self._name))


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
