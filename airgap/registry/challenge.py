"""What a registry asks for in WWW-Authenticate (RFC 9110, section 11.6.1). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"  # noqa: S105 - the grammar's name for a word
_PARAMETER = re.compile(rf'({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))', re.DOTALL)
_SCHEME = re.compile(rf"({_TOKEN})(?=\s|,|$)(?!\s*=)")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
MAX_LENGTH = 4096
"""Of a longer header the rest is not looked at."""
MAX_HEADERS = 8


@dataclass(frozen=True, slots=True)
class Challenge:
    """A scheme in lower case (`basic`, `bearer`) and its parameters, their names in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """Read all challenges of all WWW-Authenticate headers, skipping what makes no sense."""
    return tuple(
        challenge
        for text in islice(headers, MAX_HEADERS)
        for challenge in _parse(text[:MAX_LENGTH])
    )


def _parse(text: str) -> Iterator[Challenge]:
    scheme: str | None = None
    parameters: dict[str, str] = {}
    position = 0
    while position < len(text):
        if found := _PARAMETER.match(text, position):
            quoted, bare = found[2], found[3]
            value = _ESCAPED.sub(r"\1", quoted) if quoted is not None else bare
            parameters.setdefault(found[1].lower(), value)
        elif found := _SCHEME.match(text, position):
            if scheme is not None:
                yield Challenge(scheme, parameters)
            scheme, parameters = found[1].lower(), {}
        position = found.end() if found else position + 1
    if scheme is not None:
        yield Challenge(scheme, parameters)


@dataclass(frozen=True, slots=True)
class Access:
    """What a request needs to be allowed to do.

    Attributes:
        repository: In which repository; empty for the registry as a whole.
        write: Whether it writes there.
        mount_from: Another repository that must be readable as well.
        lists_repositories: Whether it asks the registry as a whole for its repositories.
    """

    repository: str = ""
    write: bool = False
    mount_from: str | None = None
    lists_repositories: bool = False

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes that a token needs (distribution's token specification)."""
        if not self.repository:
            return frozenset({"registry:catalog:*"} if self.lists_repositories else ())
        actions = "pull,push" if self.write else "pull"
        scopes = {f"repository:{self.repository}:{actions}"}
        if self.mount_from and self.mount_from != self.repository:
            scopes.add(f"repository:{self.mount_from}:pull")
        return frozenset(scopes)


def merge_scopes(*sources: Iterable[str]) -> tuple[str, ...]:
    """Join scopes, so that each resource stands once with all the actions that it needs."""
    actions: dict[str, set[str]] = {}
    for source in sources:
        for scope in source:
            resource, colon, listed = scope.rpartition(":")
            if colon:
                actions.setdefault(resource, set()).update(filter(None, listed.split(",")))
    return tuple(f"{name}:{','.join(sorted(actions[name]))}" for name in sorted(actions))
