"""The project's own registry in a thread, for tests: it records requests and can break things.

    with EmbeddedRegistry() as registry:
        push(registry.repository("team/app"), image(), tag="1.0")
        registry.fail(CutAnswer(after=100), method="GET", path=r"/blobs/", times=2)
        ...
        assert registry.count("GET", r"/blobs/sha256:") == 3

As a program it serves a folder or memory until it is interrupted, for benchmarks and by hand:

    python -m tests.support.embedded --listen 127.0.0.1:5000 --data DIR --no-referrers
"""

from __future__ import annotations

import argparse
import re
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from airgap.content.depot import Depot, Repository
from airgap.content.folder import FolderDepot
from airgap.content.memory import MemoryDepot
from airgap.server.access import Guard
from airgap.server.background import Served, serve_in_thread
from airgap.server.ranges import Span, requested_span
from airgap.server.router import Resource, route
from airgap.server.settings import RegistrySettings


@dataclass
class Seen:
    """One request as it came, and the status of its answer once there is one."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    length: int | None
    status: int | None = None

    def __str__(self) -> str:
        """The request as one line."""
        return f"{self.method} {self.path}" + (f"?{self.query}" if self.query else "")


@dataclass(frozen=True)
class Status:
    """Answer with a status instead of doing what was asked."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class CutAnswer:
    """Promise the whole body, send so many bytes of it and close the connection."""

    after: int = 0


@dataclass(frozen=True)
class CutBody:
    """Take so many bytes of what is sent, and reset the connection."""

    after: int = 0


@dataclass(frozen=True)
class Drop:
    """Close the connection without an answer; nothing is done."""


@dataclass(frozen=True)
class Lose:
    """Do what was asked, and close the connection before the answer."""


Fault = Status | CutAnswer | CutBody | Drop | Lose
FaultCallback = Callable[[Seen], Fault | None]


class _CutStream:
    """A request's body that ends with the connection."""

    def __init__(self, stream: Any, left: int, transport: Any) -> None:
        self._stream = stream
        self._left = left
        self._transport = transport

    async def readany(self) -> bytes:
        part = await self._stream.readany() if self._left else b""
        part = part[: self._left]
        self._left -= len(part)
        if not part:
            self._transport.abort()
            raise ConnectionResetError
        return part

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class EmbeddedRegistry:
    """A registry on 127.0.0.1 for as long as the context lasts.

    Args:
        folder: Where it keeps its content; in memory without one.
        depot: What it serves instead of one of its own.
        settings: What it does.
        ssl_context: Its certificate, where it speaks TLS.
        guard: Who may do what; everyone everything by default.
        port: Where it listens; any free one by default.
    """

    def __init__(
        self,
        *,
        folder: Path | None = None,
        depot: Depot | None = None,
        settings: RegistrySettings | None = None,
        ssl_context: ssl.SSLContext | None = None,
        guard: Guard | None = None,
        port: int = 0,
    ) -> None:
        self.folder = folder
        self.settings = settings or RegistrySettings()
        self.seen: list[Seen] = []
        self.fault: FaultCallback | None = None
        self._given = depot
        self._ssl_context = ssl_context
        self._guard = guard
        self._port = port
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._served: Served | None = None
        self.depot: Depot

    def __enter__(self) -> Self:
        if self._given is not None:
            self.depot = self._given
        else:
            # nothing here has to survive a power cut, and syncing would make tests slow
            made = FolderDepot(self.folder, durable=False) if self.folder else MemoryDepot()
            self._stack.callback(made.close)
            self.depot = made
        self._served = self._stack.enter_context(
            serve_in_thread(
                self.depot,
                self.settings,
                port=self._port,
                ssl_context=self._ssl_context,
                guard=self._guard,
                middlewares=[self._observe],
            )
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def host(self) -> str:
        """Address and port, as a reference names the registry."""
        assert self._served is not None, "the registry does not run"
        return self._served.host

    @property
    def url(self) -> str:
        """The same with its scheme."""
        assert self._served is not None, "the registry does not run"
        return self._served.url

    def repository(self, name: str) -> Repository:
        """A repository, reached past the server: to fill it, or to look into it."""
        return self.depot.repository(name)

    def clear(self) -> None:
        """Forget the requests seen so far."""
        self.seen.clear()

    def matching(self, method: str = "", path: str = "", status: int | None = None) -> list[Seen]:
        """The requests of a method whose path and query match a regular expression."""
        return [
            seen
            for seen in list(self.seen)
            if (not method or seen.method == method)
            and re.search(path, str(seen).partition(" ")[2])
            and (status is None or seen.status == status)
        ]

    def count(self, method: str = "", path: str = "", status: int | None = None) -> int:
        """How many requests match."""
        return len(self.matching(method, path, status))

    def fail(
        self,
        *faults: Fault,
        method: str = "",
        path: str = "",
        times: int | None = None,
        after: int = 0,
    ) -> None:
        """Let requests that match fail, in place of what was said before.

        Args:
            faults: One for each request in turn; the last one for all that follow.
            method: Of the requests that are meant; any by default.
            path: A regular expression for their path and query.
            times: How many requests fail; by default as many as there are faults.
            after: How many matching requests go well before.
        """
        left = [after, len(faults) if times is None else times]
        queue = list(faults)

        def choose(seen: Seen) -> Fault | None:
            if (method and seen.method != method) or not re.search(path, str(seen)):
                return None
            with self._lock:
                if left[0]:
                    left[0] -= 1
                    return None
                if not left[1]:
                    return None
                left[1] -= 1
                return queue.pop(0) if len(queue) > 1 else queue[0]

        self.fault = choose

    @web.middleware
    async def _observe(self, request: web.Request, handler: Any) -> web.StreamResponse:
        seen = Seen(
            request.method,
            request.path,
            request.query_string,
            request.headers,
            request.content_length,
        )
        self.seen.append(seen)
        fault = self.fault(seen) if self.fault else None
        response = await self._answer(request, handler, fault)
        seen.status = response.status
        return response

    async def _answer(
        self, request: web.Request, handler: Any, fault: Fault | None
    ) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        match fault:
            case None:
                return await handler(request)
            case Status(status, headers, body):
                return web.Response(status=status, headers=headers, body=body)
            case Drop():
                transport.abort()
                raise ConnectionResetError
            case Lose():
                await handler(request)
                transport.abort()
                raise ConnectionResetError
            case CutBody(after):
                # the handler reads the body through this attribute, which has no public setter
                request._payload = _CutStream(request._payload, after, transport)
                return await handler(request)
            case CutAnswer(after):
                return await self._cut(request, handler, after)

    async def _cut(self, request: web.Request, handler: Any, after: int) -> web.StreamResponse:
        found = route(request.method, request.path)
        if found.resource is not Resource.BLOB:
            whole = await handler(request)
            status, headers, body = whole.status, dict(whole.headers), bytes(whole.body)
            length = len(body)
        else:
            repository = self.repository(found.repository)
            descriptor = repository.find_blob(found.digest)
            assert descriptor is not None, f"{found} is not there to be cut"
            span = requested_span(request.headers.get("Range"), descriptor.size)
            part = span or Span(0, descriptor.size)
            status, headers, length = 206 if span else 200, {}, part.size
            if span is not None:
                headers["Content-Range"] = span.content_range(descriptor.size)
            with repository.open(descriptor, offset=part.start) as chunks:
                body = b"".join(chunks)
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = length
        await response.prepare(request)
        await response.write(body[: min(after, length)])
        assert request.transport is not None
        request.transport.close()
        return response


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.embedded")
    parser.add_argument("--listen", default="127.0.0.1:5000", metavar="HOST:PORT")
    parser.add_argument("--data", type=Path, metavar="DIR", help="default: memory")
    parser.add_argument("--durable", action="store_true", help="sync before a push is answered")
    parser.add_argument("--no-referrers", action="store_true")
    parser.add_argument("--no-sparse", action="store_true")
    parser.add_argument("--chunk-min-length", type=int)
    options = parser.parse_args()
    host, _, port = options.listen.rpartition(":")
    settings = replace(
        RegistrySettings(),
        referrers=not options.no_referrers,
        sparse_indexes=not options.no_sparse,
        chunk_min_length=options.chunk_min_length,
    )
    depot: Depot = MemoryDepot()
    if options.data:
        depot = FolderDepot(options.data, durable=options.durable)
    try:
        with serve_in_thread(depot, settings, host=host, port=int(port)) as served:
            print(f"serving {served.url}", flush=True)
            threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        depot.close()


if __name__ == "__main__":
    main()
