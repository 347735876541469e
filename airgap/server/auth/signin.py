"""Checks passwords for a server: off the event loop, not too often, and not twice in a minute."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from airgap.oci.digest import keyed_digest
from airgap.server.auth.passwords import COST, is_possible, matches, nobodys_hash
from airgap.server.auth.throttle import Throttle
from airgap.server.errors import too_many_requests

REMEMBER_SECONDS = 60.0
"""How long a right password need not be hashed again."""
MAX_REMEMBERED = 10_000
MAX_WAITING = 64
"""How many different passwords may wait to be hashed; whoever comes then is told to come later."""
THREADS = 2


class PasswordChecker:
    """Compares passwords with hashes.

    What was right is remembered for a short time: not the password, but a hash of it and of what
    it was compared with, keyed with a secret of this process. A change of either ends that.

    Args:
        clock: Gives seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, float] = OrderedDict()
        self._running: dict[bytes, asyncio.Task[bool]] = {}
        self._throttle = Throttle(clock)
        self._pool: ThreadPoolExecutor | None = None

    async def check(
        self, name: str, password: str, stored: str | None, *, address: str, cost: int = COST
    ) -> bool:
        """Whether a password is right.

        Args:
            name: Whose password it should be.
            password: What came.
            stored: The user's hash; None where there is no such user.
            address: Where it came from.
            cost: The work that a check takes where there is no user, so that nobody learns that.

        Raises:
            WireError: There were too many wrong ones, or too many at once (429).
        """
        parts = (name, password, stored or "")
        key = keyed_digest(self._key, *(part.encode("utf-8", "surrogatepass") for part in parts))
        if self._is_remembered(key):
            return True
        task = self._running.get(key)
        if task is None:
            if len(self._running) >= MAX_WAITING:
                raise too_many_requests(1)
            if wait := self._throttle.begin(address, name):
                raise too_many_requests(math.ceil(wait))
            task = asyncio.create_task(self._compare(password, stored or nobodys_hash(cost)))
            self._running[key] = task
            task.add_done_callback(
                lambda done: self._settle(key, done, address, name, is_user=bool(stored))
            )
        # others may wait for the same answer, and a client that leaves must not take it from them
        return await asyncio.shield(task) and bool(stored)

    def close(self) -> None:
        """Let go of the threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    async def _compare(self, password: str, stored: str) -> bool:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="airgap-passwords")
        loop = asyncio.get_running_loop()
        # one that is too long costs as much as any other: it says nothing about the user
        tried = password if is_possible(password) else "x"
        is_right = await loop.run_in_executor(self._pool, matches, tried, stored)
        return is_right and tried == password

    def _settle(
        self, key: bytes, task: asyncio.Task[bool], address: str, name: str, *, is_user: bool
    ) -> None:
        self._running.pop(key, None)
        if task.cancelled() or task.exception() is not None:
            self._throttle.take_back(address, name)
        elif task.result() and is_user:
            self._throttle.succeed(address, name)
            self._right[key] = self._clock() + REMEMBER_SECONDS
            while len(self._right) > MAX_REMEMBERED:
                self._right.popitem(last=False)

    def _is_remembered(self, key: bytes) -> bool:
        until = self._right.get(key)
        if until is None:
            return False
        if until <= self._clock():
            del self._right[key]
            return False
        return True
