"""Signing in and out with a browser."""

from __future__ import annotations

import asyncio

from aiohttp import web

from airgap.server.access import Accounts
from airgap.server.errors import WireError
from airgap.server.pages.browse import not_found
from airgap.server.pages.sessions import local_path
from airgap.server.pages.visit import TOKEN_FIELD, Visit


async def show(visit: Visit) -> web.Response:
    """The form."""
    if not visit.site.has_users:
        return not_found(visit)
    target = local_path(visit.request.query.get("next", "/"))
    return visit.page("sign-in.html", next=target, name="", problem="")


async def sign_in(visit: Visit) -> web.Response:
    """Check a name and a password.

    Raises:
        WireError: The form is not ours.
    """
    guard, request = visit.site.guard, visit.request
    if not isinstance(guard, Accounts) or not guard.has_users:
        return not_found(visit)
    fields = await request.post()
    visit.check_token(fields.get(TOKEN_FIELD))
    name, password = _text(fields.get("name")), _text(fields.get("password"))
    target = local_path(_text(fields.get("next")) or "/")
    try:
        principal = await guard.sign_in(name, password, address=request.remote or "")
    except WireError as error:
        if error.status not in (401, 403, 429):
            raise
        problem = "The name or the password is wrong."
        if error.status == 429:
            problem = "Too many wrong passwords. Wait a little and try again."
        response = visit.page(
            "sign-in.html", status=error.status, next=target, name=name, problem=problem
        )
        if "Retry-After" in error.headers:
            response.headers["Retry-After"] = error.headers["Retry-After"]
        return response
    stamp = await asyncio.to_thread(guard.stamp, principal.name)
    visit.site.sessions.end(visit.session)
    secret = visit.site.sessions.begin(principal.name, stamp)
    answer = _see_other(target)
    visit.site.cookies.keep_session(request, answer, secret)
    return answer


async def sign_out(visit: Visit) -> web.Response:
    """End the session.

    Raises:
        WireError: The form is not ours.
    """
    fields = await visit.request.post()
    visit.check_token(fields.get(TOKEN_FIELD))
    visit.site.sessions.end(visit.session)
    answer = _see_other("/")
    visit.site.cookies.drop_session(visit.request, answer)
    return answer


def _see_other(path: str) -> web.Response:
    return web.Response(status=303, headers={"Location": path, "Cache-Control": "no-store"})


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
