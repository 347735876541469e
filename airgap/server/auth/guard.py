"""The guard of a registry with users: knows them as their files say at this moment."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from aiohttp import web

from airgap.errors import AirgapError, StorageError
from airgap.oci.reference import is_registry
from airgap.server.access import (
    ANONYMOUS,
    LISTS,
    REGISTRY,
    Action,
    Principal,
    is_loopback,
    refuse_forwarded,
)
from airgap.server.auth.basic import Basic, Bearer, parse_authorization
from airgap.server.auth.passwords import COST
from airgap.server.auth.signin import PasswordChecker
from airgap.server.auth.token_endpoint import TokenEndpoint
from airgap.server.auth.tokens import KEY_BYTES, Claims, TokenError, Tokens, load_key
from airgap.server.auth.users import Snapshot, UserFolder
from airgap.server.errors import WireError, denied

SERVICE = "airgap"
CHECK_SECONDS = 1.0
"""How often the files of the users are looked at."""
MAX_DECISIONS = 8_192
MAX_PRINCIPALS = 8_192

_OPEN = Principal(is_admin=True)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GuardOptions:
    """How a guard of users works.

    Attributes:
        anonymous_pull: Whether everyone may pull everything, whatever the rules say.
        external_url: Where clients reach the registry, if that is not where it listens.
        service: For whom tokens are.
        clock: Gives seconds that only grow.
        now: Gives seconds since 1970.
    """

    anonymous_pull: bool = False
    external_url: str | None = None
    service: str = SERVICE
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time


@dataclass(slots=True)
class _State:
    """What the files said, and what was found out from that so far."""

    snapshot: Snapshot
    stamps: dict[str, str] = field(default_factory=dict[str, str])
    decisions: dict[tuple[str, frozenset[str], Action, str], bool] = field(
        default_factory=dict[tuple[str, frozenset[str], Action, str], bool]
    )
    principals: dict[int, tuple[Claims, Principal]] = field(
        default_factory=dict[int, tuple[Claims, Principal]]
    )


class AccessGuard:
    """Lets users in as `htpasswd`, `groups` and `access.toml` say.

    The files are read again when they change. While one of them makes no sense, what they said
    before counts. A registry that has once had users stays closed when there are none any more,
    until it is started anew: a file that is being written may be empty for a moment.

    Args:
        users: Where the files lie.
        key: The secret that signs tokens.
        options: How it works.

    Raises:
        StorageError: A file cannot be read.
        SettingsError: `access.toml` makes no sense.
    """

    def __init__(self, users: UserFolder, key: bytes, options: GuardOptions | None = None) -> None:
        self._options = options or GuardOptions()
        self._users = users
        self._tokens = Tokens(key, self._options.service, now=self._options.now)
        self._checker = PasswordChecker(self._options.clock)
        self._endpoint = TokenEndpoint(self, self._tokens, self._options.now)
        self._lock = threading.Lock()
        self._signature = users.signature()
        self._state = _State(users.load())
        self._next_check = self._options.clock() + CHECK_SECONDS
        self._was_closed = self._state.snapshot.has_users
        self._tell_problems()

    # -- the port ----------------------------------------------------------------------------

    async def identify(self, request: web.Request, *, scope: str = "") -> Principal:
        """Tell who asks; anonymous without credentials.

        Raises:
            WireError: The credentials are wrong (401), there were too many wrong ones (429), or
                there are no users and the request does not come from this machine (403).
        """
        state = self._current()
        if self._is_open(state):
            if not is_loopback(request.remote):
                raise denied("this registry has no users yet and serves this machine only")
            refuse_forwarded(request)
            return _OPEN
        headers = request.headers.getall("Authorization", ())
        if not headers:
            return ANONYMOUS
        # of two, a proxy might have looked at the other one
        match parse_authorization(headers[0]) if len(headers) == 1 else None:
            case Bearer(token):
                try:
                    return self._bearer(state, token)
                except TokenError as error:
                    raise self._unauthorized(request, scope, "invalid_token") from error
            case Basic(name, password):
                try:
                    return await self.sign_in(name, password, address=request.remote or "")
                except WireError as error:
                    if error.status != 401:
                        raise
                    raise self._unauthorized(request, scope) from error
            case _:
                raise self._unauthorized(request, scope)

    def may(self, principal: Principal, action: Action, repository: str) -> bool:
        """Whether somebody may do something, by the token that came and the rules as of now."""
        grants = principal.grants
        if grants is None and principal.is_admin:
            return True
        if repository == REGISTRY:
            return action is Action.PULL and (
                grants is not None or bool(principal.name) or not self.has_users
            )
        if grants is not None and action not in grants.get(repository, ()):
            return False
        if repository in LISTS:
            return action is Action.PULL and (grants is not None or bool(principal.name))
        if action is Action.PULL and self._options.anonymous_pull:
            return True
        return principal.is_admin or self._allowed(principal, action, repository)

    def challenge(self, request: web.Request, *, scope: str, error: str = "") -> Mapping[str, str]:
        """Say where tokens are had (RFC 6750, section 3). Basic is taken as well."""
        parts = [f'realm="{self._base_url(request)}/token"', f'service="{self._options.service}"']
        if scope:
            parts.append(f'scope="{scope}"')
        if error:
            parts.append(f'error="{error}"')
        return {"WWW-Authenticate": f"Bearer {','.join(parts)}"}

    async def answer_token(self, request: web.Request) -> web.StreamResponse:
        """Answer a request for a token."""
        return await self._endpoint.answer(request)

    # -- users -------------------------------------------------------------------------------

    @property
    def has_users(self) -> bool:
        """Whether there are users, or were since the start."""
        return self._was_closed or self._current().snapshot.has_users

    async def sign_in(self, name: str, password: str, *, address: str) -> Principal:
        """Check a password.

        Raises:
            WireError: It is wrong (401), or there were too many wrong ones (429).
        """
        snapshot = self._current().snapshot
        stored = snapshot.passwords.get(name)
        cost = max(snapshot.costs, default=COST) if stored is None else COST
        if await self._checker.check(name, password, stored, address=address, cost=cost):
            now = self._current().snapshot
            principal = now.principal(name)
            if principal is not None and now.passwords.get(name) == stored:
                return principal
        _log.warning("sign-in of %.80r from %s failed", name, address or "here")
        raise WireError(401, "UNAUTHORIZED", "wrong user name or password")

    def principal(self, name: str) -> Principal | None:
        """A user as of now; None where there is none of that name."""
        return self._current().snapshot.principal(name)

    def stamp(self, name: str) -> str:
        """What changes with a user's password, to end sessions then; empty for no user."""
        return self._stamp(self._current(), name)

    def refreshed(self, token: str) -> Principal:
        """Who sent a token in place of a password.

        Raises:
            TokenError: It does not count, or not any more.
        """
        return self._owner(self._current(), self._tokens.read_refresh(token))

    def close(self) -> None:
        """Let go of threads."""
        self._checker.close()

    # -- inside ------------------------------------------------------------------------------

    def _is_open(self, state: _State) -> bool:
        is_closed = self._was_closed or state.snapshot.has_users or self._options.anonymous_pull
        return not is_closed

    def _bearer(self, state: _State, token: str) -> Principal:
        claims = self._tokens.read(token)
        known = state.principals.get(id(claims))
        if known is not None and known[0] is claims:
            return known[1]
        owner = replace(self._owner(state, claims), grants=claims.grants)
        if len(state.principals) >= MAX_PRINCIPALS:
            state.principals.clear()
        state.principals[id(claims)] = (claims, owner)
        return owner

    def _owner(self, state: _State, claims: Claims) -> Principal:
        if not claims.name:
            return ANONYMOUS
        owner = state.snapshot.principal(claims.name)
        if owner is None or self._stamp(state, claims.name) != claims.stamp:
            raise TokenError("the user or the password is not there any more")
        return owner

    def _stamp(self, state: _State, name: str) -> str:
        stamp = state.stamps.get(name)
        if stamp is None:
            stored = state.snapshot.passwords.get(name)
            if stored is None:
                return ""
            stamp = state.stamps[name] = self._tokens.stamp(name, stored)
        return stamp

    def _allowed(self, principal: Principal, action: Action, repository: str) -> bool:
        state = self._current()
        key = principal.name, principal.groups, action, repository
        decision = state.decisions.get(key)
        if decision is None:
            decision = state.snapshot.rules.allow(*key)
            if len(state.decisions) >= MAX_DECISIONS:
                state.decisions.clear()
            state.decisions[key] = decision
        return decision

    def _unauthorized(self, request: web.Request, scope: str, error: str = "") -> WireError:
        headers = self.challenge(request, scope=scope, error=error)
        return WireError(401, "UNAUTHORIZED", "authentication required", "", headers)

    def _base_url(self, request: web.Request) -> str:
        if self._options.external_url:
            return self._options.external_url.rstrip("/")
        host = request.headers.get("Host", "")
        if not is_registry(host):
            # nothing that a client sends may end up in a header unseen
            sockname = request.get_extra_info("sockname") or ("localhost", 0)
            host = f"{sockname[0]}:{sockname[1]}"
        return f"{request.scheme}://{host}"

    def _current(self) -> _State:
        clock = self._options.clock
        if clock() >= self._next_check and self._lock.acquire(blocking=False):
            try:
                self._next_check = clock() + CHECK_SECONDS
                self._reload()
            finally:
                self._lock.release()
        return self._state

    def _reload(self) -> None:
        signature = self._users.signature()
        if signature == self._signature:
            return
        # looked at again at the next change only: a mistake is told once
        self._signature = signature
        try:
            snapshot = self._users.load()
        except AirgapError as error:
            _log.error("users and rules stay as they were: %s", error)
            return
        self._was_closed = self._was_closed or snapshot.has_users
        self._state = _State(snapshot)
        _log.info("users and rules were read again")
        self._tell_problems()

    def _tell_problems(self) -> None:
        for problem in self._state.snapshot.problems:
            _log.warning("%s", problem)


def open_guard(folder: Path, options: GuardOptions | None = None) -> AccessGuard:
    """Make the guard of a folder of users.

    Args:
        folder: Where `htpasswd`, `groups`, `access.toml` and `keys` lie: a data folder, or one
            that holds only these. It need not exist.
        options: How it works.

    Raises:
        StorageError: A file cannot be read or written.
        SettingsError: `access.toml` or the key makes no sense.
    """
    return AccessGuard(UserFolder(folder), _key(folder), options)


def _key(folder: Path) -> bytes:
    try:
        return load_key(folder)
    except StorageError as error:
        _log.warning("tokens will not outlive this process: %s", error)
        return secrets.token_bytes(KEY_BYTES)
