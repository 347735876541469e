"""Loads a registry with many connections at once, with as little work of its own as it takes.

    python -m benchmarks.load rate HOST:PORT CONNECTIONS SECONDS FILE
    python -m benchmarks.load slow HOST:PORT CLIENTS BYTES_PER_SECOND SECONDS PATH SIZE

One thread, sockets without blocking and the kernel's poll. `rate` sends the requests of FILE (a
JSON list of texts) in turn, each connection the next one as soon as it has its answer, and prints
`{"rate": answers per second}`; half a second is for warming. `slow` lets each client fetch one blob
at a speed and prints how many got all of it and how long the slowest took.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

_WARM_SECONDS = 0.5
_READ = 1 << 18
_SLOW_BUFFER = 1 << 16
_TICK = 0.02


def _connect(host: str, *, buffer: int = 0) -> socket.socket:
    name, _, port = host.partition(":")
    made = socket.socket()
    if buffer:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    made.connect((name, int(port)))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def _answer_size(data: bytes) -> int:
    """How long an answer is, head and body; 0 as long as its head is not all here."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return 0
    if not data.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"not answered: {data[:300]!r}")
    head = data[:end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        raise RuntimeError(f"an answer without a length: {data[:300]!r}")
    line = head[at + 17 :].partition(b"\r\n")[0]
    return end + 4 + int(line)


def rate(host: str, connections: int, seconds: float, requests: list[bytes]) -> float:
    """Answers a second."""
    turn: Iterator[bytes] = cycle(requests)
    poll = select.epoll()
    clients: dict[int, socket.socket] = {}
    waiting: dict[int, bytes] = {}
    for _ in range(connections):
        client = _connect(host)
        clients[client.fileno()] = client
        waiting[client.fileno()] = b""
        poll.register(client.fileno(), select.EPOLLIN)
        client.sendall(next(turn))
    begin = time.perf_counter() + _WARM_SECONDS
    count, now = 0, 0.0
    while now < begin + seconds:
        for number, _ in poll.poll(1.0):
            data = waiting[number] + clients[number].recv(_READ)
            size = _answer_size(data)
            if not data:
                raise RuntimeError("a connection was ended")
            if size and len(data) >= size:
                if len(data) > size:
                    raise RuntimeError("more came than was announced")
                data = b""
                count += now >= begin
                clients[number].sendall(next(turn))
            waiting[number] = data
        now = time.perf_counter()
    for client in clients.values():
        client.close()
    return count / (now - begin)


def slow(
    host: str, clients: int, speed: int, seconds: float, path: str, size: int
) -> dict[str, float]:
    """Fetch one blob with each client at no more than a speed; who is served and how fast."""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    running: list[tuple[socket.socket, int, float]] = []
    for _ in range(clients):
        client = _connect(host, buffer=_SLOW_BUFFER)
        client.sendall(request)
        client.setblocking(False)
        running.append((client, -1, time.perf_counter()))
    first, done, slowest = running[0][2], 0, 0.0
    view = memoryview(bytearray(_READ))
    while running and time.perf_counter() < first + seconds:
        tick = time.perf_counter()
        left: list[tuple[socket.socket, int, float]] = []
        for client, at, begin in running:
            state = _take(client, at, int((time.perf_counter() - begin) * speed), size, view)
            if state < size:
                left.append((client, state, begin))
                continue
            done += 1
            slowest = max(slowest, time.perf_counter() - begin)
            client.close()
        running = left
        time.sleep(max(0.0, tick + _TICK - time.perf_counter()))
    for client, _, _ in running:
        client.close()
    return {"served": done, "slowest": slowest}


def _take(client: socket.socket, at: int, allowed: int, size: int, view: memoryview) -> int:
    """Read what a client may have by now; how much it has, -1 before the head of the answer."""
    try:
        if at < 0:
            data = client.recv(4096, socket.MSG_PEEK)
            end = data.find(b"\r\n\r\n")
            if end < 0:
                return -1
            if _answer_size(data) != end + 4 + size:
                raise RuntimeError(f"another size: {data[:300]!r}")
            client.recv(end + 4)
            at = 0
        while at < min(allowed, size):
            count = client.recv_into(view, min(len(view), allowed - at, size - at))
            if not count:
                raise RuntimeError(f"a client was cut off after {at} bytes")
            at += count
    except BlockingIOError:
        pass
    return at


def main(verb: str, host: str, *rest: str) -> None:
    """Run one of the two and print what came of it."""
    if verb == "rate":
        connections, seconds, file = rest
        requests = [text.encode() for text in json.loads(Path(file).read_text())]
        print(json.dumps({"rate": rate(host, int(connections), float(seconds), requests)}))
    else:
        clients, speed, seconds, path, size = rest
        arguments = (int(clients), int(speed), float(seconds), path, int(size))
        print(json.dumps(slow(host, *arguments)))


if __name__ == "__main__":
    main(*sys.argv[1:])
