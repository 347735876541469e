"""A run: where facts go."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from airgap.run import Event, NullReporter, Run
from airgap.run.events import Notice, PhaseFinished, PhaseStarted


class Recording:
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        """Keep one."""
        self.events.append(event)


def test_facts_arrive_in_order():
    """What a run reports reaches its reporter, in order and unchanged."""
    reporter = Recording()
    run = Run(reporter)
    facts = [PhaseStarted("fetch", 3, 100), PhaseFinished("fetch")]
    for fact in facts:
        run.emit(fact)
    assert reporter.events == facts


def test_warnings_and_details_are_notices():
    """Short cuts for notices set level, code and message."""
    reporter = Recording()
    run = Run(reporter)
    run.warn("deprecated", "old")
    run.debug("request", "GET")
    assert reporter.events == [
        Notice("warning", "deprecated", "old"),
        Notice("debug", "request", "GET"),
    ]


def test_a_run_needs_no_reporter():
    """Without a reporter facts go nowhere, and each run has a cancellation of its own."""
    one, two = Run(), Run()
    one.emit(PhaseFinished("fetch"))
    one.cancel.cancel()
    assert isinstance(one.reporter, NullReporter)
    assert not two.cancel.is_cancelled


@pytest.mark.parametrize("kind", get_args(Event))
def test_every_fact_is_frozen(kind: type):
    """Facts cross threads, so none of them can be changed or given new attributes."""
    assert dataclasses.is_dataclass(kind)
    assert kind.__dataclass_params__.frozen
    assert "__slots__" in vars(kind)
