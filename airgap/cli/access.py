"""`airgap access`: who may do what in the registry that airgap serves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import click

from airgap.cli.invocation import Invocation
from airgap.cli.options import DataFlags, OutputFlags, data_option, output_options
from airgap.cli.session import Session
from airgap.errors import ContentNotFoundError, InvalidReferenceError, UnauthorizedError
from airgap.oci.reference import is_repository
from airgap.server.access import ANONYMOUS, Action, Principal
from airgap.server.auth.names import ANONYMOUS as ANONYMOUS_NAME
from airgap.server.auth.rules import Rule
from airgap.server.auth.users import Snapshot, UserFolder


class ShowFlags(OutputFlags, DataFlags):
    """The options of `access show`."""


class CheckFlags(OutputFlags, DataFlags):
    """The options of `access check`."""

    user: str
    repository: str
    action: str


@dataclass(frozen=True, slots=True)
class ShownRule:
    """One rule, for JSON (docs/json-output.md)."""

    line: int
    repositories: tuple[str, ...]
    pull: tuple[str, ...]
    push: tuple[str, ...]
    delete: tuple[str, ...]
    admin: tuple[str, ...]

    @classmethod
    def of(cls, rule: Rule) -> ShownRule:
        """The words of a rule."""
        who = {action.value: rule.who.get(action, ()) for action in Action}
        return cls(rule.line, tuple(pattern.text for pattern in rule.patterns), **who)


@dataclass(frozen=True, slots=True)
class AccessResult:
    """All rules, for JSON (docs/json-output.md)."""

    data: str
    has_users: bool
    is_default: bool
    rules: tuple[ShownRule, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Whether somebody may do something, for JSON (docs/json-output.md)."""

    user: str
    repository: str
    action: str
    is_allowed: bool
    line: int | None


@click.command("show")
@data_option
@output_options
@click.pass_obj
def show_access(invocation: Invocation, **flags: Unpack[ShowFlags]) -> None:
    """Show the rules of access.toml, and what in the files of the users means nothing."""
    session = Session(invocation, flags, command="access show")
    folder = _folder(session, flags["data"])
    snapshot = folder.load()
    result = AccessResult(
        str(folder.folder),
        snapshot.has_users,
        not folder.access.exists(),
        tuple(ShownRule.of(rule) for rule in snapshot.rules.rules),
        snapshot.problems,
    )
    invocation.show_result("access show", result, lambda: _rule_lines(result, folder.access))


@click.command("check")
@click.argument("user")
@click.argument("repository")
@click.argument("action", type=click.Choice([action.value for action in Action]))
@data_option
@output_options
@click.pass_obj
def check_access(invocation: Invocation, **flags: Unpack[CheckFlags]) -> None:
    """Ask whether USER (or `anonymous`) may do ACTION with REPOSITORY.

    The exit code is 0 where that is allowed and 11 where it is not.
    """
    session = Session(invocation, flags, command="access check")
    folder = _folder(session, flags["data"])
    user, repository, action = flags["user"], flags["repository"], Action(flags["action"])
    if not is_repository(repository):
        raise InvalidReferenceError(
            f"{repository[:200]!r} is not the name of a repository",
            hint="write it without the registry and the tag: payments/app",
        )
    snapshot = folder.load()
    principal = _principal(snapshot, user)
    found = snapshot.rules.giving(principal.name, principal.groups, action, repository)
    is_allowed = found is not None or not snapshot.has_users
    line = found.line if found and found.line else None
    result = CheckResult(user, repository, action.value, is_allowed, line)
    what = f"{user} may {action.value} {repository}"

    def lines() -> Iterator[str]:
        if found is not None:
            yield f"{what}: {folder.access}" + (f", line {line}" if line else "")
        elif is_allowed:
            yield f"{what} on this machine, as long as there are no users"

    invocation.show_result("access check", result, lines)
    if not is_allowed:
        raise UnauthorizedError(
            f"{user} may not {action.value} {repository}",
            hint=f"no rule of {folder.access} gives it",
        )


def _folder(session: Session, given: Path | None) -> UserFolder:
    return UserFolder(given or session.settings.environment.data_folder)


def _principal(snapshot: Snapshot, name: str) -> Principal:
    if name == ANONYMOUS_NAME:
        return ANONYMOUS
    known = next((user for user in snapshot.users() if user.name == name), None)
    if known is None:
        raise ContentNotFoundError(
            f"there is no user {name[:80]!r}", hint="airgap user list shows who there is"
        )
    if known.problem:
        raise UnauthorizedError(
            f"{name} cannot sign in: the line {known.problem}",
            hint=f"airgap user password {name} sets a password",
        )
    return Principal(name, frozenset(known.groups), known.is_admin)


def _rule_lines(result: AccessResult, path: Path) -> Iterator[str]:
    for rule in result.rules:
        yield ", ".join(rule.repositories)
        for action in Action:
            words = getattr(rule, action.value)
            if words:
                yield f"  {action.value}: {', '.join(words)}"
    yield f"{path}: " + ("not there, so these are the defaults" if result.is_default else "read")
    if not result.has_users:
        yield "there are no users: everyone on this machine may do everything"
    yield from (f"note: {problem}" for problem in result.problems)
