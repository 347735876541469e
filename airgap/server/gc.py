"""Garbage collection of a data folder, while it is served or not.

Rows go first, in transactions between those of pushes; a file goes after its row is gone for
good, while nobody who pushes holds its digest. A crash in between leaves a file without a row,
which the next start finds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from airgap.errors import LockedError
from airgap.oci.digest import Digest
from airgap.run.cancel import CancelToken
from airgap.server.database import garbage
from airgap.server.database.errors import database_errors
from airgap.server.database.garbage import Cutoffs
from airgap.server.database.recency import REFRESH_SECONDS
from airgap.server.database.tidy import STALE_SECONDS, drop_stale
from airgap.server.datafolder import DataDepot

GRACE_SECONDS = 3600.0
"""What was pushed or asked for in this time stays."""
DAY_SECONDS = 24 * 3600.0

_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GarbageReport:
    """What was freed, or would be.

    Attributes:
        manifests: Manifests that were deleted.
        links: Blobs that one repository does not need any more.
        blobs: Files that were removed.
        size: How many bytes they had.
        uploads: Uploads that nobody went on with.
        upload_size: How many bytes they had.
        repositories: Repositories in which nothing was left.
        is_dry_run: Whether nothing was changed.
    """

    manifests: int = 0
    links: int = 0
    blobs: int = 0
    size: int = 0
    uploads: int = 0
    upload_size: int = 0
    repositories: int = 0
    is_dry_run: bool = False


class _DryRunEnds(Exception):  # noqa: N818 (it is no error: it takes a transaction back)
    def __init__(self, report: GarbageReport) -> None:
        super().__init__()
        self.report = report


@contextmanager
def without_collection(depot: DataDepot) -> Iterator[None]:
    """Keep every file where it is while the context lasts, for a backup or one collection.

    Raises:
        LockedError: Somebody else does that right now.
    """
    if not depot.removal.acquire(blocking=False):
        raise LockedError(
            f"{depot.root}: a backup or a garbage collection is running",
            hint="try again when it is done",
        )
    try:
        yield
    finally:
        depot.removal.release()


def collect_garbage(
    depot: DataDepot,
    *,
    untagged_days: float | None = None,
    is_dry_run: bool = False,
    cancel: CancelToken | None = None,
) -> GarbageReport:
    """Remove what nothing needs.

    Args:
        depot: The data folder.
        untagged_days: Also delete manifests without a tag that were pushed so many days ago.
        is_dry_run: Whether only to tell.
        cancel: Ends it between two steps; what is done is done.

    Raises:
        LockedError: A backup or another collection is running.
        StorageError: The folder or its database failed.
        CancelledError: It was told to stop.
    """
    # a note of what was asked for may be as old as that
    used = depot.now() - GRACE_SECONDS - REFRESH_SECONDS
    untagged = None if untagged_days is None else depot.now() - untagged_days * DAY_SECONDS
    cutoffs = Cutoffs(used, untagged)
    with without_collection(depot):
        if is_dry_run:
            return _pretend(depot, cutoffs)
        report = _collect(depot, cutoffs, cancel or CancelToken())
    _log.info("garbage collection: %s", report)
    return report


def _pretend(depot: DataDepot, cutoffs: Cutoffs) -> GarbageReport:
    """Do all of it in one transaction and take that back."""

    def work(connection: Connection) -> None:
        depot.metadata.recency.flush(connection)
        manifests = sum(iter(lambda: garbage.sweep_manifests(connection, cutoffs), 0))
        links = garbage.sweep_links(connection, cutoffs)
        blobs, size = garbage.count_unneeded(connection, cutoffs)
        repositories = garbage.sweep_repositories(connection, cutoffs)
        raise _DryRunEnds(
            GarbageReport(manifests, links, blobs, size, repositories=repositories, is_dry_run=True)
        )

    try:
        depot.metadata.writer.run(work)
    except _DryRunEnds as end:
        stale = [
            size
            for key, written_at, size in depot.pool.partials()
            if written_at < depot.now() - STALE_SECONDS and not depot.sessions.is_busy(key)
        ]
        return replace(end.report, uploads=len(stale), upload_size=sum(stale))
    raise AssertionError("the work ends the dry run")


def _collect(depot: DataDepot, cutoffs: Cutoffs, cancel: CancelToken) -> GarbageReport:
    manifests = links = blobs = size = 0
    while found := _doomed(depot, cutoffs):
        cancel.check()
        sweep = partial(garbage.sweep_manifests, cutoffs=cutoffs)
        deleted = _among_free(depot, found, sweep, default=0)
        if not deleted:
            break  # somebody looks at all that is left
        manifests += deleted
    for batch in _batches(depot, partial(garbage.unneeded_links, cutoffs=cutoffs)):
        cancel.check()
        sweep = partial(garbage.sweep_links, cutoffs=cutoffs)
        links += _among_free(depot, batch, sweep, default=0)
    for batch in _batches(depot, partial(garbage.unneeded_blobs, cutoffs=cutoffs)):
        cancel.check()
        freed = _remove(depot, cutoffs, batch)
        blobs, size = blobs + len(freed), size + sum(freed)
    repositories = depot.metadata.writer.run(partial(garbage.sweep_repositories, cutoffs=cutoffs))
    before = depot.now() - STALE_SECONDS
    uploads, upload_size = drop_stale(depot.pool, before, frees=depot.sessions.forget_idle)
    return GarbageReport(manifests, links, blobs, size, uploads, upload_size, repositories)


def _doomed(depot: DataDepot, cutoffs: Cutoffs) -> list[str]:
    database = depot.metadata.database
    with database_errors(database.name), database.reading.connect() as connection:
        return garbage.doomed_manifests(connection, cutoffs)


def _batches(depot: DataDepot, find: Callable[..., list[str]]) -> Iterator[list[str]]:
    database, after = depot.metadata.database, ""
    while True:
        with database_errors(database.name), database.reading.connect() as connection:
            batch = find(connection, after=after, limit=garbage.BATCH)
        if not batch:
            return
        yield batch
        after = batch[-1]


def _among_free(depot: DataDepot, digests: list[str], sweep: Callable[..., T], *, default: T) -> T:
    """Sweep among those that nobody holds, and let nobody begin to until that is committed."""
    with depot.sessions.holds.take([Digest.parse(text) for text in digests]) as taken:

        def work(connection: Connection) -> T:
            # in the same transaction, so that nothing that was asked for before is missed
            depot.metadata.recency.flush(connection)
            return sweep(connection, among=[str(digest) for digest in taken])

        return depot.metadata.writer.run(work) if taken else default


def _remove(depot: DataDepot, cutoffs: Cutoffs, batch: list[str]) -> list[int]:
    """Remove rows, then files, of those that nobody holds; gives their sizes."""
    with depot.sessions.holds.take([Digest.parse(text) for text in batch]) as taken:

        def work(connection: Connection) -> list[tuple[str, int]]:
            depot.metadata.recency.flush(connection)
            return garbage.sweep_blobs(connection, cutoffs, [str(digest) for digest in taken])

        gone = depot.metadata.writer.run(work) if taken else []
        depot.pool.remove([Digest.parse(text) for text, _ in gone])
    return [size for _, size in gone]
