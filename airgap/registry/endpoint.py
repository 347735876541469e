"""Where a request goes: scheme, host and port, and what follows from them.

Values only. Credentials are bound to an endpoint; a url is followed only where that is safe.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import urljoin, urlsplit

from airgap.errors import RegistryProtocolError, SettingsError

_PORTS = {"http": 80, "https": 443}
_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A scheme, a host in lower case without brackets, and a port: what credentials belong to."""

    scheme: str
    host: str
    port: int

    @property
    def netloc(self) -> str:
        """Host and port as a url has them, the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether this is the machine itself."""
        return is_loopback(self.host)

    def is_named_in(self, hosts: frozenset[str]) -> bool:
        """Whether a set of `host` or `host:port` names this endpoint."""
        bracketed = f"[{self.host}]" if ":" in self.host else self.host
        names = {self.host, bracketed, f"{bracketed}:{self.port}"}
        return any(host.lower() in names for host in hosts)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"


@dataclass(frozen=True, slots=True)
class Url:
    """An endpoint and what is asked of it: a path with its query."""

    endpoint: Endpoint
    target: str

    @classmethod
    def parse(cls, text: str, *, what: str) -> Self:
        """Read a url that somebody else wrote.

        Args:
            text: The url.
            what: What it is, for the error.

        Raises:
            RegistryProtocolError: It is no http or https url, or it carries credentials.
        """
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port, parts = None, None, urlsplit("")
        if not host or parts.scheme not in _PORTS or _UNSAFE.search(text):
            raise RegistryProtocolError(f"{what} is not a usable url")
        if "@" in parts.netloc:
            raise RegistryProtocolError(f"{what} carries credentials, which airgap does not follow")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(Endpoint(parts.scheme, host.lower(), port or _PORTS[parts.scheme]), target)

    def follow(self, location: str, *, what: str) -> Url:
        """Resolve a Location, a Link or a redirect that this url answered.

        Raises:
            RegistryProtocolError: It is no url, or leads from https to http.
        """
        if _UNSAFE.search(location):
            raise RegistryProtocolError(f"{what} of {self.endpoint.netloc} is not a usable url")
        try:
            joined = urljoin(str(self), location)
        except ValueError as error:
            raise RegistryProtocolError(
                f"{what} of {self.endpoint.netloc} is not a usable url"
            ) from error
        found = Url.parse(joined, what=f"{what} of {self.endpoint.netloc}")
        if self.endpoint.scheme == "https" and found.endpoint.scheme == "http":
            raise RegistryProtocolError(
                f"{what} of {self.endpoint.netloc} leads from https to http, to"
                f" {found.endpoint.netloc}",
                hint="the registry or a proxy before it must be told its https address",
            )
        return found

    def with_query(self, key: str, value: str) -> Url:
        """The url with one more query parameter; those that are there stay as they are."""
        joint = "&" if "?" in self.target else "?"
        return Url(self.endpoint, f"{self.target}{joint}{key}={value}")

    def __str__(self) -> str:
        return f"{self.endpoint}{self.target}"


def registry_endpoint(registry: str, scheme: str) -> Endpoint:
    """The endpoint at which a registry is asked; Docker Hub answers under another name.

    Raises:
        SettingsError: It is no host name.
    """
    name = "registry-1.docker.io" if registry in _HUB else registry
    try:
        return Url.parse(f"{scheme}://{name}", what=f"{registry!r}").endpoint
    except RegistryProtocolError as error:
        raise SettingsError(f"{registry!r} is not the name of a registry") from error


def parse_address(host: str) -> Address | None:
    """The address that a host is written as, or None where it is a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether a host is the machine itself: localhost, 127.0.0.0/8 or ::1."""
    address = parse_address(host)
    return host == "localhost" if address is None else address.is_loopback


def is_reached_directly(host: str, port: int, no_proxy: tuple[str, ...]) -> bool:
    """Whether a host is reached without the proxy: loopback, or listed.

    Entries are hosts (which include their subdomains), `.domain`, `host:port`, addresses,
    networks, or `*`, as most tools read the environment's `no_proxy`.
    """
    if is_loopback(host):
        return True
    address = parse_address(host)
    for raw in no_proxy:
        entry = raw.strip().lower()
        if entry == "*" or entry in (host, f"{host}:{port}"):
            return True
        if address is None:
            name, _, wanted_port = entry.lstrip("*").lstrip(".").partition(":")
            if name and host.endswith(f".{name}") and wanted_port in ("", str(port)):
                return True
        elif _holds(entry, address):
            return True
    return False


def _holds(network: str, address: Address) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except (ValueError, TypeError):
        return False
