"""The Range header of downloads and the Content-Range header of uploads: pure.

Sources: RFC 9110, 14.1 and 14.2; distribution-spec "Pushing a blob in chunks", whose Content-Range
has neither a unit nor a total.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from airgap.server.errors import range_unsatisfiable, upload_invalid

_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))", re.IGNORECASE)
_CHUNK = re.compile(r"(?:bytes )?([0-9]{1,18})-([0-9]{1,18})(?:/(?:[0-9]+|\*))?")


@dataclass(frozen=True, slots=True)
class Span:
    """A run of bytes: where it starts and how many they are."""

    start: int
    size: int

    def content_range(self, total: int) -> str:
        """The value of Content-Range in an answer."""
        return f"bytes {self.start}-{self.start + self.size - 1}/{total}"


def requested_span(header: str | None, total: int) -> Span | None:
    """Find which part of a blob is asked for.

    Several ranges at once, other units and what cannot be read count as not asked for, as the
    RFC allows.

    Returns:
        The part, or None where all of it is meant.

    Raises:
        WireError: No byte of the range exists.
    """
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        size = min(int(suffix), total)
        start, end = total - size, total
    else:
        start = int(first)
        end = min(int(last) + 1, total) if last else total
        if last and int(last) < start:
            return None
    if start >= end:
        raise range_unsatisfiable(total)
    return Span(start, end - start)


def chunk_span(header: str | None) -> Span | None:
    """Read where a piece of an upload belongs.

    Raises:
        WireError: The header is there and cannot be read.
    """
    if header is None:
        return None
    found = _CHUNK.fullmatch(header.strip())
    if found is None or int(found[2]) < int(found[1]):
        raise upload_invalid(f"Content-Range {header[:100]!r} is not <start>-<end>")
    return Span(int(found[1]), int(found[2]) - int(found[1]) + 1)
