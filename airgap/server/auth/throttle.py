"""Slows down whoever guesses passwords, by address and by address and user."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address, ip_network

from airgap.oci.digest import Digest

FREE_BY_USER = 5
"""How many wrong passwords in a row cost nothing for one user from one address."""
FREE_BY_ADDRESS = 30
"""The same for all users together: behind one address there may be a whole site."""
MAX_WAIT = 60.0
FORGET_AFTER = 900.0
"""Seconds without a failure after which nothing is known any more."""
MAX_KEYS = 16_384


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0

    def wait(self, free: int, now: float) -> float:
        """Seconds until the next try; each further failure doubles them."""
        if self.count < free:
            return 0.0
        pause = min(MAX_WAIT, 2.0 ** min(self.count - free, 10))
        return max(0.0, self.last + pause - now)


class Throttle:
    """Counts failures in bounded memory. For one thread.

    A try counts as failed from its beginning until it is known to be right, so that many at once
    do not get around it. Failures from other addresses do not count: nobody can lock a user out
    from elsewhere.

    Args:
        clock: Gives seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], _Failures] = OrderedDict()

    def begin(self, address: str, name: str) -> float:
        """Begin to try a password.

        Returns:
            0 to go on, else the seconds to wait before that; then nothing was begun.
        """
        now = self._clock()
        network = _network(address)
        keys = _keys(network, name)
        for key, free in zip(keys, (FREE_BY_USER, FREE_BY_ADDRESS), strict=True):
            failures = self._known.get(key)
            if failures is None:
                continue
            if now - failures.last > FORGET_AFTER:
                del self._known[key]
            elif wait := failures.wait(free, now):
                return wait
        for key in keys:
            failures = self._known.setdefault(key, _Failures())
            failures.count += 1
            failures.last = now
            self._known.move_to_end(key)
        while len(self._known) > MAX_KEYS:
            self._known.popitem(last=False)
        return 0.0

    def succeed(self, address: str, name: str) -> None:
        """The password was right: nothing is held against this user at this address."""
        by_user, by_address = _keys(_network(address), name)
        self._known.pop(by_user, None)
        self._take_back(by_address)

    def take_back(self, address: str, name: str) -> None:
        """The try came to no end: it was neither right nor wrong."""
        for key in _keys(_network(address), name):
            self._take_back(key)

    def _take_back(self, key: tuple[str, str]) -> None:
        failures = self._known.get(key)
        if failures is None:
            return
        failures.count -= 1
        if failures.count <= 0:
            del self._known[key]


def _keys(network: str, name: str) -> tuple[tuple[str, str], tuple[str, str]]:
    # a name may be as long as a header, what is kept of it may not
    return (network, Digest.of(name.encode("utf-8", "surrogatepass")).hex[:32]), (network, "")


def _network(address: str) -> str:
    """The address, or of IPv6 the network that one customer has."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, 64), strict=False))
