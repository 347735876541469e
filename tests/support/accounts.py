"""A folder of users for tests: passwords that cost little, and a clock that is moved by hand."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from airgap.server.auth.guard import AccessGuard, GuardOptions, open_guard
from airgap.server.auth.passwords import hash_password
from airgap.server.auth.users import UserFolder

CHEAP = 4
START = 1_700_000_000.0
RULES = (
    'repositories = ["**"]\nadmin = ["@admins"]',
    'repositories = ["{group}/**"]\npush = ["@{group}"]',
    'repositories = ["public/**"]\npull = ["anonymous"]',
)
"""The usual rules: admins may do all, groups have a folder each, and one is open to everybody."""


class Office:
    """Users, their files, and a guard that reads them.

    Args:
        folder: Where the files lie.
        people: Names and groups of users; each one's password is `<name>-password`.
        options: What the guard is told beside the clocks.
    """

    def __init__(
        self, folder: Path, people: dict[str, Iterable[str]] | None = None, **options: object
    ) -> None:
        self.users = UserFolder(folder)
        self.now = 0.0
        for name, groups in (people or {}).items():
            self.add(name, groups=groups)
        self._options = GuardOptions(
            clock=lambda: self.now, now=lambda: START + self.now, **options
        )
        self.guard = self.open()

    def open(self) -> AccessGuard:
        """One more guard over the same files."""
        return open_guard(self.users.folder, self._options)

    def add(self, name: str, password: str = "", *, groups: Iterable[str] = ()) -> None:
        """Add a user."""
        self.users.add(name, hash_password(password or secret(name), cost=CHEAP), groups=groups)

    def set_password(self, name: str, password: str) -> None:
        """Give a user another password."""
        self.users.set_password(name, hash_password(password, cost=CHEAP))

    def rules(self, *rules: str) -> None:
        """Write `access.toml` anew; a change within one tick of the clock is one, too."""
        body = "\n".join(f"[[rule]]\n{rule}" for rule in rules)
        temporary = self.users.access.with_name("new")
        temporary.write_text(f"version = 1\n{body}\n")
        temporary.replace(self.users.access)

    def advance(self, seconds: float = 2.0) -> None:
        """Let time go by; after one second the files are looked at again."""
        self.now += seconds


@contextmanager
def open_office(
    folder: Path, people: dict[str, Iterable[str]], rules: Iterable[str] = RULES
) -> Iterator[Office]:
    """An office whose rules are in force."""
    office = Office(folder, people)
    office.rules(*rules)
    office.advance()
    yield office
    office.guard.close()


def secret(name: str) -> str:
    """The password of a user."""
    return f"{name}-password"


def basic(name: str, password: str | None = None) -> dict[str, str]:
    """The header with which a user signs in."""
    pair = f"{name}:{secret(name) if password is None else password}"
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    """The header with a token."""
    return {"Authorization": f"Bearer {token}"}
