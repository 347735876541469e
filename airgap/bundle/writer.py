"""Writing a bundle to files: every blob straight to its final place, in parallel, resumable.

Until it is whole, each file of the bundle is `NAME.partial`, with one journal beside them. Whatever
stops a run, the next one to the same name goes on: verified blobs stay, begun blobs are continued,
and where the plan has changed meanwhile they are moved to where it wants them. Blobs that are cut
are not moved: they are fetched again where their pieces lie otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from airgap.bundle.addresses import Addresses, address, is_cut, locate
from airgap.bundle.bundle_files import BundleFiles, holdings_left
from airgap.bundle.ingest import BlobIngest
from airgap.bundle.journal import Holdings, Journal
from airgap.bundle.keeper import Keeper
from airgap.bundle.layout import check_size, frame
from airgap.bundle.placement import Extent
from airgap.bundle.relocation import plan_relocation
from airgap.bundle.sync import Syncer
from airgap.bundle.volumes import VolumePlan
from airgap.errors import (
    AirgapError,
    ContentNotFoundError,
    IncompleteBundleError,
)
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document
from airgap.run import Run
from airgap.run.events import (
    PhaseFinished,
    PhaseStarted,
)


class BundleWriter:
    """A bundle that is being written to files. A `content.store.Sink` for its blobs.

    Ingests may run in parallel, one for each blob; all else is for one thread.

    Args:
        files: The locked files.
        holdings: What an earlier run left in them.
        run: Progress and cancellation.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        files: BundleFiles,
        holdings: Holdings,
        *,
        run: Run,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files = files
        self._run = run
        self._clock = clock
        self._holdings = holdings
        self._places = Addresses()
        self._pieces: dict[Digest, tuple[Digest, ...]] = {}
        self._plan: VolumePlan | None = None
        self._journal: Journal | None = None
        self._syncer: Syncer | None = None
        self._held: Mapping[Digest, int] | None = None
        self._is_finished = False
        self._beside = 0

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        overwrite: bool,
        is_split: bool = False,
        run: Run,
        clock: Callable[[], float] = time.monotonic,
    ) -> BundleWriter:
        """Lock the unfinished bundle, and learn what an earlier run left in it.

        Args:
            path: The final name.
            overwrite: Whether a file of that name may be replaced, once the new one is whole.
            is_split: Whether volumes are wanted.
            run: Progress and cancellation.
            clock: Seconds that only grow, for tests.

        Raises:
            SettingsError: The name is a folder or a device.
            ConflictError: It is there already.
            LockedError: Another run writes to it.
            StorageError: It cannot be created.
        """
        files = BundleFiles(path, overwrite=overwrite, is_split=is_split)
        try:
            if not files.is_locked:
                run.warn("no-lock", f"{files.folder} has no locks: start no second run there")
            holdings = _left_holdings(files, run)
        except BaseException:
            files.close()
            raise
        return cls(files, holdings, run=run, clock=clock)

    @staticmethod
    def left_at(path: Path, *, is_split: bool = False) -> Holdings:
        """What an interrupted run left at a bundle's name; locks and changes nothing."""
        return holdings_left(path, is_split=is_split)

    @property
    def name(self) -> str:
        """The final name."""
        return str(self._files.target)

    @property
    def held(self) -> Mapping[Digest, int]:
        """How many bytes of each blob an earlier run left; once begun, those that are kept."""
        return self._holdings.sizes() if self._held is None else self._held

    @property
    def wants_order(self) -> bool:
        """Whether blobs should come in the order of their places: on FAT, gaps cost a write."""
        return self._files.fills_gaps

    def position(self, descriptor: Descriptor, /) -> int:
        """What to sort blobs by for that: their address."""
        parts = self._places.parts.get(descriptor.digest)
        return parts[0].offset if parts else 0

    def begin(self, plan: VolumePlan, *, beside: int = 0) -> None:
        """Make the files ready for a plan, with what is there already moved to where it belongs.

        Args:
            plan: Where everything shall lie.
            beside: How many bytes must be free beyond what the bundle needs.

        Raises:
            StorageFullError: There is no room for the bundle; nothing was written.
            StorageError: The file cannot be written.
        """
        self._beside = beside
        self._adopt(plan)
        self._held = self._holdings.sizes()

    def replan(self, plan: VolumePlan) -> None:
        """Go over to another plan while no ingest is open, and keep what it still wants."""
        if self._syncer is not None:
            self._syncer.close()
        self._adopt(plan)

    def has_blob(self, descriptor: Descriptor, /) -> bool:
        """Whether the blob is there, whole."""
        return descriptor.digest in self._holdings.verified

    @contextmanager
    def ingest(self, descriptor: Descriptor, /) -> Iterator[BlobIngest]:
        """Begin or go on with writing a blob to its place.

        Raises:
            ContentNotFoundError: The plan has no place for it.
            SizeMismatchError: The plan has another size for it.
        """
        assert self._syncer is not None, "begin() comes first"
        self._syncer.check()
        extent = self._places.extents.get(descriptor.digest)
        if extent is None:
            raise ContentNotFoundError(f"{self.name} has no place for {descriptor.digest}")
        check_size(extent, descriptor)
        parts = self._places.parts[descriptor.digest]
        ingest = BlobIngest(self._files, self._syncer, extent, parts, run=self._run)
        try:
            yield ingest
        finally:
            if ingest.pieces:
                self._pieces[descriptor.digest] = ingest.pieces
            ingest.close()

    def put_manifest(self, document: Document, /, *, tag: str | None = None) -> None:
        """Check that a manifest is in the plan, which is all there is to do for it.

        Raises:
            ContentNotFoundError: It is not.
        """
        assert self._plan is not None, "begin() comes first"
        digest = document.descriptor.digest
        if digest not in self._plan.documents:
            raise ContentNotFoundError(f"{self.name} has no place for {digest}")

    def finish(self) -> tuple[Path, ...]:
        """Seal the bundle, make it durable and give it its name.

        Returns:
            Its files.

        Raises:
            IncompleteBundleError: Blobs are missing.
            ConflictError: Meanwhile, somebody else made a file of that name.
            StorageError: It could not be made durable.
        """
        assert self._plan is not None, "begin() comes first"
        assert self._syncer is not None, "begin() comes first"
        self._syncer.check()
        verified = self._holdings.verified
        missing = [str(digest) for digest in self._places.extents if digest not in verified]
        if missing:
            raise IncompleteBundleError(
                f"{self.name}: {len(missing)} blobs are missing, among them {missing[0]}",
                missing=missing,
                hint="run the same command again to go on",
            )
        self._run.emit(PhaseStarted("seal"))
        self._syncer.stop()  # all that is left is synced at once, with the seal
        for number in range(self._plan.count):
            layout = self._plan.layout(number)
            tail = layout.tail(tuple(self._piece(piece) for piece in layout.pieces))
            self._files.write(tail, address(number, layout.placement.seal))
        self._files.sync()
        published = self._files.publish()
        self._is_finished = True
        self._syncer.journal.remove()
        self._run.emit(PhaseFinished("seal"))
        return published

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
            self._files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _adopt(self, plan: VolumePlan) -> None:
        self._plan = plan
        self._places = Addresses.of(plan.parts())
        fronts = (plan.layout(number).front for number in range(plan.count))
        is_whole = self._places.extents.keys() <= self._holdings.verified.keys()
        lacking = self._files.adopt(
            plan.count, self._places, fronts, is_split=plan.is_split, is_whole=is_whole
        )
        if self._journal is None:
            self._journal = Journal(self._files.journal, self._files.inode, self._holdings)
        journal = self._journal
        held = [extent for extent in self._holdings.extents() if not is_cut(extent)]
        journal.drop([e.digest for e in held if locate(e.offset)[0] in lacking])
        self._drop_resized(journal)
        self._drop_cut_otherwise(journal)
        keeper = Keeper(self._files, journal, self._places, name=self.name, run=self._run)
        self._pieces = keeper.rehash_unsynced()
        relocation = plan_relocation(self._holdings.extents(), self._places.extents)
        # Room first, so that a run that cannot succeed destroys nothing; but what lies behind the
        # new end is cut off only after it was moved.
        self._files.reserve(plan.sizes, beside=self._beside)
        if relocation.dropped:
            journal.drop(extent.digest for extent in relocation.dropped)
        if relocation.moves:
            keeper.move(relocation)
        journal.sync()
        self._files.cut(plan.sizes)
        written = 0
        for number in range(plan.count):
            front = plan.layout(number).front
            self._files.write(front, address(number, 0))
            written += len(front)
        for digest in (*self._holdings.verified, *self._holdings.begun):
            for part in self._places.parts[digest]:
                for offset, data in frame(part):
                    self._files.write(data, offset)
        self._syncer = Syncer(self._files, journal, clock=self._clock)
        self._syncer.note(written)

    def _drop_cut_otherwise(self, journal: Journal) -> None:
        """Forget blobs that are or were cut and do not begin where the plan has them.

        Those that do are believed only once they are hashed, piece by piece: how an earlier plan
        went on is not known. Moving others would overwrite what their pieces lie over.
        """
        extents = self._places.extents
        for held in self._holdings.extents():
            wanted = extents.get(held.digest)
            if is_cut(held):
                self._holdings.durable.discard(held.digest)
            elif wanted is None or not is_cut(wanted):
                continue
            if wanted is None or wanted.offset != held.offset:
                journal.drop([held.digest])

    def _piece(self, piece: Extent) -> Digest:
        """What a piece hashes to; every cut blob that is verified was hashed by this process."""
        pieces = [part.start for part in self._places.parts[piece.digest]]
        return self._pieces[piece.digest][pieces.index(piece.start)]

    def _drop_resized(self, journal: Journal) -> None:
        """Forget whole blobs that the layout gives another size: one of the two is a lie.

        Kept, the blob would be sealed with bytes behind it that are not its own.
        """
        journal.drop(
            [
                digest
                for digest, held in self._holdings.verified.items()
                if digest in self._places.extents
                and self._places.extents[digest].length != held.length
            ]
        )


def _left_holdings(files: BundleFiles, run: Run) -> Holdings:
    """What an earlier run left, as far as it can be believed."""
    if not files.has_bytes:
        return Holdings()
    found = files.left()
    if found is None:
        run.warn(
            "journal",
            f"{files.journal} cannot be used: what an earlier run wrote is not known, and is "
            "fetched again",
        )
        return Holdings()
    holdings, of_inode = found
    if of_inode != files.inode:
        # a copy of the files, or another file system: true or not, so hash them
        holdings.durable.clear()
    return holdings
