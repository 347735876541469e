"""What the system knows of sockets, and how much a process may have open."""

from __future__ import annotations

import ipaddress
import resource
import socket
import sys

import pytest

from airgap.content import posix


@pytest.fixture
def pair():
    """Both ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        with client, server:
            yield client, server


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_traffic_counts_both_ways(pair):
    """What a peer sent counts as soon as it is here, what it is sent when it has taken it."""
    client, server = pair
    before = posix.socket_traffic(server.fileno())
    assert before is not None
    client.sendall(b"x" * 1000)
    assert len(server.recv(2000)) == 1000
    server.sendall(b"y" * 500)
    assert len(client.recv(2000)) == 500
    client.sendall(b"!")  # carries the acknowledgement, if nothing did before
    assert server.recv(1) == b"!"
    after = posix.socket_traffic(server.fileno())
    assert after is not None
    assert after.moved - before.moved == 1501
    assert after.pending == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_what_a_peer_does_not_take_is_pending(pair):
    """Bytes that do not fit into the other side's window wait here."""
    client, server = pair
    server.setblocking(False)
    sent = 0
    try:
        while True:
            sent += server.send(b"x" * 65536)
    except BlockingIOError:
        pass
    traffic = posix.socket_traffic(server.fileno())
    assert traffic is not None
    assert 0 < traffic.pending <= sent
    assert client.fileno() >= 0


def test_what_is_no_tcp_connection_has_no_traffic():
    """Other sockets and descriptors that are closed are not an error."""
    one, other = socket.socketpair()
    with one, other:
        assert posix.socket_traffic(one.fileno()) is None
    assert posix.socket_traffic(2**20) is None


def test_as_many_files_may_be_open_as_the_system_allows():
    """The soft limit becomes the hard one; what that is comes back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
        assert posix.raise_open_files() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_the_addresses_of_this_machine_are_addresses():
    """Loopback is among them, and none that only one link knows."""
    found = [ipaddress.ip_address(address) for address in posix.interface_addresses()]
    assert ipaddress.ip_address("127.0.0.1") in found
    assert [address for address in found if address.is_link_local and address.version == 6] == []
