"""What a client may ask of the server: sizes, counts and times. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from airgap.server.errors import WireError
from airgap.server.router import Resource

_FILES_PER_CONNECTION = 2
"""The socket, and the file that is sent or written."""
_FILES_OF_THE_SERVER = 64
_BITS_OF_A_SITE = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a server. The defaults let slow links and large sites be.

    Attributes:
        header_bytes: How long the request line and each header may be.
        header_count: How many headers a request may have.
        body_bytes: How long a body may be where neither a blob nor a manifest is sent.
        blob_bytes: How long a blob may be that is sent at once; None for as long as there is room.
        connections: How many clients may be connected.
        connections_per_address: How many of them from one address.
        header_seconds: How long a client may take to say what it wants, TLS included.
        idle_seconds: How long a connection without a request stays open.
        rate_seconds: Over how long the speed of a client is measured.
        rate_bytes: How many bytes a second a client must move meanwhile, sent or received.
        shutdown_seconds: How long transfers may go on when the server is told to stop.
    """

    header_bytes: int = 16 << 10
    header_count: int = 64
    body_bytes: int = 64 << 10
    blob_bytes: int | None = None
    connections: int = 4096
    connections_per_address: int = 1024
    header_seconds: float = 20.0
    idle_seconds: float = 75.0
    rate_seconds: float = 60.0
    rate_bytes: int = 512
    shutdown_seconds: float = 60.0

    def within(self, open_files: int) -> int:
        """How many connections there may be where a process may have so many open files."""
        room = (open_files - _FILES_OF_THE_SERVER) // _FILES_PER_CONNECTION
        return max(1, min(self.connections, room))


def refuse_large_body(limits: Limits, resource: Resource | None, length: int | None) -> None:
    """Refuse a body before it is read.

    Args:
        limits: What is allowed.
        resource: What the request asks for; None for what is no part of the registry.
        length: What the client says; None where it does not.

    Raises:
        WireError: It is longer than anything of this kind may be.
    """
    match resource:
        case Resource.UPLOADS | Resource.UPLOAD:
            limit = limits.blob_bytes
        case Resource.MANIFEST | None:
            return  # a manifest is counted while it is read, and pages know their own limits
        case _:
            limit = limits.body_bytes
    if limit is not None and length is not None and length > limit:
        raise body_too_large(limit)


def body_too_large(limit: int) -> WireError:
    """A body is longer than what the server takes."""
    return WireError(413, "SIZE_INVALID", f"a body may have {limit} bytes here")


def origin_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or the network of an IPv6 address.

    Whoever has one IPv6 address has all of its /64 (RFC 6177).
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{int(parsed) >> (128 - _BITS_OF_A_SITE):x}/64"
