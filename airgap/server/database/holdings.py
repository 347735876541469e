"""What repositories hold, read from the database in one snapshot and row by row.

What garbage collection would take does not count: a blob that no manifest of its repository
names, and a manifest whose subject is gone, with what only such a manifest names. Somebody who
relies on it would find it gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    exists,
    select,
    tuple_,
    union_all,
)

from airgap.content.holdings import Holdings
from airgap.server.database import garbage
from airgap.server.database.engine import Database
from airgap.server.database.errors import database_errors
from airgap.server.database.tables import BLOBS, EDGES, LINKS, MANIFESTS, TAGS

_ROWS = 2000
"""How many rows are in memory at once."""
_FEW = 500
"""Up to so many repositories are named to the database; of more, all rows are looked through."""


class DatabaseHoldings:
    """Tells what repositories hold by a database.

    Args:
        database: Which one; its tables are of this version.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def holdings(self, names: Sequence[str], /) -> Iterator[Holdings]:
        """Tell what repositories hold, all of it as it is at one moment.

        Raises:
            StorageError: The database failed.
        """
        database, chosen = self._database, frozenset(names)
        few = sorted(chosen) if len(chosen) <= _FEW else None
        with database_errors(database.name), database.snapshots.begin() as connection:
            yield Holdings(
                (row for row in _rows(connection, _tags(few)) if row[0] in chosen),
                (row for row in _rows(connection, _content(few)) if row[2] in chosen),
            )


def _rows(
    connection: Connection, query: Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]]
) -> Iterator[tuple[Any, ...]]:
    found = connection.execution_options(yield_per=_ROWS).execute(query)
    for part in found.partitions():
        yield from map(tuple, part)


def _tags(few: Sequence[str] | None) -> Select[str, str, str]:
    going = garbage.leaving()
    is_there = exists().where(
        MANIFESTS.c.repository == TAGS.c.repository, MANIFESTS.c.digest == TAGS.c.digest
    )
    query = select(TAGS.c.repository, TAGS.c.name, TAGS.c.digest).where(
        is_there, _stays(going, TAGS.c.repository, TAGS.c.digest)
    )
    if few is not None:
        query = query.where(TAGS.c.repository.in_(few))
    return query


def _content(few: Sequence[str] | None) -> CompoundSelect[str, int, str]:
    going = garbage.leaving()
    is_named = exists().where(
        EDGES.c.repository == LINKS.c.repository,
        EDGES.c.child == LINKS.c.digest,
        _stays(going, EDGES.c.repository, EDGES.c.parent),
    )
    blobs = (
        select(LINKS.c.digest, BLOBS.c.size, LINKS.c.repository)
        .join(BLOBS, BLOBS.c.digest == LINKS.c.digest)
        .where(is_named)
    )
    manifests = select(MANIFESTS.c.digest, MANIFESTS.c.size, MANIFESTS.c.repository).where(
        _stays(going, MANIFESTS.c.repository, MANIFESTS.c.digest)
    )
    if few is not None:
        blobs = blobs.where(LINKS.c.repository.in_(few))
        manifests = manifests.where(MANIFESTS.c.repository.in_(few))
    return union_all(blobs, manifests)


def _stays(going: CTE, repository: Column[str], digest: Column[str]) -> ColumnElement[bool]:
    gone = select(going.c.repository, going.c.digest)
    return tuple_(repository, digest).not_in(gone)
