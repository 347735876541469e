"""Tables: what was measured beside what is required, on which machine, with which versions."""

from __future__ import annotations

import datetime
import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measure import Series

_MEBI = 1 << 20
TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True)
class Row:
    """One requirement.

    Attributes:
        work: What is required of.
        measured: What came out, for people.
        limit: What is required, for people.
        holds: Whether it is reached; None where it could not be measured.
    """

    work: str
    measured: str
    limit: str
    holds: bool | None


@dataclass(frozen=True, slots=True)
class Section:
    """The results of one part of the benchmarks: its name is that of its place in the document."""

    name: str
    intro: str
    rows: Sequence[Row]
    details: Sequence[str] = field(default=())

    def text(self) -> str:
        """The section in Markdown."""
        return "\n".join([self.intro, "", *rows_table(self.rows), "", *self.details]).rstrip()


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown: the first column to the left, numbers to the right."""
    lines = [f"| {' | '.join(head)} |", "| --- |" + " ---: |" * (len(head) - 1)]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def rows_table(rows: Sequence[Row]) -> list[str]:
    """The table of requirements."""
    said = {True: "yes", False: "**no**", None: "not measured"}
    return table(
        ("requirement", "measured", "limit", "holds"),
        [(row.work, row.measured, row.limit, said[row.holds]) for row in rows],
    )


def ratio_row(
    work: str,
    results: Mapping[str, Series],
    ours: str,
    theirs: str,
    limit: float,
    *,
    what: str = "wall",
) -> Row:
    """A requirement on the ratio of two medians; the least and most of any round stand beside."""
    allowed = f"{limit:g} {TIMES}"
    if theirs not in results:
        return Row(work, f"{theirs} did not take part", allowed, None)
    one, other = results[ours], results[theirs]
    ratio = getattr(one, what) / getattr(other, what)
    each = [
        getattr(a, what) / getattr(b, what) for a, b in zip(one.samples, other.samples, strict=True)
    ]
    measured = f"{ratio:.2f} {TIMES} ({min(each):.2f}..{max(each):.2f})"
    return Row(work, measured, allowed, ratio <= limit)


def contestants_table(results: Mapping[str, Series], floor: str) -> list[str]:
    """What each contestant took."""
    base = results[floor].wall
    return table(
        ("contestant", "time, s", "least..most", "time / floor", "CPU, s", "peak memory, MiB"),
        [
            (
                series.name,
                f"{series.wall:.2f}",
                series.spread,
                f"{series.wall / base:.2f} {TIMES}",
                f"{series.cpu:.2f}",
                f"{series.rss / _MEBI:.0f}",
            )
            for series in results.values()
        ],
    )


def occasion(command: str) -> str:
    """When something was measured and how."""
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    return f"Measured on {today} by `{command}`."


def machine(versions: Mapping[str, str], filesystem: str) -> str:
    """What it was measured on and with what."""
    rows = [
        ("processor", f"{_processor()}, {os.cpu_count()} cores"),
        ("memory", f"{_memory() / 2**30:.0f} GiB"),
        ("file system", filesystem),
        ("system", f"{platform.system()} {platform.release()}"),
        ("Python", platform.python_version()),
        *versions.items(),
    ]
    return "\n".join(table(("what", "value"), rows))


def _processor() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def filesystem_of(folder: Path) -> str:
    """The type of the file system that holds a folder."""
    best = ("", "unknown")
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return best[1]
    for line in mounts:
        _, point, kind, *_ = line.split()
        if folder.resolve().is_relative_to(point) and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


def write(document: Path, name: str, text: str) -> None:
    """Put a section between its two markers in a document.

    Raises:
        ValueError: The document has no such place.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    before, found, rest = document.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{document} has no place for {name}: {begin} and {end}")
    document.write_text(f"{before}{begin}\n{text}\n{end}{after}")
