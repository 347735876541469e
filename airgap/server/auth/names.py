"""Names of users and groups."""

from __future__ import annotations

import re

from airgap.errors import SettingsError

ANONYMOUS = "anonymous"
"""Everyone, in `access.toml`."""
AUTHENTICATED = "authenticated"
"""Whoever has signed in, in `access.toml`."""
ADMINS = "admins"
"""The group that `user add --admin` puts a user in."""

_USER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,62}[A-Za-z0-9])?")
_GROUP = re.compile(r"(?=.{1,64}\Z)[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")


def is_group(text: str) -> bool:
    """Whether a text is the name of a group: it can be the first part of a repository's name."""
    return _GROUP.fullmatch(text) is not None


def check_user(name: str) -> str:
    """Give the name back if a user may have it.

    Raises:
        SettingsError: It cannot stand in a password file, or means something else in rules.
    """
    if name in (ANONYMOUS, AUTHENTICATED):
        raise SettingsError(
            f"{name!r} is not the name of a user", hint="access.toml uses this word for others"
        )
    if not _USER.fullmatch(name):
        raise SettingsError(
            f"{name[:80]!r} is not the name of a user",
            hint="use up to 64 letters, digits, and . _ @ + - between them",
        )
    return name


def check_group(name: str) -> str:
    """Give the name back if a group may have it.

    Raises:
        SettingsError: It could not be the first part of a repository's name.
    """
    if not is_group(name):
        raise SettingsError(
            f"{name[:80]!r} is not the name of a group",
            hint="use up to 64 lower-case letters, digits, and . _ - between them",
        )
    return name
