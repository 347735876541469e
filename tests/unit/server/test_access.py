"""What requests need, and guards without users."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp.test_utils import make_mocked_request

from airgap.oci.digest import Digest
from airgap.server.access import (
    ANONYMOUS,
    CATALOG,
    INVENTORY,
    REGISTRY,
    Accounts,
    Action,
    OpenGuard,
    Principal,
    PullGuard,
    TokenServer,
    is_loopback,
    need_of,
    refusal,
    scope_of,
    visible_names,
)
from airgap.server.auth.guard import AccessGuard
from airgap.server.errors import WireError
from airgap.server.router import METHODS, Resource, Route, route

DIGEST = Digest.of(b"")
NEEDS = {
    ("GET", "/v2/"): ("pull", REGISTRY, ""),
    ("HEAD", "/v2/"): ("pull", REGISTRY, ""),
    ("GET", "/v2/_catalog"): ("pull", CATALOG, "registry:catalog:*"),
    ("GET", "/v2/_airgap/inventory"): ("pull", INVENTORY, "registry:inventory:*"),
    ("GET", f"/v2/a/b/blobs/{DIGEST}"): ("pull", "a/b", "repository:a/b:pull"),
    ("HEAD", f"/v2/a/b/blobs/{DIGEST}"): ("pull", "a/b", "repository:a/b:pull"),
    ("DELETE", f"/v2/a/b/blobs/{DIGEST}"): ("delete", "a/b", "repository:a/b:delete"),
    ("POST", "/v2/a/b/blobs/uploads/"): ("push", "a/b", "repository:a/b:pull,push"),
    ("GET", "/v2/a/b/blobs/uploads/1"): ("push", "a/b", "repository:a/b:pull,push"),
    ("PATCH", "/v2/a/b/blobs/uploads/1"): ("push", "a/b", "repository:a/b:pull,push"),
    ("PUT", "/v2/a/b/blobs/uploads/1"): ("push", "a/b", "repository:a/b:pull,push"),
    ("DELETE", "/v2/a/b/blobs/uploads/1"): ("push", "a/b", "repository:a/b:pull,push"),
    ("GET", "/v2/a/b/manifests/1"): ("pull", "a/b", "repository:a/b:pull"),
    ("HEAD", "/v2/a/b/manifests/1"): ("pull", "a/b", "repository:a/b:pull"),
    ("PUT", "/v2/a/b/manifests/1"): ("push", "a/b", "repository:a/b:pull,push"),
    ("DELETE", "/v2/a/b/manifests/1"): ("delete", "a/b", "repository:a/b:delete"),
    ("GET", "/v2/a/b/tags/list"): ("pull", "a/b", "repository:a/b:pull"),
    ("GET", f"/v2/a/b/referrers/{DIGEST}"): ("pull", "a/b", "repository:a/b:pull"),
}


@pytest.mark.parametrize(("method", "path"), NEEDS)
def test_what_a_request_needs(method: str, path: str) -> None:
    """Each endpoint needs one action in one place, and a token for that."""
    need = need_of(route(method, path), method)
    assert (need.action, need.place, need.scope) == NEEDS[method, path]


def test_no_endpoint_is_left_out() -> None:
    """Every resource and method that the router knows stands above, or is a HEAD like its GET."""
    known = {(route(method, path).resource, method) for method, path in NEEDS}
    for resource, methods in METHODS.items():
        for method in set(methods) - {"HEAD"}:
            assert (resource, method) in known
        if "HEAD" in methods:
            found = Route(resource, "a")
            assert need_of(found, "HEAD") == need_of(found, "GET")


def test_what_nobody_thought_of_needs_most() -> None:
    """A method that comes new is closed until somebody says who may use it."""
    assert need_of(Route(Resource.TAGS, "a"), "DELETE").action is Action.ADMIN
    assert scope_of(Action.ADMIN, "a") == "repository:a:*"


@pytest.mark.parametrize(
    ("origin", "scope"),
    [
        ("c/d", "repository:a/b:pull,push repository:c/d:pull"),
        ("a/b", "repository:a/b:pull,push"),
        ("", "repository:a/b:pull,push"),
        ("../x", "repository:a/b:pull,push"),
        ('x" evil="', "repository:a/b:pull,push"),
    ],
)
def test_a_mount_asks_for_a_token_for_both(origin: str, scope: str) -> None:
    """The other repository is named where it is one, and nothing else gets into the header."""
    found = route("POST", "/v2/a/b/blobs/uploads/")
    assert need_of(found, "POST", mount_from=origin).scope == scope


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True),
        ("", True), (None, True), ("10.0.0.1", False), ("::ffff:10.0.0.1", False),
        ("fe80::1%lo", False), ("localhost.example", False),
    ],
)  # fmt: skip
def test_what_is_this_machine(address: str | None, *, expected: bool) -> None:
    """Loopback addresses of both kinds, and unix sockets."""
    assert is_loopback(address) is expected


@pytest.mark.parametrize(
    "name", ["Forwarded", "X-Forwarded-For", "x-forwarded-proto", "X-FORWARDED-HOST"]
)
def test_without_users_nothing_comes_through_a_proxy(name: str) -> None:
    """What a proxy passed on may come from anywhere."""
    request = make_mocked_request("GET", "/v2/", headers={name: "x"})
    with pytest.raises(WireError) as caught:
        asyncio.run(OpenGuard().identify(request))
    assert caught.value.status == 403


def test_an_open_guard_lets_everyone_do_everything() -> None:
    """On loopback a first try just works."""
    guard = OpenGuard()
    assert asyncio.run(guard.identify(make_mocked_request("GET", "/v2/"))) == ANONYMOUS
    assert all(guard.may(ANONYMOUS, action, "a/b") for action in Action)
    assert not isinstance(guard, TokenServer)


def test_a_guard_of_public_bundles_lets_everyone_pull() -> None:
    """And tells whoever wants to push that nobody can, not to sign in."""
    guard, request = PullGuard(), make_mocked_request("PUT", "/v2/a/manifests/1")
    assert guard.may(ANONYMOUS, Action.PULL, CATALOG)
    assert not any(guard.may(ANONYMOUS, a, "a") for a in Action if a is not Action.PULL)
    error = refusal(guard, ANONYMOUS, request, Action.PUSH, "a")
    assert (error.status, error.code) == (405, "UNSUPPORTED")


def test_the_guard_of_users_has_all_powers() -> None:
    """It gives tokens and knows accounts, as the server and the page look for it."""
    assert issubclass(AccessGuard, TokenServer)
    for name in ("has_users", "sign_in", "principal", "stamp"):
        assert hasattr(AccessGuard, name)
        assert name in dir(Accounts)


def test_names_are_shown_by_the_rules_and_not_by_the_token() -> None:
    """A token for a list is for no repository, and the list is of what its owner may pull."""

    class Odd(PullGuard):
        def may(self, principal: Principal, action: Action, repository: str) -> bool:
            return principal.grants is None and len(repository) % 2 == 1

    principal = Principal("bob", grants={CATALOG: frozenset({Action.PULL})})
    assert list(visible_names(Odd(), principal, ["a", "bb", "ccc"])) == ["a", "ccc"]
