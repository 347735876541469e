"""The life of the server's process: its sockets, its chores, and its end.

When it is told to stop it takes no new connections, ends those that have no request, and lets
transfers finish: aiohttp's own way of stopping would leave uploads waiting for bytes that it
throws away.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from airgap.content.posix import raise_open_files
from airgap.errors import AirgapError, SettingsError, UnavailableError
from airgap.run.cancel import CancelToken
from airgap.server.accesslog import AccessFormat, AccessLog
from airgap.server.background import READ_BUFFER
from airgap.server.connections import Connection, Connections
from airgap.server.health import Health
from airgap.server.limits import Limits
from airgap.server.notify import Notifier
from airgap.server.unreadable import new_speaker

BACKLOG = 1024
_POLL_SECONDS = 0.2
_CHECK_SECONDS = 1.0
_ACCEPT_PAUSE = 0.5
_GOODBYE_SECONDS = 5.0
_ABORT_SECONDS = 0.5

_log = logging.getLogger(__name__)
_http_log = logging.getLogger(f"{__name__}.http")


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the server listens: a host and the addresses that it stands for."""

    host: str
    port: int
    addresses: tuple[tuple[socket.AddressFamily, tuple[Any, ...]], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to be done now and then, in a thread. What goes wrong is told, and it goes on."""

    name: str
    seconds: float
    work: Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """How the server runs.

    Attributes:
        listen: Where.
        limits: What clients may ask of it.
        tls: Its certificate, if it speaks TLS.
        access_log: Where requests are noted, if they are.
        access_format: How.
        chores: What is done meanwhile.
        notifier: Tells the service manager.
    """

    listen: Listen
    limits: Limits = field(default_factory=Limits)
    tls: ssl.SSLContext | None = None
    access_log: logging.Logger | None = None
    access_format: AccessFormat = "json"
    chores: Sequence[Chore] = ()
    notifier: Notifier = field(default_factory=Notifier)


def resolve(host: str, port: int) -> Listen:
    """Find the addresses of a host to listen on.

    Raises:
        SettingsError: There are none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise SettingsError(
            f"--listen: {host[:100]!r} is no address of this machine", hint="127.0.0.1, 0.0.0.0, …"
        ) from error
    addresses = dict.fromkeys((family, address) for family, _, _, _, address in found)
    return Listen(host, port, tuple(addresses))


def new_connections(limits: Limits) -> Connections:
    """Make what counts connections, for as many as this process may have open."""
    return Connections(limits, most=limits.within(raise_open_files()))


async def serve(
    app: web.Application,
    options: ServerOptions,
    *,
    connections: Connections,
    health: Health,
    started: Callable[[int], None],
    cancel: CancelToken,
) -> None:
    """Serve until somebody asks to stop, and until transfers are done or out of time then.

    Args:
        app: What answers requests.
        options: How the server runs.
        connections: What counts connections.
        health: What is told that the server stops.
        started: Called with the port as soon as clients can connect.
        cancel: Says when to stop.

    Raises:
        UnavailableError: The address cannot be listened on.
    """

    async def end_connection(request: web.Request, response: web.StreamResponse) -> None:
        if health.is_stopping:
            response.force_close()
            response.headers["Connection"] = "close"

    app.on_response_prepare.append(end_connection)
    limits = options.limits
    runner = web.AppRunner(
        app,
        access_log=options.access_log,
        access_log_class=AccessLog,
        access_log_format=options.access_format,
        logger=_http_log,
        shutdown_timeout=_ABORT_SECONDS,
        keepalive_timeout=limits.idle_seconds,
        max_line_size=limits.header_bytes,
        max_field_size=limits.header_bytes,
        max_headers=limits.header_count,
        read_bufsize=READ_BUFFER,
        # a blob is kept as it was sent, whatever Content-Encoding says
        auto_decompress=False,
    )
    listeners = _bind(options.listen)
    tasks: list[asyncio.Task[None]] = []
    try:
        await runner.setup()
        assert runner.server is not None
        door = _Door(runner.server, options, connections)
        tasks = [
            *(asyncio.create_task(door.accept(listener)) for listener in listeners),
            asyncio.create_task(_watch(connections)),
            *(asyncio.create_task(_do(chore)) for chore in options.chores),
        ]
        started(listeners[0].getsockname()[1])
        options.notifier.ready("serving")
        while not cancel.is_cancelled:
            await asyncio.sleep(_POLL_SECONDS)
        options.notifier.stopping()
        health.is_stopping = True
        await _end(tasks[: len(listeners)])
        for listener in listeners:
            listener.close()
        await _drain(connections, limits.shutdown_seconds)
    finally:
        await _end(tasks)
        for listener in listeners:
            listener.close()
        await runner.cleanup()


class _Door:
    """Lets clients in, one after the other, if there is room."""

    def __init__(
        self, server: web.Server, options: ServerOptions, connections: Connections
    ) -> None:
        self._server = server
        self._tls = options.tls
        self._limits = options.limits
        self._connections = connections
        self._greetings: set[asyncio.Task[None]] = set()

    async def accept(self, listener: socket.socket) -> None:
        """Take connections from a socket until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, address = await loop.sock_accept(listener)
            except OSError as error:  # no more open files; or the client went away at once
                _log.warning("a connection could not be taken: %s", error.strerror or error)
                await asyncio.sleep(_ACCEPT_PAUSE)
                continue
            origin = self._connections.admit(address[0])
            if origin is None:
                client.close()
                continue
            greeting = asyncio.create_task(self._greet(client, origin))
            self._greetings.add(greeting)
            greeting.add_done_callback(self._greetings.discard)

    async def _greet(self, client: socket.socket, origin: str) -> None:
        """Begin to speak with a client: with TLS that takes a few turns."""
        connection = Connection(new_speaker(self._server), origin, self._connections)
        tls = self._tls
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                client,
                ssl=tls,
                ssl_handshake_timeout=self._limits.header_seconds if tls else None,
                ssl_shutdown_timeout=_GOODBYE_SECONDS if tls else None,
            )
        except (OSError, EOFError) as error:  # also ssl.SSLError and TimeoutError
            _log.debug("%s: no TLS could be agreed on: %s", origin, error)
        finally:
            if not connection.has_begun:
                self._connections.leave(origin)
                client.close()


async def _watch(connections: Connections) -> None:
    while True:
        await asyncio.sleep(_CHECK_SECONDS)
        connections.check()


async def _do(chore: Chore) -> None:
    while True:
        await asyncio.sleep(chore.seconds)
        try:
            await asyncio.to_thread(chore.work)
        except AirgapError as error:
            _log.warning("%s failed: %s", chore.name, error)
        except Exception:  # noqa: BLE001 (a mistake in a chore must not end those that follow)
            _log.exception("%s failed", chore.name)


async def _drain(connections: Connections, seconds: float) -> None:
    """Wait for requests that are being answered."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        # what is still to be written is written before a connection ends
        connections.close_idle()
        await asyncio.sleep(_POLL_SECONDS / 4)
        if not len(connections):
            return
    _log.warning("%d requests were cut off after %.0f s", connections.busy, seconds)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task


def _bind(listen: Listen) -> list[socket.socket]:
    found: list[socket.socket] = []
    port, failure = listen.port, OSError(errno.EADDRNOTAVAIL, "there is no such address here")
    for family, address in listen.addresses:
        is_all = address[0] == "::" and len(listen.addresses) == 1
        try:
            listener = _listen(family, (address[0], port, *address[2:]), takes_both=is_all)
        except OSError as error:
            failure = error
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                continue  # `localhost` stands for ::1 also where there is no IPv6
            break
        found.append(listener)
        port = listener.getsockname()[1]
    else:
        if found:
            return found
    for listener in found:
        listener.close()
    raise UnavailableError(
        f"cannot listen on {listen.host}:{listen.port}: {failure.strerror}",
        hint="end what listens there, or choose another address or port with --listen",
    ) from failure


def _listen(
    family: socket.AddressFamily, address: tuple[Any, ...], *, takes_both: bool
) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # whatever the system's default: the address of everything takes IPv4, too
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not takes_both))
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener
