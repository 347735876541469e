"""The application: finds the handler of a request and says errors as the specification wants."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace

from aiohttp import web
from aiohttp.typedefs import Middleware

from airgap.content.depot import Depot, ReadOnly
from airgap.errors import AirgapError, LockedError, ReadOnlyError, StorageFullError
from airgap.oci.reference import is_registry, is_repository, registry_component
from airgap.server import blobs, catalog, inventory, manifests, referrers, tags, uploads
from airgap.server.access import (
    Action,
    Guard,
    OpenGuard,
    Principal,
    TokenServer,
    need_of,
    refusal,
)
from airgap.server.errors import WireError, body_too_large, internal, unsupported
from airgap.server.exchange import (
    PRINCIPAL,
    ROUTE,
    Exchange,
    Handler,
    Turns,
    error_answer,
    json_answer,
)
from airgap.server.router import METHODS, Resource, Route, route
from airgap.server.settings import RegistrySettings
from airgap.server.unreadable import SANDBOX, SERVER

API_VERSION = {"Docker-Distribution-Api-Version": "registry/2.0"}
"""Not in the specification any more, and still what some clients know a registry by."""
READING = ("GET", "HEAD")
NAMESPACE = web.RequestKey("airgap.namespace", str)
"""Which registry's repository a request was given, among those of that name."""

_log = logging.getLogger(__name__)


async def _base(exchange: Exchange) -> web.StreamResponse:
    """Say that this is a registry (distribution-spec, endpoint 1)."""
    return json_answer({})


_HANDLERS: dict[tuple[Resource, str], Handler] = {
    (Resource.BASE, "GET"): _base,
    (Resource.BASE, "HEAD"): _base,
    (Resource.CATALOG, "GET"): catalog.get,
    (Resource.INVENTORY, "GET"): inventory.get,
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
            self._refuse_write(request, found)
            _refuse_large_body(self._settings, found.resource, request.content_length)
            exchange = await self._admit(request, found)
            return await _handler(found.resource, request.method)(exchange)
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
        if mount_from and _needs_wider_token(guard, principal, mount_from):
            # as other registries do: clients then ask for both repositories and mount after all
            raise refusal(guard, principal, request, Action.PULL, mount_from, scope=need.scope)
        if need.action is Action.PULL:
            found = await self._scoped(request, found, principal)
        return Exchange(request, found, self._depot, self._settings, self._turns, guard, principal)

    def _refuse_write(self, request: web.Request, found: Route) -> None:
        """Refuse what would change content that nobody can change.

        Raises:
            WireError: The depot is read-only, and the method is none that reads.
        """
        if request.method in READING or not isinstance(self._depot, ReadOnly):
            return
        if self._depot.is_read_only:
            allowed = [method for method in METHODS[found.resource] if method in READING]
            raise unsupported("this registry is read-only", allow=", ".join(allowed))

    async def _scoped(self, request: web.Request, found: Route, principal: Principal) -> Route:
        """Take the repository of the registry that a mirror's client names, if there is one.

        A client that asks us in place of another registry says which one (distribution-spec,
        "Registry Proxying"). Images that were imported with their host's name (`--keep-host`)
        are found by that; without one, the name of the registry makes no difference.
        """
        namespace = request.query.get("ns", "")
        if not found.repository or not is_registry(namespace):
            return found
        name = f"{registry_component(namespace)}/{found.repository}"
        if not is_repository(name) or not self._guard.may(principal.whole(), Action.PULL, name):
            return found
        repository = self._depot.repository(name)
        if not await asyncio.to_thread(lambda: repository.exists):
            return found
        request[NAMESPACE] = namespace
        return replace(found, repository=name)


def _needs_wider_token(guard: Guard, principal: Principal, mount_from: str) -> bool:
    """Whether somebody may take blobs from a repository, and the token that came is not for it."""
    return (
        is_repository(mount_from)
        and not guard.may(principal, Action.PULL, mount_from)
        and guard.may(principal.whole(), Action.PULL, mount_from)
    )


def _handler(resource: Resource, method: str) -> Handler:
    """Who answers; what has no own answer to HEAD gives that to GET without its body."""
    own = _HANDLERS.get((resource, method))
    return own if own is not None else _HANDLERS[resource, "GET"]


def _refuse_large_body(settings: RegistrySettings, resource: Resource, length: int | None) -> None:
    """Refuse a body by what the client says of it, before it is read.

    Raises:
        WireError: It is longer than anything of this kind may be.
    """
    match resource:
        case Resource.UPLOADS | Resource.UPLOAD:
            limit = settings.max_blob
        case Resource.MANIFEST:
            return  # counted while it is read
        case _:
            limit = settings.max_body
    if limit is not None and (length or 0) > limit:
        raise body_too_large(limit)


def _translated(error: AirgapError) -> WireError:
    """What a client gets to know when the depot fails: not where its files lie."""
    if isinstance(error, StorageFullError):
        return internal(507, "the registry has no room left")
    if isinstance(error, LockedError):
        return internal(503, "the registry is busy")
    if isinstance(error, ReadOnlyError):
        return unsupported(error.message)
    return internal(500, "the registry could not read or write its storage")


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(API_VERSION | SERVER)
    if request.path.startswith("/v2"):
        response.headers.update(SANDBOX)
    namespace = request.get(NAMESPACE)
    if namespace:
        response.headers["OCI-Namespace"] = namespace


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
