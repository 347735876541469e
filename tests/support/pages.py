"""A registry with its pages, for tests: in memory, with users where a test wants them."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import urllib3

from airgap.content.arrival import Arrival
from airgap.content.depot import Depot
from airgap.content.memory import MemoryDepot
from airgap.server.access import Action, Guard, OpenGuard, Principal
from airgap.server.app import create_app
from airgap.server.background import serve_app_in_thread
from airgap.server.errors import unauthorized
from airgap.server.pages.arriving import ArrivalDesk
from airgap.server.pages.routes import make_site, page_routes
from airgap.server.pages.sessions import Sessions
from airgap.transfer.arrive import take_bundle


class FixedUsers:
    """A guard with users of its own rules, without files and without bcrypt.

    Attributes:
        passwords: Of each user.
        rules: For a user's name (empty: everyone) the first parts of paths and what may be done.
    """

    def __init__(
        self,
        passwords: dict[str, str],
        rules: dict[str, dict[str, frozenset[Action]]],
    ) -> None:
        self.passwords = passwords
        self.rules = rules

    @property
    def has_users(self) -> bool:
        return bool(self.passwords)

    async def identify(self, request: Any, *, scope: str = "") -> Principal:
        return Principal()

    def may(self, principal: Principal, action: Action, repository: str) -> bool:
        top = repository.partition("/")[0]
        return any(
            action in self.rules.get(name, {}).get(top, frozenset())
            for name in {"", principal.name}
        )

    def challenge(self, request: Any, *, scope: str, error: str = "") -> dict[str, str]:
        return {}

    async def sign_in(self, name: str, password: str, *, address: str) -> Principal:
        if name not in self.passwords or self.passwords[name] != password:
            raise unauthorized("Bearer")
        return Principal(name)

    def principal(self, name: str) -> Principal | None:
        return Principal(name) if name in self.passwords else None

    def stamp(self, name: str) -> str:
        return self.passwords.get(name, "")


READ = frozenset({Action.PULL})
WRITE = frozenset({Action.PULL, Action.PUSH})


def alice_and_bob() -> FixedUsers:
    """Alice has what is below `secret`, Bob what is below `other`; `public` is for all to see."""
    return FixedUsers(
        {"alice": "wonder land", "bob": "builder"},
        {"": {"public": READ}, "alice": {"secret": WRITE, "team": WRITE}, "bob": {"other": WRITE}},
    )


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Any
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def visible(self) -> str:
        """What a reader sees of a page."""
        return seen_text(self.text)


class _Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def seen_text(html: str) -> str:
    """The text of a page."""
    parser = _Seen()
    parser.feed(html)
    return " ".join(" ".join(parser.parts).split())


def tags_of(html: str) -> list[tuple[str, dict[str, str | None]]]:
    """The elements of a page and their attributes."""
    parser = _Seen()
    parser.feed(html)
    return parser.tags


@dataclass
class Browser:
    """Keeps cookies, and sends forms with their token."""

    url: str
    ca: str | None = None
    cookies: dict[str, str] = field(default_factory=dict)
    set_cookies: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._pool = urllib3.PoolManager(retries=False, ca_certs=self.ca)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        sent = dict(headers or {})
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        response = self._pool.request(
            method, self.url + path, body=body, headers=sent, redirect=False, timeout=20
        )
        for line in response.headers.getlist("Set-Cookie"):
            self.set_cookies.append(line)
            name, _, rest = line.partition("=")
            value = rest.partition(";")[0].strip('"')
            if "Max-Age=0" in line or not value:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return Answer(response.status, response.headers, response.data)

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def token(self, path: str) -> str:
        """The token that the forms of a page carry."""
        found = re.search(r'(?:name="form-token" value|data-token)="([^"]*)"', self.get(path).text)
        assert found, f"{path} has no form"
        return unescape(found[1])

    def post(self, path: str, **fields: str) -> Answer:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.request("POST", path, body=urlencode(fields).encode(), headers=headers)

    def sign_in(self, name: str, password: str, target: str = "/") -> Answer:
        fields = {"form-token": self.token("/sign-in"), "name": name, "password": password}
        return self.post("/sign-in", **fields, next=target)

    def close(self) -> None:
        self._pool.clear()


class MemoryLedger:
    """Remembers arrivals as long as it is there."""

    def __init__(self) -> None:
        self._arrivals: list[Arrival] = []

    def note_arrival(self, arrival: Arrival, /) -> None:
        self._arrivals.insert(0, arrival)

    def arrivals(self) -> Iterator[Arrival]:
        return iter(list(self._arrivals))


@dataclass
class PageServer:
    """A registry with pages."""

    url: str
    host: str
    depot: Depot
    desk: ArrivalDesk
    ledger: MemoryLedger

    @contextmanager
    def browser(self) -> Iterator[Browser]:
        browser = Browser(self.url)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def serve_pages(
    *,
    depot: Depot | None = None,
    guard: Guard | None = None,
    ssl_context: ssl.SSLContext | None = None,
    free_bytes: int | None = None,
    sessions: Sessions | None = None,
    importer: Any = take_bundle,
    middlewares: tuple[Any, ...] = (),
) -> Iterator[PageServer]:
    """Serve a depot with pages while the context lasts."""
    depot = depot or MemoryDepot()
    guard = guard or OpenGuard()
    ledger = MemoryLedger()
    desk = ArrivalDesk(depot, importer, ledger=ledger, free_bytes=lambda: free_bytes)
    site = make_site(depot, guard, desk=desk, ledgers=[ledger], sessions=sessions)
    app = create_app(depot, guard=guard, routes=page_routes(site), middlewares=middlewares)
    try:
        with serve_app_in_thread(app, ssl_context=ssl_context) as served:
            yield PageServer(served.url, served.host, depot, desk, ledger)
    finally:
        desk.close()
