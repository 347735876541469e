"""Which names the server answers to, and from which pages: what keeps other web sites out.

A page of another site can let a browser send requests here: under a name of its own that suddenly
means this machine (DNS rebinding), which shows in `Host`, or straight here, which shows in
`Origin`. Source: RFC 9110, 7.2 and 7.4 (421); RFC 6454 (origins).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from airgap.errors import SettingsError
from airgap.server.access import is_loopback
from airgap.server.errors import WireError, denied
from airgap.server.exchange import error_answer

PROBES = frozenset({"/healthz", "/readyz"})
"""What whoever watches over the server asks by whatever address it knows; it holds no secret."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


@dataclass(frozen=True, slots=True)
class Names:
    """The names that a server has.

    Attributes:
        hosts: Names in lower case; one that begins with `*.` stands for one more label.
        any_address: Whether any IP address in `Host` is taken: it cannot be rebound, and a server
            behind a forwarded port does not know all of its own. Loopback addresses always are.
        external: Scheme and authority under which clients know the server, if not its own.
    """

    hosts: frozenset[str] = frozenset()
    any_address: bool = False
    external: str = ""

    @classmethod
    def of(
        cls, hosts: Iterable[str], *, any_address: bool = False, external_url: str = ""
    ) -> Names:
        """Gather names.

        Args:
            hosts: Names of the machine, of its certificate, and those that were asked for.
            any_address: Whether any IP address in `Host` is taken.
            external_url: How clients reach the server, where a proxy stands before it.

        Raises:
            SettingsError: The url is none.
        """
        found = {host.rstrip(".").lower() for host in hosts if host} | {"localhost"}
        external = ""
        if external_url:
            external = _external(external_url)
            found.add(urlsplit(external).hostname or "")
        return cls(frozenset(found), any_address, external)

    def has(self, host: str) -> bool:
        """Whether the server answers to the name in a `Host` header."""
        return _has(self, host)

    def _knows(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found[1].strip("[]").rstrip(".").lower()
        try:
            ip_address(name)
        except ValueError:
            parent = f"*.{name.partition('.')[2]}"
            return name in self.hosts or parent in self.hosts or name.endswith(".localhost")
        return self.any_address or is_loopback(name) or name in self.hosts

    def is_own(self, origin: str, *, scheme: str, host: str) -> bool:
        """Whether a page that sends a request is the server's own.

        Args:
            origin: The value of `Origin`.
            scheme: How the request came.
            host: The value of its `Host`.
        """
        own = {_authority(f"{scheme}://{host}"), _authority(self.external)}
        return bool(found := _authority(origin)) and found in own


@lru_cache(maxsize=256)  # of one and the same name mostly
def _has(names: Names, host: str) -> bool:
    return names._knows(host)


def guard_hosts(names: Names) -> Middleware:
    """Refuse requests under other names, and those that pages of other sites sent."""

    @web.middleware
    async def check(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            _check(names, request)
        except WireError as error:
            return error_answer(error)
        return await handler(request)

    return check


def _check(names: Names, request: web.Request) -> None:
    hosts = request.headers.getall("Host", ())
    if len(hosts) != 1:  # RFC 9112, 3.2
        raise WireError(400, "UNSUPPORTED", "a request has one Host header")
    if not names.has(hosts[0]) and request.path not in PROBES:
        raise WireError(
            421, "DENIED", "this server is not known by that name", "see --name and --external-url"
        )
    origins = request.headers.getall("Origin", ())
    if any(not names.is_own(o, scheme=request.scheme, host=hosts[0]) for o in origins):
        raise denied("the request comes from a page of another site")


def _external(url: str) -> str:
    parts = urlsplit(url)
    is_plain = parts.path in ("", "/") and not parts.query and not parts.fragment
    if parts.scheme not in _DEFAULT_PORTS or not is_plain or not _HOST.fullmatch(parts.netloc):
        raise SettingsError(
            f"--external-url {url[:200]!r} is not the url of a server",
            hint="write https://NAME or https://NAME:PORT, without a path",
        )
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _authority(origin: str) -> tuple[str, str, str] | None:
    """Scheme, host and port of an origin; None where it is none (`null` among them)."""
    scheme, separator, rest = origin.lower().partition("://")
    found = _HOST.fullmatch(rest)
    if not separator or found is None or scheme not in _DEFAULT_PORTS:
        return None
    return scheme, found[1], found[2] or _DEFAULT_PORTS[scheme]
