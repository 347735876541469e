"""Asking a run to stop."""

from __future__ import annotations

import signal
from types import SimpleNamespace

import pytest

from airgap.errors import CancelledError, ExitCode
from airgap.run import CancelToken, cancel


class Clock:
    """A clock that only sleeping moves, and that can do something at a moment."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleeps: list[float] = []
        self.at: dict[int, object] = {}

    def monotonic(self) -> float:
        """The time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        assert len(self.sleeps) < 1000, "this wait does not end"
        self.sleeps.append(seconds)
        self.now += seconds
        action = self.at.get(len(self.sleeps))
        if callable(action):
            action()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Put a clock in place of the real one."""
    made = Clock()
    fake = SimpleNamespace(monotonic=made.monotonic, sleep=made.sleep)
    monkeypatch.setattr(cancel, "time", fake)
    return made


def test_a_fresh_token_lets_the_run_go_on():
    """Nothing was asked, so a check does nothing."""
    token = CancelToken()
    token.check()
    assert not token.is_cancelled


def test_a_cancelled_token_stops_every_check():
    """After a cancellation each check raises, with a hint on how to go on and exit 130."""
    token = CancelToken()
    token.cancel()
    token.cancel()
    for _ in range(2):
        with pytest.raises(CancelledError) as caught:
            token.check()
    assert caught.value.exit_code is ExitCode.INTERRUPTED == 130
    assert "same command" in (caught.value.hint or "")


def test_a_signal_handler_may_cancel_at_any_moment():
    """Cancelling from a handler takes no lock and the next check sees it."""
    token = CancelToken()
    before = signal.signal(signal.SIGUSR1, lambda *_: token.cancel())
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert token.is_cancelled


def test_a_wait_takes_its_time_in_short_slices(clock: Clock):
    """A wait is as long as asked for, and looks for a cancellation ten times a second."""
    CancelToken().sleep(2.55)
    assert sum(clock.sleeps) == pytest.approx(2.55)
    assert max(clock.sleeps) <= 0.1 + 1e-9


@pytest.mark.parametrize("seconds", [0, -1, -1e9])
def test_a_wait_of_nothing_does_not_sleep(clock: Clock, seconds: float):
    """No time or less is no wait."""
    CancelToken().sleep(seconds)
    assert clock.sleeps == []


def test_a_cancellation_ends_a_wait_within_a_slice(clock: Clock):
    """A wait of an hour ends with the slice in which the cancellation came."""
    token = CancelToken()
    clock.at[3] = token.cancel
    with pytest.raises(CancelledError):
        token.sleep(3600)
    assert len(clock.sleeps) == 3


def test_a_cancelled_run_does_not_begin_to_wait(clock: Clock):
    """A wait that begins after the cancellation ends at once."""
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError):
        token.sleep(10)
    assert clock.sleeps == []


def test_a_token_stops_with_its_parent_and_not_the_other_way_round():
    """A part of a run stops with the whole, and may stop without it."""
    whole = CancelToken()
    part, other = CancelToken(parent=whole), CancelToken(parent=whole)
    part.cancel()
    assert (part.is_cancelled, other.is_cancelled, whole.is_cancelled) == (True, False, False)
    whole.cancel()
    with pytest.raises(CancelledError):
        other.check()
