"""Who runs airgap, as records name them."""

from __future__ import annotations

import os
import pwd
import socket

from airgap.wording import visible

_MAX = 200


def author_name() -> str:
    """The user and the machine: `alice@build-7`, or the user's number where it has no name."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as any number
        user = str(os.getuid())
    return visible(f"{user}@{socket.gethostname()}")[:_MAX]
