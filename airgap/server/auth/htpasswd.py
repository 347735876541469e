"""The password file: a standard htpasswd file with bcrypt hashes. Pure.

Source: Apache's "Password Formats". Other tools read and write this file as well, so whatever
stands in it that airgap does not understand stays as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from io import StringIO
from typing import Self

MIN_COST = 4
"""What bcrypt allows; the htpasswd command writes 5 where nobody says otherwise."""
MAX_COST = 16
"""A check of more takes seconds, which whoever knows a user's name could ask for."""

_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_FOREIGN = (
    ("$apr1$", "an apr1 hash (MD5)"),
    ("{SHA}", "a SHA-1 hash"),
    ("{SSHA}", "a SHA-1 hash"),
    ("$1$", "an MD5 hash"),
    ("$5$", "a SHA-256 crypt hash"),
    ("$6$", "a SHA-512 crypt hash"),
    ("$2", "a damaged bcrypt hash"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line that names a user.

    Attributes:
        name: The user.
        line: The number of the line, from 1.
        stored: The bcrypt hash; empty where there is none that can be used.
        problem: Why nobody can sign in by this line; empty where somebody can.
    """

    name: str
    line: int
    stored: str = field(default="", repr=False)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PasswordFile:
    """The lines of a password file with their ends, and the entries among them."""

    lines: tuple[str, ...] = field(default=(), repr=False)
    entries: tuple[Entry, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a file; every text is one."""
        lines = tuple(StringIO(text, newline="\n"))
        entries: list[Entry] = []
        known: set[str] = set()
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            entry = _read(number, line)
            if entry.name in known:
                # the first line counts, as it does for Apache
                entry = Entry(entry.name, number, problem="stands further up as well")
            known.add(entry.name)
            entries.append(entry)
        return cls(lines, tuple(entries))

    def text(self) -> str:
        """The whole file."""
        return "".join(self.lines)

    def has(self, name: str) -> bool:
        """Whether a line names the user, even one by which nobody can sign in."""
        return any(entry.name == name for entry in self.entries)

    def with_hash(self, name: str, stored: str) -> PasswordFile:
        """The file in which a user has this hash, at the place where the user was before."""
        new = f"{name}:{stored}\n"
        numbers = self._numbers(name)
        if not numbers:
            lines = list(self.lines)
            if lines and not lines[-1].endswith("\n"):
                lines[-1] += "\n"
            return PasswordFile.parse("".join([*lines, new]))
        return self._replaced(numbers, new)

    def without(self, name: str) -> PasswordFile:
        """The file without the lines of a user."""
        return self._replaced(self._numbers(name), "")

    def _numbers(self, name: str) -> tuple[int, ...]:
        return tuple(entry.line for entry in self.entries if entry.name == name)

    def _replaced(self, numbers: tuple[int, ...], new: str) -> PasswordFile:
        kept = [
            line if number not in numbers else new if number == numbers[0] else ""
            for number, line in enumerate(self.lines, 1)
        ]
        return PasswordFile.parse("".join(kept))


def _read(number: int, line: str) -> Entry:
    # what follows a second colon is a comment of some tools
    name, colon, rest = line.rstrip("\r\n").partition(":")
    stored = rest.partition(":")[0].strip()
    if not colon or not name or not name.isprintable():
        return Entry(name, number, problem="is not a line like name:hash")
    found = _BCRYPT.fullmatch(stored)
    if found is not None:
        if MIN_COST <= int(found[1]) <= MAX_COST:
            return Entry(name, number, stored)
        return Entry(name, number, problem=f"has a bcrypt hash of cost {found[1]}")
    for prefix, what in _FOREIGN:
        if stored.startswith(prefix):
            return Entry(name, number, problem=f"has {what}, and only bcrypt is taken")
    return Entry(name, number, problem="has no bcrypt hash, and only bcrypt is taken")
