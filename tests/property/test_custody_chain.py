"""Whatever is done to the lines of a log is found."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airgap.errors import BundleFormatError
from tests.support.custody import anchor_of, chain, checked

LINES = chain(
    [
        ("export", {"bundle": "sha256:" + "1" * 64, "paths": ["a.tar"], "exit": 0}),
        ("verify", {"paths": ["a.tar"], "exit": 20, "error": "digest-mismatch"}),
        ("import", {"images": [{"target": "r:5000/app:1", "digest": "sha256:" + "2" * 64}]}),
        ("import", {"images": [], "exit": 3}),
        ("repair", {"paths": ["ä.tar"], "exit": 0}),
        ("export", {"exit": 30}),
    ]
)
RAW = b"".join(LINES)
INNER = len(RAW) - len(LINES[-1])


def is_found(lines: list[bytes], *, has_receipt: bool = True) -> bool:
    """Whether a check finds something, or refuses a line."""
    try:
        check = checked(lines, *([anchor_of(LINES)] if has_receipt else []))
    except BundleFormatError:
        return True
    return bool(check.flaws)


@given(st.integers(0, len(RAW) - 1), st.integers(1, 255))
def test_a_byte_that_is_changed_is_found(place: int, step: int) -> None:
    """A receipt finds it anywhere, and the chain alone anywhere but in the last line."""
    raw = bytearray(RAW)
    raw[place] = (raw[place] + step) % 256
    lines = bytes(raw).split(b"\n")
    whole = [line + b"\n" for line in lines[:-1]]
    rest = [lines[-1]] if lines[-1] else []
    assert is_found([*whole, *rest])
    if place < INNER:
        assert is_found([*whole, *rest], has_receipt=False)


@given(st.sets(st.integers(0, len(LINES) - 1), min_size=1))
def test_lines_that_are_removed_are_found(gone: set[int]) -> None:
    """A receipt finds any, and the chain alone any but those at the end."""
    left = [line for number, line in enumerate(LINES) if number not in gone]
    assert is_found(left)
    if left != LINES[: len(left)]:
        assert is_found(left, has_receipt=False)


@given(st.permutations(range(len(LINES))))
def test_lines_in_another_order_are_found(order: list[int]) -> None:
    """Only the order in which they were written has no flaw, with a receipt or without."""
    lines = [LINES[number] for number in order]
    is_same = list(order) == sorted(order)
    assert is_found(lines, has_receipt=False) is not is_same


@given(st.integers(0, len(LINES)), st.sampled_from([*LINES, b"{}\n", b"\n"]))
def test_a_line_that_is_inserted_is_found(place: int, line: bytes) -> None:
    """A line of the log itself, an object that is no entry, and nothing are found anywhere."""
    assert is_found([*LINES[:place], line, *LINES[place:]], has_receipt=False)
