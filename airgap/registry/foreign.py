"""Layers that lie elsewhere: fetched from the urls that their descriptor names.

A manifest comes from anybody, so these urls are asked without credentials, over https, and not
inside private networks. The addresses of a host are looked up once, checked, and connected to:
another answer to a second question could lead inside.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from airgap.content.store import Chunks
from airgap.errors import (
    AirgapError,
    ContentNotFoundError,
    Origin,
    RegistryProtocolError,
    UnavailableError,
)
from airgap.oci.descriptor import Descriptor
from airgap.registry.channel import MAX_REDIRECTS, REDIRECTS
from airgap.registry.client import Client
from airgap.registry.download import Download
from airgap.registry.endpoint import Address, Endpoint, Url, is_loopback, parse_address
from airgap.registry.failure import refusal
from airgap.registry.response import Response
from airgap.registry.retry import TransientError
from airgap.registry.transport import FOREIGN, Request

_ORIGIN: Origin = "source"
_TAKEN = (200, 206, 416)
_TRANSLATED_HERE = IPv6Network("64:ff9b:1::/48")
"""Which IPv4 address is meant is a network's own business (RFC 8215)."""
_TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))
"""Where the last 32 bits are an IPv4 address (RFC 6052, section 2.1; RFC 4291, section 2.5.5.1)."""


@contextmanager
def open_foreign(client: Client, descriptor: Descriptor, *, offset: int = 0) -> Iterator[Chunks]:
    """Read a layer from the urls of its descriptor, the first that has it.

    Args:
        client: Whose connections and options are used; its credentials are not.
        descriptor: The layer.
        offset: Where to begin.

    Raises:
        ContentNotFoundError: It names no url.
        RegistryProtocolError: Its urls are not safe to ask.
        UnavailableError: None of them answers.
    """
    if not descriptor.urls:
        raise ContentNotFoundError(
            f"the descriptor of {descriptor.digest} names no url to fetch it from", origin=_ORIGIN
        )

    def fetch(headers: Mapping[str, str]) -> Response:
        failed: Exception | None = None
        for text in descriptor.urls[:10]:
            try:
                return _ask(client, text, headers, descriptor)
            except (TransientError, AirgapError) as error:
                # What may go away is worth another round over all of them.
                if failed is None or isinstance(error, TransientError):
                    failed = error
        assert failed is not None
        raise failed

    download = Download(
        descriptor,
        fetch,
        offset=offset,
        retrier=client.network.retrier,
        clock=client.network.clock,
        origin=_ORIGIN,
    )
    try:
        yield download
    finally:
        download.close()


def _ask(client: Client, text: str, headers: Mapping[str, str], descriptor: Descriptor) -> Response:
    what = f"the layer {descriptor.digest.short}"
    url = Url.parse(text, what=f"a url of {what}")
    for _ in range(MAX_REDIRECTS + 1):
        address = _checked_address(client, url.endpoint, what)
        response = client.network.transport.send(
            Request("GET", headers), url, lane=FOREIGN, origin=_ORIGIN, address=address
        )
        if response.status in _TAKEN:
            return response
        if response.status not in REDIRECTS or not response.header("Location"):
            raise refusal(response, what, origin=_ORIGIN)
        location = response.header("Location")
        response.release()
        url = url.follow(location, what="a redirect")
    raise RegistryProtocolError(
        f"{url.endpoint.netloc} redirected {what} more than {MAX_REDIRECTS} times",
        hint="its url leads in circles; without --non-distributable it is listed as left out",
        origin=_ORIGIN,
    )


def _checked_address(client: Client, endpoint: Endpoint, what: str) -> str:
    """The address to connect to; empty where the host is allowed or a proxy looks it up.

    Raises:
        RegistryProtocolError: It is not https, or lies in a private network.
    """
    if endpoint.scheme != "https":
        raise RegistryProtocolError(
            f"{what} names {endpoint.netloc} without https",
            hint="only https urls of layers are fetched",
            origin=_ORIGIN,
        )
    if endpoint.is_named_in(client.options.allow_hosts):
        return ""
    literal = parse_address(endpoint.host)
    if literal is None and is_loopback(endpoint.host):
        raise _inside(endpoint, what)
    if client.network.transport.is_proxied(endpoint):
        if literal is not None and not _is_public(literal):
            raise _inside(endpoint, what)
        return ""
    addresses = _look_up(endpoint)
    for found in addresses:
        parsed = parse_address(found)
        if parsed is None or not _is_public(parsed):
            raise _inside(endpoint, what)
    return addresses[0]


def _look_up(endpoint: Endpoint) -> list[str]:
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except OSError as error:
        unknown = UnavailableError(
            f"the host {endpoint.netloc} is not known",
            hint="check the DNS settings and whether a proxy is needed",
            origin=_ORIGIN,
        )
        if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
            raise TransientError(unknown) from error
        raise unknown from error
    return [str(entry[4][0]) for entry in found]


def _is_public(address: Address) -> bool:
    """Whether an address is one of the open internet, also where IPv6 wraps an IPv4 one."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return _is_public(inner)
        if address.teredo is not None or address.is_site_local or address in _TRANSLATED_HERE:
            return False
        if any(address in network for network in _TRANSLATED):
            return _is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return address.is_global and not address.is_multicast


def _inside(endpoint: Endpoint, what: str) -> RegistryProtocolError:
    return RegistryProtocolError(
        f"{what} names {endpoint.netloc}, which lies on this machine or in a private network",
        hint=f"if that is meant: --allow-host {endpoint.host}",
        origin=_ORIGIN,
    )
