"""The Range header of downloads and the Content-Range header of uploads: pure.

Sources: RFC 9110, 14.1, 14.2 and 14.6; distribution-spec "Pushing a blob in chunks", whose
Content-Range has neither a unit nor a total.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from airgap.server.errors import range_unsatisfiable, upload_invalid

MAX_RANGES = 32
"""Who asks for more parts of one blob at once gets all of it."""

_UNIT = re.compile(r"bytes=", re.IGNORECASE)
_RANGE = re.compile(r"([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18})")
_CHUNK = re.compile(r"(?:bytes )?([0-9]{1,18})-([0-9]{1,18})(?:/(?:[0-9]+|\*))?")


@dataclass(frozen=True, slots=True)
class Span:
    """A run of bytes: where it starts and how many they are."""

    start: int
    size: int

    @property
    def end(self) -> int:
        """Where the byte behind the last one is."""
        return self.start + self.size

    def content_range(self, total: int) -> str:
        """The value of Content-Range in an answer."""
        return f"bytes {self.start}-{self.end - 1}/{total}"


def requested_spans(header: str | None, total: int) -> tuple[Span, ...]:
    """Find which parts of a blob are asked for.

    Other units and what cannot be read count as not asked for, as the RFC allows; so do more
    parts than `MAX_RANGES`. Parts that lie over each other become one, so that an answer is
    never larger than the blob and the frames of its parts.

    Returns:
        The parts in the order in which they are to be sent; none where all of it is meant.

    Raises:
        WireError: No byte of what is asked for exists, or a range ends before it begins.
    """
    header = (header or "").strip()
    unit = _UNIT.match(header)
    if unit is None:
        return ()
    wanted = [part.strip() for part in header[unit.end() :].split(",")]
    found = [_RANGE.fullmatch(part) for part in wanted if part]
    spans: list[Span] = []
    for one in found:
        if one is None:
            return ()
        span = _span(one, total)
        if span is not None:
            spans.append(span)
    if not found:
        return ()
    if not spans:
        raise range_unsatisfiable(total)
    spans = _apart(spans)
    return tuple(spans) if len(spans) <= MAX_RANGES else ()


def requested_span(header: str | None, total: int) -> Span | None:
    """Find which part of a blob is asked for; None for all of it, and for several parts.

    Raises:
        WireError: No byte of what is asked for exists.
    """
    spans = requested_spans(header, total)
    return spans[0] if len(spans) == 1 else None


def _span(found: re.Match[str], total: int) -> Span | None:
    """One range, cut at the end of the content; None where nothing is left of it."""
    first, last, suffix = found.groups()
    if suffix is not None:
        size = min(int(suffix), total)
        return Span(total - size, size) if size else None
    start = int(first)
    if last and int(last) < start:
        raise range_unsatisfiable(total)
    end = min(int(last) + 1, total) if last else total
    return Span(start, end - start) if start < end else None


def _apart(spans: Sequence[Span]) -> list[Span]:
    """The spans as they came, or joined and in order where any two share bytes."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start):
        if joined and span.start < joined[-1].end:
            start = joined[-1].start
            joined[-1] = Span(start, max(joined[-1].end, span.end) - start)
        else:
            joined.append(span)
    return joined if len(joined) < len(spans) else list(spans)


@dataclass(frozen=True, slots=True)
class Multipart:
    """Several parts of a blob as one body (RFC 9110, 14.6).

    Attributes:
        spans: The parts.
        total: How many bytes the blob has.
        boundary: What stands between the parts; nobody must be able to know it before.
        media_type: The type of the blob.
    """

    spans: tuple[Span, ...]
    total: int
    boundary: str
    media_type: str

    @property
    def content_type(self) -> str:
        """The type of the whole body."""
        return f"multipart/byteranges; boundary={self.boundary}"

    @property
    def size(self) -> int:
        """How many bytes the body has."""
        return sum(len(self.head(span)) + span.size for span in self.spans) + len(self.tail)

    def head(self, span: Span) -> bytes:
        """What stands before a part."""
        lines = (
            f"\r\n--{self.boundary}",
            f"Content-Type: {self.media_type}",
            f"Content-Range: {span.content_range(self.total)}",
            "\r\n",
        )
        return "\r\n".join(lines).encode()

    @property
    def tail(self) -> bytes:
        """What stands behind the last part."""
        return f"\r\n--{self.boundary}--\r\n".encode()


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
