"""The end of a server: transfers finish, and nothing hangs; and what the service manager hears."""

from __future__ import annotations

import signal
import socket
import threading

import pytest

from airgap.oci.digest import Digest
from tests.support.served import ServedProcess, served
from tests.support.wire import Wire

SIZE = 12_000_000
BLOB = bytes(range(256)) * (SIZE // 256)
DIGEST = Digest.of(BLOB)


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


def fill(server: ServedProcess) -> None:
    """Push the blob."""
    with Wire(server.host) as wire:
        wire.ask("POST", f"/v2/a/blobs/uploads/?digest={DIGEST}", BLOB, status=201)


def begin_pull(server: ServedProcess) -> tuple[socket.socket, int]:
    """Ask for the blob and take only the beginning of the answer, through a small window."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.settimeout(30)
    client.connect(("127.0.0.1", server.port))
    client.sendall(f"GET /v2/a/blobs/{DIGEST} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(1024)
    assert head.startswith(b"HTTP/1.1 200 ")
    return client, len(head.partition(b"\r\n\r\n")[2])


def rest(client: socket.socket) -> int:
    """Read to the end, and say how much there was."""
    size = 0
    while part := client.recv(1 << 20):
        size += len(part)
    return size


def refused(server: ServedProcess) -> bool:
    """Whether the server takes no new connections any more."""
    try:
        server.connect(5).close()
    except OSError:
        return True
    return False


def until_refused(server: ServedProcess) -> None:
    for _ in range(200):
        if refused(server):
            return
        threading.Event().wait(0.05)
    raise AssertionError("new connections are still taken")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_stops_at_once(data, number):
    """With nothing to finish, also with open connections, the server ends soon and with 0."""
    with served("--data", data) as server, Wire(server.host) as wire:
        wire.ask("GET", "/v2/", status=200)
        server.stop(number)
        assert server.wait(10) == 0


def test_a_pull_that_is_under_way_finishes(data):
    """After SIGTERM no new connection is taken, and the client gets every byte."""
    with served("--data", data) as server:
        fill(server)
        client, size = begin_pull(server)
        with client:
            server.stop()
            until_refused(server)
            assert server.process.poll() is None
            assert size + rest(client) == SIZE
        assert server.wait(10) == 0


def test_a_push_that_is_under_way_finishes(data):
    """After SIGTERM the rest of an upload is still read, and acknowledged."""
    with served("--data", data) as server:
        with server.connect() as client:
            head = (
                f"POST /v2/a/blobs/uploads/?digest={DIGEST} HTTP/1.1\r\nHost: localhost\r\n"
                f"Content-Length: {SIZE}\r\n\r\n"
            )
            client.sendall(head.encode() + BLOB[: SIZE // 2])
            server.stop()
            until_refused(server)
            client.sendall(BLOB[SIZE // 2 :])
            answer = b""
            while part := client.recv(65536):
                answer += part
            assert answer.startswith(b"HTTP/1.1 201 ")
            assert b"connection: close" in answer.lower()
        assert server.wait(10) == 0
    with served("--data", data) as server, Wire(server.host) as wire:
        wire.ask("HEAD", f"/v2/a/blobs/{DIGEST}", status=200)


def test_transfers_that_take_too_long_are_cut(data):
    """After --stop-timeout what still runs is cut off."""
    with served("--data", data, "--stop-timeout", "1") as server:
        fill(server)
        client, _ = begin_pull(server)
        with client:
            server.stop()
            assert server.wait(15) == 0
    assert any("were cut off" in line for line in server.errors)


def test_the_second_signal_ends_at_once(data):
    """Who asks twice does not wait for transfers."""
    with served("--data", data) as server:
        fill(server)
        client, _ = begin_pull(server)
        with client:
            server.stop()
            until_refused(server)
            server.stop()
            assert server.wait(5) == 130


@pytest.mark.parametrize("is_abstract", [False, True])
def test_the_service_manager_is_told(data, tmp_path, is_abstract):
    """READY comes when the server takes requests, STOPPING when it begins to stop."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        name = f"airgap-test-{tmp_path.name}" if is_abstract else str(tmp_path / "notify")
        manager.bind(f"\0{name}" if is_abstract else name)
        manager.settimeout(20)
        address = f"@{name}" if is_abstract else name
        with served("--data", data, environ={"NOTIFY_SOCKET": address}) as server:
            assert manager.recv(4096).startswith(b"READY=1\n")
            assert not refused(server)
            server.stop()
            assert manager.recv(4096).startswith(b"STOPPING=1\n")
            assert server.wait(10) == 0


def test_a_manager_that_is_gone_is_no_reason_to_fail(data, tmp_path):
    """A socket that nobody reads is warned of, and the registry is served."""
    with served("--data", data, environ={"NOTIFY_SOCKET": str(tmp_path / "gone")}) as server:
        assert not refused(server)
