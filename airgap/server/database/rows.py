"""How values stand in tables, and the statements that both databases spell differently."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.server.database.tables import MANIFESTS

T = TypeVar("T")

_BATCH = 500
"""How many values one statement names at most; both databases take far more."""

ENTRY = (
    MANIFESTS.c.media_type,
    MANIFESTS.c.digest,
    MANIFESTS.c.size,
    MANIFESTS.c.artifact_type,
    MANIFESTS.c.annotations,
)
"""The columns that make the entry of a manifest."""


def entry_of(row: Sequence[Any]) -> Descriptor:
    """Make the entry of a manifest from the columns `ENTRY`."""
    media_type, digest, size, artifact_type, annotations = row
    algorithm, _, digits = digest.partition(":")
    return Descriptor(
        media_type,
        Digest(algorithm, digits),
        size,
        artifact_type=artifact_type,
        annotations=json.loads(annotations) if annotations != "{}" else {},
    )


def values_of(entry: Descriptor) -> dict[str, Any]:
    """The values of the columns `ENTRY`."""
    return {
        "media_type": entry.media_type,
        "digest": str(entry.digest),
        "size": entry.size,
        "artifact_type": entry.artifact_type,
        "annotations": json.dumps(dict(entry.annotations), sort_keys=True),
    }


def batches(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut values into runs that fit into one statement."""
    for start in range(0, len(values), _BATCH):
        yield values[start : start + _BATCH]


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, leaving those alone that are there."""
    if rows:
        statement = _insert(connection, table).on_conflict_do_nothing()
        connection.execute(statement, list(rows))


def insert_or_update(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Insert rows, replacing those that are there."""
    if not rows:
        return
    statement = _insert(connection, table)
    keys = [column.name for column in table.primary_key]
    others = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    connection.execute(
        statement.on_conflict_do_update(index_elements=keys, set_=others), list(rows)
    )


def _insert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)
