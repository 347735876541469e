"""Retries: how often, after which pauses, and what comes out in the end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from airgap.errors import CancelledError, UnavailableError
from airgap.registry.retry import Retrier, RetryPolicy, TransientError, parse_retry_after
from airgap.run import Run
from airgap.run.events import Event, RetryScheduled
from tests.support.registry_client import ImpatientToken

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Recorder:
    """Notes events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event, /) -> None:
        """Note one."""
        self.events.append(event)


def broken(retry_after: float | None = None) -> TransientError:
    return TransientError(UnavailableError("it broke", hint="wait"), retry_after=retry_after)


def failing(times: int, error: Callable[[], Exception] = broken) -> Callable[[], str]:
    left = iter(range(times))

    def operation() -> str:
        if next(left, None) is not None:
            raise error()
        return "done"

    return operation


@pytest.mark.parametrize(
    ("failures", "jitter", "retry_after", "expected"),
    [
        (1, 1.0, None, 1.0),
        (1, 0.0, None, 0.5),
        (2, 1.0, None, 2.0),
        (3, 1.0, None, 4.0),
        (5, 1.0, None, 10.0),
        (6, 1.0, None, None),
        (1, 0.0, 7.0, 7.05),
        (1, 0.0, 0.0, 0.05),
        (1, 0.0, 60.0, 60.05),
        (1, 0.0, 60.1, None),
    ],
)
def test_the_policy_is_a_table(
    failures: int, jitter: float, retry_after: float | None, expected: float | None
) -> None:
    """Pauses double up to a limit, are spread, never undercut the server's, and end."""
    policy = RetryPolicy(retries=5, base_delay=1.0, max_delay=10.0, max_wait=60.0)
    delay = policy.delay(failures, jitter=jitter, retry_after=retry_after)
    assert delay == (None if expected is None else pytest.approx(expected))


def test_many_failures_do_not_overflow() -> None:
    """A pause stays finite however often something failed."""
    policy = RetryPolicy(retries=10**9)
    assert policy.delay(10**6, jitter=1.0, retry_after=None) == policy.max_delay


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("Fri, 02 Jan 2026 03:05:05 GMT", 60.0),
        ("Fri, 02 Jan 2026 03:00:00 GMT", 0.0),
        ("Fri, 02 Jan 2026 03:05:05", 60.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("٣", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, expected: float | None) -> None:
    """Both forms are read, the past means now, and nonsense is as if nothing was said."""
    assert parse_retry_after(text, now=NOW) == expected


def test_an_absurd_number_of_seconds_is_read() -> None:
    """A number with a thousand digits is cut, not computed."""
    assert (parse_retry_after("9" * 1000, now=NOW) or 0) > 1e8


def test_success_needs_no_pause() -> None:
    """What works at once is done once."""
    token = ImpatientToken()
    retrier = Retrier(RetryPolicy(), run=Run(cancel=token))
    assert retrier.call("it", failing(0)) == "done"
    assert token.waits == []


def test_failures_are_reported_and_waited_for() -> None:
    """Each retry is an event with its reason, pause and number."""
    token, recorder = ImpatientToken(), Recorder()
    retrier = Retrier(RetryPolicy(base_delay=1.0), run=Run(recorder, token), jitter=lambda: 1.0)
    assert retrier.call("it", failing(2)) == "done"
    assert token.waits == [1.0, 2.0]
    assert recorder.events == [
        RetryScheduled("it", "it broke", 1.0, 1),
        RetryScheduled("it", "it broke", 2.0, 2),
    ]


def test_the_last_failure_comes_out() -> None:
    """After the retries the error that the user understands is raised, saying how often."""
    retrier = Retrier(RetryPolicy(retries=2), run=Run(cancel=ImpatientToken()))
    with pytest.raises(UnavailableError, match=r"it broke \(tried 3 times\)") as caught:
        retrier.call("it", failing(9))
    assert caught.value.hint == "wait"


def test_no_retries_means_once() -> None:
    """With no retries the first failure is the last."""
    token = ImpatientToken()
    retrier = Retrier(RetryPolicy(retries=0), run=Run(cancel=token))
    with pytest.raises(UnavailableError, match=r"^it broke$"):
        retrier.call("it", failing(1))
    assert token.waits == []


def test_progress_starts_the_count_again() -> None:
    """Failures with progress in between are not added up."""
    reached = 0

    def operation() -> str:
        nonlocal reached
        reached += 1
        if reached < 20:
            raise broken()
        return "done"

    retrier = Retrier(RetryPolicy(retries=1), run=Run(cancel=ImpatientToken()))
    assert retrier.call("it", operation, progress=lambda: reached) == "done"


def test_a_pause_that_is_too_long_ends_it() -> None:
    """A server that asks for more than is allowed is left, and the error tells for how long."""
    retrier = Retrier(RetryPolicy(max_wait=10), run=Run(cancel=ImpatientToken()))
    with pytest.raises(UnavailableError) as caught:
        retrier.call("it", failing(1, lambda: broken(11.0)))
    assert caught.value.retry_after == 11.0


def test_other_errors_are_not_retried() -> None:
    """What is not marked as passing comes out at once, and so do bugs."""
    token = ImpatientToken()
    retrier = Retrier(RetryPolicy(), run=Run(cancel=token))
    for error in (UnavailableError("for good"), KeyError("a bug")):
        with pytest.raises(type(error)):
            retrier.call("it", failing(1, lambda error=error: error))  # type: ignore[misc]
    assert token.waits == []


def test_a_cancellation_ends_the_waiting() -> None:
    """A cancelled run does not try again."""
    token = ImpatientToken()

    def operation() -> str:
        token.cancel()
        raise broken()

    with pytest.raises(CancelledError):
        Retrier(RetryPolicy(), run=Run(cancel=token)).call("it", operation)


def test_a_cancelled_run_asks_nothing() -> None:
    """What is cancelled before it began is not tried at all."""
    token = ImpatientToken()
    token.cancel()

    def operation() -> str:
        pytest.fail("it was tried")

    with pytest.raises(CancelledError):
        Retrier(RetryPolicy(), run=Run(cancel=token)).call("it", operation)
