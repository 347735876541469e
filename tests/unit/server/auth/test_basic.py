"""Authorization headers."""

from __future__ import annotations

import base64

import pytest

from airgap.server.auth.basic import Basic, Bearer, parse_authorization


def encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Basic " + encoded(b"bob:pa:ss"), Basic("bob", "pa:ss")),
        ("basic  " + encoded(b"bob:"), Basic("bob", "")),
        ("BASIC " + encoded("bob:pä".encode()), Basic("bob", "pä")),
        ("Bearer abc.def", Bearer("abc.def")),
        ("bearer abc", Bearer("abc")),
    ],
)
def test_headers_that_say_something(header: str, expected: object) -> None:
    """Schemes know no case, and a password may hold colons."""
    assert parse_authorization(header) == expected


@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Basic ", "Basic !!!", "Basic " + encoded(b"nocolon"), "Basic " + encoded(b":x"),
     "Basic " + encoded(b"\xff:x"), "Bearer", "Bearer ", "Bearer ä", "Digest username=bob",
     "Negotiate abc", encoded(b"bob:pass")],
)  # fmt: skip
def test_headers_that_say_nothing(header: str) -> None:
    """What is neither Basic nor Bearer, or broken, is no credential."""
    assert parse_authorization(header) is None


def test_no_secret_is_shown() -> None:
    """Neither a password nor a token ends up in a log."""
    assert "pass" not in repr(Basic("bob", "pass"))
    assert "abc" not in repr(Bearer("abc"))
