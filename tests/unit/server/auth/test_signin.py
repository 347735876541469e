"""Checks of passwords in a server."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from typing import Any

import pytest

from airgap.server.auth import signin
from airgap.server.auth.passwords import hash_password, matches
from airgap.server.auth.signin import MAX_WAITING, REMEMBER_SECONDS, PasswordChecker
from airgap.server.auth.throttle import FREE_BY_USER
from airgap.server.errors import WireError

STORED = hash_password("right", cost=4)


class Bench:
    """A checker whose clock is moved by hand, and which counts hashes."""

    def __init__(self) -> None:
        self.now = 0.0
        self.hashes: list[str] = []
        self.checker = PasswordChecker(lambda: self.now)

    def count(self, password: str, stored: str) -> bool:
        self.hashes.append(stored)
        return matches(password, stored)

    async def check(
        self, password: str, *, stored: str | None = STORED, address: str = "10.0.0.1",
        name: str = "bob",
    ) -> bool:  # fmt: skip
        return await self.checker.check(name, password, stored, address=address, cost=4)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    found = Bench()
    monkeypatch.setattr(signin, "matches", found.count)
    yield found
    found.checker.close()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def test_a_right_password_is_hashed_once_a_minute(bench: Bench) -> None:
    """It is remembered for a short time, and no longer."""

    async def work() -> None:
        for _ in range(5):
            assert await bench.check("right")
        assert len(bench.hashes) == 1
        bench.now += REMEMBER_SECONDS - 1
        assert await bench.check("right")
        assert len(bench.hashes) == 1
        bench.now += 2
        assert await bench.check("right")
        assert len(bench.hashes) == 2

    run(work())


def test_what_is_remembered_is_the_password_of_one_user_and_hash(bench: Bench) -> None:
    """After a change of the password the old one is not let in, however fresh it is."""

    async def work() -> None:
        assert await bench.check("right")
        assert not await bench.check("right", stored=hash_password("new", cost=4))
        assert not await bench.check("right", stored=None)
        assert not await bench.check("righ", name="bobt")
        assert await bench.check("right", name="amy")
        assert len(bench.hashes) == 5

    run(work())


def test_nothing_remembered_holds_the_password(bench: Bench) -> None:
    """Whoever reads the memory of the server finds keyed hashes."""
    run(bench.check("right"))
    assert [len(key) for key in bench.checker._right] == [32]


def test_wrong_passwords_are_hashed_each_time(bench: Bench) -> None:
    """A wrong password is never remembered, and costs as much as a right one."""

    async def work() -> None:
        assert not await bench.check("wrong")
        assert not await bench.check("wrong")

    run(work())
    assert bench.hashes == [STORED, STORED]


def test_an_unknown_user_costs_one_hash(bench: Bench) -> None:
    """Nobody learns from the time who exists, nor lets a lucky guess anybody in."""
    assert not run(bench.check("x", stored=None))
    [used] = bench.hashes
    assert used[4:6] == "04"


@pytest.mark.parametrize("password", ["", "right" + "\0", "x" * 73, "x" * 100_000])
def test_impossible_passwords_cost_one_hash_and_are_wrong(bench: Bench, password: str) -> None:
    """They look like any other wrong password from outside."""
    assert not run(bench.check(password))
    assert len(bench.hashes) == 1


def test_a_long_password_is_not_cut(bench: Bench) -> None:
    """What bcrypt would not see of a password is not ignored."""
    stored = hash_password("x" * 72, cost=4)

    async def work() -> list[bool]:
        return [await bench.check("x" * size, stored=stored) for size in (72, 73)]

    assert run(work()) == [True, False]


def test_the_same_password_at_the_same_time_is_hashed_once(bench: Bench) -> None:
    """A client that pushes with many connections does not have to wait for all of them."""

    async def work() -> list[bool]:
        return await asyncio.gather(*(bench.check("right") for _ in range(20)))

    assert run(work()) == [True] * 20
    assert len(bench.hashes) == 1


def test_guessing_is_slowed_down(bench: Bench) -> None:
    """After some wrong ones the answer is to come later, and no hash is computed."""

    async def work() -> None:
        for number in range(FREE_BY_USER):
            assert not await bench.check(f"wrong{number}")
        with pytest.raises(WireError) as caught:
            await bench.check("right")
        assert caught.value.status == 429
        assert caught.value.headers["Retry-After"] == "1"
        assert len(bench.hashes) == FREE_BY_USER
        bench.now += 1
        assert await bench.check("right")

    run(work())


def test_who_is_signed_in_is_not_locked_out_by_others(bench: Bench) -> None:
    """Neither from other addresses, nor, with a fresh password, from the same one."""

    async def work() -> None:
        assert await bench.check("right")
        for number in range(FREE_BY_USER):
            assert not await bench.check(f"wrong{number}")
        with pytest.raises(WireError):
            await bench.check("wrong")
        assert await bench.check("right")
        bench.now += REMEMBER_SECONDS + 1
        for number in range(FREE_BY_USER + 3):
            with suppress(WireError):
                assert not await bench.check(f"again{number}")
        assert await bench.check("right", address="10.0.0.2")

    run(work())


def test_only_so_many_wait(bench: Bench) -> None:
    """A flood of sign-ins is told to come later, and ends with the threads that there are."""

    async def work() -> list[object]:
        tries = (
            bench.check("wrong", name=f"user{n}", address=f"10.0.{n}.1")
            for n in range(MAX_WAITING + 10)
        )
        return await asyncio.gather(*tries, return_exceptions=True)

    results = run(work())
    refused = [result for result in results if isinstance(result, WireError)]
    assert [error.status for error in refused] == [429] * 10
    assert results.count(False) == MAX_WAITING


def test_a_client_that_leaves_takes_nothing_from_others(bench: Bench) -> None:
    """Two wait for one hash; one of them goes, and the other one is let in."""

    async def work() -> bool:
        first = asyncio.create_task(bench.check("right"))
        second = asyncio.create_task(bench.check("right"))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert run(work())


def test_a_hash_that_fails_is_not_held_against_the_user(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the machine is neither a right password nor a wrong one."""

    def broken(password: str, stored: str) -> bool:
        raise MemoryError

    async def work() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(signin, "matches", broken)
            for _ in range(FREE_BY_USER + 1):
                with pytest.raises(MemoryError):
                    await bench.check("right")
        assert await bench.check("right")

    run(work())


def test_memory_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many right passwords are remembered."""
    monkeypatch.setattr(signin, "MAX_REMEMBERED", 3)

    async def work() -> None:
        for number in range(6):
            assert await bench.check("right", name=f"user{number}")

    run(work())
    assert len(bench.checker._right) == 3
