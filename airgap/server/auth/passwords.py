"""Passwords: hashed with bcrypt, and nothing else.

Source: bcrypt takes 72 bytes and, in C, no NUL; a longer password would be cut silently.
"""

from __future__ import annotations

from airgap.errors import SettingsError

MAX_BYTES = 72
COST = 11
"""About a tenth of a second: slow for who guesses, and quick enough for who signs in."""

_SHAPE = "abcdefghijklmnopqrstuu" + "abcdefghijklmnopqrstuvwxyzabcde"


def check_password(password: str) -> str:
    """Give the password back if it can be one.

    Raises:
        SettingsError: It is empty, too long for bcrypt, or has a NUL character.
    """
    if not password:
        raise SettingsError("the password is empty")
    if not is_possible(password):
        raise SettingsError(
            f"the password has more than {MAX_BYTES} bytes, or a NUL character",
            hint="bcrypt, which hashes it, would cut it there",
        )
    return password


def is_possible(password: str) -> bool:
    """Whether somebody may have this password."""
    raw = password.encode("utf-8", "surrogatepass")
    return 0 < len(raw) <= MAX_BYTES and b"\0" not in raw


def hash_password(password: str, *, cost: int = COST) -> str:
    """Hash a password for a password file.

    Args:
        password: One that `check_password` lets pass.
        cost: The work of a check, twice as much for each one more.
    """
    import bcrypt  # only where passwords are set or checked

    stored = bcrypt.hashpw(check_password(password).encode(), bcrypt.gensalt(cost)).decode("ascii")
    # the same hash under the name that Apache's and other tools know
    return f"$2y${stored.removeprefix('$2b$')}"


def matches(password: str, stored: str) -> bool:
    """Whether a password is the one that was hashed. Takes long, and as long for a wrong one."""
    import bcrypt  # only where passwords are set or checked

    raw = password.encode("utf-8", "surrogatepass")
    return bcrypt.checkpw(raw, stored.encode("ascii"))


def nobodys_hash(cost: int) -> str:
    """A hash that no password has, to take as long for a user who does not exist."""
    return f"$2b${cost:02}${_SHAPE}"
