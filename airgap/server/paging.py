"""Lists that are given page by page (distribution-spec, "Listing Tags")."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from airgap.server.errors import page_invalid

_MAX_DIGITS = 9


def page_size(text: str | None, limit: int) -> int:
    """Read the parameter n.

    Args:
        text: As it came; None where it did not.
        limit: How many a page has at most, and has without n.

    Raises:
        WireError: It is no number.
    """
    if text is None:
        return limit
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise page_invalid(text)
    return min(int(text), limit)


def page(items: Sequence[str], size: int, last: str | None) -> tuple[Sequence[str], bool]:
    """Cut a page out of a sorted list.

    Args:
        items: All of them, in lexical order.
        size: How many the page has.
        last: The item after which it begins, which need not exist any more.

    Returns:
        The page, and whether another one follows. No page follows one of size 0.
    """
    start = bisect_right(items, last) if last is not None else 0
    found = items[start : start + size]
    return found, bool(size) and start + size < len(items)


def next_link(path: str, parameters: Mapping[str, str]) -> dict[str, str]:
    """The header that leads to the next page (RFC 8288)."""
    return {"Link": f'<{path}?{urlencode(parameters)}>; rel="next"'}
