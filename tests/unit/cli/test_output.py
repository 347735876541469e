"""Text for people and streams that end."""

from __future__ import annotations

import io
import os

import pytest

from airgap.cli.output import Output
from airgap.cli.visible import count_text, labelled, size_text, time_text, visible
from airgap.errors import StorageError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text ü 漢", "plain text ü 漢"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("\x7f\x9b1m\udc80", "\\x7f\\x9b1m\\udc80"),
    ],
)
def test_what_a_terminal_would_obey_is_shown(text: str, shown: str) -> None:
    """Characters that are not printed are written as escapes."""
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (734_003_200, "734.0 MB"),
        (5 * 10**18, "5000.0 PB"),
    ],
)
def test_sizes_are_short(size: int, text: str) -> None:
    """Sizes use decimal units with one place, and change the unit where they would round up."""
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1:00"),
     (185, "3:05"), (3723, "1:02:03")],
)  # fmt: skip
def test_times_are_short(seconds: float, text: str) -> None:
    """Times are seconds below a minute and clock-like above."""
    assert time_text(seconds) == text


def test_counts_agree_with_their_nouns() -> None:
    """One is singular, everything else plural."""
    assert [count_text(n, "blob") for n in (0, 1, 1200)] == ["0 blobs", "1 blob", "1,200 blobs"]


def test_a_label_is_coloured_only_where_asked_for() -> None:
    """The text is made visible either way."""
    assert labelled("hint", "a\x1b", color=None) == "hint: a\\x1b"
    assert labelled("hint", "a", color=36) == "\x1b[1;36mhint:\x1b[0m a"


def test_a_reader_that_leaves_does_not_end_the_work() -> None:
    """After a broken pipe further lines are dropped without an error."""
    reading, writing = os.pipe()
    stream = os.fdopen(writing, "w")
    os.close(reading)
    output = Output(stream)
    output.write("one")
    output.write("two")
    stream.close()


def test_a_full_disk_is_an_error() -> None:
    """Any other failure to write says so."""

    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="No space left"):
        Output(Full()).write("x")
