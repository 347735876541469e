"""A data folder made of a backup. What is in the backup is not believed: every blob is hashed."""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from sqlalchemy import select

from airgap.content.atomic import PRIVATE, make_folder
from airgap.content.datafolder import DATABASE_NAME, VERSION_NAME
from airgap.content.folder_lock import FolderLock
from airgap.content.posix import sync_data, sync_folder
from airgap.content.storage import storage_errors
from airgap.content.store import CHUNK_SIZE
from airgap.errors import BundleFormatError, ConflictError, IncompleteBundleError
from airgap.oci.digest import Digest, Verifier
from airgap.oci.layout import blob_digest, blob_path
from airgap.run.cancel import CancelToken
from airgap.server.database.engine import open_sqlite, open_url
from airgap.server.database.errors import database_errors
from airgap.server.database.tables import BLOBS
from airgap.server.database.transcript import copy_rows
from airgap.server.datafolder import (
    SECRET_FOLDERS,
    USER_FILES,
    FolderVersion,
    fill_folder,
    parse_version,
)

_MAX_SMALL = 64 * 1024 * 1024
_SECRET = re.compile(rf"({'|'.join(SECRET_FOLDERS)})/[A-Za-z0-9_][A-Za-z0-9._-]{{0,99}}")
_PRIVATE = 0o600


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What was restored.

    Attributes:
        path: The data folder.
        blobs: How many blobs.
        size: How many bytes they have.
    """

    path: str
    blobs: int
    size: int


@dataclass
class _Unpacked:
    seen: set[str] = field(default_factory=set)
    version: bytes = b""
    blobs: int = 0
    size: int = 0


def restore_backup(
    source: Path,
    root: Path,
    *,
    database_url: str | None = None,
    cancel: CancelToken | None = None,
) -> RestoreReport:
    """Make a data folder of a backup. It can be opened once all of it is there.

    Args:
        source: The tar.
        root: The folder; it must be empty, or not be there.
        database_url: Where its database will be, if not in the folder; without tables.
        cancel: Ends it.

    Raises:
        ConflictError: There is something in the folder or the database.
        BundleFormatError: The file is no backup.
        IncompleteBundleError: It is cut short, or lacks blobs.
        DigestMismatchError: A blob is not what its name says.
        StorageError: Something cannot be read or written.
    """
    cancel = cancel or CancelToken()
    with storage_errors(root):
        if root.exists() and any(path.name != "lost+found" for path in root.iterdir()):
            raise ConflictError(f"{root} is not empty", hint="name a folder that is not there yet")
        make_folder(root.absolute(), mode=PRIVATE)
    with ExitStack() as stack:
        stack.callback(FolderLock(root).close)
        fill_folder(root)
        unpacked = _unpack(source, root, cancel)
        version = parse_version(unpacked.version, str(source))
        _restore_rows(source, root, unpacked, database_url, cancel)
        for folder in {(root / name).parent for name in unpacked.seen}:
            with storage_errors(folder):
                sync_folder(folder)
        backend = "postgresql" if database_url else "sqlite"
        FolderVersion(version.version, version.id, backend).write(root)
    return RestoreReport(str(root), unpacked.blobs, unpacked.size)


def _restore_rows(
    source: Path, root: Path, unpacked: _Unpacked, database_url: str | None, cancel: CancelToken
) -> None:
    path = root / DATABASE_NAME
    if DATABASE_NAME not in unpacked.seen:
        raise BundleFormatError(f"{source} is not a backup: there is no {DATABASE_NAME} in it")
    with ExitStack() as stack:
        rows = open_sqlite(path)
        stack.callback(rows.close)
        with database_errors(rows.name), rows.reading.connect() as connection:
            known = connection.scalars(select(BLOBS.c.digest)).all()
        missing = [text for text in known if blob_path(Digest.parse(text)) not in unpacked.seen]
        if missing:
            raise IncompleteBundleError(
                f"{source} lacks {len(missing)} blobs that it lists",
                missing=missing,
                hint="use another backup",
            )
        if database_url is None:
            return
        target = open_url(database_url)
        stack.callback(target.close)
        copy_rows(rows, target, cancel=cancel)
    with storage_errors(path):
        for name in (DATABASE_NAME, f"{DATABASE_NAME}-wal", f"{DATABASE_NAME}-shm"):
            (root / name).unlink(missing_ok=True)


def _unpack(source: Path, root: Path, cancel: CancelToken) -> _Unpacked:
    done = _Unpacked()
    with storage_errors(source), source.open("rb") as file:
        try:
            with tarfile.open(fileobj=file, mode="r|") as tar:
                for member in tar:
                    cancel.check()
                    _unpack_member(tar, member, root, done)
        except (tarfile.TarError, EOFError) as error:
            raise BundleFormatError(f"{source} is not a backup, or is cut short") from error
    if not done.version:
        raise BundleFormatError(f"{source} is not a backup of airgap")
    return done


def _unpack_member(
    tar: tarfile.TarFile, member: tarfile.TarInfo, root: Path, done: _Unpacked
) -> None:
    name, digest = member.name, blob_digest(member.name)
    is_small = name in (VERSION_NAME, *USER_FILES) or _SECRET.fullmatch(name) is not None
    content = tar.extractfile(member) if member.isreg() else None
    if content is None or name in done.seen or not (digest or is_small or name == DATABASE_NAME):
        raise BundleFormatError(f"a member of the backup is not of airgap: {name[:100]!r}")
    if is_small and member.size > _MAX_SMALL:
        raise BundleFormatError(f"{name} in the backup has {member.size} bytes")
    done.seen.add(name)
    if name == VERSION_NAME:
        done.version = content.read()
        return
    path = root / name
    make_folder(path.parent)
    if digest is not None:
        done.blobs, done.size = done.blobs + 1, done.size + member.size
    _write(path, _chunks(content, digest, member.size))


def _chunks(content: IO[bytes], digest: Digest | None, size: int) -> Iterator[bytes]:
    verifier = Verifier(digest, size) if digest is not None else None
    while chunk := content.read(CHUNK_SIZE):
        if verifier is not None:
            verifier.update(chunk)
        yield chunk
    if verifier is not None:
        verifier.finish()


def _write(path: Path, chunks: Iterator[bytes]) -> None:
    with storage_errors(path):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE)
        with os.fdopen(fd, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            sync_data(file.fileno())
