"""The log of custody: entries of which each names the hash of the one before it. Pure.

A log is lines of canonical JSON. `previous` is the sha256 of the whole line before, its line break
included, so that `tail -n 1 custody.log | sha256sum` gives the head. What was cut off at the end
leaves no trace in a chain: receipts name length and head, and are compared with it (`Anchor`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self

from airgap.errors import AirgapError, BundleFormatError, IntegrityError, InvalidContentError
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes, check_values, parse_object
from airgap.record.format_version import check_version
from airgap.record.origin import parse_time, time_text
from airgap.wording import count_text

FORMAT_VERSION = 1
MAX_LINE = 64 * 1024 * 1024
"""An entry is held in memory; this is enough for some hundred thousand images."""
MAX_FLAWS = 100
TORN = "torn"
"""The event of an entry that says which bytes of an unfinished one were moved aside."""
_MAX_TEXT = 1024

FlawKind = Literal["damaged", "changed", "removed", "order", "cut", "other"]


@dataclass(frozen=True, slots=True)
class LogPosition:
    """How far a log goes.

    Attributes:
        length: How many entries it has.
        head: The sha256 of its last line; None for an empty log.
    """

    length: int
    head: Digest | None


START = LogPosition(0, None)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One thing that was done.

    Attributes:
        seq: Which entry of the log it is, from 1.
        previous: The sha256 of the line before; None for the first.
        time: When it ended, in UTC.
        event: What: export, verify, import, repair, or another word of a later version.
        version: The version of airgap that did it.
        by: Who.
        details: What it was done with and how it ended (docs/json-output.md).
    """

    seq: int
    previous: Digest | None
    time: datetime
    event: str
    version: str
    by: str
    details: Mapping[str, Any]

    def to_line(self) -> bytes:
        """The bytes that stand in the log.

        Raises:
            IntegrityError: It would be longer than a line may be, or hold more than is read.
        """
        value = {
            "formatVersion": FORMAT_VERSION,
            "seq": self.seq,
            "previous": None if self.previous is None else str(self.previous),
            "time": time_text(self.time),
            "event": self.event,
            "version": self.version,
            "by": self.by,
            "details": dict(self.details),
        }
        line = canonical_bytes(value) + b"\n"
        if len(line) > MAX_LINE:
            raise IntegrityError(f"an entry of {len(line)} bytes is too long for the log")
        try:
            check_values(line, what="an entry of the log")
        except InvalidContentError as error:  # nothing could be appended behind it
            raise IntegrityError(error.message, origin="local") from error
        return line

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """Read a line.

        Raises:
            BundleFormatError: A newer version of airgap wrote it.
            IntegrityError: It is no entry.
        """
        try:
            if len(line) > MAX_LINE or not line.endswith(b"\n"):
                raise InvalidContentError("it is too long, or does not end")
            value = parse_object(line, what="the entry")
            _count(value, "formatVersion")
            check_version(value, what="entry", newest=FORMAT_VERSION)
            entry = cls(
                _count(value, "seq"),
                None if value.get("previous") is None else _sha256(value["previous"]),
                parse_time(value.get("time")),
                _text(value, "event"),
                _text(value, "version"),
                _text(value, "by"),
                _details(value.get("details")),
            )
            if canonical_bytes(value) + b"\n" != line:
                raise InvalidContentError("it is not in its canonical form")
        except InvalidContentError as error:
            raise IntegrityError(f"no entry of a log: {error.message}", origin="local") from error
        return entry


@dataclass(frozen=True, slots=True)
class Anchor:
    """What somebody else remembers of a log.

    Attributes:
        name: Who, for messages: a receipt, an option.
        head: The head that the log had.
        length: How many entries it had then; None where that is not known.
    """

    name: str
    head: Digest
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that shows that a log is not as it was written.

    Attributes:
        kind: damaged (no entry), changed, removed, order, cut (entries at the end are gone), or
            other (it is not the log that somebody remembers).
        line: Where it shows, from 1.
        message: One line.
    """

    kind: FlawKind
    line: int
    message: str


class ChainCheck:
    """Checks the lines of a log one after the other.

    Args:
        anchors: What others remember of it.

    Attributes:
        flaws: What was found, the first ones.
        flaw_count: How much was found.
        lines: How many lines were taken.
        entries: How many of them are entries.
    """

    def __init__(self, anchors: Iterable[Anchor] = ()) -> None:
        self.flaws: list[Flaw] = []
        self.flaw_count = 0
        self.lines = 0
        self.entries = 0
        self._seq = 0
        self._head: Digest | None = None
        self._is_linked = True
        self._heads: dict[Digest, list[Anchor]] = {}
        self._lengths: dict[int, list[Anchor]] = {}
        for anchor in anchors:
            if anchor.length is None:
                self._heads.setdefault(anchor.head, []).append(anchor)
            else:
                self._lengths.setdefault(anchor.length, []).append(anchor)

    @property
    def position(self) -> LogPosition:
        """The length and the head of what was taken."""
        return LogPosition(self._seq, self._head)

    def take(self, line: bytes) -> LogEntry | None:
        """Check the next line; gives its entry if it is one.

        Raises:
            BundleFormatError: A newer version of airgap wrote it.
        """
        self.lines += 1
        entry: LogEntry | None = None
        try:
            entry = LogEntry.parse(line)
        except BundleFormatError as error:
            raise BundleFormatError(
                f"line {self.lines} of the log: {error.message}", hint=error.hint
            ) from error
        except AirgapError as error:
            self._add("damaged", f"line {self.lines} is {error.message}")
            self._seq += 1
        else:
            self.entries += 1
            self._check_link(entry)
            self._seq = entry.seq
        self._is_linked = entry is not None
        self._head = Digest.of(line)
        self._check_anchors()
        return entry

    def finish(self) -> None:
        """After the last line: see that nothing is gone at the end."""
        for length, anchors in sorted(self._lengths.items()):
            for anchor in anchors:
                if length < self._seq:
                    self._add("removed", f"entry {length}, which {anchor.name} names: not there")
                    continue
                self._add(
                    "cut",
                    f"the log has {count_text(self._seq, 'entry', 'entries')}, and had {length:,} "
                    f"when {anchor.name} was made: the last ones were removed",
                )
        for head, anchors in self._heads.items():
            for anchor in anchors:
                self._add("other", f"no entry hashes to {head}, which {anchor.name} names")

    def _check_link(self, entry: LogEntry) -> None:
        expected = self._seq + 1
        if entry.seq > expected:
            last = entry.seq - 1
            which = f"entry {last}" if last == expected else f"entries {expected} to {last}"
            self._add("removed", f"{which}: not there")
        elif entry.seq < expected:
            self._add("order", f"entry {entry.seq} stands behind entry {self._seq}")
        elif entry.previous != self._head and self._is_linked:
            before = f"entry {self._seq} was changed" if self._seq else "there was one before it"
            self._add("changed", f"{before}: entry {entry.seq} was written behind another one")

    def _check_anchors(self) -> None:
        assert self._head is not None, "a line was taken"
        self._heads.pop(self._head, None)
        for anchor in self._lengths.pop(self._seq, ()):
            if anchor.head != self._head:
                self._add("other", f"entry {self._seq} is not the one that {anchor.name} names")

    def _add(self, kind: FlawKind, message: str) -> None:
        self.flaw_count += 1
        if len(self.flaws) < MAX_FLAWS:
            self.flaws.append(Flaw(kind, self.lines, message))


def _count(value: Mapping[str, Any], key: str) -> int:
    count = value.get(key)
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count < 1 << 53:
        raise InvalidContentError(f"{key} must be a number from 1 on")
    return count


def _sha256(value: object) -> Digest:
    digest = Digest.parse(value)
    if digest.algorithm != "sha256":
        raise InvalidContentError("previous must be a sha256")
    return digest


def _text(value: Mapping[str, Any], key: str) -> str:
    text = value.get(key)
    if not isinstance(text, str) or not 1 <= len(text) <= _MAX_TEXT:
        raise InvalidContentError(f"{key} must be a short text")
    return text


def _details(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidContentError("details must be an object")
    return value
