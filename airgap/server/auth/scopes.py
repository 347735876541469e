"""Scopes: what a client wants a token for. Pure.

Source: distribution's "Token Scope Documentation".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from airgap.oci.reference import is_repository
from airgap.server.access import LISTS, Action, Grants, Guard, Principal

MAX_SCOPES = 100
"""What a token holds must fit into a header."""
_REPOSITORY = "repository"
_REGISTRY = "registry"
_ALL = "*"
_PLACES = {name: place for place, name in LISTS.items()}


@dataclass(frozen=True, slots=True)
class Scope:
    """Some actions with one repository, or with what tells of many (`LISTS`)."""

    repository: str
    actions: frozenset[Action]


def parse_scopes(texts: Iterable[str]) -> tuple[Scope, ...]:
    """Read scopes, several to a text or one; what is not known is left out.

    A client may ask for what this registry does not have, and gets what it may have then.

    Raises:
        ValueError: There are too many.
    """
    words = [word for text in texts for word in text.split(" ") if word]
    if len(words) > MAX_SCOPES:
        raise ValueError(f"a token is for at most {MAX_SCOPES} scopes")
    wanted: dict[str, set[Action]] = defaultdict(set)
    for word in words:
        resource, _, rest = word.partition(":")
        name, _, listed = rest.rpartition(":")
        actions = _actions(listed)
        # docker names the class of a repository in brackets
        kind = resource.partition("(")[0]
        if kind == _REPOSITORY and is_repository(name):
            wanted[name] |= actions
        elif kind == _REGISTRY and name in _PLACES and listed == _ALL:
            wanted[_PLACES[name]].add(Action.PULL)
    return tuple(Scope(name, frozenset(actions)) for name, actions in wanted.items())


def granted(guard: Guard, principal: Principal, scopes: Iterable[Scope]) -> Grants:
    """What of some scopes somebody gets."""
    found: dict[str, frozenset[Action]] = {}
    for scope in scopes:
        if scope.repository in LISTS:
            # it tells everyone only of what they may pull
            found[scope.repository] = scope.actions
            continue
        actions = (a for a in scope.actions if guard.may(principal, a, scope.repository))
        found[scope.repository] = frozenset(actions)
    return {repository: actions for repository, actions in found.items() if actions}


def to_claim(grants: Grants) -> list[dict[str, Any]]:
    """How a token says what it allows (distribution's "access" claim)."""
    return [
        {"type": _REGISTRY, "name": LISTS[repository], "actions": [_ALL]}
        if repository in LISTS
        else {"type": _REPOSITORY, "name": repository, "actions": sorted(actions)}
        for repository, actions in grants.items()
    ]


def from_claim(claim: object) -> Grants:
    """What a token allows; only ever called for one whose signature is ours.

    Raises:
        ValueError: It is not what `to_claim` writes.
    """
    if not isinstance(claim, list):
        raise ValueError("access is no list")  # noqa: TRY004 - the caller knows one kind of error
    found: dict[str, frozenset[Action]] = {}
    for entry in claim:
        match entry:
            case {"type": "registry", "name": str(name)} if name in _PLACES:
                found[_PLACES[name]] = frozenset({Action.PULL})
            case {"type": "repository", "name": str(name), "actions": list(actions)}:
                found[name] = frozenset(Action(action) for action in actions)
            case _:
                raise ValueError("access has an unknown entry")
    return found


def _actions(listed: str) -> frozenset[Action]:
    words = listed.split(",")
    if _ALL in words:
        return frozenset({Action.PULL, Action.PUSH, Action.DELETE})
    return frozenset(Action(word) for word in words if word in _KNOWN)


_KNOWN = frozenset({Action.PULL.value, Action.PUSH.value, Action.DELETE.value})
