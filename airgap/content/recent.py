"""Small blobs that were read lately, kept in memory."""

from __future__ import annotations

import threading

from airgap.oci.digest import Digest

MAX_BYTES = 16 << 20
MAX_BLOB = 256 << 10
_OVERHEAD = 512
"""About what an entry takes beside its bytes."""


class RecentBlobs:
    """Small blobs by their digests. Safe to use from several threads.

    Content never changes under a digest, so nothing here is ever out of date; who may see it, and
    whether it is still there, is asked elsewhere.

    Args:
        limit: How many bytes are kept; what came first goes first.
    """

    def __init__(self, limit: int = MAX_BYTES) -> None:
        self._limit = limit
        self._size = 0
        self._kept: dict[Digest, bytes] = {}
        self._lock = threading.Lock()

    def find(self, digest: Digest, /) -> bytes | None:
        """The bytes of a blob, if they are here."""
        return self._kept.get(digest)

    def keep(self, digest: Digest, raw: bytes, /) -> None:
        """Keep a blob that was read, unless it is large or was damaged."""
        if len(raw) > MAX_BLOB or Digest.of(raw, digest.algorithm) != digest:
            return
        with self._lock:
            if digest in self._kept:
                return
            self._kept[digest] = raw
            self._size += len(raw) + _OVERHEAD
            while self._size > self._limit:
                oldest = next(iter(self._kept))
                self._size -= len(self._kept.pop(oldest)) + _OVERHEAD
