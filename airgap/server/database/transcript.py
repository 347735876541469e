"""All rows of one database written into another one, which may be of the other kind."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, func, insert, inspect, select
from sqlalchemy.sql.expression import text

from airgap.errors import ConflictError
from airgap.run.cancel import CancelToken
from airgap.server.database.engine import Database, open_sqlite
from airgap.server.database.errors import database_errors
from airgap.server.database.tables import ARRIVALS, FOLDERS, METADATA

_ROWS = 1000


def copy_rows(source: Database, target: Database, *, cancel: CancelToken) -> None:
    """Copy all rows as they are at one moment.

    Args:
        source: Of this version; it may be in use.
        target: Without tables.
        cancel: Ends it; nothing is in the target then.

    Raises:
        ConflictError: There is something in the target.
        StorageError: One of them failed.
    """
    with (
        database_errors(source.name),
        source.snapshots.begin() as reading,
        database_errors(target.name),
        target.writing.begin() as writing,
    ):
        if inspect(writing).has_table(FOLDERS.name):
            raise ConflictError(
                f"{target.name} is not empty", hint="make a new database and name that"
            )
        METADATA.create_all(writing)
        for table in METADATA.sorted_tables:
            rows = reading.execution_options(yield_per=_ROWS).execute(select(table))
            for part in rows.mappings().partitions():
                cancel.check()
                writing.execute(insert(table), [dict(row) for row in part])
        _count_on(writing)


def snapshot_of(source: Database, path: Path, *, cancel: CancelToken) -> Database:
    """Copy all rows into a new file.

    Raises:
        StorageError: It cannot be written.
    """
    snapshot = open_sqlite(path)
    try:
        copy_rows(source, snapshot, cancel=cancel)
    except BaseException:
        snapshot.close()
        raise
    return snapshot


def _count_on(connection: Connection) -> None:
    """Let new arrivals get numbers behind those that were copied; SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    last = connection.scalar(select(func.max(ARRIVALS.c.id)))
    if last is not None:
        sequence = func.pg_get_serial_sequence(text("'arrivals'"), text("'id'"))
        connection.execute(select(func.setval(sequence, last)))
