"""Range and Content-Range are read strictly, and ignored where the RFC says so."""

from __future__ import annotations

import pytest

from airgap.server.errors import WireError
from airgap.server.ranges import Span, chunk_span, requested_span


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
        ("bytes=5-3", 10, None),
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
    [("bytes=10-", 10), ("bytes=99-100", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-1", 0)],
)
def test_a_range_without_bytes_is_refused(header, total):
    """A range that begins behind the end is 416 and says how large the blob is."""
    with pytest.raises(WireError) as caught:
        requested_span(header, total)
    assert caught.value.status == 416
    assert caught.value.headers["Content-Range"] == f"bytes */{total}"


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
