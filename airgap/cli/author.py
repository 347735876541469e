"""Who runs airgap, as records name them."""

from __future__ import annotations

import os
import pwd
import socket
import unicodedata

from airgap.errors import SettingsError
from airgap.record.origin import MAX_BY
from airgap.wording import visible

_MAX = 200


def author_of(by: str | None) -> str:
    """What `--by` says, or who runs this where it says nothing.

    Raises:
        SettingsError: It could not be shown as it is, or is too long.
    """
    if by is None:
        return author_name()
    if len(by) > MAX_BY or not by.isprintable() or not unicodedata.is_normalized("NFC", by):
        raise SettingsError(
            f"--by takes up to {MAX_BY} characters that can be shown",
            hint="write a name in one line: --by 'Alice, platform team'",
        )
    return by


def author_name() -> str:
    """The user and the machine: `alice@build-7`, or the user's number where it has no name."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as any number
        user = str(os.getuid())
    return visible(f"{user}@{socket.gethostname()}")[:_MAX]
