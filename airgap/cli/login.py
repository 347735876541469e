"""`airgap login` and `airgap logout`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Unpack

import click

from airgap.cli.invocation import Invocation
from airgap.cli.options import NetworkFlags, OutputFlags, network_options, output_options
from airgap.cli.password import password_from_stdin
from airgap.cli.session import Session
from airgap.errors import SettingsError, UnauthorizedError
from airgap.oci.reference import DEFAULT_REGISTRY, is_registry, without_credentials
from airgap.registry.credentials import Credential


@dataclass(frozen=True, slots=True)
class LoginResult:
    """Who is logged in where, for JSON (docs/json-output.md)."""

    registry: str
    username: str


@dataclass(frozen=True, slots=True)
class LogoutResult:
    """Whose credentials are gone, for JSON (docs/json-output.md)."""

    registry: str
    was_known: bool


class LoginFlags(NetworkFlags):
    """The options of `login`."""

    host: str
    username: str | None
    password: str | None
    password_stdin: bool


class LogoutFlags(OutputFlags):
    """The options of `logout`."""

    host: str


@click.command("login")
@click.argument("host", default=DEFAULT_REGISTRY)
@click.option("-u", "--username", metavar="NAME", help="Whom to log in as.")
@click.option("-p", "--password", hidden=True)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@network_options
@output_options
@click.pass_obj
def login(invocation: Invocation, **flags: Unpack[LoginFlags]) -> None:
    """Log in to the registry HOST (default: docker.io) and keep the credentials.

    They are tried first, and kept where docker keeps them: in its credential helper or store if
    there is one, else in its config.json.
    """
    session = Session(invocation, flags, command="login")
    registry = _registry(flags["host"])
    credential = _ask(flags)
    with session.run() as run, session.client(run) as client:
        try:
            client.check_login(registry, credential)
        except UnauthorizedError as error:
            error.hint = "check the name and the password; some registries want a token instead"
            raise
        session.credentials().store(registry, credential)
    result = LoginResult(registry, credential.username)
    invocation.show_result(
        "login", result, lambda: [f"logged in to {result.registry} as {result.username}"]
    )


@click.command("logout")
@click.argument("host", default=DEFAULT_REGISTRY)
@output_options
@click.pass_obj
def logout(invocation: Invocation, **flags: Unpack[LogoutFlags]) -> None:
    """Forget the credentials of the registry HOST (default: docker.io)."""
    session = Session(invocation, flags, command="logout")
    registry = _registry(flags["host"])
    result = LogoutResult(registry, session.credentials().erase(registry))
    said = "logged out of" if result.was_known else "not logged in to"
    invocation.show_result("logout", result, lambda: [f"{said} {registry}"])


def _registry(host: str) -> str:
    if not is_registry(host):
        raise SettingsError(
            f"{without_credentials(host)!r} is not a registry",
            hint="write HOST or HOST:PORT, without a path",
        )
    return host


def _ask(flags: LoginFlags) -> Credential:
    """Get name and password from options, standard input or the terminal."""
    if flags["password"] is not None:
        raise SettingsError(
            "a password in the command line can be seen by others on this machine",
            hint="pipe it to --password-stdin, or leave it out to be asked",
        )
    username = flags["username"]
    if ":" in (username or ""):  # RFC 7617, 2: it ends the name
        raise SettingsError("a name cannot have a colon in it", hint="write NAME alone")
    if flags["password_stdin"]:
        if not username:
            raise SettingsError("--password-stdin needs a name", hint="add --username NAME")
        return Credential(username, password_from_stdin())
    if not sys.stdin.isatty():
        raise SettingsError(
            "there is no terminal to ask for a password on",
            hint="pipe it: … | airgap login HOST --username NAME --password-stdin",
        )
    # On standard error: standard output is for the result.
    username = username or click.prompt("Username", type=str, err=True)
    password = click.prompt("Password", type=str, hide_input=True, err=True)
    return Credential(username, password)
