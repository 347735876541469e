"""Scopes of tokens."""

from __future__ import annotations

import pytest

from airgap.server.access import CATALOG, Action, OpenGuard, Principal, PullGuard
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
        (["registry:catalog:pull"], {}),
        (["repository:a:admin"], {"a": set()}),
        (["repository:a:dance,pull"], {"a": {PULL}}),
        (["repository:A:pull", "repository::pull", "repository:../x:pull", "x", "a:b:c", ":", ""],
         {}),
        (["repository:_catalog:pull"], {}),
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
    scopes = parse_scopes(["repository:a:pull,push", "repository:b:push", "registry:catalog:*"])
    assert granted(PullGuard(), Principal("bob"), scopes) == {
        "a": frozenset({PULL}),
        CATALOG: frozenset({PULL}),
    }
    assert len(granted(OpenGuard(), Principal("bob"), scopes)) == 3


def test_claims_come_back_as_they_were() -> None:
    """What a token says is what was granted."""
    grants = {"a/b": frozenset({PULL, PUSH}), CATALOG: frozenset({PULL})}
    claim = to_claim(grants)
    assert claim[0] == {"type": "repository", "name": "a/b", "actions": ["pull", "push"]}
    assert claim[1] == {"type": "registry", "name": "catalog", "actions": ["*"]}
    assert from_claim(claim) == grants


@pytest.mark.parametrize(
    "claim",
    [None, "x", [1], [{}], [{"type": "repository", "name": 1, "actions": []}],
     [{"type": "repository", "name": "a", "actions": ["dance"]}], [{"type": "other"}]],
)  # fmt: skip
def test_other_claims_are_refused(claim: object) -> None:
    """What we never write we do not read."""
    with pytest.raises(ValueError, match=r"."):
        from_claim(claim)
