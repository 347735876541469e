"""The uploads and ingests that are under way in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from airgap.content.holds import Holds
from airgap.content.ingest import PiecewiseUpload
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest

MAX_LIVE_UPLOADS = 4096
"""Of how many uploads the hash is kept between pieces; older ones are hashed again at the end."""


class Sessions:
    """The uploads and ingests that are under way in this process.

    Two threads that want the same blob at the same time must not write into one partial file.

    Attributes:
        holds: Who holds which blob, so that garbage collection leaves it alone.
    """

    def __init__(self) -> None:
        self.holds = Holds()
        self._lock = threading.Lock()
        self._claimed: set[str] = set()
        self._uploads: dict[str, PiecewiseUpload] = {}

    @contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """Hold a key while the context lasts; gives False where another thread holds it."""
        with self._lock:
            is_mine = key not in self._claimed
            if is_mine:
                self._claimed.add(key)
        try:
            yield is_mine
        finally:
            if is_mine:
                with self._lock:
                    self._claimed.discard(key)

    def add(self, key: str, upload: PiecewiseUpload) -> PiecewiseUpload:
        """Remember an upload; gives the one that was there first."""
        with self._lock:
            known = self._uploads.setdefault(key, upload)
            while len(self._uploads) > MAX_LIVE_UPLOADS:
                # not closed: the request that works on it right now does that when it ends
                self._uploads.pop(next(iter(self._uploads)))
        return known

    def find(self, key: str) -> PiecewiseUpload | None:
        """An upload that is remembered."""
        with self._lock:
            return self._uploads.get(key)

    def forget_idle(self, key: str) -> bool:
        """Forget an upload whose partial blob is about to go; False where it must stay."""
        with self._lock:
            if key in self._claimed:
                return False
            self._uploads.pop(key, None)
            return True

    def is_busy(self, key: str) -> bool:
        """Whether a thread pulls into a partial blob right now."""
        with self._lock:
            return key in self._claimed

    def remove(self, key: str) -> None:
        """Forget an upload that is finished."""
        with self._lock:
            self._uploads.pop(key, None)


class StoredUpload:
    """An upload that its repository forgets when it ends."""

    def __init__(self, upload: PiecewiseUpload, sessions: Sessions, key: str) -> None:
        self._upload = upload
        self._sessions = sessions
        self._key = key

    @property
    def id(self) -> str:
        """The name by which it can be found again in its repository."""
        return self._upload.id

    @property
    def offset(self) -> int:
        """How many bytes are there."""
        return self._upload.offset

    def append(self, chunk: bytes | memoryview, /) -> None:
        """Take the next bytes."""
        self._upload.append(chunk)

    def commit(self, digest: Digest, /) -> Descriptor:
        """Make the blob visible in the repository, durably.

        Raises:
            DigestMismatchError: The bytes hash to something else; the upload is gone.
        """
        try:
            with self._sessions.holds.hold(digest):
                return self._upload.commit(digest)
        finally:
            self._sessions.remove(self._key)

    def abort(self) -> None:
        """Throw away what is there."""
        self._sessions.remove(self._key)
        self._upload.abort()

    def close(self) -> None:
        """Let go of open files; the upload can go on later."""
        self._upload.close()
