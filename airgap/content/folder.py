"""A depot in a folder: blobs as an image layout keeps them, partial ones beside them.

blobs/<algorithm>/<hex>     each blob and manifest once
uploads/<key>               what is not whole yet; survives a restart
repositories/<name>/_…      what is known, see `airgap.content.folder_metadata`
lock                        held while a process uses the folder
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from airgap.content.atomic import make_folder, move_file, remove_file, write_file
from airgap.content.depot import FileRegion
from airgap.content.folder_metadata import FolderMetadata
from airgap.content.posix import lock, sync_data, write_at
from airgap.content.repository import StoredDepot
from airgap.content.storage import storage_errors
from airgap.content.store import CHUNK_SIZE, Chunks
from airgap.errors import ContentNotFoundError, LockedError
from airgap.oci.digest import Digest
from airgap.oci.layout import blob_path


def _read_chunks(path: Path, offset: int) -> Generator[bytes, None, None]:
    with storage_errors(path):
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            while chunk := file.read(CHUNK_SIZE):
                yield chunk


class FolderPartial:
    """The bytes of a blob that is not whole yet, in a file."""

    def __init__(self, path: Path, pool: FolderPool) -> None:
        self._path = path
        self._pool = pool
        self._fd: int | None = None
        with storage_errors(path):
            self._offset = path.stat().st_size if path.exists() else 0

    @property
    def offset(self) -> int:
        """How many bytes are there."""
        return self._offset

    def append(self, chunk: bytes | memoryview, /) -> None:
        """Write the next bytes.

        Raises:
            StorageError: They could not be written; what was there before is kept.
        """
        fd = self._open()
        with storage_errors(self._path):
            try:
                write_at(fd, chunk, self._offset)
            except OSError:
                # what was written of the chunk would count as there after a restart
                os.ftruncate(fd, self._offset)
                raise
        self._offset += len(chunk)

    @contextmanager
    def read(self) -> Iterator[Chunks]:
        """Read what is there from the start."""
        yield _read_chunks(self._path, 0) if self._offset else iter(())

    def publish(self, digest: Digest, /) -> None:
        """Make the bytes durable and keep them under a digest that the caller has checked."""
        fd = self._open()
        try:
            if self._pool.durable:
                with storage_errors(self._path):
                    sync_data(fd)
        finally:
            self.close()
        self._pool.adopt(self._path, digest)

    def discard(self) -> None:
        """Remove what is there."""
        self.close()
        self._offset = 0
        remove_file(self._path, durable=False)

    def close(self) -> None:
        """Let go of the file and keep the bytes."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _open(self) -> int:
        if self._fd is None:
            with storage_errors(self._path):
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        return self._fd


class FolderPool:
    """Blobs by digest in files.

    Args:
        root: The folder.
        durable: Whether what is published must survive a power cut.
    """

    def __init__(self, root: Path, *, durable: bool) -> None:
        self.durable = durable
        self._root = root
        self._uploads = root / "uploads"
        make_folder(self._uploads, durable=durable)
        self._lock_fd: int | None = None
        with storage_errors(root):
            fd = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            if not lock(fd):
                os.close(fd)
                raise LockedError(
                    f"{root} is used by another process", hint="end it, or use another folder"
                )
        self._lock_fd = fd

    def size(self, digest: Digest, /) -> int | None:
        """How many bytes a blob has; None when it is not here."""
        path = self._path(digest)
        with storage_errors(path):
            try:
                return path.stat().st_size
            except FileNotFoundError:
                return None

    @contextmanager
    def open(self, digest: Digest, /, *, offset: int) -> Iterator[Chunks]:
        """Read a blob from an offset on.

        Raises:
            ContentNotFoundError: It is not here.
        """
        if self.size(digest) is None:
            raise ContentNotFoundError(f"there is no blob {digest}")
        chunks = _read_chunks(self._path(digest), offset)
        try:
            yield chunks
        finally:
            chunks.close()

    def locate(self, digest: Digest, /) -> FileRegion | None:
        """In which file a blob lies."""
        size = self.size(digest)
        return None if size is None else FileRegion(self._path(digest), 0, size)

    def write(self, digest: Digest, raw: bytes, /) -> None:
        """Keep a small blob whose digest the caller has checked."""
        path = self._path(digest)
        with storage_errors(path):
            if path.exists() and path.read_bytes() == raw:
                return
        make_folder(path.parent, durable=self.durable)
        write_file(path, raw, durable=self.durable)

    def adopt(self, path: Path, digest: Digest) -> None:
        """Give a finished file the name of its digest."""
        target = self._path(digest)
        make_folder(target.parent, durable=self.durable)
        move_file(path, target, durable=self.durable)

    def partial(self, key: str, /) -> FolderPartial:
        """Begin a partial blob, or go on with one."""
        partial = FolderPartial(self._uploads / key, self)
        if not partial.offset:
            with storage_errors(self._uploads):
                (self._uploads / key).touch()
        return partial

    def find_partial(self, key: str, /) -> FolderPartial | None:
        """Find a partial blob that was begun."""
        path = self._uploads / key
        return FolderPartial(path, self) if path.exists() else None

    def close(self) -> None:
        """Let go of the folder."""
        fd, self._lock_fd = self._lock_fd, None
        if fd is not None:
            os.close(fd)

    def _path(self, digest: Digest) -> Path:
        return self._root / blob_path(digest)


class FolderDepot(StoredDepot):
    """A place with many repositories in a folder, used by one process at a time.

    Args:
        root: The folder; it is made if it is not there.
        durable: Whether what was written must survive a power cut once a call returns.

    Raises:
        LockedError: Another process uses the folder.
        StorageError: The folder cannot be used.
    """

    def __init__(self, root: Path, *, durable: bool = True) -> None:
        pool = FolderPool(root, durable=durable)
        super().__init__(pool, FolderMetadata(root / "repositories", durable=durable))
