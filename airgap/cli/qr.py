"""QR codes in a terminal, to be scanned from the screen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_QUIET = 4
"""Modules of quiet zone around a code (ISO/IEC 18004)."""
_BLACK_ON_WHITE, _RESET = "\x1b[38;5;16;48;5;231m", "\x1b[0m"
_HALVES = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}


def qr_lines(text: str, *, has_color: bool) -> Iterator[str]:
    """Draw a text; two modules stand above each other in one character.

    Args:
        text: What is drawn.
        has_color: Whether the terminal takes colours. Then black and white are asked for by their
            numbers in the palette of 256, which themes leave alone, so that the code is dark on
            light on every background. Without colours it is drawn as on paper.
    """
    rows = [*_matrix(text)]
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    for upper, lower in zip(rows[::2], rows[1::2], strict=True):
        line = "".join(_HALVES[pair] for pair in zip(upper, lower, strict=True))
        yield f"{_BLACK_ON_WHITE}{line}{_RESET}" if has_color else line


def _matrix(text: str) -> Iterable[list[bool]]:
    """The dark modules, row by row, with the quiet zone."""
    import segno  # only where a code is drawn

    code = segno.make_qr(text, error="m", boost_error=False)
    for row in code.matrix_iter(scale=1, border=_QUIET):
        yield [bool(module) for module in row]
