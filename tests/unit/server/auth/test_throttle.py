"""Whoever guesses passwords is slowed down."""

from __future__ import annotations

import pytest

from airgap.server.auth import throttle
from airgap.server.auth.throttle import FREE_BY_ADDRESS, FREE_BY_USER, MAX_WAIT, Throttle

HERE, THERE = "10.0.0.1", "10.0.0.2"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> Throttle:
    return Throttle(clock)


def waits(gate: Throttle, clock: Clock, tries: int, name: str = "bob") -> list[float]:
    """Try until each try has failed, and say how long each had to wait."""
    found = []
    for _ in range(tries):
        found.append(gate.begin(HERE, name))
        if found[-1]:
            clock.now += found[-1]
            assert gate.begin(HERE, name) == 0.0
    return found


def test_pauses_double_up_to_a_limit(gate: Throttle, clock: Clock) -> None:
    """A few wrong passwords cost nothing, then each costs twice as long as the last one."""
    found = waits(gate, clock, FREE_BY_USER + 9)
    assert found[:FREE_BY_USER] == [0.0] * FREE_BY_USER
    assert found[FREE_BY_USER:] == [1, 2, 4, 8, 16, 32, MAX_WAIT, MAX_WAIT, MAX_WAIT]


def test_a_try_that_comes_too_early_is_not_counted(gate: Throttle, clock: Clock) -> None:
    """Whoever asks again and again while waiting waits no longer for that."""
    waits(gate, clock, FREE_BY_USER)
    assert [gate.begin(HERE, "bob") for _ in range(50)] == [1.0] * 50


def test_many_at_once_do_not_get_around_it(gate: Throttle) -> None:
    """A try counts from its beginning, before anybody knows how it ends."""
    assert sum(gate.begin(HERE, "bob") == 0.0 for _ in range(100)) == FREE_BY_USER


def test_a_right_password_clears_the_user(gate: Throttle, clock: Clock) -> None:
    """After a sign-in all free tries are there again."""
    waits(gate, clock, FREE_BY_USER + 1)
    gate.succeed(HERE, "bob")
    assert waits(gate, clock, FREE_BY_USER) == [0.0] * FREE_BY_USER


def test_a_try_without_an_end_is_taken_back(gate: Throttle) -> None:
    """What was neither right nor wrong is not held against anybody."""
    for _ in range(50):
        assert gate.begin(HERE, "bob") == 0.0
        gate.take_back(HERE, "bob")


def test_nobody_is_locked_out_from_elsewhere(gate: Throttle, clock: Clock) -> None:
    """Failures from one address do not count for another, nor for another user there."""
    waits(gate, clock, FREE_BY_USER + 5)
    assert gate.begin(THERE, "bob") == 0.0
    assert gate.begin(HERE, "amy") == 0.0


def test_one_address_cannot_try_all_users(gate: Throttle) -> None:
    """Guessing one password for each of many users is slowed down as well."""
    results = [gate.begin(HERE, f"user{number}") for number in range(FREE_BY_ADDRESS + 5)]
    assert results == [0.0] * FREE_BY_ADDRESS + [1.0] * 5


def test_failures_are_forgotten(gate: Throttle, clock: Clock) -> None:
    """After a quarter of an hour without one nothing is known any more."""
    waits(gate, clock, FREE_BY_USER + 9)
    clock.now += throttle.FORGET_AFTER + 1
    assert waits(gate, clock, FREE_BY_USER) == [0.0] * FREE_BY_USER


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("odd", "odd", True),
    ],
)
def test_addresses_of_one_customer_count_as_one(
    gate: Throttle, one: str, other: str, *, same: bool
) -> None:
    """A network of IPv6 has more addresses than anybody could count."""
    for _ in range(FREE_BY_USER):
        gate.begin(one, "bob")
    assert (gate.begin(other, "bob") > 0) is same


def test_memory_is_bounded(gate: Throttle, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many names are tried, only so many are known, and the address still counts."""
    monkeypatch.setattr(throttle, "MAX_KEYS", 20)
    for number in range(FREE_BY_ADDRESS):
        gate.begin(HERE, f"{number}" * 5000)
    assert len(gate._known) == 20
    assert gate.begin(HERE, "another") == 1.0
