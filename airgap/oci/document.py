"""JSON that comes from somebody else, read with limits."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from airgap.errors import InvalidContentError

MAX_DEPTH = 64
"""How deep objects and arrays may lie in each other."""

MAX_VALUES = 4_000_000
"""How many values a document may have, about: each takes up to thirty times its bytes as an object
of Python, so a limit on bytes alone would not keep memory small."""

_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_STRING = re.compile(rb'"[^"]*"')
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_object(raw: bytes, *, what: str) -> dict[str, Any]:
    """Parse bytes as one JSON object.

    Args:
        raw: The document; the caller has limited and hashed it.
        what: Its name, for the error.

    Raises:
        InvalidContentError: It is not JSON in UTF-8 (RFC 8259), not an object, names a key twice,
            lies too deep, has too many values, or holds what could not be written again.
    """
    if raw.lstrip()[:1] == b"<":
        raise InvalidContentError(
            f"{what} is HTML instead of JSON", hint="a proxy or a login page may have answered"
        )
    check_values(raw, what=what)
    _check_depth(raw, what)
    try:
        value = json.loads(
            raw.decode(),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
        if _SURROGATE.search(raw):
            json.dumps(value, ensure_ascii=False).encode()
    except InvalidContentError as error:
        raise InvalidContentError(f"{what}: {error.message}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidContentError(f"{what} is not valid JSON") from error
    if not isinstance(value, dict):
        raise InvalidContentError(f"{what} must be a JSON object")
    return value


def check_values(raw: bytes, *, what: str) -> None:
    """Refuse a document that would take too much memory as objects, by counting its marks.

    Raises:
        InvalidContentError: It has too many values.
    """
    if sum(raw.count(mark) for mark in (b",", b"[", b"{")) > MAX_VALUES:
        raise InvalidContentError(f"{what} has more than {MAX_VALUES} values")


def canonical_bytes(value: dict[str, Any]) -> bytes:
    """The one way in which airgap writes a document: sorted keys, no white space, UTF-8."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def _check_depth(raw: bytes, what: str) -> None:
    # Escapes go first, then strings: each pass is linear whatever the bytes are, where one pattern
    # for both would be quadratic for a string that never ends.
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for byte in _STRING.sub(b"", _ESCAPE.sub(b"", raw)).translate(None, _NOT_BRACKETS):
        depth += 1 if byte in b"[{" else -1
        if depth > MAX_DEPTH:
            raise InvalidContentError(f"{what} is nested more than {MAX_DEPTH} deep")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise InvalidContentError("a key stands twice in one object")
    return value


def _no_constant(name: str) -> None:
    raise InvalidContentError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise InvalidContentError("a number is too large")
    return value
