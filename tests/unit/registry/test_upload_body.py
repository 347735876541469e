"""Bodies of uploads: pieces of the right length, and failures told apart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airgap.errors import CancelledError
from airgap.registry.pace import Pace
from airgap.registry.upload_body import BodyFailedError, UploadBody
from airgap.run import CancelToken


def body(*chunks: bytes, seconds: float = 0.0) -> UploadBody:
    """A body whose pieces take so long each."""
    now = iter(range(10_000))
    return UploadBody(iter(chunks), lambda: None, clock=lambda: next(now) * seconds)


def test_a_body_ends_where_it_is_allowed_to() -> None:
    """Each request gets its number of bytes, across the borders of chunks."""
    found = body(b"abcde", b"fgh", b"ij")
    found.allow(6)
    assert b"".join(found) == b"abcdef"
    found.allow(3)
    assert b"".join(found) == b"ghi"
    assert found.taken == 9
    found.allow(10)
    assert b"".join(found) == b"j"


def test_nothing_is_read_before_it_is_allowed() -> None:
    """A body of no bytes does not touch the source."""

    def untouched() -> Iterator[bytes]:
        pytest.fail("the source was read")
        yield b""

    assert list(UploadBody(untouched(), lambda: None, clock=lambda: 0.0)) == []


def test_pieces_adapt_to_the_line() -> None:
    """Fast lines get pieces of up to 1 MiB, slow ones of 4 KiB."""
    chunk = bytes(8 << 20)
    fast, slow = body(chunk), body(chunk, seconds=1.0)
    for found, expected in ((fast, 1 << 20), (slow, 4096)):
        found.allow(len(chunk))
        sizes = [len(next(found)) for _ in range(8)]
        assert sizes[0] == 65_536
        assert sizes[-1] == expected


def test_a_pace_begins_anew() -> None:
    """After a break the next line is tried carefully again."""
    pace = Pace(lambda: 0.0)
    pace.stop()
    assert pace.amount == 65_536
    pace.start()
    pace.stop()
    assert pace.amount == 131_072
    pace.reset()
    assert pace.amount == 65_536


def test_a_failing_source_is_remembered() -> None:
    """What the source raises is kept, and the library sees something that it does not know."""

    def failing() -> Iterator[bytes]:
        yield b"abc"
        raise BrokenPipeError

    found = UploadBody(failing(), lambda: None, clock=lambda: 0.0)
    found.allow(10)
    assert bytes(next(found)) == b"abc"
    with pytest.raises(BodyFailedError):
        next(found)
    assert isinstance(found.failure, BrokenPipeError)


def test_a_cancellation_stops_a_body() -> None:
    """A cancelled run sends no further chunk."""
    token = CancelToken()
    token.cancel()
    found = UploadBody(iter([b"abc"]), token.check, clock=lambda: 0.0)
    found.allow(3)
    with pytest.raises(BodyFailedError):
        next(found)
    assert isinstance(found.failure, CancelledError)
