"""Range and Content-Range are read strictly, and ignored where the RFC says so."""

from __future__ import annotations

import pytest

from airgap.server.errors import WireError
from airgap.server.ranges import (
    MAX_RANGES,
    Multipart,
    Span,
    chunk_span,
    requested_span,
    requested_spans,
)


@pytest.mark.parametrize(
    ("header", "total", "expected"),
    [
        (None, 10, None),
        ("", 10, None),
        ("bytes=0-", 10, Span(0, 10)),
        ("bytes=3-", 10, Span(3, 7)),
        ("bytes=3-5", 10, Span(3, 3)),
        ("Bytes=3-3", 10, Span(3, 1)),
        ("bytes=3-99", 10, Span(3, 7)),
        ("bytes=-4", 10, Span(6, 4)),
        ("bytes=-40", 10, Span(0, 10)),
        ("bytes=0-1,4-5", 10, None),
        ("bytes=a-b", 10, None),
        ("bytes=-", 10, None),
        ("chunks=0-1", 10, None),
        ("bytes=" + "9" * 40 + "-", 10, None),
    ],
)
def test_a_range_of_a_blob_is_found(header, total, expected):
    """One range of bytes is found; what cannot be read counts as no range."""
    assert requested_span(header, total) == expected


@pytest.mark.parametrize(
    ("header", "total"),
    [
        ("bytes=10-", 10),
        ("bytes=99-100", 10),
        ("bytes=-0", 10),
        ("bytes=0-", 0),
        ("bytes=-1", 0),
        ("bytes=5-3", 10),
        ("bytes=10-,20-30", 10),
        ("bytes=0-1,5-3", 10),
    ],
)
def test_a_range_without_bytes_is_refused(header, total):
    """A range that begins behind the end, or behind its own, is 416 and says how large it is."""
    with pytest.raises(WireError) as caught:
        requested_span(header, total)
    assert caught.value.status == 416
    assert caught.value.headers["Content-Range"] == f"bytes */{total}"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-1,4-5", [(0, 2), (4, 2)]),
        ("bytes=4-5, 0-1", [(4, 2), (0, 2)]),
        ("bytes=-1,0-0,,", [(9, 1), (0, 1)]),
        ("bytes=0-1,40-", [(0, 2)]),
        ("bytes=0-1,2-3", [(0, 2), (2, 2)]),
        ("bytes=0-5,3-7", [(0, 8)]),
        ("bytes=8-9,3-7,5-6,0-0", [(0, 1), (3, 5), (8, 2)]),
        ("bytes=0-,0-,0-", [(0, 10)]),
        ("bytes=0-1,x", []),
        ("bytes=,", []),
        ("bytes=" + ",".join(["0-"] * 1000), [(0, 10)]),
    ],
)
def test_several_ranges_are_found(header, expected):
    """They come in the order in which they were asked for, and never bring a byte twice."""
    assert [(span.start, span.size) for span in requested_spans(header, 10)] == expected


def test_more_ranges_than_anybody_needs_are_the_whole():
    """An answer has a limited number of parts; beyond it, all of the blob is sent."""
    header = "bytes=" + ",".join(f"{2 * n}-{2 * n}" for n in range(MAX_RANGES))
    assert len(requested_spans(header, 1000)) == MAX_RANGES
    assert requested_spans(header + ",900-", 1000) == ()


def test_several_parts_are_framed_as_one_body():
    """The announced size is that of the body, and each part says where it belongs."""
    frame = Multipart((Span(0, 2), Span(5, 3)), 10, "B", "a/b")
    body = frame.head(frame.spans[0]) + b"01" + frame.head(frame.spans[1]) + b"567" + frame.tail
    assert len(body) == frame.size
    assert body == (
        b"\r\n--B\r\nContent-Type: a/b\r\nContent-Range: bytes 0-1/10\r\n\r\n01"
        b"\r\n--B\r\nContent-Type: a/b\r\nContent-Range: bytes 5-7/10\r\n\r\n567"
        b"\r\n--B--\r\n"
    )


def test_a_span_says_its_content_range():
    """The answer's Content-Range counts from the first to the last byte."""
    assert Span(3, 4).content_range(10) == "bytes 3-6/10"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("0-9", Span(0, 10)),
        ("10-10", Span(10, 1)),
        ("bytes 0-9/100", Span(0, 10)),
        ("bytes 0-9/*", Span(0, 10)),
    ],
)
def test_a_piece_of_an_upload_says_where_it_belongs(header, expected):
    """The specification's form is read, and the RFC's, which some clients send."""
    assert chunk_span(header) == expected


@pytest.mark.parametrize("header", ["", "x", "9-0", "0-", "-5", "bytes=0-9", "0-9-10"])
def test_a_content_range_that_cannot_be_read_is_refused(header):
    """A piece of which nobody knows where it belongs is not taken."""
    with pytest.raises(WireError) as caught:
        chunk_span(header)
    assert caught.value.status == 400
