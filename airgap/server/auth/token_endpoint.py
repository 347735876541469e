"""Where clients get tokens: `GET /token` with a password, and `POST /token` as OAuth2 wants it.

Sources: distribution's "Token Authentication Specification" and "OAuth2 Token Authentication".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import parse_qs

from aiohttp import web

from airgap.server.access import ANONYMOUS, Guard, Principal
from airgap.server.auth.basic import Basic, parse_authorization
from airgap.server.auth.scopes import granted, parse_scopes
from airgap.server.auth.tokens import LIFETIME, TokenError, Tokens
from airgap.server.errors import WireError, unsupported
from airgap.server.exchange import JSON, answer, error_answer

MAX_FORM = 64 * 1024
MAX_FIELDS = 200
_FORM = "application/x-www-form-urlencoded"
_NOT_KEPT = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="airgap", charset="UTF-8"'}


class SignIn(Guard, Protocol):
    """A guard that knows users."""

    async def sign_in(self, name: str, password: str, *, address: str) -> Principal:
        """Check a password."""
        ...

    def refreshed(self, token: str) -> Principal:
        """Who sent a token in place of a password."""
        ...

    def stamp(self, name: str) -> str:
        """What changes with a user's password."""
        ...


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a client asks for, by query or form."""

    fields: Mapping[str, Sequence[str]]

    def one(self, name: str) -> str:
        """A field that stands once; empty where it does not stand."""
        values = self.fields.get(name, ())
        if len(values) > 1:
            raise _invalid(f"{name} stands more than once")
        return values[0] if values else ""

    def all(self, name: str) -> Sequence[str]:
        """A field that may stand often."""
        return self.fields.get(name, ())


class TokenEndpoint:
    """Gives tokens.

    Args:
        guard: Knows users and rules.
        tokens: Signs.
        now: Gives seconds since 1970.
    """

    def __init__(self, guard: SignIn, tokens: Tokens, now: Callable[[], float]) -> None:
        self._guard = guard
        self._tokens = tokens
        self._now = now

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request for a token."""
        try:
            if request.method == "GET":
                return await self._get(request)
            if request.method == "POST":
                return await self._post(request)
            raise unsupported(f"{request.method} of a token", allow="GET, POST")
        except WireError as error:
            if error.status == 401:
                error.headers.update(_CHALLENGE)
            error.headers.update(_NOT_KEPT)
            return error_answer(error)

    async def _get(self, request: web.Request) -> web.Response:
        wanted = _Wanted(_fields(request.query_string))
        principal = ANONYMOUS
        header = request.headers.get("Authorization")
        if header is not None:
            given = parse_authorization(header)
            if not isinstance(given, Basic):
                raise _unauthorized()
            principal = await self._sign_in(request, given.name, given.password)
        wants_refresh = wanted.one("offline_token").lower() in ("true", "1")
        return self._grant(wanted, principal, refresh=wants_refresh)

    async def _post(self, request: web.Request) -> web.Response:
        wanted = _Wanted(await _form(request))
        match wanted.one("grant_type"):
            case "password":
                name, password = wanted.one("username"), wanted.one("password")
                principal = await self._sign_in(request, name, password)
                wants_refresh = wanted.one("access_type") == "offline"
                return self._grant(wanted, principal, refresh=wants_refresh)
            case "refresh_token":
                try:
                    principal = self._guard.refreshed(wanted.one("refresh_token"))
                except TokenError as error:
                    raise _unauthorized() from error
                return self._grant(wanted, principal, refresh=False)
            case _:
                raise _invalid("grant_type is neither password nor refresh_token")

    async def _sign_in(self, request: web.Request, name: str, password: str) -> Principal:
        return await self._guard.sign_in(name, password, address=request.remote or "")

    def _grant(self, wanted: _Wanted, principal: Principal, *, refresh: bool) -> web.Response:
        service = wanted.one("service")
        if service and service != self._tokens.service:
            raise _invalid("the token is for another service")
        try:
            scopes = parse_scopes(wanted.all("scope"))
        except ValueError as error:
            raise _invalid(str(error)) from error
        stamp = self._guard.stamp(principal.name)
        try:
            grants = granted(self._guard, principal, scopes)
            token = self._tokens.issue(principal.name, stamp, grants)
        except TokenError as error:
            raise _invalid(str(error)) from error
        issued = datetime.fromtimestamp(int(self._now()), UTC)
        document: dict[str, object] = {
            "token": token,
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": LIFETIME,
            "issued_at": issued.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if refresh and principal.name:
            document["refresh_token"] = self._tokens.issue_refresh(principal.name, stamp)
        return answer(200, _NOT_KEPT, body=json.dumps(document).encode(), media_type=JSON)


async def _form(request: web.Request) -> Mapping[str, Sequence[str]]:
    if request.content_type != _FORM:
        raise WireError(415, "UNSUPPORTED", f"a token is asked for with {_FORM}")
    raw = bytearray()
    while part := await request.content.readany():
        raw += part
        if len(raw) > MAX_FORM:
            raise WireError(413, "SIZE_INVALID", f"a form may have {MAX_FORM} bytes")
    return _fields(raw.decode("utf-8", "replace"))


def _fields(text: str) -> Mapping[str, Sequence[str]]:
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise _invalid(f"more than {MAX_FIELDS} fields") from error


def _invalid(reason: str) -> WireError:
    return WireError(400, "UNSUPPORTED", "the request for a token makes no sense", reason)


def _unauthorized() -> WireError:
    return WireError(401, "UNAUTHORIZED", "wrong user name or password")
