"""Text for people, on a terminal and on a page: what is hostile made safe, sizes made short."""

from __future__ import annotations


def visible(text: str) -> str:
    r"""Write what a terminal would obey instead of show as an escape: `\x1b`, `\u202e`.

    Line breaks are escaped, too: what is shown is one line.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def size_text(size: int) -> str:
    """A number of bytes: `512 B`, `1.5 kB`, `734.0 MB`."""
    value, units = float(size), ["kB", "MB", "GB", "TB", "PB"]
    if abs(value) < 1000:
        return f"{size} B"
    unit = "B"
    while abs(value) >= 999.95 and units:
        value, unit = value / 1000, units.pop(0)
    return f"{value:.1f} {unit}"


def count_text(count: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `1 image`, `1,200 blobs`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
