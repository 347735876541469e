"""Threads that work off tasks."""

from __future__ import annotations

import threading

import pytest

from airgap.errors import CancelledError, UnavailableError
from airgap.run import CancelToken, Run
from airgap.transfer.workers import Workers

WAIT = 10


def test_every_task_runs_once():
    """All tasks are worked off, however few threads there are."""
    done: list[int] = []
    Workers(3, run=Run()).finish([lambda n=n: done.append(n) for n in range(100)])
    assert sorted(done) == list(range(100))


def test_nothing_to_do_ends_at_once():
    """Without tasks there is nothing to wait for."""
    Workers(4, run=Run()).finish()


def test_a_task_may_add_tasks():
    """Work that is found on the way is done, too, even where all threads were idle."""
    workers = Workers(4, run=Run())
    done: list[int] = []

    def task(depth: int) -> None:
        done.append(depth)
        if depth:
            workers.add(lambda: task(depth - 1))
            workers.add(lambda: task(depth - 1))

    workers.finish([lambda: task(6)])
    assert len(done) == 2**7 - 1


def test_tasks_run_at_the_same_time():
    """As many tasks run at once as there are threads."""
    barrier = threading.Barrier(3)
    Workers(3, run=Run()).finish([lambda: barrier.wait(WAIT)] * 3)
    assert not barrier.broken


def test_the_first_error_ends_the_work():
    """What was not begun is not begun any more, and the error comes out."""
    begun: list[int] = []

    def fail() -> None:
        raise UnavailableError("first")

    with pytest.raises(UnavailableError, match="first"):
        Workers(1, run=Run()).finish([fail, lambda: begun.append(1)])
    assert begun == []


def test_the_others_are_told_to_stop():
    """A task that is under way sees the cancellation, and its end does not hide the error."""
    workers = Workers(2, run=Run())
    is_running = threading.Event()

    def long() -> None:
        is_running.set()
        for _ in range(10_000):
            workers.run.cancel.sleep(0.01)

    def fail() -> None:
        is_running.wait(WAIT)
        raise UnavailableError("first")

    with pytest.raises(UnavailableError, match="first"):
        workers.finish([long, fail])


def test_what_stops_because_of_an_error_does_not_hide_it():
    """The cause is remembered before anybody is told to stop."""
    workers = Workers(2, run=Run())
    stopped = threading.Event()
    cancel = workers.run.cancel.cancel
    ready = threading.Barrier(2)

    def slow_cancel() -> None:
        is_first = not workers.run.cancel.is_cancelled
        cancel()
        if is_first:
            stopped.wait(WAIT)

    workers.run.cancel.cancel = slow_cancel  # type: ignore[method-assign]  # widens the race

    def other() -> None:
        ready.wait(WAIT)
        try:
            for _ in range(1000):
                workers.run.cancel.sleep(0.01)
        finally:
            threading.Timer(0.1, stopped.set).start()

    def fail() -> None:
        ready.wait(WAIT)
        raise UnavailableError("the cause")

    with pytest.raises(UnavailableError, match="the cause"):
        workers.finish([other, fail])


def test_a_cancelled_run_begins_nothing():
    """The outer run's cancellation counts, and the outer run is not cancelled by an error."""
    token = CancelToken()
    token.cancel()
    done: list[int] = []
    with pytest.raises(CancelledError):
        Workers(2, run=Run(cancel=token)).finish([lambda: done.append(1)])
    assert done == []


def test_an_error_does_not_cancel_the_outer_run():
    """Whoever called may go on after a failure."""
    run = Run()
    with pytest.raises(ZeroDivisionError):
        Workers(2, run=run).finish([lambda: 1 / 0])
    assert not run.cancel.is_cancelled
