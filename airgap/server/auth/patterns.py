"""Patterns for the names of repositories, as `access.toml` writes them. Pure.

`*` stands for any characters within one part of a name (between slashes), `**` for any number of
parts, also none. `{user}` and `{group}` stand for one part, which rules may name as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from itertools import groupby

MAX_LENGTH = 255
PLACEHOLDERS = ("{user}", "{group}")

_PART = re.compile(r"(?!.*\*\*)[a-z0-9._*-]+")
_ANY_PARTS = "**"


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of a pattern: a placeholder, or what a part of a name must match."""

    placeholder: str
    expression: re.Pattern[str]

    @classmethod
    def parse(cls, text: str) -> _Part:
        name = text[1:-1] if text in PLACEHOLDERS else ""
        # such an expression never tries again what it has matched, however many stars it has
        return cls(name, re.compile(translate("*" if name else text)))


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern for names.

    Attributes:
        text: As it was written.
        runs: The parts that follow one another, cut where `**` stands.
    """

    text: str
    runs: tuple[tuple[_Part, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read a pattern.

        Raises:
            ValueError: It is none; the message says why.
        """
        if len(text) > MAX_LENGTH:
            raise ValueError(f"{text[:80]!r} is too long")
        parts = text.split("/")
        for part in parts:
            if part != _ANY_PARTS and part not in PLACEHOLDERS and not _PART.fullmatch(part):
                raise ValueError(f"{text!r} matches no repository")
        for placeholder in PLACEHOLDERS:
            # only there is it clear which part it stands for
            if parts.count(placeholder) > 1 or placeholder in parts[_first(parts) :]:
                raise ValueError(f"{placeholder} stands twice or behind ** in {text!r}")
        grouped = [
            (is_any, tuple(_Part.parse(part) for part in run))
            for is_any, run in groupby(parts, _ANY_PARTS.__eq__)
        ]
        runs = [run for is_any, run in grouped if not is_any]
        if grouped[0][0]:
            runs.insert(0, ())
        if grouped[-1][0]:
            runs.append(())
        return cls(text, tuple(runs))

    @property
    def is_everything(self) -> bool:
        """Whether it matches every name."""
        return self.text == _ANY_PARTS

    def has(self, placeholder: str) -> bool:
        """Whether a placeholder stands in it."""
        return placeholder in self.text

    def match(self, name: str) -> Mapping[str, str] | None:
        """What the placeholders stand for in a name; None where the name does not match."""
        names = name.split("/")
        head, *rest = self.runs
        if not rest:
            return _placed(head, names) if len(names) == len(head) else None
        *middle, tail = rest
        found = _placed(head, names)
        end = len(names) - len(tail)
        position = len(head)
        if found is None or end < position or _placed(tail, names[end:]) is None:
            return None
        for run in middle:  # the first place where it fits leaves most room to the others
            while position + len(run) <= end and _placed(run, names[position:]) is None:
                position += 1
            position += len(run)
        return found if position <= end else None


def _first(parts: Sequence[str]) -> int:
    return parts.index(_ANY_PARTS) if _ANY_PARTS in parts else len(parts)


def _placed(run: Sequence[_Part], names: Sequence[str]) -> Mapping[str, str] | None:
    """What placeholders stand for where names begin as a run says; None where they do not."""
    if len(names) < len(run):
        return None
    found: dict[str, str] = {}
    for part, name in zip(run, names, strict=False):
        if not part.expression.match(name):
            return None
        if part.placeholder:
            found[part.placeholder] = name
    return found
