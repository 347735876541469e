"""The chain of a log: what it finds, and how an entry looks."""

from __future__ import annotations

import json

import pytest

from airgap.errors import BundleFormatError, IntegrityError
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes
from airgap.record.log import MAX_FLAWS, START, Anchor, ChainCheck, LogEntry
from tests.support.custody import BEGINNING, anchor_of, checked, numbered, position_of


def kinds(check: ChainCheck) -> list[str]:
    return [flaw.kind for flaw in check.flaws]


def changed(line: bytes, **fields: object) -> bytes:
    return canonical_bytes(json.loads(line) | fields) + b"\n"


def test_a_log_that_nobody_touched_has_no_flaw() -> None:
    """Its length and head are those that it was written with, and what receipts name is there."""
    lines = numbered(5)
    check = checked(
        lines, anchor_of(lines), anchor_of(lines[:2]), Anchor("me", Digest.of(lines[3]))
    )
    assert check.flaws == []
    assert check.position == position_of(lines)


def test_an_empty_log_is_whole() -> None:
    """Where nothing was done there is nothing to find."""
    assert checked([]).flaws == []
    assert checked([]).position == START


def test_an_entry_is_one_line_of_canonical_json() -> None:
    """Other tools read it, and the hash of its line is what the next one names."""
    first, second = numbered(2)
    assert json.loads(first) == {
        "by": "tester@here",
        "details": {"number": 0},
        "event": "export",
        "formatVersion": 1,
        "previous": None,
        "seq": 1,
        "time": "2026-01-31T12:00:01Z",
        "version": "0.1.0",
    }
    assert json.loads(second)["previous"] == str(Digest.of(first))
    assert LogEntry.parse(second).to_line() == second


def test_a_changed_entry_is_found_by_the_one_behind_it() -> None:
    """The message names the entry that was changed, not the one that shows it."""
    lines = numbered(4)
    lines[1] = changed(lines[1], by="somebody@else")
    [flaw] = checked(lines).flaws
    assert (flaw.kind, flaw.line) == ("changed", 3)
    assert "entry 2 was changed" in flaw.message


def test_a_removed_entry_is_found() -> None:
    """The message names those that are gone, also the first one."""
    lines = numbered(5)
    [flaw] = checked([lines[0], *lines[3:]]).flaws
    assert (flaw.kind, flaw.message) == ("removed", "entries 2 to 3: not there")
    [flaw] = checked(lines[1:]).flaws
    assert (flaw.kind, flaw.message) == ("removed", "entry 1: not there")


def test_a_removed_entry_whose_followers_count_anew_is_found() -> None:
    """Numbers alone prove nothing: the hash of the line before does."""
    lines = numbered(3)
    found = checked([lines[0], changed(lines[2], seq=2)]).flaws
    assert [flaw.kind for flaw in found] == ["changed"]
    found = checked([changed(lines[1], seq=1)]).flaws
    assert "there was one before it" in found[0].message


def test_an_entry_that_stands_twice_or_at_another_place_is_found() -> None:
    """Reordered and inserted lines break the count."""
    one, two, three = numbered(3)
    assert kinds(checked([one, two, two, three])) == ["order"]
    assert "order" in kinds(checked([one, three, two]))


def test_a_line_that_is_no_entry_is_found() -> None:
    """It is told by its line, and the entries behind it are still looked at."""
    lines = numbered(4)
    found = checked([lines[0], b"{}\n", lines[2], lines[3]]).flaws
    assert [(flaw.kind, flaw.line) for flaw in found] == [("damaged", 2)]


def test_a_cut_tail_is_found_by_what_a_receipt_remembers() -> None:
    """A chain alone cannot tell that its end is gone; length and head of a receipt can."""
    lines = numbered(5)
    assert checked(lines[:3]).flaws == []
    [flaw] = checked(lines[:3], anchor_of(lines)).flaws
    assert (flaw.kind, flaw.line) == ("cut", 3)
    assert "3 entries, and had 5 when the receipt" in flaw.message


def test_a_log_that_was_written_anew_is_found_by_what_a_receipt_remembers() -> None:
    """A chain that is whole in itself is not the one of the receipt."""
    lines = numbered(3)
    other = numbered(4)
    other[2:] = [changed(other[2], by="x@y")]
    assert kinds(checked(other, anchor_of(lines))) == ["other"]


def test_a_head_that_no_entry_has_is_found() -> None:
    """Who wrote down a head without the length finds it, or is told."""
    lines = numbered(3)
    [flaw] = checked(lines[:2], Anchor("--expect", Digest.of(lines[2]))).flaws
    assert flaw.kind == "other"
    assert "--expect" in flaw.message


def test_an_entry_that_a_receipt_names_and_that_was_taken_out_is_found() -> None:
    """What stands behind the gap does not hide it."""
    lines = numbered(4)
    assert kinds(checked([*lines[:1], *lines[2:]], anchor_of(lines[:2]))) == ["removed", "removed"]


def test_what_is_found_is_counted_and_its_list_is_bounded() -> None:
    """A file that is no log at all does not fill the memory with what is wrong with it."""
    check = checked([b"x\n"] * (MAX_FLAWS + 5))
    assert len(check.flaws) == MAX_FLAWS
    assert check.flaw_count == MAX_FLAWS + 5


@pytest.mark.parametrize(
    "fields",
    [
        {"seq": 0},
        {"seq": True},
        {"seq": "1"},
        {"seq": 1 << 60},
        {"previous": "sha256:1"},
        {"previous": f"sha512:{'0' * 128}"},
        {"time": "2026-01-31 12:00:00"},
        {"time": "2026-1-31T12:00:00Z"},
        {"time": 5},
        {"event": ""},
        {"by": None},
        {"version": "x" * 2000},
        {"details": []},
        {"formatVersion": 0},
        {"formatVersion": None},
    ],
)
def test_a_field_of_another_form_makes_no_entry(fields: dict[str, object]) -> None:
    """What an entry must have is checked before anything is believed."""
    [line] = numbered(1)
    with pytest.raises(IntegrityError, match="no entry of a log"):
        LogEntry.parse(changed(line, **fields))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda line: line[:-1],
        lambda line: b" " + line,
        lambda line: line.replace(b'":', b'": ', 1),
        lambda line: line[:-2] + b"\n",
        lambda line: b"\xff" + line,
    ],
)
def test_an_entry_has_one_form_only(spoil) -> None:
    """White space, a missing end or bytes that are no text are no entry."""
    [line] = numbered(1)
    with pytest.raises(IntegrityError):
        LogEntry.parse(spoil(line))


def test_an_entry_of_a_newer_version_is_refused_by_name() -> None:
    """Its line and what to do are said: nothing is guessed about its meaning."""
    lines = numbered(2)
    lines[1] = changed(lines[1], formatVersion=2)
    with pytest.raises(BundleFormatError, match=r"line 2 of the log.*version 2") as caught:
        checked(lines)
    assert "version of airgap" in (caught.value.hint or "")


def test_fields_and_events_of_later_versions_are_let_be() -> None:
    """What a later version adds without need for others is part of the line and of its hash."""
    lines = numbered(2)
    line = changed(lines[1], event="weigh", more=[1])
    assert LogEntry.parse(line).event == "weigh"
    assert checked([lines[0], line]).flaws == []


def test_an_entry_that_is_too_long_is_not_written() -> None:
    """What could not be read again is refused."""
    entry = LogEntry(1, None, BEGINNING, "import", "0", "x", {"a": "x" * (65 << 20)})
    with pytest.raises(IntegrityError, match="too long"):
        entry.to_line()


def test_an_entry_that_holds_more_than_is_read_is_not_written() -> None:
    """A short line may hold so many values that the log could not go on behind it."""
    entry = LogEntry(1, None, BEGINNING, "spread", "0", "x", {"a": [0] * 4_000_001})
    with pytest.raises(IntegrityError, match="more than 4000000 values"):
        entry.to_line()
