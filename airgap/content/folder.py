"""A depot in a folder: blobs as an image layout keeps them, partial ones beside them.

blobs/<algorithm>/<hex>     each blob and manifest once
uploads/<key>               what is not whole yet; survives a restart
repositories/<name>/_…      what is known, see `airgap.content.folder_metadata`
lock                        held while a process uses the folder
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISREG

from airgap.content.atomic import TEMPORARY, make_folder, remove_file
from airgap.content.datafolder import UPLOADS_NAME
from airgap.content.depot import FileRegion
from airgap.content.folder_lock import FolderLock
from airgap.content.folder_metadata import FolderMetadata
from airgap.content.folder_sync import FolderSync
from airgap.content.posix import sync_data, write_at
from airgap.content.repository import StoredDepot
from airgap.content.storage import storage_errors
from airgap.content.store import CHUNK_SIZE, Chunks
from airgap.errors import ContentNotFoundError
from airgap.oci.digest import ALGORITHMS, Digest
from airgap.oci.layout import blob_path

_HEX = frozenset("0123456789abcdef")


def _names(folder: Path) -> Iterator[str]:
    with storage_errors(folder):
        try:
            with os.scandir(folder) as entries:
                yield from (entry.name for entry in entries)
        except FileNotFoundError:
            return


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
            # one that was dropped as stale is not made anew with a hole at its beginning
            create = 0 if self._offset else os.O_CREAT
            with storage_errors(self._path):
                self._fd = os.open(self._path, os.O_RDWR | create | os.O_CLOEXEC, 0o644)
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
        self._uploads = root / UPLOADS_NAME
        self._syncs: dict[Path, FolderSync] = {}
        make_folder(self._uploads, durable=durable)
        self._lock = FolderLock(root)

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

    def read(self, digest: Digest, /) -> bytes | None:
        """All of a small blob; None when it is not here."""
        path = self._path(digest)
        with storage_errors(path):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None

    def locate(self, digest: Digest, /) -> FileRegion | None:
        """In which file a blob lies."""
        size = self.size(digest)
        return None if size is None else FileRegion(self._path(digest), 0, size)

    def write(self, digest: Digest, raw: bytes, /) -> None:
        """Keep a small blob whose digest the caller has checked."""
        if self.read(digest) == raw:
            # who put it there may still be waiting for this
            self._sync(self._path(digest).parent)
            return
        temporary = self._uploads / f"{TEMPORARY}{secrets.token_hex(8)}"
        partial = FolderPartial(temporary, self)
        try:
            partial.append(raw)
            partial.publish(digest)
        except BaseException:
            partial.discard()
            raise

    def adopt(self, path: Path, digest: Digest) -> None:
        """Give a finished file the name of its digest."""
        target = self._path(digest)
        make_folder(target.parent, durable=self.durable)
        with storage_errors(target):
            path.replace(target)
        self._sync(target.parent)

    def digests(self) -> Iterator[Digest]:
        """The digests of all blobs that are here, in no order."""
        for algorithm, length in ALGORITHMS.items():
            for name in _names(self._root / "blobs" / algorithm):
                if len(name) == length and _HEX.issuperset(name):
                    yield Digest(algorithm, name)

    def remove(self, digests: Iterable[Digest]) -> None:
        """Remove blobs that nothing names any more."""
        folders = {self._path(digest).parent for digest in digests if self._unlink(digest)}
        for folder in folders:
            self._sync(folder)

    def partials(self) -> Iterator[tuple[str, float, int]]:
        """Key, time of the last write and size of all partial blobs; an unfinished small one, too.

        The time is that of the file system, in seconds since 1970.
        """
        with storage_errors(self._uploads), os.scandir(self._uploads) as entries:
            for entry in entries:
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if S_ISREG(found.st_mode):
                    yield entry.name, found.st_mtime, found.st_size

    def drop_partial(self, key: str) -> None:
        """Remove a partial blob that nobody goes on with."""
        remove_file(self._uploads / key, durable=False)

    def _unlink(self, digest: Digest) -> bool:
        return remove_file(self._path(digest), durable=False)

    def _sync(self, folder: Path) -> None:
        if self.durable:
            self._syncs.setdefault(folder, FolderSync(folder)).sync()

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
        self._lock.close()

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
