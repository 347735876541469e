"""Who may do what: what a request needs, and the port to whatever decides that.

Source of scopes and challenges: distribution's token specification ("Docker Registry v2
authentication via central service") and RFC 6750.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import ip_address
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from airgap.oci.reference import is_repository
from airgap.server.errors import WireError, denied, unsupported
from airgap.server.router import Resource, Route

if TYPE_CHECKING:  # commands that only read rules need no web framework
    from aiohttp import web

REGISTRY = ""
"""Stands for the registry as a whole where a repository is asked for."""
CATALOG = "_catalog"
"""Stands for the list of repositories where a repository is asked for; no repository's name."""
INVENTORY = "_airgap/inventory"
"""Stands for the inventory where a repository is asked for; no repository's name."""
LISTS = MappingProxyType({CATALOG: "catalog", INVENTORY: "inventory"})
"""What tells of many repositories, and what a scope calls it."""


class Action(StrEnum):
    """What can be done with a repository."""

    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"
    ADMIN = "admin"


Grants = Mapping[str, frozenset[Action]]
"""What a token allows: actions by repository, `LISTS` among them."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks.

    Attributes:
        name: The name of the user; empty for anonymous.
        groups: The groups that the user is in.
        is_admin: Whether the user may do everything everywhere.
        grants: What the token that came with the request allows; None for all that the rules do.
    """

    name: str = ""
    groups: frozenset[str] = frozenset()
    is_admin: bool = False
    grants: Grants | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody knows who this is."""
        return not self.name

    def whole(self) -> Principal:
        """The same one with all that the rules allow, whatever the token says."""
        return self if self.grants is None else replace(self, grants=None)


ANONYMOUS = Principal()


class Guard(Protocol):
    """Knows who asks and what the rules allow. Its methods may be called from any thread."""

    async def identify(self, request: web.Request, *, scope: str = "") -> Principal:
        """Tell who asks; anonymous without credentials.

        Args:
            request: What came.
            scope: What a token for this request would need, for the challenge.

        Raises:
            WireError: The credentials are wrong (401 with a challenge), or the request may not
                be made at all.
        """
        ...

    def may(self, principal: Principal, action: Action, repository: str) -> bool:
        """Whether somebody may do something.

        Args:
            principal: Who.
            action: What. `PULL` of `REGISTRY` is to speak with it at all, `PULL` of one of
                `LISTS` to be told of repositories (those that may be pulled), `ADMIN` of
                `REGISTRY` to run it.
            repository: Where.
        """
        ...

    def challenge(self, request: web.Request, *, scope: str, error: str = "") -> Mapping[str, str]:
        """The headers of a 401; none where there is no way to sign in.

        Args:
            request: What came.
            scope: What a token for this request would need.
            error: What was wrong with the one that came (RFC 6750, section 3.1).
        """
        ...


@runtime_checkable
class TokenServer(Protocol):
    """A guard that gives tokens at `/token`."""

    async def answer_token(self, request: web.Request) -> web.StreamResponse:
        """Answer a request for a token."""
        ...


@runtime_checkable
class Accounts(Protocol):
    """A guard that knows users, for whoever signs them in by another way than a header."""

    @property
    def has_users(self) -> bool:
        """Whether there are users; without any, everyone on loopback may do everything."""
        ...

    async def sign_in(self, name: str, password: str, *, address: str) -> Principal:
        """Check a password.

        Raises:
            WireError: It is wrong (401), or there were too many wrong ones (429).
        """
        ...

    def principal(self, name: str) -> Principal | None:
        """A user as of now; None where there is none of that name."""
        ...

    def stamp(self, name: str) -> str:
        """What changes with a user's password, to end sessions then; empty for no user."""
        ...


class OpenGuard:
    """Everyone may do everything: for a registry that only loopback reaches and has no users."""

    async def identify(self, request: web.Request, *, scope: str = "") -> Principal:
        """Everyone is anonymous.

        Raises:
            WireError: The request came through a proxy, and so perhaps not from this machine.
        """
        refuse_forwarded(request)
        return ANONYMOUS

    def may(self, principal: Principal, action: Action, repository: str) -> bool:
        """Yes."""
        return True

    def challenge(self, request: web.Request, *, scope: str, error: str = "") -> Mapping[str, str]:
        """There is no way to sign in."""
        return {}


class PullGuard:
    """Everyone may pull and nobody anything else: for bundles that everyone may have."""

    async def identify(self, request: web.Request, *, scope: str = "") -> Principal:
        """Everyone is anonymous."""
        return ANONYMOUS

    def may(self, principal: Principal, action: Action, repository: str) -> bool:
        """Whether it is to pull."""
        return action is Action.PULL

    def challenge(self, request: web.Request, *, scope: str, error: str = "") -> Mapping[str, str]:
        """There is no way to sign in."""
        return {}


_BY_METHOD = MappingProxyType(
    {
        (Resource.BLOB, "DELETE"): Action.DELETE,
        (Resource.MANIFEST, "PUT"): Action.PUSH,
        (Resource.MANIFEST, "DELETE"): Action.DELETE,
    }
)
_BY_RESOURCE = MappingProxyType(
    # also to look at an upload or to cancel it: that is a part of pushing
    {Resource.UPLOADS: Action.PUSH, Resource.UPLOAD: Action.PUSH}
)
_WITHOUT_NAME = MappingProxyType(
    {Resource.BASE: REGISTRY, Resource.CATALOG: CATALOG, Resource.INVENTORY: INVENTORY}
)
_SCOPES = MappingProxyType({Action.PUSH: "pull,push", Action.ADMIN: "*"})


@dataclass(frozen=True, slots=True)
class Need:
    """What somebody must be allowed to do for a request.

    Attributes:
        action: What.
        place: Where: a repository, `REGISTRY` or one of `LISTS`.
        scope: What a token for it must be for.
    """

    action: Action
    place: str
    scope: str


def need_of(found: Route, method: str, *, mount_from: str | None = None) -> Need:
    """What a request needs. Whatever is not known needs most.

    Args:
        found: What it asks for.
        method: Its method.
        mount_from: The repository that it wants to take a blob from. It goes without where that
            may not be pulled, but a token had better be for both.
    """
    resource = found.resource
    action = _BY_RESOURCE.get(resource) or _BY_METHOD.get((resource, method))
    if action is None:
        action = Action.PULL if method in ("GET", "HEAD") else Action.ADMIN
    place = _WITHOUT_NAME.get(resource, found.repository)
    scope = scope_of(action, place)
    if mount_from and mount_from != place and is_repository(mount_from):
        scope += f" {scope_of(Action.PULL, mount_from)}"
    return Need(action, place, scope)


def scope_of(action: Action, repository: str) -> str:
    """The scope of a token that allows something (distribution's token specification)."""
    if repository == REGISTRY:
        return ""
    if repository in LISTS:
        return f"registry:{LISTS[repository]}:*"
    return f"repository:{repository}:{_SCOPES.get(action, action.value)}"


def refusal(
    guard: Guard,
    principal: Principal,
    request: web.Request,
    action: Action,
    place: str,
    *,
    scope: str | None = None,
) -> WireError:
    """The answer to somebody who may not do something.

    It is the same whether the repository exists or not, so that nobody learns that from it.
    """
    needs_other_token = principal.grants is not None and guard.may(principal.whole(), action, place)
    if not principal.is_anonymous and not needs_other_token:
        return denied(f"{principal.name} may not {action} {place or 'here'}")
    scope = scope_of(action, place) if scope is None else scope
    error = "insufficient_scope" if needs_other_token else ""
    headers = guard.challenge(request, scope=scope, error=error)
    if not headers:
        return unsupported(f"nobody may {action} here")
    return WireError(401, "UNAUTHORIZED", "authentication required", "", headers)


def refuse_forwarded(request: web.Request) -> None:
    """Refuse what a proxy passed on, where a server trusts whoever is on the same machine.

    Raises:
        WireError: The request has a header that only proxies add.
    """
    if is_forwarded(request):
        raise denied(
            "this registry has no users yet and serves this machine only, not through a proxy"
        )


def is_forwarded(request: web.Request) -> bool:
    """Whether a proxy passed the request on, as far as that shows."""
    return any(_is_forwarding(name) for name in request.headers)


def is_loopback(address: str | None) -> bool:
    """Whether a peer is on this machine; a unix socket has no address and is."""
    if not address:
        return True
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


def visible_names(guard: Guard, principal: Principal, names: Iterable[str]) -> Iterable[str]:
    """Those repositories that somebody may know of, with a token for whatever."""
    whole = principal.whole()
    return (name for name in names if guard.may(whole, Action.PULL, name))


def _is_forwarding(name: str) -> bool:
    lower = name.lower()
    return lower == "forwarded" or lower.startswith("x-forwarded-")
