"""The application: finds the handler of a request and says errors as the specification wants."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from aiohttp import web
from aiohttp.typedefs import Middleware

from airgap.content.depot import Depot
from airgap.errors import AirgapError, LockedError, StorageFullError
from airgap.server import blobs, catalog, manifests, referrers, tags, uploads
from airgap.server.access import (
    Guard,
    OpenGuard,
    TokenServer,
    need_of,
    refusal,
)
from airgap.server.errors import WireError, internal
from airgap.server.exchange import (
    PRINCIPAL,
    ROUTE,
    Exchange,
    Handler,
    Turns,
    error_answer,
    json_answer,
)
from airgap.server.router import Resource, Route, route
from airgap.server.settings import RegistrySettings

API_VERSION = {"Docker-Distribution-Api-Version": "registry/2.0"}
"""Not in the specification any more, and still what some clients know a registry by."""
SANDBOX = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}
"""Whatever was pushed is data: a browser that is led to it must not run it as a page of ours."""

_log = logging.getLogger(__name__)


async def _base(exchange: Exchange) -> web.StreamResponse:
    """Say that this is a registry (distribution-spec, endpoint 1)."""
    return json_answer({})


_HANDLERS: dict[tuple[Resource, str], Handler] = {
    (Resource.BASE, "GET"): _base,
    (Resource.BASE, "HEAD"): _base,
    (Resource.CATALOG, "GET"): catalog.get,
    (Resource.BLOB, "GET"): blobs.get,
    (Resource.BLOB, "HEAD"): blobs.head,
    (Resource.BLOB, "DELETE"): blobs.delete,
    (Resource.UPLOADS, "POST"): uploads.post,
    (Resource.UPLOAD, "GET"): uploads.get,
    (Resource.UPLOAD, "PATCH"): uploads.patch,
    (Resource.UPLOAD, "PUT"): uploads.put,
    (Resource.UPLOAD, "DELETE"): uploads.delete,
    (Resource.MANIFEST, "GET"): manifests.get,
    (Resource.MANIFEST, "HEAD"): manifests.head,
    (Resource.MANIFEST, "PUT"): manifests.put,
    (Resource.MANIFEST, "DELETE"): manifests.delete,
    (Resource.TAGS, "GET"): tags.get,
    (Resource.REFERRERS, "GET"): referrers.get,
}


class Registry:
    """Answers the requests of one registry."""

    def __init__(self, depot: Depot, settings: RegistrySettings, guard: Guard) -> None:
        self._depot = depot
        self._settings = settings
        self._guard = guard
        self._turns = Turns()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        try:
            request[ROUTE] = found = route(request.method, request.path)
            exchange = await self._admit(request, found)
            return await _HANDLERS[found.resource, request.method](exchange)
        except WireError as error:
            return error_answer(error)
        except AirgapError as error:
            _log.error("%s %s failed: %s", request.method, request.path, error)
            return error_answer(_translated(error))

    async def _admit(self, request: web.Request, found: Route) -> Exchange:
        """Find out who asks, and whether that one may.

        Raises:
            WireError: Nobody with these credentials may.
        """
        guard = self._guard
        mount_from = request.query.get("from") if found.resource is Resource.UPLOADS else None
        need = need_of(found, request.method, mount_from=mount_from)
        principal = await guard.identify(request, scope=need.scope)
        request[PRINCIPAL] = principal
        if not guard.may(principal, need.action, need.place):
            raise refusal(guard, principal, request, need.action, need.place, scope=need.scope)
        return Exchange(request, found, self._depot, self._settings, self._turns, guard, principal)


def _translated(error: AirgapError) -> WireError:
    """What a client gets to know when the depot fails: not where its files lie."""
    if isinstance(error, StorageFullError):
        return internal(507, "the registry has no room left")
    if isinstance(error, LockedError):
        return internal(503, "the registry is busy")
    return internal(500, "the registry could not read or write its storage")


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(API_VERSION)
    if request.path.startswith("/v2"):
        response.headers.update(SANDBOX)


def create_app(
    depot: Depot,
    settings: RegistrySettings | None = None,
    *,
    guard: Guard | None = None,
    middlewares: Iterable[Middleware] = (),
    routes: Iterable[web.AbstractRouteDef] = (),
) -> web.Application:
    """Make the application that serves a depot.

    Args:
        depot: What is served; the caller closes it afterwards.
        settings: What the registry does.
        guard: Who may do what; everyone everything without one, which is for loopback only.
        middlewares: What sees requests before the registry does.
        routes: What there is beside the registry; it never lies under `/v2/`.
    """
    guard = guard or OpenGuard()
    registry = Registry(depot, settings or RegistrySettings(), guard)
    app = web.Application(middlewares=list(middlewares))
    app.on_response_prepare.append(_add_headers)
    if isinstance(guard, TokenServer):
        app.router.add_route("*", "/token", guard.answer_token)
    app.router.add_routes(routes)
    app.router.add_route("*", "/{path:.*}", registry.handle)
    return app
