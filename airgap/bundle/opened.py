"""A bundle that stays open for long, while its file may be changed, replaced or taken away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from airgap.bundle.reader import BundleReader
from airgap.bundle.volume_file import VolumeFile
from airgap.content.depot import FileRegion, FileStamp
from airgap.content.storage import storage_errors
from airgap.content.store import Chunks
from airgap.errors import DigestMismatchError, StorageError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest


@dataclass(frozen=True, slots=True)
class BundleState:
    """How a bundle is that is being served.

    Attributes:
        path: Where it lies.
        id: The bundle id.
        total: How many bytes its blobs have.
        checked: How many of them were hashed since it was opened.
        wrong: The blobs that do not have their digest.
        is_unchanged: Whether the file is still the one that was opened.
    """

    path: Path
    id: Digest
    total: int
    checked: int
    wrong: tuple[Digest, ...]
    is_unchanged: bool


class OpenedBundle:
    """A bundle and what became known of it since it was opened. Any thread may use it.

    Args:
        reader: The bundle; it is closed with this.

    Raises:
        StorageError: Another file lies at its path already.
    """

    def __init__(self, reader: BundleReader) -> None:
        self.reader = reader
        self.path = reader.path.absolute()
        self._stamps: dict[VolumeFile, FileStamp] = {}
        for volume in reader.volumes.values():
            with storage_errors(volume.path):
                self._stamps[volume] = FileStamp.of(volume.fileno())
        self.checked = 0
        self._wrong: dict[Digest, None] = {}
        self.check()

    def state(self) -> BundleState:
        """What is known now."""
        total = sum(size for _, size in self.reader.catalog.blobs)
        try:
            self.check()
            is_unchanged = True
        except StorageError:
            is_unchanged = False
        wrong = tuple(self._wrong)
        return BundleState(self.path, self.reader.id, total, self.checked, wrong, is_unchanged)

    def condemn(self, digest: Digest) -> None:
        """Remember that a blob is wrong."""
        self._wrong[digest] = None

    def check(self) -> None:
        """See that the files are those that were opened, and as they were then.

        Raises:
            StorageError: One is another one, was changed, or cannot be reached any more.
        """
        for volume in self._stamps:
            self._check_file(volume)

    def _check_file(self, volume: VolumeFile) -> None:
        path, stamp = volume.path.absolute(), self._stamps[volume]
        with storage_errors(path):
            is_same = FileStamp.of(volume.fileno()) == stamp and FileStamp.of(path) == stamp
        if not is_same:
            raise StorageError(
                f"{path} was changed or replaced while it was served",
                hint="serve it anew",
                origin="bundle",
            )

    def holds(self, digest: Digest) -> bool:
        """Whether some content lies in these files, whole."""
        return self.reader.length(digest) is not None

    def size_of(self, digest: Digest) -> int:
        """How many bytes some content has that these files hold, and that is not known as wrong.

        Raises:
            StorageError: A file is not what it was.
            DigestMismatchError: The content is wrong.
        """
        self._check_content(digest)
        length = self.reader.length(digest)
        assert length is not None, f"{self.path} does not hold {digest}"
        return length

    def sound_length(self, digest: Digest) -> int | None:
        """How many bytes some content has; None where it is not here whole, or known as wrong.

        The files are not looked at: `check` does that, once for all content.
        """
        return None if digest in self._wrong else self.reader.length(digest)

    def locate(self, digest: Digest) -> FileRegion | None:
        """Where some content lies that these files hold; None where it lies in several.

        Raises:
            StorageError: A file is not what it was.
            DigestMismatchError: The content is wrong.
        """
        self._check_content(digest)
        parts = self.reader.parts(digest)
        if len(parts) > 1:
            return None
        ((volume, extent),) = parts
        path = volume.path.absolute()
        return FileRegion(path, extent.offset, extent.length, self._stamps[volume])

    def _check_content(self, digest: Digest) -> None:
        if digest in self._wrong:
            raise DigestMismatchError(
                f"{digest} is damaged in {self.path}",
                expected=str(digest),
                hint="copy the bundle again from where it is whole",
                origin="bundle",
            )
        for volume in {volume for volume, _ in self.reader.parts(digest)}:
            self._check_file(volume)

    @contextmanager
    def open(self, descriptor: Descriptor, /, *, offset: int = 0) -> Iterator[Chunks]:
        """Read a blob from an offset on.

        Raises:
            StorageError: The file is not what it was.
            DigestMismatchError: The content is wrong.
        """
        self._check_content(descriptor.digest)
        with self.reader.open(descriptor, offset=offset) as chunks:
            yield chunks

    def close(self) -> None:
        """Close the files."""
        self.reader.close()
