"""Which bundles came, with what, when and from whom."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import Connection, insert, select

from airgap.content.arrival import Arrival, ArrivedImage
from airgap.oci.digest import Digest
from airgap.server.database.errors import database_errors
from airgap.server.database.metadata import DatabaseMetadata
from airgap.server.database.tables import ARRIVALS, ARRIVED_IMAGES

_PAGE = 50


def note_arrival(metadata: DatabaseMetadata, arrival: Arrival) -> None:
    """Remember a bundle that came, durably."""

    def work(connection: Connection) -> None:
        row = {
            "bundle": str(arrival.bundle),
            "name": arrival.name,
            "arrived_at": arrival.when.timestamp() if arrival.when else None,
            "arrived_by": arrival.who,
            "sent_bytes": arrival.sent_bytes,
            "notes": json.dumps(list(arrival.notes)),
        }
        number = connection.execute(insert(ARRIVALS).returning(ARRIVALS.c.id), row).scalar_one()
        images = [
            {
                "arrival": number,
                "position": position,
                "source": image.source,
                "repository": image.repository,
                "tag": image.tag,
                "digest": str(image.digest),
                "outcome": image.outcome,
            }
            for position, image in enumerate(arrival.images)
        ]
        if images:
            connection.execute(insert(ARRIVED_IMAGES), images)

    metadata.writer.run(work)


def arrivals(metadata: DatabaseMetadata) -> Iterator[Arrival]:
    """All bundles that came, the latest first."""
    database, before = metadata.database, None
    while True:
        query = select(ARRIVALS).order_by(ARRIVALS.c.id.desc()).limit(_PAGE)
        if before is not None:
            query = query.where(ARRIVALS.c.id < before)
        with database_errors(database.name), database.reading.connect() as connection:
            rows = connection.execute(query).mappings().all()
            found = [(row, _images(connection, row["id"])) for row in rows]
        for row, images in found:
            when = row["arrived_at"]
            yield Arrival(
                Digest.parse(row["bundle"]),
                row["name"],
                images,
                when=None if when is None else datetime.fromtimestamp(when, UTC),
                who=row["arrived_by"],
                sent_bytes=row["sent_bytes"],
                notes=tuple(json.loads(row["notes"])),
            )
            before = row["id"]
        if len(rows) < _PAGE:
            return


def _images(connection: Connection, number: int) -> tuple[ArrivedImage, ...]:
    table = ARRIVED_IMAGES.c
    query = select(table.source, table.repository, table.tag, table.digest, table.outcome)
    rows = connection.execute(query.where(table.arrival == number).order_by(table.position))
    return tuple(
        ArrivedImage(source, repository, tag, Digest.parse(digest), outcome)
        for source, repository, tag, digest, outcome in rows
    )
