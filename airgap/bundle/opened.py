"""A bundle that stays open for long, while its file may be changed, replaced or taken away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from airgap.bundle.reader import BundleReader
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
        self.path = Path(reader.name).absolute()
        with storage_errors(self.path):
            self._stamp = FileStamp.of(reader.fileno())
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
        """See that the file is the one that was opened, and as it was then.

        Raises:
            StorageError: It is another one, was changed, or cannot be reached any more.
        """
        with storage_errors(self.path):
            is_same = (
                FileStamp.of(self.reader.fileno()) == self._stamp
                and FileStamp.of(self.path) == self._stamp
            )
        if not is_same:
            raise StorageError(
                f"{self.path} was changed or replaced while it was served",
                hint="serve it anew",
                origin="bundle",
            )

    def holds(self, digest: Digest) -> bool:
        """Whether some content lies in this file."""
        return self.reader.extent(digest) is not None

    def locate(self, digest: Digest) -> FileRegion:
        """Where some content lies that this file holds.

        Raises:
            StorageError: The file is not what it was.
            DigestMismatchError: The content is wrong.
        """
        extent = self.reader.extent(digest)
        assert extent is not None, f"{self.path} does not hold {digest}"
        if digest in self._wrong:
            raise DigestMismatchError(
                f"{digest} is damaged in {self.path}",
                expected=str(digest),
                hint="copy the bundle again from where it is whole",
                origin="bundle",
            )
        self.check()
        return FileRegion(self.path, extent.offset, extent.length, self._stamp)

    @contextmanager
    def open(self, descriptor: Descriptor, /, *, offset: int = 0) -> Iterator[Chunks]:
        """Read a blob from an offset on.

        Raises:
            StorageError: The file is not what it was.
            DigestMismatchError: The content is wrong.
        """
        self.locate(descriptor.digest)
        with self.reader.open(descriptor, offset=offset) as chunks:
            yield chunks

    def close(self) -> None:
        """Close the file."""
        self.reader.close()
