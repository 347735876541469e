"""Importing a bundle from several media, one after the other and in any order.

What a medium holds is pushed at once, and images that are complete by then do not wait for the
rest. What came is remembered by the registry; only pieces of blobs that go on in another volume
are kept here, until that one comes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from airgap.bundle.discovery import passed_over
from airgap.bundle.reader import BundleReader, numbers_text, open_bundle
from airgap.content.store import Chunks
from airgap.errors import (
    ConflictError,
    ContentNotFoundError,
    IncompleteBundleError,
    StorageError,
)
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.registry.client import Client
from airgap.run import Run
from airgap.run.events import MediumWanted, PhaseFinished
from airgap.transfer.destination import Destination, Target
from airgap.transfer.gather_state import KeptPiece, KeptPieces, kept_piece
from airgap.transfer.outcome import ImportedImage, ImportResult
from airgap.transfer.publish import ImportOptions, begin_push, check_bases, plan_import
from airgap.transfer.publisher import Publisher
from airgap.transfer.standing import PHASE

Prompt = Callable[[MediumWanted], bool]
"""Asks for another medium, and waits for it; False where none will come."""

_VAIN = 3
"""So many media in a row that bring nothing: whoever changes them does not do it."""


@dataclass(frozen=True, slots=True)
class Gathering:
    """How an import goes from medium to medium.

    Attributes:
        state: Where pieces are kept that wait for others, in a folder of their own for each
            bundle and destination.
        prompt: Asks for the next medium; None ends with what is here.
    """

    state: Path
    prompt: Prompt | None = None


def gather_bundle(
    paths: Sequence[Path],
    to: Destination,
    *,
    client: Client,
    gathering: Gathering,
    options: ImportOptions | None = None,
    run: Run | None = None,
) -> ImportResult:
    """Put into a registry what the media hold that come one after the other.

    Args:
        paths: Where each medium appears: files, or folders that hold volumes.
        to: The registry, and the path below which repositories go.
        client: Talks to the registry.
        gathering: How it goes from medium to medium.
        options: What is imported.
        run: Progress and cancellation.

    Raises:
        IncompleteBundleError: Volumes are still missing; what was here is pushed.
        AirgapError: A medium or the registry failed; the same command goes on.
    """
    options, run = options or ImportOptions(), run or Run()
    with open_bundle(paths, expected=options.expect, must_be_whole=False) as reader:
        reader.catalog.expect(options.expect)
        folder = gathering.state / reader.id.hex[:12] / Digest.of(str(to).encode()).hex[:12]
        with KeptPieces(folder, reader.id, str(to), run=run) as kept:
            gather = _Gather(to, client, options, kept, run)
            gather.take(reader)
            reader.close()
            gather.tell_passed_over(paths)
            if gathering.prompt is not None:
                gather.ask_on(paths, reader.id, gathering.prompt)
            gather.check()
            if not options.dry_run:
                kept.remove()
            return gather.result


class _Gather:
    """The passes over one medium after the other."""

    def __init__(
        self, to: Destination, client: Client, options: ImportOptions, kept: KeptPieces, run: Run
    ) -> None:
        self._to = to
        self._client = client
        self._options = options
        self._kept = kept
        self._run = run
        self._started = time.monotonic()
        self._result: ImportResult | None = None
        self._judged: set[Target] = set()
        self._volumes = 1
        self.missing: tuple[int, ...] = ()

    def take(self, reader: BundleReader) -> None:
        """Take what one medium holds.

        Raises:
            AirgapError: The medium or the registry failed.
        """
        front = (reader.catalog, reader.documents)
        publisher, signers = plan_import(front, self._to, self._client, self._options, self._run)
        publisher.check_tags()
        check_bases(publisher, reader.catalog, self._to, self._options, run=self._run)
        self._check_images(publisher, reader)
        begin_push(publisher, self._run)
        if self._options.dry_run:
            publisher.push_blobs(None)
        else:
            self._push(publisher, reader)
        publisher.push_manifests()
        self._run.emit(PhaseFinished(PHASE))
        self._volumes = reader.volume_count
        result = publisher.result(reader.catalog, seconds=time.monotonic() - self._started)
        result = replace(result, signers=signers)
        self._result = result if self._result is None else _joined(self._result, result)

    def tell_passed_over(self, paths: Sequence[Path]) -> None:
        """Where a volume is missing, name the files here that could be it and cannot be read."""
        if not self.missing:
            return
        try:
            aside = passed_over(paths)
        except StorageError:  # a medium that is gone says nothing more
            return
        for path in aside:
            self._run.warn(
                "not-a-bundle",
                f"{path} is no bundle or damaged at its front, and is left aside; "
                "`airgap repair bundle` may rebuild it",
            )

    def ask_on(self, paths: Sequence[Path], bundle: Digest, ask: Prompt) -> None:
        """Ask for one medium after the other, as long as something is missing.

        Raises:
            AirgapError: A medium or the registry failed.
        """
        vain = 0
        while self.missing and vain < _VAIN:
            wanted = MediumWanted(str(bundle), self._volumes, self.missing)
            self._run.emit(wanted)
            if not ask(wanted):
                return
            self._run.cancel.check()
            before = self.missing
            self._look(paths, bundle)
            vain = vain + 1 if self.missing == before else 0

    @property
    def result(self) -> ImportResult:
        """What came of it all."""
        assert self._result is not None, "take() comes first"
        return self._result

    def check(self) -> None:
        """See that nothing is missing.

        Raises:
            IncompleteBundleError: Some volumes are.
        """
        if self.missing:
            done = sum(image.outcome != "waiting" for image in self.result.images)
            several = len(self.missing) > 1
            raise IncompleteBundleError(
                f"{done} of {len(self.result.images)} images are there; volume"
                f"{'s' if several else ''} {numbers_text(self.missing)} of {self._volumes} "
                f"{'are' if several else 'is'} still to come",
                missing=[f"volume {number}" for number in self.missing],
                hint="put in the next medium and run the same command again",
            )

    def _check_images(self, publisher: Publisher, reader: BundleReader) -> None:
        """Judge the images that are ready now and were not at an earlier medium."""
        required = self._options.require_signature
        if not required:
            return
        from airgap.transfer.image_evidence import FileShelf, check_import  # only where demanded

        check_import(
            publisher,
            required,
            FileShelf(reader),
            judged=self._judged,
            to=self._to,
            client=self._client,
            run=self._run,
        )
        self._judged.update(publication.target for publication in publisher.ready)

    def _look(self, paths: Sequence[Path], bundle: Digest) -> None:
        """Take what lies there now, if it is of the bundle that is wanted."""
        try:
            reader = open_bundle(paths, expected=bundle, must_be_whole=False)
        except (ConflictError, ContentNotFoundError, StorageError) as error:
            self._run.warn("medium", f"this is not the next medium: {error.message}")
            return
        with reader:
            if reader.id == bundle:
                before = self.missing
                self.take(reader)
                if self.missing == before:
                    self._run.warn("medium", "this medium brought nothing that was missing")
                self.tell_passed_over(paths)
                return
            self._run.warn(
                "medium",
                f"this medium holds the bundle {reader.id.short}, and {bundle.short} is wanted",
            )

    def _push(self, publisher: Publisher, reader: BundleReader) -> None:
        source = _Source(reader, self._kept)
        source.check()
        publisher.push_blobs(source, held=source.has_blob)
        awaited = publisher.awaited
        cut = {digest for digest, _ in reader.catalog.blobs if self._kept.of(digest)}
        self._kept.drop(frozenset(cut - awaited))
        self._kept.keep(source.pieces(awaited))
        self.missing = source.missing(awaited)
        if self.missing:
            self._kept.note(frozenset(reader.volumes))


class _Source:
    """The blobs of the volumes that are here, and of pieces that were kept of others."""

    def __init__(self, reader: BundleReader, kept: KeptPieces) -> None:
        self._reader = reader
        self._kept = kept

    def check(self) -> None:
        """Hash kept pieces that now would be sent: they may have lain there for long."""
        for digest, _ in self._reader.catalog.blobs:
            first, last = self._reader.home(digest)
            kept = self._kept.of(digest)
            if kept and all(n in kept or n in self._reader.volumes for n in range(first, last + 1)):
                for piece in kept.values():
                    self._kept.check(piece)

    def has_blob(self, descriptor: Descriptor, /) -> bool:
        """Whether all of a blob is at hand."""
        digest = descriptor.digest
        return self._reader.has_blob(descriptor) or not self._lacking(digest)

    def open(self, descriptor: Descriptor, /, *, offset: int = 0) -> AbstractContextManager[Chunks]:
        """Read a blob from an offset on."""
        if self._reader.has_blob(descriptor):
            return self._reader.open(descriptor, offset=offset)
        return self._opened(descriptor.digest, offset)

    def pieces(self, digests: Iterable[Digest]) -> dict[KeptPiece, Iterator[bytes]]:
        """The pieces that lie here of blobs that wait for others, and what gives their bytes."""
        found: dict[KeptPiece, Iterator[bytes]] = {}
        wanted = frozenset(digests)
        for number, volume in self._reader.volumes.items():
            for extent, content in volume.piece_digests().items():
                if extent.digest in wanted:
                    piece = kept_piece(extent, number, content)
                    found[piece] = volume.chunks(extent, 0)
        return found

    def missing(self, digests: Iterable[Digest]) -> tuple[int, ...]:
        """The volumes that hold what is still wanted of blobs."""
        return tuple(sorted({n for digest in digests for n in self._lacking(digest)}))

    def _lacking(self, digest: Digest) -> list[int]:
        first, last = self._reader.home(digest)
        here = self._kept.of(digest).keys() | self._reader.volumes.keys()
        return [number for number in range(first, last + 1) if number not in here]

    @contextmanager
    def _opened(self, digest: Digest, offset: int) -> Iterator[Chunks]:
        yield self._chunks(digest, offset)

    def _chunks(self, digest: Digest, offset: int) -> Iterator[bytes]:
        kept = self._kept.of(digest)
        here = {v.layout.placement.volume: (v, e) for v, e in self._reader.parts(digest)}
        first, last = self._reader.home(digest)
        for number in range(first, last + 1):
            piece = here.get(number)
            if piece is not None:
                volume, extent = piece
                start, length = extent.start or 0, extent.length
                if offset < start + length:
                    yield from volume.chunks(extent, max(0, offset - start))
            elif offset < kept[number].start + kept[number].length:
                yield from self._kept.chunks(kept[number], max(0, offset - kept[number].start))


def _joined(before: ImportResult, now: ImportResult) -> ImportResult:
    """What came of several media together."""
    mine = now.blobs_pushed + now.blobs_mounted + now.blobs_copied
    total = now.blobs_present + mine
    pushed = before.blobs_pushed + now.blobs_pushed
    mounted = before.blobs_mounted + now.blobs_mounted
    copied = before.blobs_copied + now.blobs_copied
    earlier = {image.target: image for image in before.images}
    return replace(
        now,
        images=tuple(_joined_image(earlier.get(image.target), image) for image in now.images),
        blobs_pushed=pushed,
        bytes_pushed=before.bytes_pushed + now.bytes_pushed,
        blobs_mounted=mounted,
        blobs_present=max(0, total - pushed - mounted - copied),
        blobs_copied=copied,
        manifests_pushed=before.manifests_pushed + now.manifests_pushed,
        notes=tuple(dict.fromkeys((*before.notes, *now.notes))),
    )


def _joined_image(before: ImportedImage | None, now: ImportedImage) -> ImportedImage:
    if before is not None and now.outcome == "present" and before.outcome == "pushed":
        return before
    return now
