"""What an Authorization header says (RFC 7617, RFC 6750). Pure."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Basic:
    """A name and a password."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token."""

    token: str = field(repr=False)


def parse_authorization(header: str) -> Basic | Bearer | None:
    """Read a header; None where it is neither of the two."""
    scheme, _, value = header.partition(" ")
    value = value.strip()
    match scheme.lower():
        case "bearer" if value and value.isascii():
            return Bearer(value)
        case "basic":
            try:
                name, colon, password = b64decode(value, validate=True).decode().partition(":")
            except (Error, ValueError):
                return None
            return Basic(name, password) if colon and name else None
        case _:
            return None
