"""Cancellation: asked for from outside, checked between steps and chunks."""

from __future__ import annotations

import time

from airgap.errors import CancelledError

_SLICE = 0.1
"""Seconds that a wait may go on after a cancellation."""


class CancelToken:
    """Says whether the run should stop.

    It is a plain attribute and takes no lock, so that a signal handler can set it at any moment:
    `threading.Event.set` can hang there.

    Args:
        parent: A token whose cancellation counts here, too, but not the other way round.
    """

    def __init__(self, *, parent: CancelToken | None = None) -> None:
        self._parent = parent
        self._is_cancelled = False

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody asked to stop."""
        return self._is_cancelled or (self._parent is not None and self._parent.is_cancelled)

    def cancel(self) -> None:
        """Ask the run to stop at its next check."""
        self._is_cancelled = True

    def check(self) -> None:
        """Stop here if somebody asked to.

        Raises:
            CancelledError: Somebody did. After that nothing is written to the destination.
        """
        if self.is_cancelled:
            raise CancelledError(
                "interrupted", hint="run the same command again to go on where it stopped"
            )

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until a cancellation.

        Raises:
            CancelledError: Somebody asked to stop meanwhile.
        """
        end = time.monotonic() + seconds
        self.check()
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE))
            self.check()
