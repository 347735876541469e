"""The connections of a server: how many there may be, and when a slow one is given up.

aiohttp knows when a connection is idle, but neither counts connections nor measures speed, and it
cuts off uploads that are under way when it is told to stop. Each connection's protocol is wrapped
here, so nothing of aiohttp's inner parts is needed for that.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web

from airgap.content.posix import Traffic, socket_traffic
from airgap.server.limits import Limits, origin_of

_log = logging.getLogger(__name__)

Clock = Callable[[], float]

_DISCARD = struct.pack("ii", 1, 0)


class Connection(asyncio.Protocol):
    """One client, between its socket and aiohttp.

    Args:
        inner: What speaks HTTP.
        origin: What the connection counts for.
        crowd: All connections.
    """

    def __init__(self, inner: asyncio.Protocol, origin: str, crowd: Connections) -> None:
        self._inner = inner
        self._crowd = crowd
        self._transport: asyncio.Transport | None = None
        self._request: web.BaseRequest | None = None
        self._received = 0
        self._mark: tuple[float, int] | None = (crowd.now(), 0)
        self._first_byte: float | None = crowd.now()
        self.origin = origin
        self.has_begun = False
        self.since = crowd.now()

    # -- the protocol --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.has_begun = True
        self._crowd.joined(self)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        self._received += len(data)
        if self._first_byte is None and self._request is None:
            self._first_byte = self._crowd.now()
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """The client sends no more; answers may still go to it."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """The client does not keep up."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The client keeps up again."""
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._crowd.left(self)
        self._inner.connection_lost(exc)

    # -- what the server asks and does ---------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return self._request is not None

    def began(self, request: web.BaseRequest) -> None:
        """A request has come."""
        self._request = request
        self._first_byte = None
        # what has moved is asked at the first check: most requests are answered before it
        self._mark = None

    def ended(self) -> None:
        """A request is answered, but for what the system still has to send."""
        self._request = None
        self._first_byte = None
        self.since = self._crowd.now()

    def close(self) -> None:
        """End the connection after what is still to be sent."""
        if self._transport is not None:
            self._transport.close()

    def check(self, limits: Limits) -> str:
        """Say why the client is too slow; empty where it is not."""
        now, traffic = self._crowd.now(), self._traffic()
        if self._request is None and not traffic.pending:
            self._mark = (now, traffic.moved)
            waited = 0.0 if self._first_byte is None else now - self._first_byte
            return "headers" if waited > limits.header_seconds else ""
        start, moved = self._mark or (now, traffic.moved)
        if self._mark is None or not self._waits_for_client(traffic):
            self._mark = (now, traffic.moved)
        elif now - start >= limits.rate_seconds:
            if traffic.moved - moved < limits.rate_bytes * (now - start):
                return "body"
            self._mark = (now, traffic.moved)
        return ""

    def abort(self) -> None:
        """End the connection at once.

        Where a request is under way the socket is shut down and no more: whoever waits for it
        wakes up and ends the rest. An aborted transport would let a `sendfile` wait for ever.
        """
        found = self._socket()
        if found is not None and self.is_busy:
            with suppress(OSError):  # it has ended by itself
                # what waits to be sent is thrown away when the socket is closed
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DISCARD)
                found.shutdown(socket.SHUT_RDWR)
        elif self._transport is not None:
            self._transport.abort()

    def _waits_for_client(self, traffic: Traffic) -> bool:
        if traffic.pending or self._request is None or self._transport is None:
            return bool(traffic.pending)
        # where nothing is read any more, it is the server that is slow
        return not self._request.content.is_eof() and self._transport.is_reading()

    def _socket(self) -> socket.socket | None:
        return self._transport.get_extra_info("socket") if self._transport else None

    def _traffic(self) -> Traffic:
        found = self._socket()
        fd = found.fileno() if found is not None else -1
        return (socket_traffic(fd) if fd >= 0 else None) or Traffic(self._received, 0)


class Connections:
    """All connections of a server.

    Args:
        limits: How many there may be, and how slow.
        most: How many there may be at once, where the system allows fewer than the limits.
        now: The clock.
    """

    def __init__(
        self, limits: Limits, *, most: int | None = None, now: Clock = time.monotonic
    ) -> None:
        self.limits = limits
        self.now = now
        self._most = limits.connections if most is None else most
        self._open: set[Connection] = set()
        self._by_origin: Counter[str] = Counter()
        self._warned = -60.0

    def __len__(self) -> int:
        return self._by_origin.total()

    @property
    def busy(self) -> int:
        """How many requests are being answered."""
        return sum(connection.is_busy for connection in self._open)

    def admit(self, address: str) -> str | None:
        """Let a client in; the caller says `leave` where no connection comes of it.

        Returns:
            What it counts for, or None where it has to be turned away.
        """
        origin = origin_of(address)
        if self._by_origin[origin] >= self.limits.connections_per_address:
            self._warn("%s has %d connections", address, self._by_origin[origin])
            return None
        if len(self) >= self._most and not self._make_room():
            self._warn("%s is turned away: all %d connections are busy", address, self._most)
            return None
        self._by_origin[origin] += 1
        return origin

    def leave(self, origin: str) -> None:
        """A client that was admitted is not there after all."""
        self._by_origin[origin] -= 1
        if self._by_origin[origin] <= 0:
            del self._by_origin[origin]

    def joined(self, connection: Connection) -> None:
        """A client may send requests now."""
        self._open.add(connection)

    def left(self, connection: Connection) -> None:
        """The connection of a client has ended."""
        self._open.discard(connection)
        self.leave(connection.origin)

    def check(self) -> None:
        """Give up those that are too slow."""
        for connection in list(self._open):
            if reason := connection.check(self.limits):
                _log.info("%s: gave up a slow client (%s)", connection.origin, reason)
                connection.abort()

    def close_idle(self) -> None:
        """End those that have no request."""
        for connection in list(self._open):
            if not connection.is_busy:
                connection.close()

    def _make_room(self) -> bool:
        """End the connection that was idle for longest."""
        idle = [connection for connection in self._open if not connection.is_busy]
        if not idle:
            return False
        oldest = min(idle, key=lambda connection: connection.since)
        self._open.discard(oldest)  # so that it is not chosen again before it has ended
        oldest.abort()
        return True

    def _warn(self, message: str, *arguments: object) -> None:
        # a flood must not fill the log as well
        if self.now() - self._warned >= 60:
            self._warned = self.now()
            _log.warning(message, *arguments)


@web.middleware
async def watch_request(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Tell a connection when its requests begin and end."""
    transport = request.transport
    connection = transport.get_protocol() if transport is not None else None
    if not isinstance(connection, Connection):
        return await handler(request)
    connection.began(request)
    try:
        return await handler(request)
    finally:
        connection.ended()
