"""Scopes of tokens."""

from __future__ import annotations

import pytest

from airgap.server.access import CATALOG, INVENTORY, Action, OpenGuard, Principal, PullGuard
from airgap.server.auth.scopes import (
    MAX_SCOPES,
    from_claim,
    granted,
    parse_scopes,
    to_claim,
)

PULL, PUSH, DELETE = Action.PULL, Action.PUSH, Action.DELETE


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], {}),
        (["repository:a/b:pull"], {"a/b": {PULL}}),
        (["repository:a:pull,push"], {"a": {PULL, PUSH}}),
        (["repository:a:*"], {"a": {PULL, PUSH, DELETE}}),
        (["repository:a:pull repository:b:delete"], {"a": {PULL}, "b": {DELETE}}),
        (["repository:a:pull", "repository:a:push"], {"a": {PULL, PUSH}}),
        (["repository(plugin):a:pull"], {"a": {PULL}}),
        (["registry:catalog:*"], {CATALOG: {PULL}}),
        (["registry:inventory:*"], {INVENTORY: {PULL}}),
        (["registry:catalog:pull"], {}),
        (["registry:inventory:pull", "registry:_airgap/inventory:*", "registry:x:*"], {}),
        (["repository:a:admin"], {"a": set()}),
        (["repository:a:dance,pull"], {"a": {PULL}}),
        (["repository:A:pull", "repository::pull", "repository:../x:pull", "x", "a:b:c", ":", ""],
         {}),
        (["repository:_catalog:pull", "repository:_airgap/inventory:pull"], {}),
    ],
)  # fmt: skip
def test_what_scopes_mean(texts: list[str], expected: dict[str, set[Action]]) -> None:
    """Known ones are read and joined; what is not known is left out."""
    assert {scope.repository: set(scope.actions) for scope in parse_scopes(texts)} == expected


def test_too_many_scopes() -> None:
    """A token must fit into a header."""
    with pytest.raises(ValueError, match="100"):
        parse_scopes(["repository:a:pull"] * (MAX_SCOPES + 1))


def test_a_grant_is_no_more_than_the_rules() -> None:
    """What may not be done is left out, and with it a repository with nothing."""
    lists = ["registry:catalog:*", "registry:inventory:*"]
    scopes = parse_scopes(["repository:a:pull,push", "repository:b:push", *lists])
    assert granted(PullGuard(), Principal("bob"), scopes) == {
        "a": frozenset({PULL}),
        CATALOG: frozenset({PULL}),
        INVENTORY: frozenset({PULL}),
    }
    assert len(granted(OpenGuard(), Principal("bob"), scopes)) == 4


def test_claims_come_back_as_they_were() -> None:
    """What a token says is what was granted."""
    pull = frozenset({PULL})
    grants = {"a/b": frozenset({PULL, PUSH}), CATALOG: pull, INVENTORY: pull}
    claim = to_claim(grants)
    assert claim[0] == {"type": "repository", "name": "a/b", "actions": ["pull", "push"]}
    assert claim[1] == {"type": "registry", "name": "catalog", "actions": ["*"]}
    assert claim[2] == {"type": "registry", "name": "inventory", "actions": ["*"]}
    assert from_claim(claim) == grants


@pytest.mark.parametrize(
    "claim",
    [None, "x", [1], [{}], [{"type": "repository", "name": 1, "actions": []}],
     [{"type": "repository", "name": "a", "actions": ["dance"]}], [{"type": "other"}],
     [{"type": "registry", "name": "_airgap/inventory"}], [{"type": "registry", "name": []}]],
)  # fmt: skip
def test_other_claims_are_refused(claim: object) -> None:
    """What we never write we do not read."""
    with pytest.raises(ValueError, match=r"."):
        from_claim(claim)
