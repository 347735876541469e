"""Logs of custody for tests: written by nobody in particular at a time of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airgap.oci.digest import Digest
from airgap.record.log import START, Anchor, ChainCheck, LogEntry, LogPosition
from airgap.transfer.custody import Author

AUTHOR = Author("0.1.0", "tester@here")
BEGINNING = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)


def chain(events: Sequence[tuple[str, Mapping[str, Any]]]) -> list[bytes]:
    """The lines of a log in which this was done, a second apart."""
    lines: list[bytes] = []
    position = START
    for number, (event, details) in enumerate(events, 1):
        time = BEGINNING + timedelta(seconds=number)
        entry = LogEntry(number, position.head, time, event, AUTHOR.version, AUTHOR.by, details)
        lines.append(entry.to_line())
        position = LogPosition(number, Digest.of(lines[-1]))
    return lines


def numbered(count: int) -> list[bytes]:
    """A log of so many exports."""
    return chain([("export", {"number": number}) for number in range(count)])


def position_of(lines: Sequence[bytes]) -> LogPosition:
    """The length and head of a log that nobody touched."""
    return LogPosition(len(lines), Digest.of(lines[-1])) if lines else START


def anchor_of(lines: Sequence[bytes]) -> Anchor:
    """What a receipt of now would remember of it."""
    head = position_of(lines).head
    assert head is not None
    return Anchor("the receipt", head, len(lines))


def checked(lines: Sequence[bytes], *anchors: Anchor) -> ChainCheck:
    """A check of these lines."""
    check = ChainCheck(anchors)
    for line in lines:
        check.take(line)
    check.finish()
    return check
