"""A wire between airgap and a registry, on which things can happen at a given byte."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

CHUNK = 64 * 1024


@dataclass
class Incident:
    """What happens when so many bytes have passed.

    Attributes:
        after: How many bytes of all connections together pass first.
        act: What happens then; the connection is cut afterwards if it gives True.
    """

    after: int
    act: Callable[[], bool]


class Wire:
    """Passes bytes on to a registry, for as long as the context lasts.

    Args:
        target: Address and port of the registry.
        down: What happens to what the registry sends, in order.
        up: What happens to what it gets, in order.
    """

    def __init__(
        self, target: str, *, down: list[Incident] | None = None, up: list[Incident] | None = None
    ) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._down, self._up = down or [], up or []
        self.sent_up = 0
        """How many bytes the registry was sent."""
        self.sent_down = 0
        """How many bytes the registry sent."""
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            sockets = [*self._sockets, self._listener]
        for found in sockets:
            _cut(found)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:  # the registry is down
                _cut(client)
                continue
            with self._lock:
                self._sockets += [client, server]
            for source, sink, is_up in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass, args=(source, sink, is_up), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, is_up: bool) -> None:
        try:
            while data := source.recv(CHUNK):
                if self._count(len(data), is_up):
                    break
                sink.sendall(data)
        except OSError:
            pass
        _cut(source)
        _cut(sink)

    def _count(self, size: int, is_up: bool) -> bool:
        """Count bytes, and let happen what was due; gives whether the connection is cut."""
        incidents = self._up if is_up else self._down
        with self._lock:
            if is_up:
                self.sent_up += size
                passed = self.sent_up
            else:
                self.sent_down += size
                passed = self.sent_down
            due = incidents.pop(0) if incidents and passed >= incidents[0].after else None
        return due is not None and due.act()


def _cut(found: socket.socket) -> None:
    with contextlib.suppress(OSError):
        found.shutdown(socket.SHUT_RDWR)
    found.close()
