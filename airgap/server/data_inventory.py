"""The inventory of a data folder, read where it lies, while a server serves it or not.

Whoever serves a folder holds its lock, and this needs none: it changes nothing, and reads one
snapshot, which neither database makes a writer wait for.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sqlalchemy import select

from airgap.content.datafolder import DATABASE_NAME
from airgap.content.holdings import inventory_of
from airgap.errors import StorageError
from airgap.record.inventory import Inventory
from airgap.server.database.engine import Database, open_sqlite, open_url
from airgap.server.database.errors import database_errors
from airgap.server.database.holdings import DatabaseHoldings
from airgap.server.database.schema import check_schema
from airgap.server.database.tables import REPOSITORIES
from airgap.server.datafolder import read_current


def inventory_of_data_folder(
    root: Path,
    *,
    made: datetime,
    place: str = "",
    by: str = "",
    database_url: str | None = None,
) -> Inventory:
    """Make the inventory of a data folder. It may be served meanwhile.

    Args:
        root: The folder.
        made: When this is.
        place: What clients call the registry that serves it, as HOST:PORT; empty where nobody
            says.
        by: Who makes it.
        database_url: Where its database is, if not in the folder.

    Raises:
        SettingsError: It is no data folder of this version, or its database is elsewhere.
        StorageError: Something cannot be read, or is of a newer version.
    """
    version = read_current(root, database_url)
    database = open_url(database_url) if database_url else _open_file(root / DATABASE_NAME)
    try:
        check_schema(database, version.id)
        names = _repositories(database)
        teller = DatabaseHoldings(database)
        return inventory_of(teller, names, is_all=True, made=made, place=place, by=by)
    finally:
        database.close()


def _open_file(path: Path) -> Database:
    if not path.is_file():
        raise StorageError(f"{path} is missing", hint="restore a backup")
    return open_sqlite(path)


def _repositories(database: Database) -> list[str]:
    with database_errors(database.name), database.reading.connect() as connection:
        return list(connection.scalars(select(REPOSITORIES.c.name)))
