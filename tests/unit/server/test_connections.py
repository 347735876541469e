"""Connections are counted, and slow clients are given up; with a clock and sockets of the test."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from airgap.server.connections import Connection, Connections
from airgap.server.limits import Limits

LIMITS = Limits(
    connections=3,
    connections_per_address=2,
    header_seconds=10,
    rate_seconds=20,
    rate_bytes=100,
)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


class Inner(asyncio.Protocol):
    """Takes the place of aiohttp."""


class Transport(asyncio.Transport):
    """A transport over one end of a socket pair, or over nothing."""

    def __init__(self, sock: socket.socket | None = None) -> None:
        super().__init__({"socket": sock})
        self.ended = ""
        self.reads = True

    def is_reading(self) -> bool:
        return self.reads

    def close(self) -> None:
        self.ended = "closed"

    def abort(self) -> None:
        self.ended = "aborted"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def crowd(clock):
    return Connections(LIMITS, now=clock)


def join(crowd: Connections, address: str = "192.0.2.1", sock: Any = None):
    """A client that was admitted and has connected."""
    origin = crowd.admit(address)
    assert origin is not None
    connection = Connection(Inner(), origin, crowd)
    transport = Transport(sock)
    connection.connection_made(transport)
    return connection, transport


def request(*, is_whole: bool = True) -> Any:
    """A request whose body has come, or not."""
    return SimpleNamespace(content=SimpleNamespace(is_eof=lambda: is_whole))


def test_one_address_gets_its_share(crowd):
    """An address at its limit is turned away while others still come in."""
    join(crowd)
    join(crowd)
    assert crowd.admit("192.0.2.1") is None
    assert crowd.admit("192.0.2.2") is not None


def test_who_leaves_makes_room(crowd):
    """A connection that ends counts no more."""
    connection, _ = join(crowd)
    join(crowd)
    connection.connection_lost(None)
    assert len(crowd) == 1
    assert crowd.admit("192.0.2.1") is not None


def test_idle_connections_give_way_when_all_are_taken(crowd, clock):
    """With no room left the one that was idle for longest ends; busy ones never do."""
    busy, busy_transport = join(crowd, "192.0.2.1")
    busy.began(request())
    clock.time += 1
    old, old_transport = join(crowd, "192.0.2.2")
    clock.time += 1
    _, young_transport = join(crowd, "192.0.2.3")
    assert crowd.admit("192.0.2.4") is not None
    assert (busy_transport.ended, old_transport.ended, young_transport.ended) == ("", "aborted", "")
    old.connection_lost(None)


def test_nobody_comes_in_when_all_are_busy(crowd):
    """With no room left and every client served, the next one is turned away."""
    for number in range(3):
        connection, _ = join(crowd, f"192.0.2.{number}")
        connection.began(request())
    assert crowd.admit("192.0.2.9") is None
    assert crowd.busy == 3


def test_headers_must_come_in_time(crowd, clock):
    """A client that does not finish its first request's headers is given up; a new one not."""
    _, transport = join(crowd)
    clock.time += LIMITS.header_seconds
    crowd.check()
    assert transport.ended == ""
    clock.time += 1
    crowd.check()
    assert transport.ended == "aborted"


def test_the_next_headers_count_from_their_first_byte(crowd, clock):
    """Between requests a client may rest, but once it has begun to send it must go on."""
    connection, transport = join(crowd)
    connection.began(request())
    connection.ended()
    clock.time += 1000
    crowd.check()
    assert transport.ended == ""
    connection.data_received(b"G")
    clock.time += LIMITS.header_seconds / 2
    connection.data_received(b"E")
    clock.time += LIMITS.header_seconds / 2 + 1
    crowd.check()
    assert transport.ended == "aborted"


def test_a_body_must_come_at_the_lowest_speed(crowd, clock):
    """An upload that stalls is given up after the time in which speed is measured."""
    connection, transport = join(crowd)
    connection.began(request(is_whole=False))
    for _ in range(3):
        connection.data_received(b"x" * int(LIMITS.rate_bytes * LIMITS.rate_seconds))
        clock.time += LIMITS.rate_seconds
        crowd.check()
        assert transport.ended == ""
    connection.data_received(b"x" * 50)
    clock.time += LIMITS.rate_seconds
    crowd.check()
    assert transport.ended == "aborted"


def test_a_slow_server_gives_up_nobody(crowd, clock):
    """While nothing is read, or all has come, time is the server's and not the client's."""
    paused, paused_transport = join(crowd)
    paused_transport.reads = False
    paused.began(request(is_whole=False))
    whole, whole_transport = join(crowd)
    whole.began(request())
    for _ in range(5):
        clock.time += LIMITS.rate_seconds
        crowd.check()
    assert (paused_transport.ended, whole_transport.ended) == ("", "")


def test_an_answer_must_be_taken_at_the_lowest_speed(crowd, clock):
    """A client that does not read what waits for it is given up, one that reads is not."""
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname()) as client:
        server, _ = listener.accept()
        with server:
            server.setblocking(False)
            connection, transport = join(crowd, sock=server)
            connection.began(request())

            def fill() -> None:
                try:
                    while True:
                        server.send(b"x" * 65536)
                except BlockingIOError:
                    return

            fill()
            for _ in range(2):
                clock.time += LIMITS.rate_seconds
                client.settimeout(5)
                taken = 0
                while taken < 200_000:
                    taken += len(client.recv(65536))
                fill()
                crowd.check()
                fill()  # fails where the socket was shut down
            clock.time += LIMITS.rate_seconds
            crowd.check()
            with pytest.raises(BrokenPipeError):
                server.send(b"x")
            assert transport.ended == ""


def test_idle_ones_are_closed_when_the_server_stops(crowd):
    """What is idle ends at once, what is busy goes on."""
    busy, busy_transport = join(crowd)
    busy.began(request())
    _, idle_transport = join(crowd)
    crowd.close_idle()
    assert (busy_transport.ended, idle_transport.ended) == ("", "closed")
