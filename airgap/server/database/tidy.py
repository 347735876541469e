"""What the start of a registry puts in order after a crash."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from airgap.content.atomic import TEMPORARY
from airgap.content.folder import FolderPool
from airgap.errors import StorageError
from airgap.oci.digest import Digest
from airgap.server.database.errors import database_errors
from airgap.server.database.metadata import DatabaseMetadata
from airgap.server.database.rows import batches, insert_new
from airgap.server.database.tables import BLOBS, LINKS

STALE_SECONDS = 24 * 3600.0
"""How long an upload that nobody goes on with is kept."""

_MANY = 10


@dataclass(frozen=True, slots=True)
class TidyReport:
    """What was put in order.

    Attributes:
        dropped_uploads: How many unfinished blobs nobody went on with.
        dropped_bytes: How many bytes they had.
        adopted: How many blobs were whole and not known; garbage collection sees to them.
        lost: Blobs that were known and are not there; who pushes them again repairs that.
    """

    dropped_uploads: int = 0
    dropped_bytes: int = 0
    adopted: int = 0
    lost: tuple[Digest, ...] = ()

    def __bool__(self) -> bool:
        """Whether there was anything to do."""
        return bool(self.dropped_uploads or self.adopted or self.lost)


def tidy(
    pool: FolderPool,
    metadata: DatabaseMetadata,
    *,
    is_thorough: bool,
    now: Callable[[], float] = time.time,
) -> TidyReport:
    """Put files and rows in order.

    Args:
        pool: The files.
        metadata: The rows.
        is_thorough: Whether to compare all of them, as after a crash.
        now: The time, in seconds since 1970.

    Raises:
        StorageError: Most of the content is gone: its disk is not there.
    """
    for key, _, _ in list(pool.partials()):
        if key.startswith(TEMPORARY):
            pool.drop_partial(key)
    count, size = drop_stale(pool, now() - STALE_SECONDS)
    if not is_thorough:
        return TidyReport(count, size)
    lost, unknown = _compare(pool, metadata)
    # a file has its name only once it is whole and synced, so it is what its name says
    adopted = _adopt(pool, metadata, unknown, now())
    _forget_links(metadata, lost)
    return TidyReport(count, size, adopted, tuple(map(Digest.parse, sorted(lost))))


def drop_stale(
    pool: FolderPool, before: float, *, frees: Callable[[str], bool] = lambda _: True
) -> tuple[int, int]:
    """Drop unfinished blobs to which nothing was added for long.

    Args:
        pool: Where.
        before: Those whose last write was before this.
        frees: Asked with the key of each before it is removed: whether nobody needs it.

    Returns:
        How many there were, and how many bytes.
    """
    count = total = 0
    for key, written_at, size in list(pool.partials()):
        if written_at < before and frees(key):
            pool.drop_partial(key)
            count, total = count + 1, total + size
    return count, total


def _compare(pool: FolderPool, metadata: DatabaseMetadata) -> tuple[set[str], list[Digest]]:
    """Blobs that are known and not there, and those that are there and not known."""
    database = metadata.database
    with database_errors(database.name), database.reading.connect() as connection:
        known = set(connection.scalars(select(BLOBS.c.digest)))
    total, unknown = len(known), []
    for digest in pool.digests():
        text = str(digest)
        if text in known:
            known.discard(text)
        else:
            unknown.append(digest)
    if len(known) > _MANY and 2 * len(known) > total:
        raise StorageError(
            f"{len(known)} of {total} blobs that the registry knows are not in its folder",
            hint="check that the right folder is mounted, or restore a backup",
        )
    return known, unknown


def _adopt(pool: FolderPool, metadata: DatabaseMetadata, unknown: list[Digest], now: float) -> int:
    for batch in batches(unknown):
        rows = [
            {"digest": str(digest), "size": pool.size(digest) or 0, "used_at": now}
            for digest in batch
        ]

        def insert(connection: Connection, rows: list[dict[str, object]] = rows) -> None:
            insert_new(connection, BLOBS, rows)

        metadata.writer.run(insert)
    return len(unknown)


def _forget_links(metadata: DatabaseMetadata, lost: set[str]) -> None:
    """Make what is gone unreachable, so that it is pushed again before a manifest names it."""
    for batch in batches(sorted(lost)):

        def forget(connection: Connection, batch: Sequence[str] = batch) -> None:
            connection.execute(delete(LINKS).where(LINKS.c.digest.in_(batch)))
            connection.execute(delete(BLOBS).where(BLOBS.c.digest.in_(batch)))

        metadata.writer.run(forget)
