"""When each blob was last asked for, noted without making anybody wait."""

from __future__ import annotations

import threading
from collections.abc import Callable

from sqlalchemy import Connection, bindparam, update

from airgap.oci.digest import Digest
from airgap.server.database.tables import BLOBS
from airgap.server.database.writer import Writer

REFRESH_SECONDS = 600.0
"""How old a note gets before it is made again; short against what garbage collection keeps."""

_MAX_KNOWN = 1 << 16

_UPDATE = (
    update(BLOBS)
    .where(BLOBS.c.digest == bindparam("asked"), BLOBS.c.used_at < bindparam("at"))
    .values(used_at=bindparam("at"))
)


class Recency:
    """Which blobs were asked for in the last minutes.

    Args:
        writer: Notes them in the database.
        now: The time, in seconds since 1970.
    """

    def __init__(self, writer: Writer, now: Callable[[], float]) -> None:
        self._writer = writer
        self._now = now
        self._lock = threading.Lock()
        self._known: dict[Digest, float] = {}
        self._pending: dict[Digest, float] = {}

    def touch(self, digest: Digest) -> None:
        """Note that a blob is asked for now."""
        if self.has(digest):
            return
        now = self._now()
        with self._lock:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()  # what is asked for again is noted again
            self._known[digest] = now
            is_first = not self._pending
            self._pending[digest] = now
        if is_first:
            self._writer.later(self.flush)

    def has(self, digest: Digest) -> bool:
        """Whether a blob was asked for in the last minutes, so that nothing need be noted."""
        last = self._known.get(digest)
        return last is not None and self._now() - last < REFRESH_SECONDS

    def flush(self, connection: Connection) -> None:
        """Write what is not written yet."""
        with self._lock:
            pending, self._pending = self._pending, {}
        if pending:
            connection.execute(
                _UPDATE, [{"asked": str(d), "at": at} for d, at in sorted(pending.items())]
            )
