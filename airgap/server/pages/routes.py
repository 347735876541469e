"""Which path shows which page, and what becomes of errors on the way."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import urlsplit

from aiohttp import web

from airgap.content.arrival import ArrivalSource
from airgap.content.depot import Depot
from airgap.errors import AirgapError
from airgap.server.access import Guard
from airgap.server.errors import WireError
from airgap.server.pages import bringing, browse, signing_in
from airgap.server.pages.arriving import ArrivalDesk
from airgap.server.pages.render import fence, page_answer, static_answer
from airgap.server.pages.sessions import Cookies, FormTokens, Sessions
from airgap.server.pages.visit import Site, Visit, receive

_log = logging.getLogger(__name__)

Page = Callable[[Visit], Awaitable[web.Response]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_site(
    depot: Depot,
    guard: Guard,
    *,
    external_url: str = "",
    desk: ArrivalDesk | None = None,
    ledgers: Iterable[ArrivalSource] = (),
    sessions: Sessions | None = None,
) -> Site:
    """Put together what pages stand on.

    Args:
        depot: What is shown.
        guard: Who may see and do what.
        external_url: How clients reach the server, where a proxy stands before it.
        desk: Takes bundles in; the caller closes it before the depot.
        ledgers: Which bundles came, and which are served in place.
        sessions: Who signed in.
    """
    external = urlsplit(external_url)
    cookies = Cookies(is_secure=external.scheme == "https" if external_url else None)
    return Site(
        depot,
        guard,
        external.netloc,
        cookies,
        sessions or Sessions(),
        FormTokens(),
        desk,
        tuple(ledgers),
    )


def page_routes(site: Site) -> list[web.AbstractRouteDef]:
    """The routes of all pages, for `create_app`."""

    def page(shown: Page) -> Handler:
        return _handler(site, shown, _error_page)

    def data(shown: Page) -> Handler:
        return _handler(site, shown, _error_data)

    one = "/-/arrivals/{id}"
    return [
        web.get("/", page(browse.home)),
        web.get("/r/{name:.+}", page(browse.repository_or_image)),
        web.get("/bundles", page(browse.bundles)),
        web.get("/upload", page(bringing.show)),
        web.get("/sign-in", page(signing_in.show)),
        web.post("/sign-in", page(signing_in.sign_in)),
        web.post("/sign-out", page(signing_in.sign_out)),
        web.post("/-/arrivals", data(bringing.begin)),
        web.get(one, data(bringing.status), allow_head=False),
        web.put(one, data(bringing.feed)),
        web.delete(one, data(bringing.cancel)),
        web.get("/-/static/{name}", _static),
    ]


async def _static(request: web.Request) -> web.StreamResponse:
    response = static_answer(request, request.match_info["name"])
    if response is None:
        response = web.Response(status=404, text="there is no such file")
        fence(response)
    return response


def _handler(
    site: Site, shown: Page, failed: Callable[[web.Request, WireError], web.Response]
) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            visit = await receive(site, request)
            response = await shown(visit)
        except WireError as error:
            return failed(request, error)
        except AirgapError as error:
            _log.error("%s %s failed: %s", request.method, request.path, error)
            message = "the registry could not read or write its storage"
            return failed(request, WireError(500, "UNKNOWN", message))
        fence(response)
        return response

    return handle


def _error_page(request: web.Request, error: WireError) -> web.Response:
    values = {
        "title": "That did not work",
        "message": f"{error.message[:1].upper()}{error.message[1:]}.",
        "user": "",
        "can_sign_in": False,
        "can_bring": False,
        "form_token": "",
        "here": "/",
        "registry": "",
        "query": "",
    }
    response = page_answer("error.html", values, status=error.status)
    response.headers.update(error.headers)
    return response


def _error_data(request: web.Request, error: WireError) -> web.Response:
    value = {"code": error.code, "message": error.message, "hint": error.detail}
    response = web.Response(
        status=error.status, text=json.dumps({"error": value}), content_type="application/json"
    )
    response.headers.update(error.headers)
    fence(response)
    return response
