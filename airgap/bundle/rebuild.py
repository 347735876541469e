"""Writing a volume again from what is left of it and from other copies.

The new file lies beside the old one until it is whole and verified; then it takes its place in one
step. Nothing of the old file is changed before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from airgap.bundle.layout import Layout, frame
from airgap.bundle.partial import PartialFile
from airgap.bundle.placement import Extent
from airgap.content.posix import read_at
from airgap.content.storage import storage_errors
from airgap.content.store import CHUNK_SIZE, Chunks
from airgap.errors import (
    AirgapError,
    CancelledError,
    ExitCode,
    IncompleteBundleError,
    StorageError,
    UnavailableError,
)
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest, Hasher
from airgap.run import Run
from airgap.run.events import BlobAdvanced, BlobFinished, BlobStarted, PhaseFinished, PhaseStarted
from airgap.wording import count_text

PHASE = "rebuild"


class Copy(Protocol):
    """A place that may have good blobs: another copy, bundle, layout or registry."""

    @property
    def name(self) -> str:
        """What this place is called in messages."""
        ...

    def has_blob(self, descriptor: Descriptor, /) -> bool:
        """Whether the blob can be read here, whole."""
        ...

    def open(self, descriptor: Descriptor, /, *, offset: int = 0) -> AbstractContextManager[Chunks]:
        """Read a blob from an offset on."""
        ...


class Rebuilder:
    """Writes volumes again.

    Args:
        copies: Where blobs may be had; the first that has a good one gives it.
        run: Progress and cancellation.
    """

    def __init__(self, copies: Sequence[Copy], *, run: Run) -> None:
        self._copies = copies
        self._run = run
        self._closed: set[str] = set()

    def rebuild(
        self,
        layout: Layout,
        target: Path,
        *,
        old: Path | None,
        pieces: Mapping[Extent, Digest],
    ) -> dict[Digest, str]:
        """Write a volume, and let it take the place of the old one when all of it is right.

        Args:
            layout: Where everything lies in it.
            target: Its final name.
            old: The damaged file: what is good in it is used; None where it is lost.
            pieces: What pieces hash to, as far as a seal says so.

        Returns:
            For each blob that the old file does not have, where it came from.

        Raises:
            IncompleteBundleError: Something is nowhere to be had; the old file stays as it is.
            StorageError: The new file could not be written; the old file stays as it is.
        """
        size = sum(extent.length for extent in layout.blobs)
        self._run.emit(PhaseStarted(PHASE, len(layout.blobs), size))
        taken: dict[Digest, str] = {}
        hashed: list[Digest] = []
        missing: list[str] = []
        sizes = layout.catalog.sizes()
        with ExitStack() as stack:
            file = PartialFile(target, overwrite=True)
            stack.callback(file.close)
            stack.callback(file.cut, 0)  # what is not finished leaves nothing behind
            file.reserve(layout.size)
            source = stack.enter_context(_opened(old))
            file.write(layout.front, 0)
            for extent in layout.blobs:
                for offset, data in frame(extent):
                    file.write(data, offset)
                whole = Descriptor(mediatype.OCTET_STREAM, extent.digest, sizes[extent.digest])
                place = self._fill(file, extent, whole, source, pieces.get(extent), hashed)
                if place is None:
                    missing.append(str(extent.digest))
                elif place:
                    taken[extent.digest] = place
            if missing:
                raise IncompleteBundleError(
                    f"{target}: {count_text(len(missing), 'blob')} nowhere to be had, among them "
                    f"{missing[0]}",
                    missing=missing,
                    hint="--from names another copy, bundle, layout or registry that has them",
                )
            file.write(layout.tail(tuple(hashed)), layout.placement.seal)
            file.sync()
            file.publish()
            stack.pop_all()
            file.close()
        self._run.emit(PhaseFinished(PHASE))
        return taken

    def _tell(self, place: str, error: AirgapError) -> None:
        """Say why a place gave nothing; once and to everybody where it gives nothing at all."""
        self._run.debug("copy", f"{place or 'the old file'}: {error.message}")
        is_closed = error.exit_code in (ExitCode.UNAUTHORIZED, ExitCode.UNAVAILABLE)
        if is_closed and place not in self._closed:
            self._closed.add(place)
            self._run.warn("copy", f"--from {place} gives nothing: {error.message}")

    def _fill(
        self,
        file: PartialFile,
        extent: Extent,
        descriptor: Descriptor,
        old: BinaryIO | None,
        expected: Digest | None,
        hashed: list[Digest],
    ) -> str | None:
        """Write one blob or piece; gives where it came from, empty for the old file.

        None where it is nowhere to be had.
        """
        wanted = extent.digest if extent.start is None else expected
        attempts: list[tuple[str, Callable[[], Digest | None]]] = []
        if old is not None and wanted is not None:
            attempts.append(("", partial(self._from_old, file, extent, old, wanted)))
        attempts += [
            (copy.name, partial(self._from_copy, file, extent, descriptor, copy))
            for copy in self._copies
        ]
        self._run.emit(BlobStarted(descriptor, file.target.name))
        for place, attempt in attempts:
            self._run.cancel.check()
            try:
                found = attempt()
            except CancelledError:
                raise
            except AirgapError as error:
                if error.origin == "local":
                    raise
                self._tell(place, error)
                continue
            if found is not None:
                if extent.start is not None:
                    hashed.append(found)
                self._run.emit(BlobFinished(descriptor, file.target.name))
                return place
        return None

    def _from_old(
        self, file: PartialFile, extent: Extent, old: BinaryIO, wanted: Digest
    ) -> Digest | None:
        """Take it from the damaged file, if it is good there."""
        hasher = Hasher(wanted.algorithm)
        while hasher.size < extent.length:
            self._run.cancel.check()
            at = hasher.size
            try:
                chunk = read_at(
                    old.fileno(), min(CHUNK_SIZE, extent.length - at), extent.offset + at
                )
            except OSError:  # what cannot be read is damaged: repair is for that
                return None
            if not chunk:
                return None
            hasher.update(chunk)
            file.write(chunk, extent.offset + at)
        return wanted if hasher.digest() == wanted else None

    def _from_copy(
        self, file: PartialFile, extent: Extent, descriptor: Descriptor, copy: Copy
    ) -> Digest | None:
        """Take it from another place: the whole blob is hashed, also where a piece is wanted."""
        start = extent.start or 0
        whole, piece = Hasher(descriptor.digest.algorithm), Hasher()
        for chunk in _chunks(copy, descriptor):
            self._run.cancel.check()
            low = max(start - whole.size, 0)
            part = memoryview(chunk)[low : max(low, start + extent.length - whole.size)]
            if part:
                file.write(part, extent.offset + piece.size)
                piece.update(part)
            whole.update(chunk)
            self._run.emit(BlobAdvanced(descriptor, file.target.name, whole.size))
        is_right = whole.size == descriptor.size and whole.digest() == descriptor.digest
        return piece.digest() if is_right else None


@contextmanager
def _reading() -> Iterator[None]:
    """Let what cannot be read be a reason to look elsewhere, and not one to end the repair."""
    try:
        yield
    except StorageError as error:
        raise UnavailableError(error.message, hint=error.hint, origin="source") from error


def _chunks(copy: Copy, descriptor: Descriptor) -> Iterator[bytes]:
    """The bytes of a blob at another place; none where it has not all of it."""
    with ExitStack() as opened:
        with _reading():
            if not copy.has_blob(descriptor):
                return
            chunks = opened.enter_context(copy.open(descriptor))
        while True:
            with _reading():
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk


@contextmanager
def _opened(path: Path | None) -> Iterator[BinaryIO | None]:
    if path is None:
        yield None
        return
    with storage_errors(path):
        file = path.open("rb")
    with file:
        yield file
