"""Files that appear whole or not at all, and that a power cut does not take back."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from airgap.content.posix import give_owner, sync_data, sync_folder, write_at
from airgap.content.storage import storage_errors

TEMPORARY = ".airgap-"
"""How the name of a file begins that is not finished yet; a crash may leave such files."""
PRIVATE = 0o700
"""The mode of a folder that is for its owner only."""


def make_folder(folder: Path, *, durable: bool = True, mode: int = 0o777) -> None:
    """Create a folder and those above it, each durable in the one that holds it.

    Args:
        folder: Where.
        durable: Whether it must survive a power cut once this returns.
        mode: Who may do what with the folder itself, if it is made.

    Raises:
        StorageError: It could not be created.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent, durable=durable)
    with storage_errors(folder):
        folder.mkdir(mode=mode, exist_ok=True)
        if durable:
            sync_folder(folder.parent)


def write_file(
    path: Path,
    data: bytes,
    *,
    durable: bool = True,
    mode: int = 0o644,
    like: Path | None = None,
) -> None:
    """Write a small file, replacing one that is there.

    Args:
        path: Its name; the folder must exist.
        data: All of its bytes.
        durable: Whether it must survive a power cut once this returns.
        mode: Who may read it.
        like: A file or folder whose owner it gets, where root writes what a service reads.

    Raises:
        StorageError: It could not be written; what was there before is still there.
    """
    write_chunks(path, (data,), durable=durable, mode=mode, like=like)


def write_chunks(
    path: Path,
    chunks: Iterable[bytes],
    *,
    durable: bool = True,
    mode: int = 0o644,
    like: Path | None = None,
) -> None:
    """Write a file whose bytes come one chunk after the other, replacing one that is there.

    Args:
        path: Its name; the folder must exist.
        chunks: All of its bytes; where they fail, no file appears.
        durable: Whether it must survive a power cut once this returns.
        mode: Who may read it.
        like: A file or folder whose owner it gets, where root writes what a service reads.

    Raises:
        StorageError: It could not be written; what was there before is still there.
    """
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    with storage_errors(path):
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            try:
                if like is not None:
                    give_owner(fd, like)
                offset = 0
                for chunk in chunks:
                    write_at(fd, chunk, offset)
                    offset += len(chunk)
                if durable:
                    sync_data(fd)
            finally:
                os.close(fd)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if durable:
            sync_folder(path.parent)


def move_file(source: Path, target: Path, *, durable: bool = True) -> None:
    """Give a finished and synced file its final name.

    Raises:
        StorageError: It could not be renamed.
    """
    with storage_errors(target):
        source.replace(target)
        if durable:
            sync_folder(target.parent)


def remove_file(path: Path, *, durable: bool = True) -> bool:
    """Remove a file; False when it was not there.

    Raises:
        StorageError: It could not be removed.
    """
    with storage_errors(path):
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        if durable:
            sync_folder(path.parent)
    return True
