"""Authorization: which header a request carries, and how a token is had.

Sources: RFC 7617 (Basic); distribution's token and OAuth2 specifications (Bearer).
"""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from airgap.errors import (
    InvalidContentError,
    Origin,
    RegistryProtocolError,
    UnauthorizedError,
)
from airgap.oci.document import parse_object
from airgap.registry.challenge import Access, Challenge, merge_scopes, parse_challenges
from airgap.registry.credentials import Credential
from airgap.registry.endpoint import Endpoint, Url
from airgap.registry.failure import login_hint, read_wire_errors, refusal
from airgap.registry.response import Response
from airgap.registry.retry import TRANSIENT_STATUS
from airgap.registry.transport import TOKENS, Request, Transport

MAX_TOKEN_BODY = 1 << 20
DEFAULT_LIFETIME = 60.0
"""Seconds that a token lives when the server does not say (token specification)."""
_CLIENT_ID = "airgap"
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class _Grant:
    """A header that was good, until when, and the challenge that led to it."""

    header: str
    expires: float
    challenge: Challenge


class Authorizer:
    """Knows what one registry wants to see. Safe to be shared by threads.

    Args:
        registry: The registry, as users name it.
        find: Finds the credential for a repository.
        transport: For token servers.
        clock: Gives seconds that only grow; tokens expire by it.
    """

    def __init__(
        self,
        registry: str,
        find: Callable[[str], Credential | None],
        transport: Transport,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._find = find
        self._transport = transport
        self._clock = clock
        self._lock = threading.Lock()
        self._busy: dict[Access, threading.Lock] = {}
        self._grants: dict[Access, _Grant] = {}

    def header(self, access: Access, *, endpoint: Endpoint, origin: Origin | None) -> str | None:
        """The Authorization that is known to serve, or None to ask without one.

        A token that has expired is fetched anew here, so that no large body is sent in vain.

        Raises:
            UnauthorizedError: The token server refuses us now.
            TransientError: It cannot be reached.
        """
        grant = self._grant(access)
        if grant is None:
            return None
        if grant.expires > self._clock():
            return grant.header
        with self._turn(access):
            current = self._grants.get(access)
            if current is not None and current.expires > self._clock():
                return current.header
            return self._renewed(access, grant.challenge, endpoint, origin).header

    def renew(self, response: Response, access: Access, *, stale: str | None, what: str,
              origin: Origin | None) -> None:  # fmt: skip
        """Answer a 401: get what its challenge asks for.

        Args:
            response: The 401.
            access: What the request needs.
            stale: The header that was refused.
            what: What was asked for, for the error.
            origin: Which side it is.

        Raises:
            UnauthorizedError: There is no way to become authorized.
            RegistryProtocolError: The challenge leads somewhere that is not safe.
            TransientError: The token server cannot be reached.
        """
        challenges = {c.scheme: c for c in reversed(parse_challenges(
            response.headers("WWW-Authenticate")))}  # fmt: skip
        with self._turn(access):
            known = self._grants.get(access)
            if known is not None and known.header != stale and known.expires > self._clock():
                response.release()
                return
            chosen = self._choose(challenges, access, stale)
            if chosen is None:
                error = refusal(response, what, origin=origin)
                raise error
            response.release()
            self._renewed(access, chosen, response.url.endpoint, origin)

    def _choose(
        self, challenges: dict[str, Challenge], access: Access, stale: str | None
    ) -> Challenge | None:
        if (bearer := challenges.get("bearer")) is not None and bearer.parameters.get("realm"):
            return bearer
        credential = self._find(access.repository)
        if credential is None or not credential.password or "basic" not in challenges:
            return None
        return None if stale == _basic(credential) else challenges["basic"]

    def _grant(self, access: Access) -> _Grant | None:
        if (exact := self._grants.get(access)) is not None:
            return exact
        if access.write or not access.repository:
            return None
        wider = self._grants.get(Access(access.repository, write=True))
        return wider if wider is not None and wider.expires > self._clock() else None

    def _turn(self, access: Access) -> threading.Lock:
        """The lock that lets one thread fetch what the others wait for."""
        with self._lock:
            return self._busy.setdefault(access, threading.Lock())

    def _renewed(
        self, access: Access, challenge: Challenge, endpoint: Endpoint, origin: Origin | None
    ) -> _Grant:
        credential = self._find(access.repository)
        if challenge.scheme == "basic":
            assert credential is not None
            grant = _Grant(_basic(credential), float("inf"), challenge)
        else:
            started = self._clock()
            token, lifetime = self._fetch(access, challenge, credential, endpoint, origin)
            # A tenth is left unused, so that a token does not expire on its way.
            grant = _Grant(f"Bearer {token}", started + lifetime * 0.9, challenge)
        self._grants[access] = grant
        return grant

    def _fetch(self, access: Access, challenge: Challenge, credential: Credential | None,
               endpoint: Endpoint, origin: Origin | None) -> tuple[str, float]:  # fmt: skip
        realm = _safe_realm(challenge.parameters["realm"], endpoint)
        scopes = merge_scopes(access.scopes, challenge.parameters.get("scope", "").split())
        service = challenge.parameters.get("service", "")
        request, url = _token_request(realm, service, scopes, credential)
        response = self._transport.send(request, url, lane=TOKENS, origin=origin)
        what = f"a token for {access.repository or self._registry}"
        if response.status != 200:
            raise self._refused(response, what, origin)
        raw = response.read_up_to(MAX_TOKEN_BODY + 1)
        response.release()
        try:
            if len(raw) > MAX_TOKEN_BODY:
                raise InvalidContentError("the token server's answer is too large")
            return _read_token(parse_object(raw, what="the token server's answer"))
        except InvalidContentError as error:
            raise RegistryProtocolError(
                f"{realm.endpoint.netloc}: {error.message}", hint=error.hint, origin=origin
            ) from error

    def _refused(self, response: Response, what: str, origin: Origin | None) -> Exception:
        host, status = response.url.endpoint.netloc, response.status
        wire = read_wire_errors(response)
        if status not in TRANSIENT_STATUS and 400 <= status < 500:
            said = f" ({wire.text})" if wire.text else ""
            return UnauthorizedError(
                f"{host} gives no {what.removeprefix('a ')}: {status}{said}",
                hint=login_hint(self._registry),
                origin=origin,
            )
        return refusal(response, what, origin=origin, wire=wire)


def _basic(credential: Credential) -> str:
    pair = f"{credential.username}:{credential.password}".encode()
    return "Basic " + b64encode(pair).decode("ascii")


def _safe_realm(realm: str, endpoint: Endpoint) -> Url:
    """Read where tokens are had; credentials go there, so it must not be worse than the registry.

    Raises:
        RegistryProtocolError: It is plain HTTP, and not a plain HTTP registry's own host.
    """
    url = Url.parse(realm, what=f"the token realm of {endpoint.netloc}")
    if url.endpoint.scheme == "https":
        return url
    same = url.endpoint.host == endpoint.host
    if endpoint.scheme == "http" and (same or (endpoint.is_loopback and url.endpoint.is_loopback)):
        return url
    raise RegistryProtocolError(
        f"the token realm of {endpoint.netloc} is plain HTTP: {url.endpoint.netloc}",
        hint="credentials are not sent there; the registry must name an https realm",
    )


def _token_request(
    realm: Url, service: str, scopes: tuple[str, ...], credential: Credential | None
) -> tuple[Request, Url]:
    fields = [("service", service)] if service else []
    if credential is not None and credential.identity_token:
        form = [
            ("grant_type", "refresh_token"),
            *fields,
            ("client_id", _CLIENT_ID),
            ("scope", " ".join(scopes)),
            ("refresh_token", credential.identity_token),
        ]
        body = urlencode(form).encode("ascii")
        return Request("POST", {"Content-Type": _FORM}, body), realm
    headers = {"Accept": "application/json"}
    if credential is not None and credential.password:
        headers["Authorization"] = _basic(credential)
        fields.append(("account", credential.username))
    fields += [("scope", scope) for scope in scopes]
    query = urlencode(fields)
    joint = "&" if "?" in realm.target else "?"
    target = f"{realm.target}{joint}{query}" if query else realm.target
    return Request("GET", headers), Url(realm.endpoint, target)


def _read_token(value: dict[str, Any]) -> tuple[str, float]:
    token = value.get("access_token") or value.get("token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise InvalidContentError("the token server's answer holds no token")
    lifetime = value.get("expires_in")
    is_number = isinstance(lifetime, int | float) and not isinstance(lifetime, bool)
    if not is_number or lifetime is None or lifetime <= 0:
        return token, DEFAULT_LIFETIME
    return token, float(min(lifetime, 86_400))
