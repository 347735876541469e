"""Reading an encrypted bundle like a pipe: each volume once and front to back, nothing on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from airgap.bundle.envelope_file import encrypted_files, known_size
from airgap.bundle.front import Front
from airgap.bundle.stream import BundleStream, StreamedBlob
from airgap.bundle.volume_file import open_file
from airgap.content.age import Identities
from airgap.content.age_streams import DecryptingStream
from airgap.content.store import Chunks
from airgap.errors import (
    BundleFormatError,
    ConflictError,
    ContentNotFoundError,
    IncompleteBundleError,
)
from airgap.oci.digest import Digest
from airgap.run import Run


class EncryptedBundle:
    """An encrypted file, or all encrypted volumes of a bundle; a context manager.

    It gives what a `BundleStream` gives. Blobs that are cut come whole: their pieces follow each
    other when volumes are read in order.

    Args:
        paths: The files, and folders that hold them, in any order.
        identities: Who reads them.
        run: Where a cancellation comes from.

    Raises:
        ContentNotFoundError: There is none.
    """

    def __init__(self, paths: Sequence[Path], identities: Identities, *, run: Run) -> None:
        self._identities = identities
        self._run = run
        self._files = encrypted_files(paths)
        if not self._files:
            raise ContentNotFoundError(
                f"{', '.join(map(str, paths))}: there is no encrypted bundle in it",
                hint="name files that end with .age, or the folder that holds them",
                origin="local",
            )
        self._stack = ExitStack()
        self._by_volume: dict[int, Path] = {}
        self._volume = 1
        self._current: BundleStream | None = None
        self._blobs: Iterator[StreamedBlob] | None = None
        self.name = str(paths[0])

    def front(self) -> Front:
        """What the bundle carries, as its first file says.

        Raises:
            AirgapError: As for `BundleStream.front` and `DecryptingStream.read`.
            ConflictError: The files are of several bundles, or hold a volume twice.
        """
        return self._stream().front()

    def check_alone(self) -> None:
        """See that all volumes are here.

        Raises:
            IncompleteBundleError: Some are not.
        """
        volumes = self.front().layout.placement.volumes
        missing = [n for n in range(1, volumes + 1) if n not in self._by_volume]
        if missing:
            raise IncompleteBundleError(
                f"{self.name}: of {volumes} volumes, {', '.join(map(str, missing[:20]))}"
                f" {'is' if len(missing) == 1 else 'are'} missing",
                missing=[f"volume {number}" for number in missing],
                hint="name all the files, or the folders that hold them",
            )

    def blobs(self) -> Iterator[StreamedBlob]:
        """Every blob, volume by volume; asking again goes on where it is.

        Raises:
            AirgapError: As for `BundleStream.blobs` and `DecryptingStream.read`.
        """
        if self._blobs is None:
            self._blobs = self._each_blob()
        return self._blobs

    def finish(self) -> None:
        """Let pass what was not asked for, and see that every volume ends as it should."""
        for _ in self.blobs():
            pass

    def again(self) -> EncryptedBundle:
        """The same files from the start, to be closed on its own."""
        return EncryptedBundle(self._files, self._identities, run=self._run)

    def close(self) -> None:
        """End what decrypts, and close the files."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stream(self) -> BundleStream:
        if self._current is None:
            if not self._by_volume:
                self._find_volumes()
            self._current = self._open(self._by_volume[min(self._by_volume)])
        return self._current

    def _find_volumes(self) -> None:
        """Look into the front of each file: names say nothing."""
        found: dict[int, Path] = {}
        bundles: set[tuple[Digest, int, object]] = set()
        for path in self._files:
            with self._opened(path) as stream:
                placement = stream.front().layout.placement
            bundles.add((placement.bundle, placement.volumes, placement.homes))
            if len(bundles) > 1 or placement.volume in found:
                other = found.get(placement.volume, self._files[0])
                what = "other bundles" if len(bundles) > 1 else "the same volume"
                raise ConflictError(
                    f"{other} and {path} are of {what}",
                    hint="name the files of one bundle, each volume once",
                    origin="bundle",
                )
            found[placement.volume] = path
        self._by_volume = dict(sorted(found.items()))

    def _each_blob(self) -> Iterator[StreamedBlob]:
        self.check_alone()
        while True:
            stream = self._stream()
            for blob in stream.blobs():
                if blob.start is None:
                    yield blob
                else:
                    yield from self._cut_blob(blob)
                    break
            else:
                stream.finish()
                if not self._next_volume():
                    return

    def _cut_blob(self, blob: StreamedBlob) -> Iterator[StreamedBlob]:
        """A blob whose first piece is here, with all its pieces one after the other."""
        size = dict(self.front().catalog.blobs)[blob.digest]
        chunks = self._joined(blob, size)
        yield StreamedBlob(blob.digest, size, chunks)
        for _ in chunks:
            pass

    def _joined(self, blob: StreamedBlob, size: int) -> Chunks:
        end = 0
        piece: StreamedBlob | None = blob
        while True:
            if piece is None or piece.digest != blob.digest or piece.start != end:
                raise self._out_of_order(blob)
            yield from piece.chunks
            end += piece.size
            if end == size:
                return
            if next(self._stream().blobs(), None) is not None:
                raise self._out_of_order(blob)
            self._stream().finish()  # its seal is checked before the next volume is opened
            piece = next(self._stream().blobs(), None) if self._next_volume() else None

    def _out_of_order(self, blob: StreamedBlob) -> BundleFormatError:
        return BundleFormatError(
            f"{self._stream().name}: the pieces of {blob.digest} do not follow each other",
            hint="decrypt the volumes with age -d, and import them then",
            origin="bundle",
        )

    def _next_volume(self) -> bool:
        self._stack.close()
        later = [number for number in self._by_volume if number > self._volume]
        if not later:
            return False
        self._volume = later[0]
        self._current = self._open(self._by_volume[self._volume])
        return True

    def _open(self, path: Path) -> BundleStream:
        return self._stack.enter_context(self._opened(path))

    @contextmanager
    def _opened(self, path: Path) -> Iterator[BundleStream]:
        with open_file(path) as file:
            with DecryptingStream(
                file, self._identities, name=str(path), size=known_size(path)
            ) as plain:
                yield BundleStream(plain, run=self._run, name=str(path))
