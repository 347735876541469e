"""What goes wrong with files, said in airgap's own errors."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airgap.errors import StorageError, StorageFullError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_GONE = frozenset({errno.EIO, errno.ENODEV, errno.ENXIO, errno.ESTALE})
"""What calls answer whose medium was taken out; a broken one says EIO, too."""
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NO_FOLDER = frozenset({errno.ENOENT, errno.ENOTDIR})


def storage_error(error: OSError, what: str | Path) -> StorageError:
    """Translate an error of the operating system.

    Args:
        error: What it raised.
        what: The file or folder that was being read or written.
    """
    reason = error.strerror or type(error).__name__
    if error.errno in _FULL:
        return StorageFullError(
            f"{what}: {reason}", hint="make room and run the same command again", origin="local"
        )
    hint = None
    if error.errno in _DENIED:
        hint = "check the permissions of the file, its folder and the file system"
    elif error.errno in _GONE:
        hint = "if the medium was taken out, put it back; then run the same command again"
    elif error.errno == errno.ENAMETOOLONG:
        hint = "give it a shorter name"
    elif error.errno in _NO_FOLDER:
        hint = "check the path, and whether all folders in it are there"
    elif error.errno == errno.EISDIR:
        hint = "this is a folder: name a file"
    elif error.errno == errno.EFBIG:
        hint = "the file system does not take files of this size"
    return StorageError(f"{what}: {reason}", hint=hint, origin="local")


def is_folder(path: Path) -> bool:
    """Whether something is a folder; False where nothing is there.

    Raises:
        StorageError: The system does not say: what holds it may not be looked into, or is gone.
    """
    with storage_errors(path):
        return path.is_dir()


def is_there(path: Path) -> bool:
    """Whether something of any kind is there; a name that is too long for anything is not.

    Raises:
        StorageError: The system does not say: what holds it may not be looked into, or is gone.
    """
    try:
        return path.exists()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise storage_error(error, path) from error


@contextmanager
def storage_errors(what: str | Path) -> Iterator[None]:
    """Translate what the operating system raises inside.

    Raises:
        StorageFullError: There is no room left.
        StorageError: Anything else went wrong.
    """
    try:
        yield
    except OSError as error:
        raise storage_error(error, what) from error
