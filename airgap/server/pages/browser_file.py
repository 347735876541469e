"""A file that lies in somebody's browser: what is wanted next is asked for, and waited for."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from airgap.content.store import CHUNK_SIZE, Chunks
from airgap.errors import UnavailableError
from airgap.run import CancelToken

IDLE_SECONDS = 900.0
"""How long a browser may be away before what it was sending is given up."""
BUFFER_SIZE = 4 * CHUNK_SIZE
"""How many bytes may wait to be hashed and written."""
_SLICE = 0.2
"""Seconds between looks at the cancellation."""


@dataclass(frozen=True, slots=True)
class Want:
    """The bytes that are to be sent next."""

    offset: int
    size: int


class BrowserFile:
    """A `content.arrival.RemoteFile` that a browser sends as it is asked to.

    One thread reads it; any threads may feed it.

    Args:
        name: What it is called.
        size: How many bytes it is said to have.
        cancel: Ends the waits.
        now: A clock in seconds.
    """

    def __init__(
        self,
        name: str,
        size: int,
        cancel: CancelToken,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.size = size
        self._cancel = cancel
        self._now = now
        self._changed = threading.Condition()
        self._want: Want | None = None
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._is_over = False
        self._heard = now()

    # -- for the one who reads -----------------------------------------------------------------

    @contextmanager
    def open(self, offset: int, size: int, /) -> Iterator[Chunks]:
        """Ask for a run of bytes.

        Raises:
            UnavailableError: The browser went away.
            CancelledError: The run was ended.
        """
        with self._changed:
            self._want = Want(offset, size) if size else None
            self._heard = self._now()
            self._changed.notify_all()
        try:
            yield self._read(size)
        finally:
            with self._changed:
                self._want = None
                self._chunks.clear()
                self._held = 0
                self._changed.notify_all()

    def finish(self) -> None:
        """Nothing will be wanted any more."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _read(self, size: int) -> Iterator[bytes]:
        while size:
            chunk = self._next()
            size -= len(chunk)
            yield chunk

    def _next(self) -> bytes:
        with self._changed:
            while not self._chunks:
                self._cancel.check()
                if self._now() - self._heard > IDLE_SECONDS:
                    raise UnavailableError(
                        f"the browser that was sending {self.name} went away",
                        hint="choose the same file again: what arrived needs not be sent again",
                        origin="bundle",
                    )
                self._changed.wait(_SLICE)
            chunk = self._chunks.popleft()
            self._held -= len(chunk)
            self._changed.notify_all()
            return chunk

    # -- for those who feed --------------------------------------------------------------------

    @property
    def want(self) -> Want | None:
        """What is to be sent next; None while nothing is wanted."""
        with self._changed:
            return self._want

    @property
    def is_over(self) -> bool:
        """Whether nothing will be wanted any more."""
        with self._changed:
            return self._is_over

    def hear(self) -> None:
        """Note that the browser is still there."""
        with self._changed:
            self._heard = self._now()

    def feed(self, offset: int, data: bytes) -> bool:
        """Take bytes; waits while enough of them wait.

        Args:
            offset: Where in the file they lie.
            data: The bytes, at most `CHUNK_SIZE`.

        Returns:
            Whether they were wanted; they were not taken otherwise.
        """
        with self._changed:
            self._heard = self._now()
            while self._is_wanted(offset, data) and self._held >= BUFFER_SIZE:
                if self._cancel.is_cancelled:
                    return False
                self._changed.wait(_SLICE)
                self._heard = self._now()
            want = self._want
            if want is None or not self._is_wanted(offset, data):
                return False
            self._chunks.append(data)
            self._held += len(data)
            left = want.size - len(data)
            self._want = Want(offset + len(data), left) if left else None
            self._changed.notify_all()
            return True

    def wait_for_want(self, seconds: float) -> None:
        """Wait until something is wanted, nothing will be any more, or the time is over."""
        end = self._now() + seconds
        with self._changed:
            while self._want is None and not self._is_over and not self._cancel.is_cancelled:
                left = end - self._now()
                if left <= 0:
                    return
                self._changed.wait(min(left, _SLICE))

    def _is_wanted(self, offset: int, data: bytes) -> bool:
        want = self._want
        return (
            not self._is_over
            and want is not None
            and want.offset == offset
            and len(data) <= want.size
        )
