"""One request with all that its handler needs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from aiohttp import web

from airgap.content.depot import Depot, Repository
from airgap.oci.reference import is_registry
from airgap.server.access import Action, Guard, Principal
from airgap.server.errors import WireError
from airgap.server.paging import next_link
from airgap.server.router import Route
from airgap.server.settings import RegistrySettings

JSON = "application/json"
ROUTE = web.RequestKey("airgap.route", Route)
"""What a request asks for, for whoever looks at it from outside; missing where that is nothing."""
PRINCIPAL = web.RequestKey("airgap.principal", Principal)
"""Who asks; missing until that is known."""


class Turn:
    """Which request goes on with an upload: the one that came last.

    A request whose connection died may hang for long before anybody notices. The client's next
    one must not wait for it, and what the old one still has must not come in between.

    Attributes:
        lock: Held for each step.
        owner: The request whose turn it is.
        is_over: Whether a request has finished the upload, or thrown it away.
    """

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.owner: object = None
        self.is_over = False


class Turns:
    """The turns of all uploads that a request works on right now, and that of inventories.

    Attributes:
        inventory: Held while an inventory is made.
    """

    def __init__(self) -> None:
        self.inventory = asyncio.Lock()
        self._turns: WeakValueDictionary[str, Turn] = WeakValueDictionary()

    def of(self, upload_id: str) -> Turn:
        """The turn of an upload; lasts as long as somebody holds it."""
        turn = self._turns.get(upload_id)
        if turn is None:
            self._turns[upload_id] = turn = Turn()
        return turn


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request.

    Attributes:
        request: What came.
        route: What it asks for.
        depot: What the registry serves.
        settings: What the registry does.
        turns: Whose turn it is where only one may work.
        guard: Who may do what.
        principal: Who asks.
    """

    request: web.Request
    route: Route
    depot: Depot
    settings: RegistrySettings
    turns: Turns
    guard: Guard
    principal: Principal

    def repository(self) -> Repository:
        """The repository that the route names."""
        return self.depot.repository(self.route.repository)

    def may(self, action: Action, repository: str | None = None) -> bool:
        """Whether the one who asks may do something, here or in another repository."""
        where = self.route.repository if repository is None else repository
        return self.guard.may(self.principal, action, where)

    def next_page(self, parameters: Mapping[str, str]) -> dict[str, str]:
        """The header that leads to the next page, in the registry that this one stands in for."""
        namespace = self.query("ns") or ""
        kept = {"ns": namespace} if is_registry(namespace) else {}
        return next_link(self.request.path, {**parameters, **kept})

    def query(self, name: str) -> str | None:
        """A parameter of the query, the first one of that name."""
        return self.request.query.get(name)


Handler = Callable[[Exchange], Awaitable[web.StreamResponse]]


def answer(
    status: int,
    headers: Mapping[str, str] | None = None,
    *,
    body: bytes = b"",
    media_type: str = "",
) -> web.Response:
    """An answer whose body is in memory."""
    response = web.Response(status=status, body=body or None, headers=headers)
    if media_type:
        response.headers["Content-Type"] = media_type
    return response


def json_answer(value: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> web.Response:
    """A document that is not stored anywhere."""
    return answer(200, headers, body=json.dumps(value).encode(), media_type=JSON)


def error_answer(error: WireError) -> web.Response:
    """An error as the specification wants it said."""
    return answer(error.status, error.headers, body=error.body(), media_type=JSON)
