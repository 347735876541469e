"""A server that does what a script says: cuts, stalls, lies, redirects, counts.

It is no registry: what a whole registry does is asked of airgap's own server. An answer is found
by method and path; the first that matches and is not used up counts.
"""

from __future__ import annotations

import http.server
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that arrived.

    Attributes:
        method: Its method.
        path: Its path with the query.
        headers: Its headers, names in lower case.
        body: What arrived of its body.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(slots=True)
class Reply:
    """What is answered.

    Attributes:
        status: The status.
        headers: The headers; Content-Length is added unless it is there or `has_length` is off.
        body: The body.
        cut_after: Closes the connection after that many bytes of the body.
        stall_after: Sends nothing more after that many bytes, until the server is closed.
        delay: Waits before answering, in seconds.
        has_length: Whether a Content-Length is sent.
        reads_body: How much of the request's body is read before answering; None is all.
        drops: Closes the connection without any answer.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_after: int | None = None
    stall_after: int | None = None
    delay: float = 0.0
    has_length: bool = True
    reads_body: int | None = None
    drops: bool = False

    @classmethod
    def json(cls, value: object, status: int = 200, **headers: str) -> Self:
        """Answer JSON; underscores in the names of headers are dashes."""
        names = {name.replace("_", "-"): text for name, text in headers.items()}
        return cls(
            status, {"Content-Type": "application/json", **names}, json.dumps(value).encode()
        )

    @classmethod
    def error(cls, status: int, code: str, message: str = "no", **headers: str) -> Self:
        """Answer an error of the distribution specification."""
        return cls.json({"errors": [{"code": code, "message": message}]}, status, **headers)


Answer = Reply | Callable[[Seen], Reply]


class Rule:
    """What a script says about some requests."""

    def __init__(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        self.method = method
        self.path = re.compile(path)
        self.headers = {name.lower(): re.compile(text) for name, text in headers.items()}
        self.answers: list[Answer] = []
        self.count = 0

    def reply(self, *answers: Answer) -> Rule:
        """Answer these in turn, then the last one again and again."""
        self.answers = list(answers)
        return self

    def matches(self, seen: Seen) -> bool:
        """Whether it says something about a request."""
        return (
            seen.method == self.method
            and self.path.fullmatch(seen.path) is not None
            and all(
                pattern.fullmatch(seen.headers.get(name, ""))
                for name, pattern in self.headers.items()
            )
        )

    def next(self, seen: Seen) -> Reply:
        """The answer to the next request."""
        answer = self.answers[min(self.count, len(self.answers) - 1)]
        self.count += 1
        return answer if isinstance(answer, Reply) else answer(seen)


class ScriptedServer:
    """Listens on 127.0.0.1 while it is entered.

    Args:
        context: Speaks TLS with it.
    """

    def __init__(self, *, context: ssl.SSLContext | None = None) -> None:
        self.rules: list[Rule] = []
        self.seen: list[Seen] = []
        self.connections = 0
        self.closing = threading.Event()
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"script": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        if context is not None:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._scheme = "http" if context is None else "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def host(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"{self._scheme}://{self.host}"

    def on(self, method: str, path: str, **headers: str) -> Rule:
        """Begin a rule for a method, a pattern that the whole path fits, and headers."""
        names = {name.replace("_", "-"): text for name, text in headers.items()}
        rule = Rule(method, path, names)
        with self._lock:
            self.rules.append(rule)
        return rule

    def requests(self, method: str = "", path: str = ".*") -> list[Seen]:
        """The requests that arrived, of a method and path."""
        with self._lock:
            return [
                seen
                for seen in self.seen
                if (not method or seen.method == method) and re.fullmatch(path, seen.path)
            ]

    def answer(self, seen: Seen) -> Reply:
        """Note a request and find its answer."""
        with self._lock:
            self.seen.append(seen)
            for rule in self.rules:
                if rule.matches(seen):
                    return rule.next(seen)
        return Reply.error(404, "UNSCRIPTED", str(seen))

    def preview(self, seen: Seen) -> Reply | None:
        """The answer that a request would get, where it does not depend on the body."""
        with self._lock:
            for rule in self.rules:
                if rule.matches(seen):
                    answer = rule.answers[min(rule.count, len(rule.answers) - 1)]
                    return answer if isinstance(answer, Reply) else None
        return None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that go away are what these tests are about."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: ScriptedServer
    timeout = 30

    def setup(self) -> None:
        super().setup()
        self.script.connections += 1

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        self._handle()

    # the library looks handlers up by these names
    do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def _handle(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        preview = self.script.preview(Seen(self.command, self.path, headers))
        limit = preview.reads_body if preview is not None else None
        try:
            body = self._body(limit)
        except OSError:
            body = b""
        reply = self.script.answer(Seen(self.command, self.path, headers, body))
        if reply.delay:
            time.sleep(reply.delay)
        self._send(reply)
        if limit is not None:
            self.close_connection = True

    def _body(self, limit: int | None) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while length := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(length))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        length = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(length if limit is None else min(limit, length))

    def _send(self, reply: Reply) -> None:
        if reply.drops:
            self._hang_up()
            return
        phrase = HTTPStatus(reply.status).phrase if reply.status in set(HTTPStatus) else "Odd"
        head = [f"HTTP/1.1 {reply.status} {phrase}"]
        headers = dict(reply.headers)
        has_body = self.command != "HEAD" and reply.status != 204
        if reply.has_length and reply.status != 204:
            headers.setdefault("Content-Length", str(len(reply.body)))
        if not reply.has_length:
            headers["Connection"] = "close"
            self.close_connection = True
        head += [f"{name}: {value}" for name, value in headers.items()]
        body = reply.body if has_body else b""
        ends = [end for end in (reply.cut_after, reply.stall_after) if end is not None]
        shown = body[: min(ends)] if ends else body
        self.wfile.write("\r\n".join([*head, "", ""]).encode("latin-1") + shown)
        self.wfile.flush()
        if reply.stall_after is not None:
            self.script.closing.wait(30)
        if ends:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
