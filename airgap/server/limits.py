"""What a client may ask of the server: sizes, counts and times. Pure.

How large bodies may be is said in `airgap.server.settings`, for it depends on what is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

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
