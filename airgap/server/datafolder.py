"""The folder of a registry: what lies where, and what makes it ready.

version          of what version the folder is, its id, and where its database is
oci-layout, index.json, blobs/<algorithm>/<hex>    content, as an image layout; no names
registry.db      what is known of it, unless that is in PostgreSQL
uploads/         blobs that are not whole yet
keys/, tls/      secrets
htpasswd, groups, access.toml                      users and what they may do
revocations.json                                   keys that are trusted no more, as bundles told
lock             held by the process that serves the folder
unclean          there while a process serves the folder; left behind by a crash
control.sock     where that process takes orders
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

from airgap.content.arrival import Arrival
from airgap.content.atomic import PRIVATE, make_folder, remove_file, write_file
from airgap.content.datafolder import DATABASE_NAME, UPLOADS_NAME, VERSION_NAME
from airgap.content.folder import FolderPool
from airgap.content.holdings import Holdings
from airgap.content.repository import StoredDepot
from airgap.content.storage import storage_errors
from airgap.errors import InvalidContentError, SettingsError, StorageError
from airgap.oci import layout
from airgap.oci.document import canonical_bytes, parse_object
from airgap.oci.mediatype import OCI_INDEX
from airgap.server.database import arrivals
from airgap.server.database.engine import open_sqlite, open_url
from airgap.server.database.holdings import DatabaseHoldings
from airgap.server.database.metadata import DatabaseMetadata
from airgap.server.database.older import import_records
from airgap.server.database.schema import prepare_schema, refuse_newer
from airgap.server.database.tidy import TidyReport, tidy

FOLDER_VERSION = 1
"""What this airgap writes; an older one is migrated, a newer one refused."""

OLD_RECORDS = "repositories"
USER_FILES = ("htpasswd", "groups", "access.toml", "revocations.json")
SECRET_FOLDERS = ("keys", "tls")

_BACKENDS = {"sqlite": "its own registry.db", "postgresql": "PostgreSQL"}
_MAX_VERSION_FILE = 4096
_EARLY = frozenset(
    {*USER_FILES, *SECRET_FOLDERS, DATABASE_NAME, "lock", UPLOADS_NAME, "lost+found"}
)
"""What may be in a folder before it is a data folder: users are added before the first start."""


@dataclass(frozen=True, slots=True)
class FolderVersion:
    """What the version file says."""

    version: int
    id: str
    backend: str

    def write(self, root: Path) -> None:
        """Write the file, durably."""
        value = {"airgapData": self.version, "id": self.id, "database": self.backend}
        write_file(root / VERSION_NAME, canonical_bytes(value) + b"\n", mode=0o600)

    def check_backend(self, root: Path, backend: str) -> None:
        """Refuse to look for the metadata where it is not.

        Raises:
            SettingsError: It is elsewhere.
        """
        if self.backend != backend:
            raise SettingsError(
                f"{root} keeps its metadata in {_BACKENDS.get(self.backend, self.backend)}",
                hint="give --database" if backend == "sqlite" else "leave --database out",
            )


class DataDepot(StoredDepot):
    """The repositories of a data folder.

    Attributes:
        root: The folder.
        pool: Its files.
        metadata: Its database.
        report: What was put in order at the start.
        now: The time, in seconds since 1970.
        removal: Held by whoever removes files, or needs all of them to stay.
    """

    def __init__(
        self,
        root: Path,
        pool: FolderPool,
        metadata: DatabaseMetadata,
        report: TidyReport,
        now: Callable[[], float],
    ) -> None:
        super().__init__(pool, metadata)
        self.root = root
        self.pool = pool
        self.metadata = metadata
        self.sessions = self._sessions
        self.report = report
        self.now = now
        self.removal = threading.Lock()

    def note_arrival(self, arrival: Arrival, /) -> None:
        """Remember a bundle that came, durably."""
        arrivals.note_arrival(self.metadata, arrival)

    def arrivals(self) -> Iterator[Arrival]:
        """The bundles that came, the latest first."""
        return arrivals.arrivals(self.metadata)

    def holdings(self, names: Sequence[str], /) -> AbstractContextManager[Holdings]:
        """What repositories hold, as it is at one moment."""
        return DatabaseHoldings(self.metadata.database).holdings(names)

    def check_ready(self) -> None:
        """Ask the database something, and write a file.

        Raises:
            AirgapError: One of them does not work.
        """
        list(self.metadata.repositories(limit=1))
        write_file(self.root / UPLOADS_NAME / ".airgap-ready", b"", durable=False)

    def close(self) -> None:
        """Write what is left, and let go of the folder."""
        try:
            self.metadata.close()
            if not self.metadata.writer.has_failed:
                remove_file(self.root / "unclean")
        finally:
            self.pool.close()


def open_data(
    root: Path,
    *,
    durable: bool = True,
    database_url: str | None = None,
    creates: bool = True,
    now: Callable[[], float] = time.time,
) -> DataDepot:
    """Open a data folder, and make it if it is not there.

    Args:
        root: The folder.
        durable: Whether what was acknowledged must survive a power cut.
        database_url: Where its database is, if not in the folder.
        creates: Whether it is made.
        now: The time, in seconds since 1970.

    Raises:
        LockedError: Another process uses it.
        SettingsError: It is something else, or its database is elsewhere.
        StorageError: It cannot be used, or is of a newer version.
    """
    if read_version(root) is None:
        if not creates:
            raise SettingsError(f"{root} is not a data folder", hint="--data names one")
        _refuse_foreign(root)
        make_folder(root.absolute(), mode=PRIVATE)
    with ExitStack() as stack:
        pool = FolderPool(root, durable=durable)
        stack.callback(pool.close)
        backend = "postgresql" if database_url else "sqlite"
        found = read_version(root)
        if found is not None:
            found.check_backend(root, backend)
        if database_url:
            database = open_url(database_url)
        else:
            database = open_sqlite(root / DATABASE_NAME, durable=durable)
        stack.callback(database.close)
        database.ping()
        version = found or _begin(root, backend)
        is_old, is_empty = version.version == 0, next(pool.digests(), None) is None
        prepare_schema(database, version.id, creates=is_old or is_empty)
        metadata = DatabaseMetadata(database, now=now)
        stack.callback(metadata.close)
        fill_folder(root)
        if is_old:
            _migrate(root, pool, metadata, version)
        unclean = root / "unclean"
        report = tidy(pool, metadata, is_thorough=is_old or unclean.exists(), now=now)
        write_file(unclean, f"{os.getpid()}\n".encode(), mode=0o600)
        stack.pop_all()
    return DataDepot(root, pool, metadata, report, now)


def read_version(root: Path) -> FolderVersion | None:
    """Read the version file; None where there is none.

    Raises:
        StorageError: It cannot be read, or makes no sense.
    """
    path = root / VERSION_NAME
    with storage_errors(path):
        try:
            with path.open("rb") as file:
                raw = file.read(_MAX_VERSION_FILE)
        except (FileNotFoundError, NotADirectoryError):
            return None
    return parse_version(raw, str(path))


def read_current(root: Path, database_url: str | None) -> FolderVersion:
    """Read the version file of a folder that is used beside its server, which migrates nothing.

    Args:
        root: The folder.
        database_url: Where its database is said to be, if not in the folder.

    Raises:
        SettingsError: It is no data folder of this version, or its database is elsewhere.
        StorageError: The file cannot be read, makes no sense, or is newer.
    """
    version = read_version(root)
    if version is None or version.version != FOLDER_VERSION:
        raise SettingsError(
            f"{root} is not a data folder of this version",
            hint="name the one that is served; a server that is started on an older one migrates"
            " it",
        )
    version.check_backend(root, "postgresql" if database_url else "sqlite")
    return version


def parse_version(raw: bytes, what: str) -> FolderVersion:
    """Read what a version file says.

    Args:
        raw: Its bytes.
        what: What it is called in messages.

    Raises:
        StorageError: It makes no sense, or is newer.
    """
    try:
        value = parse_object(raw, what=what)
    except InvalidContentError as error:
        raise StorageError(f"{what} is damaged", hint="restore a backup") from error
    match value:
        case {"airgapData": int(version), "id": str(folder_id), "database": str(backend)}:
            refuse_newer(what, version, FOLDER_VERSION)
            return FolderVersion(version, folder_id, backend)
        case {"airgapData": int(version)}:
            refuse_newer(what, version, FOLDER_VERSION)
        case _:
            pass
    raise StorageError(f"{what} is damaged", hint="restore a backup")


def _begin(root: Path, backend: str) -> FolderVersion:
    """Give a new folder its id and version, before anything else is in it."""
    # before there were versions, names lay in a folder of small files
    is_old = (root / OLD_RECORDS).is_dir()
    made = FolderVersion(0 if is_old else FOLDER_VERSION, secrets.token_hex(16), backend)
    made.write(root)
    return made


def fill_folder(root: Path) -> None:
    """Make what a folder has even when it is empty."""
    for name in SECRET_FOLDERS:
        with storage_errors(root / name):
            (root / name).mkdir(mode=0o700, exist_ok=True)
    make_folder(root / layout.BLOBS)
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
    for name, content in (
        (layout.LAYOUT_FILE, layout.LAYOUT_BYTES),
        (layout.INDEX_FILE, canonical_bytes(index)),
    ):
        if not (root / name).exists():
            write_file(root / name, content)


def _migrate(
    root: Path, pool: FolderPool, metadata: DatabaseMetadata, version: FolderVersion
) -> None:
    """Take over the records of a folder from before there were versions."""
    import_records(root / OLD_RECORDS, pool, metadata)
    FolderVersion(FOLDER_VERSION, version.id, version.backend).write(root)
    with storage_errors(root):
        (root / OLD_RECORDS).rename(root / f"{OLD_RECORDS}.old")


def _refuse_foreign(root: Path) -> None:
    """Refuse to make a data folder of a folder in which something else lies."""
    with storage_errors(root):
        try:
            names = {path.name for path in root.iterdir()}
        except FileNotFoundError:
            return
    if OLD_RECORDS in names:
        return
    foreign = sorted(name for name in names - _EARLY if not name.startswith("."))
    if foreign:
        raise SettingsError(
            f"{root} is not a data folder: there is {foreign[0][:100]!r} in it",
            hint="name an empty folder, or one that does not exist yet",
        )
