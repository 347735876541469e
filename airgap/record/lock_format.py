"""What tells a lock file from other files. Pure, and quick to load: every list is looked at."""

from __future__ import annotations

MAX_SIZE = 16 * 1024 * 1024
"""A lock with more bytes is not read: this is enough for some ten thousand images."""
KEYS = frozenset({"version", "platforms", "image", "end"})
"""The keys of its top level."""


def is_lock(raw: bytes) -> bool:
    """Whether a file looks like a lock, and not like a list of references."""
    for line in raw[: 64 * 1024].decode("utf-8-sig", errors="replace").splitlines():
        text = line.strip()
        if text and not text.startswith("#"):
            key, equals, _ = text.partition("=")
            return text == "[[image]]" or (bool(equals) and key.strip() in KEYS)
    return False
