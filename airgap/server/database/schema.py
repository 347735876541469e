"""Makes the tables, brings those of an older airgap up to date, and refuses what is not ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from sqlalchemy import Connection, insert, inspect, select, update

from airgap.errors import StorageError
from airgap.server.database.engine import Database
from airgap.server.database.errors import database_errors
from airgap.server.database.tables import FOLDERS, METADATA, SCHEMA_VERSION

MIGRATIONS: Mapping[int, Callable[[Connection], None]] = MappingProxyType({})
"""What makes the next version out of each older one. A released one is never changed."""


def prepare_schema(database: Database, folder_id: str, *, creates: bool) -> None:
    """Make a database ready for a data folder.

    Args:
        database: Which one.
        folder_id: The id of the folder.
        creates: Whether the tables are made where there are none.

    Raises:
        StorageError: It has no tables, belongs to another folder, or is of a newer version.
    """
    with database_errors(database.name), database.writing.begin() as connection:
        if not inspect(connection).has_table(FOLDERS.name):
            if not creates:
                raise StorageError(
                    f"{database.name} is empty, and its data folder has content",
                    hint="give the database that belongs to the folder, or restore a backup",
                )
            METADATA.create_all(connection)
            connection.execute(insert(FOLDERS).values(id=folder_id, version=SCHEMA_VERSION))
            return
        version = _version_of(connection, database.name, folder_id)
        for older in range(version, SCHEMA_VERSION):
            MIGRATIONS[older](connection)
        connection.execute(update(FOLDERS).values(version=SCHEMA_VERSION))


def check_schema(database: Database, folder_id: str) -> None:
    """See that a database is that of a data folder and of this version; nothing is changed.

    Args:
        database: Which one.
        folder_id: The id of the folder.

    Raises:
        StorageError: It is not.
    """
    with database_errors(database.name), database.reading.connect() as connection:
        if not inspect(connection).has_table(FOLDERS.name):
            raise StorageError(
                f"{database.name} is empty", hint="give the database that belongs to the folder"
            )
        if _version_of(connection, database.name, folder_id) < SCHEMA_VERSION:
            raise StorageError(
                f"{database.name} is of an older version",
                hint="a server that is started on its folder brings it up to date",
            )


def _version_of(connection: Connection, name: str, folder_id: str) -> int:
    owner, version = connection.execute(select(FOLDERS.c.id, FOLDERS.c.version)).one()
    if owner != folder_id:
        raise StorageError(
            f"{name} belongs to another data folder",
            hint="a folder and its database go together; restore both from one backup",
        )
    refuse_newer(name, version, SCHEMA_VERSION)
    return int(version)


def refuse_newer(what: str, version: int, known: int) -> None:
    """Refuse what a newer airgap wrote.

    Raises:
        StorageError: It is newer.
    """
    if version > known:
        raise StorageError(
            f"{what} is of version {version}, and this airgap knows versions up to {known}",
            hint="use the airgap that wrote it, or a newer one",
        )
