"""The file of groups: one line for each, `payments: alice bob`. Pure.

Source: Apache's `AuthGroupFile`. Comments stay as they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from typing import Self

from airgap.server.auth.names import is_group


@dataclass(frozen=True, slots=True)
class GroupFile:
    """The lines of a file of groups with their ends."""

    lines: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a file; every text is one."""
        return cls(tuple(StringIO(text, newline="\n")))

    def text(self) -> str:
        """The whole file."""
        return "".join(self.lines)

    def problems(self) -> tuple[tuple[int, str], ...]:
        """The lines that say nothing, by number, and why."""
        found: list[tuple[int, str]] = []
        for number, line in enumerate(self.lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            group, colon, _ = line.partition(":")
            if not colon:
                found.append((number, "is not a line like group: user user"))
            elif not is_group(group.strip()):
                found.append((number, f"{group.strip()[:80]!r} is not the name of a group"))
        return tuple(found)

    def memberships(self) -> Mapping[str, frozenset[str]]:
        """The groups of each user who is in any."""
        found: dict[str, set[str]] = defaultdict(set)
        for line in self.lines:
            group, members = _read(line)
            for member in members if group else ():
                found[member].add(group)
        return {member: frozenset(groups) for member, groups in found.items()}

    def with_member(self, group: str, name: str) -> GroupFile:
        """The file in which a user is in a group."""
        if group in self.memberships().get(name, ()):
            return self
        for index, line in enumerate(self.lines):
            known, members = _read(line)
            if known == group:
                return self._with(index, _line(group, [*members, name]))
        lines = list(self.lines)
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
        return GroupFile((*lines, _line(group, [name])))

    def without(self, name: str) -> GroupFile:
        """The file in which a user is in no group. Groups stay, even empty ones."""
        changed = self
        for index, line in enumerate(self.lines):
            group, members = _read(line)
            if name in members:
                left = [member for member in members if member != name]
                changed = changed._with(index, _line(group, left))
        return changed

    def _with(self, index: int, line: str) -> GroupFile:
        return GroupFile((*self.lines[:index], line, *self.lines[index + 1 :]))


def _read(line: str) -> tuple[str, list[str]]:
    group, colon, members = line.partition(":")
    group = group.strip()
    if line.startswith("#") or not colon or not is_group(group):
        return "", []
    return group, members.split()


def _line(group: str, members: list[str]) -> str:
    return f"{group}:{''.join(f' {member}' for member in members)}\n"
