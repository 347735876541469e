"""Text for people: what came from somebody else made safe, sizes and times made short."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from airgap.wording import count_text, size_text, visible

__all__ = [
    "count_text",
    "cut",
    "held_text",
    "labelled",
    "size_text",
    "speed_text",
    "time_text",
    "visible",
]


MAX_ROWS = 100
"""Longer lists are cut, with a word on where the rest stands."""


def labelled(label: str, text: str, *, color: int | None) -> str:
    """A line with a label before it, coloured where a colour is given (ECMA-48 SGR)."""
    shown = f"{label}:" if color is None else f"\x1b[1;{color}m{label}:\x1b[0m"
    return f"{shown} {visible(text)}"


def time_text(seconds: float) -> str:
    """A time: `0.4 s`, `18 s`, `3:05`, `1:02:03`."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def speed_text(size: int, seconds: float) -> str:
    """How much in how long, and how fast that was."""
    text = f"{size_text(size)} in {time_text(seconds)}"
    return f"{text} ({size_text(int(size / seconds))}/s)" if size and seconds > 0 else text


def held_text(blobs: int, size: int) -> str:
    """How much is left to the receiver: `12 blobs (1.5 GB)`."""
    return f"{count_text(blobs, 'blob')} ({size_text(size)})"


def cut(lines: Iterable[str], *, rest: str = "--json lists them all") -> Iterator[str]:
    """The first lines, and how many more there are."""
    more = 0
    for number, line in enumerate(lines):
        if number < MAX_ROWS:
            yield line
        else:
            more += 1
    if more:
        yield f"… and {more:,} more ({rest})"
