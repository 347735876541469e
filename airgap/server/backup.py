"""A data folder in one tar file, taken while it is served.

The metadata is in it as a SQLite file, wherever it was: so a backup can be restored into
PostgreSQL, and back. It is one snapshot, taken while nothing may be removed, and each blob that it
names is in the tar behind it.
"""

from __future__ import annotations

import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from airgap.content.atomic import TEMPORARY
from airgap.content.datafolder import DATABASE_NAME, VERSION_NAME
from airgap.content.folder_lock import FolderLock
from airgap.content.posix import sync_data, sync_folder
from airgap.content.storage import storage_errors
from airgap.content.store import CHUNK_SIZE
from airgap.errors import ConflictError, LockedError, StorageError, UnavailableError
from airgap.oci.digest import Digest
from airgap.oci.layout import blob_path
from airgap.run.cancel import CancelToken
from airgap.server.control import hold_server
from airgap.server.database.engine import Database, open_sqlite, open_url
from airgap.server.database.errors import database_errors
from airgap.server.database.tables import BLOBS
from airgap.server.database.transcript import snapshot_of
from airgap.server.datafolder import SECRET_FOLDERS, USER_FILES, read_current


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What is in a backup.

    Attributes:
        path: The tar.
        blobs: How many blobs.
        size: How many bytes they have.
        missing: Blobs that the registry knows and whose files are gone.
    """

    path: str
    blobs: int
    size: int
    missing: tuple[str, ...] = ()


def write_backup(
    root: Path,
    target: Path,
    *,
    database_url: str | None = None,
    cancel: CancelToken | None = None,
) -> BackupReport:
    """Write a data folder into a tar that only its owner may read: there are secrets in it.

    Args:
        root: The folder; it may be served meanwhile.
        target: The tar; it has its name once it is complete.
        database_url: Where the folder's database is, if not in the folder.
        cancel: Ends it; nothing is left then.

    Raises:
        ConflictError: The target exists.
        SettingsError: The folder is no data folder, or its database is elsewhere.
        LockedError: Somebody is removing something.
        StorageError: Something cannot be read or written.
    """
    cancel = cancel or CancelToken()
    read_current(root, database_url)
    if target.exists():
        raise ConflictError(f"{target} exists", hint="name another file, or remove it")
    with ExitStack() as stack:
        stack.enter_context(_undisturbed(root))
        with storage_errors(target):
            work = stack.enter_context(
                tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=target.absolute().parent)
            )
        source = open_url(database_url) if database_url else open_sqlite(root / DATABASE_NAME)
        stack.callback(source.close)
        copy = Path(work, DATABASE_NAME)
        with_rows = snapshot_of(source, copy, cancel=cancel)
        blobs = _known_blobs(with_rows)
        with_rows.close()
        finished = Path(work, "backup.tar")
        report = _write(root, finished, copy, blobs, cancel)
        with storage_errors(target):
            finished.rename(target)
            sync_folder(target.absolute().parent)
    return BackupReport(str(target), report.blobs, report.size, report.missing)


@contextmanager
def _undisturbed(root: Path) -> Iterator[None]:
    """Keep all files of a folder where they are: by its lock, or by whoever serves it."""
    with ExitStack() as stack:
        try:
            stack.callback(FolderLock(root).close)
        except LockedError as locked:
            try:
                stack.enter_context(hold_server(root))
            except UnavailableError:
                raise locked from None
        yield


def _known_blobs(database: Database) -> list[tuple[Digest, int]]:
    query = select(BLOBS.c.digest, BLOBS.c.size).order_by(BLOBS.c.digest)
    with database_errors(database.name), database.reading.connect() as connection:
        return [(Digest.parse(digest), size) for digest, size in connection.execute(query)]


def _write(
    root: Path, path: Path, database: Path, blobs: list[tuple[Digest, int]], cancel: CancelToken
) -> BackupReport:
    count = total = 0
    missing: list[str] = []
    with storage_errors(path):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            with tarfile.open(
                fileobj=file, mode="w|", format=tarfile.PAX_FORMAT, bufsize=CHUNK_SIZE
            ) as tar:
                for name, source in _small_files(root, database):
                    _add(tar, name, source, source.stat().st_size)
                for digest, size in blobs:
                    cancel.check()
                    source = root / blob_path(digest)
                    if not source.exists():
                        missing.append(str(digest))
                        continue
                    _add(tar, blob_path(digest), source, size)
                    count, total = count + 1, total + size
            file.flush()
            sync_data(file.fileno())
    return BackupReport(str(path), count, total, tuple(missing))


def _small_files(root: Path, database: Path) -> Iterator[tuple[str, Path]]:
    yield VERSION_NAME, root / VERSION_NAME
    yield DATABASE_NAME, database
    for name in USER_FILES:
        if (root / name).is_file():
            yield name, root / name
    for folder in SECRET_FOLDERS:
        for path in sorted((root / folder).glob("[!.]*")):
            if path.is_file():
                yield f"{folder}/{path.name}", path


def _add(tar: tarfile.TarFile, name: str, path: Path, size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o600
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size < size:
            raise StorageError(f"{path} is shorter than it was", hint="push it again")
        tar.addfile(member, file)
