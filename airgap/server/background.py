"""A registry in a thread of its own, for as long as a context lasts."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Middleware

from airgap.content.depot import Depot
from airgap.errors import UnavailableError
from airgap.server.access import Guard
from airgap.server.app import create_app
from airgap.server.settings import RegistrySettings

READ_BUFFER = 1 << 20
"""How many bytes of a request body may wait to be hashed and written."""

SHUTDOWN_SECONDS = 2.0
"""How long requests that are under way may go on when the registry ends."""


@dataclass(frozen=True, slots=True)
class Served:
    """Where a registry listens.

    Attributes:
        host: Address and port, as a reference names the registry.
        url: The same with its scheme.
    """

    host: str
    url: str


@contextmanager
def serve_in_thread(
    depot: Depot,
    settings: RegistrySettings | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ssl_context: ssl.SSLContext | None = None,
    guard: Guard | None = None,
    middlewares: Iterable[Middleware] = (),
) -> Iterator[Served]:
    """Serve a depot while the context lasts.

    Args:
        depot: What is served; the caller closes it afterwards.
        settings: What the registry does.
        host: The address to listen on.
        port: The port to listen on, or 0 for any that is free.
        ssl_context: The certificate, where the registry speaks TLS.
        guard: Who may do what; everyone everything without one.
        middlewares: What sees requests before the registry does.

    Raises:
        UnavailableError: The address cannot be listened on.
    """
    app = create_app(depot, settings, guard=guard, middlewares=middlewares)
    with serve_app_in_thread(app, host=host, port=port, ssl_context=ssl_context) as served:
        yield served


@contextmanager
def serve_app_in_thread(
    app: web.Application,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ssl_context: ssl.SSLContext | None = None,
) -> Iterator[Served]:
    """Serve an application while the context lasts.

    Args:
        app: What `create_app` made.
        host: The address to listen on.
        port: The port to listen on, or 0 for any that is free.
        ssl_context: The certificate, where the registry speaks TLS.

    Raises:
        UnavailableError: The address cannot be listened on.
    """
    started: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=SHUTDOWN_SECONDS,
            read_bufsize=READ_BUFFER,
            auto_decompress=False,  # a blob is kept as it was sent
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port, ssl_context=ssl_context)
            await site.start()
            stop = asyncio.Event()
            started.set_result((runner.addresses[0][1], asyncio.get_running_loop(), stop))
            await stop.wait()
        finally:
            await runner.cleanup()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="airgap-registry", daemon=True)
    thread.start()
    try:
        bound, loop, stop = started.result()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UnavailableError(f"cannot listen on {host}:{port}: {reason}") from error
    shown = f"[{host}]:{bound}" if ":" in host else f"{host}:{bound}"
    try:
        yield Served(shown, f"{'https' if ssl_context else 'http'}://{shown}")
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
