"""Many clients and slow ones: all are served in little memory, and who stalls is given up."""

from __future__ import annotations

import os
import selectors
import socket
import ssl
import time
from contextlib import ExitStack

import pytest

from airgap.oci.digest import Digest
from tests.support.served import ServedProcess, served
from tests.support.wire import Wire

MEMORY = 200 << 20
CLIENTS = 500
IS_SOAK = bool(os.environ.get("AIRGAP_SOAK"))
RATE = 1_000_000 if IS_SOAK else 400_000
SIZE = 20_000_000 if IS_SOAK else 3_000_000
BLOB = os.urandom(SIZE)
DIGEST = Digest.of(BLOB)
REQUEST = (
    f"GET /v2/a/blobs/{DIGEST} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
)


def push(server: ServedProcess) -> None:
    with Wire(server.host) as wire:
        wire.ask("POST", f"/v2/a/blobs/uploads/?digest={DIGEST}", BLOB, status=201)


def pull_slowly(server: ServedProcess, count: int, rate: int) -> list[int]:
    """Let so many clients pull the blob, each so many bytes a second, and say what each got."""
    got = [0] * count
    clients: list[socket.socket] = []
    with selectors.DefaultSelector() as selector:
        for number in range(count):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            client.settimeout(60)
            client.connect(("127.0.0.1", server.port))
            client.sendall(REQUEST)
            client.setblocking(False)
            selector.register(client, selectors.EVENT_READ, number)
            clients.append(client)
        start = time.monotonic()
        buffer = bytearray(65536)
        end = start + 5 * SIZE / rate + 60
        while selector.get_map() and time.monotonic() < end:
            allowed = (time.monotonic() - start) * rate
            ready = [key for key, _ in selector.select(1) if got[key.data] <= allowed]
            for key in ready:
                client = clients[key.data]
                try:
                    size = client.recv_into(buffer)
                except (BlockingIOError, ConnectionResetError):
                    size = 0
                if size:
                    got[key.data] += size
                else:
                    selector.unregister(client)
            if not ready:
                time.sleep(0.01)  # every client is ahead of its time
    for client in clients:
        client.close()
    return got


def test_five_hundred_slow_clients_are_served_in_little_memory(tmp_path):
    """500 clients that pull slowly at the same time get all bytes, in less than 200 MiB."""
    with served("--data", tmp_path / "data") as server:
        push(server)
        got = pull_slowly(server, CLIENTS, RATE)
        assert min(got) >= SIZE
        assert max(got) < SIZE + 2000, "headers and the body, no more"
        assert server.memory < MEMORY


def test_five_hundred_clients_wait_with_tls_in_little_memory(tmp_path):
    """500 clients whose TLS connections all have an answer under way fit into 200 MiB as well."""
    with served("--data", tmp_path / "data", "--tls-self-signed") as server, ExitStack() as stack:
        context = ssl.create_default_context(cafile=server.result["certificate_authority"])
        clients = []
        for number in range(CLIENTS):
            client = stack.enter_context(server.connect(60))
            client = stack.enter_context(context.wrap_socket(client, server_hostname="127.0.0.1"))
            if not number:
                head = (
                    f"POST /v2/a/blobs/uploads/?digest={DIGEST} HTTP/1.1\r\nHost: localhost\r\n"
                    f"Content-Length: {SIZE}\r\n\r\n"
                )
                client.sendall(head.encode() + BLOB)
                assert client.recv(65536).startswith(b"HTTP/1.1 201 ")
            client.sendall(REQUEST)
            clients.append(client)
        got = [0] * CLIENTS
        for number, client in enumerate(clients):
            while part := client.recv(65536):
                got[number] += len(part)
        assert min(got) >= SIZE
        assert server.memory < MEMORY


@pytest.fixture
def impatient(tmp_path):
    """A server that gives slow clients little time."""
    arguments = ["--header-timeout", "1", "--idle-timeout", "2", "--rate-timeout", "1",
                 "--min-rate", "100k"]  # fmt: skip
    with served("--data", tmp_path / "data", *arguments) as server:
        yield server


def ends_within(client: socket.socket, seconds: float) -> bool:
    """Whether the server ends a connection in time; whatever it says is read."""
    client.settimeout(seconds)
    try:
        while client.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        pass
    return True


@pytest.mark.parametrize(
    "begin",
    [
        b"",
        b"GET /v2/ HT",
        b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: loc",
        b"POST /v2/a/blobs/uploads/?digest=sha256:" + b"0" * 64
        + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\nbegin",
    ],
)  # fmt: skip
def test_a_client_that_says_no_more_is_given_up(impatient, begin):
    """Silence, half of a request, an idle connection and an upload that stalls end in time."""
    with impatient.connect() as client:
        client.sendall(begin)
        assert ends_within(client, 15)


def test_a_client_that_takes_no_more_is_given_up(impatient):
    """A pull whose client stops reading ends, and does not keep the server's files open."""
    push(impatient)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", impatient.port))
        client.sendall(f"GET /v2/a/blobs/{DIGEST} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        with Wire(impatient.host) as wire:
            for _ in range(100):
                numbers = wire.ask("GET", "/metrics", status=200).body.decode()
                if "airgap_requests_in_flight 1.0" in numbers:
                    return
                time.sleep(0.1)
    raise AssertionError("the pull goes on")


def test_one_address_cannot_take_all_connections(tmp_path):
    """Beyond its share an address is turned away, and one that goes makes room for another."""
    with served("--data", tmp_path / "data", "--max-connections-per-address", "3") as server:
        held = [server.connect() for _ in range(3)]
        try:
            for client in held:
                client.sendall(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
            with server.connect() as fourth:
                assert ends_within(fourth, 5)
            held.pop().close()
            for _ in range(100):
                with server.connect() as fourth, Wire(server.host):
                    fourth.settimeout(5)
                    try:
                        fourth.sendall(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
                        if fourth.recv(4096).startswith(b"HTTP/1.1 200 "):
                            return
                    except ConnectionError:
                        pass
                time.sleep(0.05)
            raise AssertionError("nobody was let in any more")
        finally:
            for client in held:
                client.close()


def test_bodies_have_limits(tmp_path):
    """A blob or a manifest beyond its limit is refused with 413, announced or not."""
    limits = ["--max-blob-size", "1k", "--max-manifest-size", "2k"]
    with served("--data", tmp_path / "data", *limits) as server:
        for body in (b"x" * 1001, [b"x" * 600, b"x" * 600]):
            with Wire(server.host) as wire:
                place = wire.ask("POST", "/v2/a/blobs/uploads/", status=202).headers["Location"]
                assert wire.ask("PATCH", place, body, status=413).code == "SIZE_INVALID"
        headers = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
        with Wire(server.host) as wire:
            wire.ask("PUT", "/v2/a/manifests/1", b" " * 2001, headers, status=413)
