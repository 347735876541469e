"""Passwords as commands get them: from standard input or from a terminal, never from options."""

from __future__ import annotations

import sys

import click

from airgap.errors import SettingsError

_MAX_PASSWORD = 64 * 1024


def password_from_stdin() -> str:
    """Read a password, without the end of its line.

    Raises:
        SettingsError: It is empty, too long, or no text.
    """
    raw = sys.stdin.buffer.read(_MAX_PASSWORD + 1)
    if len(raw) > _MAX_PASSWORD:
        raise SettingsError(
            f"the password has more than {_MAX_PASSWORD} bytes", hint="pipe the password alone"
        )
    try:
        password = raw.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise SettingsError(
            "the password is not text in UTF-8", hint="pipe the password alone"
        ) from error
    if not password:
        raise SettingsError("the password is empty", hint="pipe it to --password-stdin")
    return password


def new_password(*, from_stdin: bool, command: str) -> str:
    """Get a password that is to be set: typed twice where it is typed.

    Args:
        from_stdin: Whether it comes on standard input.
        command: What to run where there is no terminal, for the error.

    Raises:
        SettingsError: There is none to be had.
    """
    if from_stdin:
        return password_from_stdin()
    if not sys.stdin.isatty():
        raise SettingsError(
            "there is no terminal to ask for a password on",
            hint=f"pipe it: … | {command} --password-stdin",
        )
    # On standard error: standard output is for the result.
    password = click.prompt(
        "Password", type=str, hide_input=True, confirmation_prompt=True, err=True
    )
    assert isinstance(password, str)
    return password
