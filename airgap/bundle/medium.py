"""Writing some volumes of a bundle to one medium. What is not finished leaves nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from airgap.bundle.addresses import PieceHasher
from airgap.bundle.layout import check_size, frame
from airgap.bundle.partial import PartialFile
from airgap.bundle.placement import Extent
from airgap.bundle.volume_names import volume_path
from airgap.bundle.volumes import VolumePlan
from airgap.content.store import Opener
from airgap.content.verify import verified
from airgap.errors import ContentNotFoundError, StorageError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest, Verifier
from airgap.run import Run


def volume_file(target: Path, plan: VolumePlan, number: int) -> Path:
    """The final name of a volume; a bundle that fits one file has the name of the whole."""
    return volume_path(target, number) if plan.is_split else target


class MediumWriter:
    """Takes the blobs of some volumes, of cut ones the pieces that lie in them.

    A context manager: volumes that were not finished by its end are removed. Blobs may come from
    several threads at once. Any bytes but the blobs' are written when the volumes are finished.

    Args:
        plan: The whole bundle.
        target: Its name as a whole, on the medium.
        numbers: The volumes that are written here.
        overwrite: Whether files of these names may be replaced.
        run: Cancellation.

    Raises:
        ConflictError: A file has the name of a volume already.
        LockedError: Another run writes it.
        StorageError: A file cannot be created.
        StorageFullError: There is no room for all of them.
    """

    def __init__(
        self,
        plan: VolumePlan,
        target: Path,
        numbers: Sequence[int],
        *,
        overwrite: bool,
        run: Run,
    ) -> None:
        self.name = str(target.parent)
        self._plan = plan
        self._run = run
        self._files: dict[int, PartialFile] = {}
        self._parts: dict[Digest, list[tuple[int, Extent]]] = {}
        self._pieces: dict[tuple[int, Digest], Digest] = {}
        self._lock = threading.Lock()
        with ExitStack() as stack:
            stack.push(self.__exit__)
            for number in numbers:
                path = volume_file(target, plan, number)
                file = PartialFile(path, overwrite=overwrite)
                self._files[number] = file
                file.cut(0)
                file.reserve(plan.sizes[number - 1])
                for extent in plan.placements[number - 1]:
                    self._parts.setdefault(extent.digest, []).append((number, extent))
            stack.pop_all()

    @property
    def wanted(self) -> frozenset[Digest]:
        """The blobs of which some bytes lie in these volumes."""
        return frozenset(self._parts)

    @contextmanager
    def ingest(self, descriptor: Descriptor, /) -> Iterator[MediumIngest]:
        """Begin to take a blob.

        Raises:
            ContentNotFoundError: It has no place here.
            SizeMismatchError: It has another size than its place.
        """
        parts = self._parts.get(descriptor.digest)
        if parts is None:
            raise ContentNotFoundError(f"{self.name} has no place for {descriptor.digest}")
        if parts[0][1].start is None:
            check_size(parts[0][1], descriptor)
        yield MediumIngest(self, descriptor, parts, run=self._run)

    def write(self, number: int, data: bytes | memoryview, offset: int) -> None:
        """Write some bytes of a volume."""
        self._files[number].write(data, offset)

    def note(self, number: int, digest: Digest, piece: Digest) -> None:
        """Remember what a piece hashes to: the seal of its volume says it."""
        with self._lock:
            self._pieces[number, digest] = piece

    def finish(self) -> tuple[Path, ...]:
        """Write all else, make it durable, and give the volumes their names.

        Raises:
            StorageError: The medium may not have all of it.
        """
        done = []
        for number, file in self._files.items():
            self._run.cancel.check()
            layout = self._plan.layout(number - 1)
            file.write(layout.front, 0)
            for extent in layout.blobs:
                for offset, data in frame(extent):
                    file.write(data, offset)
            pieces = tuple(self._pieces[number, extent.digest] for extent in layout.pieces)
            file.write(layout.tail(pieces), layout.placement.seal)
            file.sync()
        for file in self._files.values():
            file.publish()
            file.close()
            done.append(file.target)
        self._files.clear()
        return tuple(done)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for file in self._files.values():
            # where the medium is gone, so is what would be tidied up
            with suppress(StorageError):
                file.cut(0)
            file.close()
        self._files.clear()


class MediumIngest:
    """One blob on its way to its places on a medium. A `content.store.Ingest`.

    Args:
        medium: Where it is written.
        descriptor: What it is.
        parts: The volumes that get some of it, and where.
        run: Cancellation.
    """

    def __init__(
        self,
        medium: MediumWriter,
        descriptor: Descriptor,
        parts: Sequence[tuple[int, Extent]],
        *,
        run: Run,
    ) -> None:
        self._medium = medium
        self._descriptor = descriptor
        self._parts = parts
        self._run = run
        self._hashers: tuple[PieceHasher, ...] = ()
        self._is_verified = False

    @property
    def offset(self) -> int:
        """Nothing is kept of what was begun: a medium is written in one go."""
        return self._descriptor.size if self._is_verified else 0

    def receive(self, open_at: Opener, /) -> None:
        """Pull all of it, hash all of it, and write what lies here.

        Raises:
            SizeMismatchError: There were more or fewer bytes than promised.
            DigestMismatchError: The bytes hash to something else.
        """
        verifier = Verifier(self._descriptor.digest, self._descriptor.size, origin="source")
        hashers = [
            PieceHasher((extent,), skip=extent.start)
            for _, extent in self._parts
            if extent.start is not None
        ]
        offset = 0
        with open_at(0) as chunks:
            for chunk in verified(chunks, verifier, offset=0):
                self._run.cancel.check()
                self._write(chunk, offset)
                for hasher in hashers:
                    hasher.update(chunk)
                offset += len(chunk)
        self._hashers = tuple(hashers)
        self._is_verified = True

    def commit(self) -> None:
        """Let what pieces hash to be known. A second commit does nothing.

        Raises:
            SizeMismatchError: It is not whole yet.
        """
        if not self._is_verified:
            raise self._parts[0][1].short_error(0)
        cut = [part for part in self._parts if part[1].start is not None]
        for (number, extent), hasher in zip(cut, self._hashers, strict=True):
            self._medium.note(number, extent.digest, hasher.digests()[0])

    def abort(self) -> None:
        """Take it for not there."""
        self._is_verified = False

    def _write(self, chunk: bytes, offset: int) -> None:
        view = memoryview(chunk)
        for number, extent in self._parts:
            start = extent.start or 0
            low = max(start - offset, 0)
            high = min(start + extent.length - offset, len(chunk))
            if low < high:
                self._medium.write(number, view[low:high], extent.offset + offset + low - start)
