"""The unfinished file of a bundle: `NAME.partial`, locked, and written at offsets.

It becomes NAME only by `publish`. What its bytes mean is not known here.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from airgap.content import posix
from airgap.content.atomic import move_file
from airgap.content.storage import storage_error, storage_errors
from airgap.content.store import CHUNK_SIZE
from airgap.errors import (
    ConflictError,
    LockedError,
    SettingsError,
    StorageError,
    StorageFullError,
)
from airgap.wording import size_text

SUFFIX = ".partial"
JOURNAL_SUFFIX = ".partial.journal"
_SLICE = 64 * 1024 * 1024
_QUICK = 0.004
"""Seconds that reserving a slice takes at most where the file system only notes the reservation.
Filling it with zeros takes longer, and would be the work of writing the bundle twice."""
_AGAIN = "if the medium was taken out, put it back; then run the same command again"
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


def partial_path(target: Path) -> Path:
    """Where the bundle lies until it is whole.

    Raises:
        SettingsError: The target is a folder by its name.
    """
    return _beside(target, SUFFIX)


def journal_path(target: Path) -> Path:
    """Where its journal lies until then."""
    return _beside(target, JOURNAL_SUFFIX)


class PartialFile:
    """An unfinished file that this process alone may write. Reads and writes are thread-safe.

    Args:
        target: The final name.
        overwrite: Whether a file of that name may be replaced.

    Raises:
        SettingsError: The final name is a folder, a device or the like.
        ConflictError: It is there already.
        LockedError: Another run works on it.
        StorageError: It cannot be created.
    """

    def __init__(self, target: Path, *, overwrite: bool) -> None:
        self.target = followed(target)
        self.path = partial_path(target)
        self.journal = journal_path(target)
        self._overwrite = overwrite
        self._check_target()
        self.is_locked = False
        # what an earlier run wrote may not be durable either
        self._is_dirty = True
        self._is_lent = False
        self._is_published = False
        self._fd = self._open_locked()
        try:
            # another run may have finished between the first look and the lock
            self._check_target()
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> int:
        """How many bytes there are."""
        with self._errors():
            return os.fstat(self._fd).st_size

    @property
    def inode(self) -> int:
        """What tells this file from another one that had its name before or got it since."""
        with self._errors():
            return os.fstat(self._fd).st_ino

    def fileno(self) -> int:
        """The open file, for a process that writes it front to back and then holds the lock."""
        self._is_lent = True
        return self._fd

    def reserve(self, size: int, *, allocates: bool = True) -> None:
        """See to it that there is room for so many bytes in all, before the first is written.

        Args:
            size: The bytes of the whole file.
            allocates: Whether the room is taken at once; a file system that fills gaps with zeros
                would write the whole file for that.

        Raises:
            StorageFullError: There is not.
            StorageError: The file system does not take files of this size.
        """
        with self._errors():
            if not posix.takes_size(self._fd, size):
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            before = os.fstat(self._fd)
            needed = self.needed(size)
            free = posix.free_bytes(self.path.parent)
        if needed > free:
            raise StorageFullError(
                f"{self.path.parent}: the bundle needs {size_text(needed)} more, "
                f"and {size_text(free)} are free",
                hint="make room, or choose another place with -o",
                origin="local",
            )
        if not allocates:
            return
        try:
            with self._errors():
                self._allocate(size)
            self._is_dirty = True
        except StorageFullError:
            self.cut(before.st_size)
            raise

    def needed(self, size: int) -> int:
        """How much room a file of a size takes beyond what this one takes already."""
        with self._errors():
            return size - min(size, os.fstat(self._fd).st_blocks * 512)

    def cut(self, size: int) -> None:
        """Cut off what lies behind a size. A file that has its final name stays as it is.

        What tidies up after a failure may come here when the name is given already, and only
        making that durable failed: what had the name before is gone, so this is all there is.
        """
        if self._is_published:
            return
        with self._errors():
            if os.fstat(self._fd).st_size > size:
                os.ftruncate(self._fd, size)
                self._is_dirty = True

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Write bytes at an offset.

        Raises:
            StorageFullError: There is no room.
            StorageError: The target is gone, or anything else went wrong.
        """
        try:
            posix.write_at(self._fd, data, offset)
        except OSError as error:
            raise self.translated(error) from error
        # after the write: a sync that took the mark away in between has the bytes
        self._is_dirty = True

    def chunks(self, offset: int, length: int) -> Iterator[bytes]:
        """Read bytes from an offset on; fewer than asked for where the file ends before."""
        while length:
            with self._errors():
                chunk = posix.read_at(self._fd, min(length, CHUNK_SIZE), offset)
            if not chunk:
                return
            yield chunk
            offset, length = offset + len(chunk), length - len(chunk)

    def forget_cache(self, offset: int, length: int) -> None:
        """Have bytes read from the medium itself next time, as far as they were written to it."""
        with self._errors():
            posix.drop_cache(self._fd, offset, length)

    def copy(
        self, source: int, length: int, target: int, *, to: PartialFile | None = None
    ) -> Iterator[int]:
        """Copy bytes within the file or to another one, telling how many are done as it goes.

        Source and target may overlap.
        """
        to = to or self
        ascending = target < source or to is not self
        done = 0
        while done < length:
            size = min(CHUNK_SIZE, length - done)
            at = done if ascending else length - done - size
            data = b"".join(self.chunks(source + at, size))
            to.write(data, target + at)
            done += size
            yield done

    def sync(self) -> None:
        """Make all bytes durable. Where none are new, the medium is not bothered.

        Raises:
            StorageError: They may not be; the system forgets that after it has said so once.
        """
        if not self._is_dirty:
            return
        self._is_dirty = self._is_lent
        with self._errors():
            posix.sync_data(self._fd)

    def publish(self, *, durable: bool = True) -> None:
        """Give the synced file its final name.

        Args:
            durable: Whether a power cut must not take the name back once this returns.

        Raises:
            ConflictError: Meanwhile, somebody else made a file of that name.
        """
        self._check_target()
        move_file(self.path, self.target, durable=False)
        self._is_published = True
        if durable:
            with self._errors():
                posix.sync_folder(self.target.parent)

    def close(self) -> None:
        """Give up the lock. A file without any bytes is removed. A second time does nothing."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        try:
            # where the medium is gone, so is what could be tidied up
            with suppress(OSError):
                if _same_file(fd, self.path) and os.fstat(fd).st_size == 0:
                    self.path.unlink(missing_ok=True)
                    self.journal.unlink(missing_ok=True)
        finally:
            os.close(fd)

    def translated(self, error: OSError) -> StorageError:
        """Say what the operating system said, with what can be done about it."""
        found = storage_error(error, self.path)
        if found.hint is None or error.errno in (errno.ENOENT, errno.ENOTDIR):
            found.hint = _AGAIN  # the folder was there when this began
        return found

    def _allocate(self, size: int) -> None:
        start = slow = 0
        while start < size and slow < 2:
            begun = time.monotonic()
            end = min(size, start + _SLICE)
            if not posix.allocate(self._fd, end, offset=start):
                return
            slow = slow + 1 if time.monotonic() - begun > _QUICK else 0
            start = end

    def _open_locked(self) -> int:
        while True:
            fd = self._open()
            try:
                self.is_locked = self._lock(fd)
                if _same_file(fd, self.path):
                    return fd
            except OSError as error:
                os.close(fd)
                raise self.translated(error) from error
            except BaseException:
                os.close(fd)
                raise
            # whoever had the lock renamed or removed the file just before giving it up
            os.close(fd)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(self.path, flags, 0o644)
        except FileNotFoundError as error:
            raise StorageError(
                f"{self.path.parent}: there is no such folder",
                hint="create it, or choose another place with -o",
                origin="local",
            ) from error
        except OSError as error:
            raise self.translated(error) from error

    def _lock(self, fd: int) -> bool:
        try:
            if posix.lock(fd):
                return True
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return False
            raise
        raise LockedError(
            f"{self.target}: another run is writing this bundle",
            hint="wait for it to end, or choose another name with -o",
            origin="local",
        )

    def _check_target(self) -> None:
        with storage_errors(self.target):
            try:
                mode = self.target.stat().st_mode
            except FileNotFoundError:
                return
        if stat.S_ISDIR(mode):
            raise folder_error(self.target)
        if not stat.S_ISREG(mode):
            raise SettingsError(
                f"{self.target} is not a plain file",
                hint="-o - writes the bundle to standard output, which can go anywhere",
            )
        if not self._overwrite:
            raise ConflictError(
                f"{self.target} exists", hint="--overwrite replaces it", origin="local"
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self.translated(error) from error


def _beside(target: Path, suffix: str) -> Path:
    target = followed(target)
    if not target.name:  # `.` and `/`
        raise folder_error(target)
    return target.with_name(target.name + suffix)


def folder_error(target: Path) -> SettingsError:
    """The error for a bundle that would have the name of a folder."""
    return SettingsError(f"{target} is a folder", hint="give the bundle a file name in it")


def followed(target: Path) -> Path:
    """Where a link points: the bundle, its partial file and the free space are all there."""
    # Unlike pathlib's, this question has no error: what is wrong with the name is said later.
    return Path(os.path.realpath(target)) if os.path.islink(target) else target  # noqa: PTH114


def _same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False
