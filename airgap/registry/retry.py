"""The one retry loop: what failed for a moment is tried again, after a pause, a few times.

`RetryPolicy` is pure. Whoever talks to the network raises `TransientError` for what may go away;
it holds the error that the user sees when it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import SystemRandom
from typing import TypeVar

from airgap.errors import AirgapError, UnavailableError
from airgap.run import Run
from airgap.run.events import RetryScheduled

TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that may be another next time (RFC 9110, RFC 8470 for 425, RFC 6585 for 429)."""

_T = TypeVar("_T")


class TransientError(Exception):
    """Something failed that may work a moment later. It never leaves this package.

    Args:
        error: What the user is told when it does not.
        retry_after: The pause in seconds that the server asked for.
    """

    def __init__(self, error: AirgapError, *, retry_after: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and after which pauses something is tried again.

    Attributes:
        retries: Repetitions without progress.
        base_delay: The first pause in seconds; it doubles each time.
        max_delay: The longest pause of our own.
        max_wait: The longest pause that a server may ask for.
    """

    retries: int = 5
    base_delay: float = 0.25
    max_delay: float = 30.0
    max_wait: float = 300.0

    def delay(self, failures: int, *, jitter: float, retry_after: float | None) -> float | None:
        """The pause after the n-th failure in a row; None to give up.

        Args:
            failures: How often it failed since there was progress, at least 1.
            jitter: From 0 to 1: spreads those who wait for the same server.
            retry_after: What the server asked for; it is never undercut.
        """
        if failures > self.retries or (retry_after or 0.0) > self.max_wait:
            return None
        # The exponent is limited because a float is, not because anybody waits that often.
        ceiling = min(self.max_delay, self.base_delay * 2.0 ** min(failures - 1, 64))
        own = ceiling * (0.5 + 0.5 * jitter)
        return own if retry_after is None else retry_after + own * 0.1


def parse_retry_after(text: str, *, now: datetime) -> float | None:
    """Read a Retry-After header, seconds or a date (RFC 9110, section 10.2.3)."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


class Retrier:
    """Runs operations with a policy.

    Args:
        policy: How often and when.
        run: Where pauses are reported, and what ends them.
        jitter: Gives numbers from 0 to 1.
    """

    def __init__(
        self, policy: RetryPolicy, *, run: Run, jitter: Callable[[], float] | None = None
    ) -> None:
        self._policy = policy
        self._run = run
        self._jitter = jitter or SystemRandom().random

    def within(self, run: Run) -> Retrier:
        """The same loop for another run."""
        return Retrier(self._policy, run=run, jitter=self._jitter)

    def call(
        self, what: str, operation: Callable[[], _T], *, progress: Callable[[], int] | None = None
    ) -> _T:
        """Run an operation until it succeeds, fails for good or fails too often.

        Args:
            what: The operation, for people.
            operation: Raises `TransientError` for what is worth another try.
            progress: A number that grows as the work proceeds: after growth, failures count anew.

        Raises:
            AirgapError: It failed for good.
            CancelledError: Somebody asked to stop.
        """
        failures = 0
        reached = progress() if progress else 0
        while True:
            self._run.cancel.check()
            try:
                return operation()
            except TransientError as broken:
                if progress and (now := progress()) > reached:
                    reached, failures = now, 0
                failures += 1
                delay = self._policy.delay(
                    failures, jitter=self._jitter(), retry_after=broken.retry_after
                )
                if delay is None:
                    raise self._final(broken, failures) from broken
                self._run.emit(RetryScheduled(what, broken.error.message, delay, failures))
            self._run.cancel.sleep(delay)

    def _final(self, broken: TransientError, failures: int) -> AirgapError:
        wait = broken.retry_after
        if wait is not None and wait > self._policy.max_wait:
            return UnavailableError(
                f"{broken.error.message}; it wants to be asked again in {wait:.0f} seconds,"
                f" and at most {self._policy.max_wait:.0f} are waited",
                hint="run the same command again then, or wait for longer with --max-wait",
                origin=broken.error.origin,
                retry_after=wait,
            )
        error = broken.error
        if failures > 1:
            error.message = f"{error.message} (tried {failures} times)"
            error.args = (error.message,)
        return error
