"""`airgap user`: who may sign in to the registry that airgap serves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import click

from airgap.cli.invocation import Invocation
from airgap.cli.options import DataFlags, OutputFlags, data_option, output_options
from airgap.cli.password import new_password
from airgap.cli.session import Session
from airgap.cli.visible import count_text
from airgap.server.auth.names import check_group, check_user
from airgap.server.auth.passwords import check_password, hash_password
from airgap.server.auth.users import User, UserFolder


class UserFlags(OutputFlags, DataFlags):
    """The options of all commands about one user."""

    name: str


class PasswordFlags(UserFlags):
    """The options of `user password`."""

    password_stdin: bool


class AddFlags(PasswordFlags):
    """The options of `user add`."""

    admin: bool
    group: tuple[str, ...]


class ListFlags(OutputFlags, DataFlags):
    """The options of `user list`."""


@dataclass(frozen=True, slots=True)
class UserResult:
    """Whose line was changed, for JSON (docs/json-output.md)."""

    data: str
    user: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UserListResult:
    """All users, for JSON (docs/json-output.md)."""

    data: str
    users: tuple[User, ...]
    problems: tuple[str, ...]


_password_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input."
)


@click.command("add")
@click.argument("name")
@click.option("--admin", is_flag=True, help="Let the user do everything (the group admins).")
@click.option(
    "-g", "--group", multiple=True, metavar="GROUP", help="Put the user in this group (repeatable)."
)
@_password_stdin
@data_option
@output_options
@click.pass_obj
def add_user(invocation: Invocation, **flags: Unpack[AddFlags]) -> None:
    """Add the user NAME and ask for a password.

    With the first user nothing is open to anonymous any more; access.toml in the data folder says
    who may do what. A server that runs needs no restart.
    """
    session = Session(invocation, flags, command="user add")
    name = check_user(flags["name"])
    groups = tuple(dict.fromkeys(check_group(group) for group in flags["group"]))
    folder = _folder(session, flags["data"])
    folder.check_new(name)
    stored = _hashed(flags["password_stdin"], f"airgap user add {name}")
    added = folder.add(name, stored, groups=groups, is_admin=flags["admin"])
    result = UserResult(str(folder.folder), name, added)
    invocation.show_result("user add", result, lambda: _added_lines(result))


@click.command("password")
@click.argument("name")
@_password_stdin
@data_option
@output_options
@click.pass_obj
def set_password(invocation: Invocation, **flags: Unpack[PasswordFlags]) -> None:
    """Give the user NAME another password. Whoever is signed in with the old one is signed out."""
    session = Session(invocation, flags, command="user password")
    name, folder = flags["name"], _folder(session, flags["data"])
    folder.check_known(name)
    folder.set_password(name, _hashed(flags["password_stdin"], f"airgap user password {name}"))
    result = UserResult(str(folder.folder), name)
    invocation.show_result("user password", result, lambda: [f"{name} has a new password"])


@click.command("remove")
@click.argument("name")
@data_option
@output_options
@click.pass_obj
def remove_user(invocation: Invocation, **flags: Unpack[UserFlags]) -> None:
    """Remove the user NAME, also from all groups. What the user has pushed stays."""
    session = Session(invocation, flags, command="user remove")
    name, folder = flags["name"], _folder(session, flags["data"])
    folder.remove(name)
    result = UserResult(str(folder.folder), name)
    is_last = not folder.load().has_users

    def lines() -> Iterator[str]:
        yield f"removed {name}"
        if is_last:
            yield (
                "there are no users any more: a server that is started now lets everyone on"
                " this machine do everything, and listens nowhere else"
            )

    invocation.show_result("user remove", result, lines)


@click.command("list")
@data_option
@output_options
@click.pass_obj
def list_users(invocation: Invocation, **flags: Unpack[ListFlags]) -> None:
    """List the users with their groups."""
    session = Session(invocation, flags, command="user list")
    folder = _folder(session, flags["data"])
    snapshot = folder.load()
    result = UserListResult(str(folder.folder), snapshot.users(), snapshot.problems)
    invocation.show_result("user list", result, lambda: _list_lines(result))


def _folder(session: Session, given: Path | None) -> UserFolder:
    return UserFolder(given or session.settings.environment.data_folder)


def _hashed(from_stdin: bool, command: str) -> str:
    return hash_password(check_password(new_password(from_stdin=from_stdin, command=command)))


def _added_lines(result: UserResult) -> Iterator[str]:
    groups = f" to {', '.join(result.groups)}" if result.groups else ", in no group"
    yield f"added {result.user}{groups}"
    yield f"who may do what: {Path(result.data, 'access.toml')}"


def _list_lines(result: UserListResult) -> Iterator[str]:
    width = max((len(user.name) for user in result.users), default=0)
    for user in result.users:
        notes = ["admin"] if user.is_admin else []
        notes += [", ".join(user.groups)] if user.groups else []
        notes += [f"cannot sign in: the line {user.problem}"] if user.problem else []
        yield f"{user.name:{width}}  {'; '.join(notes) or '-'}".rstrip()
    yield f"{result.data}: {count_text(len(result.users), 'user')}"
    yield from (f"note: {problem}" for problem in result.problems)
