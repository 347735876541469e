"""How much is read or sent at once: a lot on fast lines, little on slow ones."""

from __future__ import annotations

from collections.abc import Callable

from airgap.content.store import CHUNK_SIZE

_FIRST = 64 * 1024
_LEAST = 4096
_SLOW = 0.5
"""What takes longer than this many seconds is made smaller."""


class Pace:
    """Adapts to a line, so that what a break loses and how long a cancellation waits stay small.

    Also, a socket's timeout counts for all that is sent at once.

    Args:
        clock: Gives seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._started: float | None = None
        self.amount = _FIRST

    def start(self) -> None:
        """Something of `amount` bytes begins to move."""
        self._started = self._clock()

    def stop(self) -> None:
        """It has moved."""
        if self._started is None:
            return
        if self._clock() - self._started > _SLOW:
            self.amount = max(self.amount // 4, _LEAST)
        else:
            self.amount = min(self.amount * 2, CHUNK_SIZE)
        self._started = None

    def reset(self) -> None:
        """The line broke; the next one may be another."""
        self._started = None
        self.amount = _FIRST
