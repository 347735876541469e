"""What a person sees of a run: the tally, lines in a log, bars on a terminal."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime

import pytest

from airgap.cli.console import Console
from airgap.cli.progress import BarDisplay, LineDisplay, NoDisplay
from airgap.cli.tally import Tally
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.run.events import (
    BlobAdvanced,
    BlobFinished,
    BlobStarted,
    ItemFinished,
    Notice,
    PhaseFinished,
    PhaseStarted,
    RetryScheduled,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def blob(number: int, size: int = 1000) -> Descriptor:
    return Descriptor("a/b", Digest("sha256", f"{number:064x}"), size)


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def taken(*events: object) -> Tally:
    tally = Tally()
    for event in events:
        tally.take(event)  # type: ignore[arg-type]
    return tally


def test_bytes_are_added_up_from_absolute_offsets() -> None:
    """What an earlier run did, what is finished and what is on its way make the sum."""
    tally = taken(
        PhaseStarted("fetch", 3, 5000, done_bytes=1000),
        BlobStarted(blob(1), "p"),
        BlobAdvanced(blob(1), "p", 300),
        BlobAdvanced(blob(1), "p", 700),
        BlobStarted(blob(2), "p", 250),
        BlobFinished(blob(3), "p", "present"),
    )
    assert tally.done_bytes == 1000 + 700 + 250 + 1000
    assert tally.skipped_bytes == 1000 + 250 + 1000
    tally.take(BlobFinished(blob(1), "p"))
    assert tally.done_bytes == 1000 + 1000 + 250 + 1000
    assert list(tally.running) == [(blob(2).digest, "p")]


def test_a_repeated_transfer_takes_back_only_its_own_bytes() -> None:
    """A blob that begins anew lowers the sum by what it had, and never below zero."""
    tally = taken(
        PhaseStarted("fetch", 1, 2000),
        BlobStarted(blob(1), "p"),
        BlobAdvanced(blob(1), "p", 900),
        BlobAdvanced(blob(1), "p", 0),
    )
    assert tally.done_bytes == 0
    tally.take(BlobFinished(blob(1), "p"))
    assert tally.done_bytes == 1000


def test_the_sum_is_never_more_than_the_total() -> None:
    """More bytes than were announced show as all of them."""
    tally = taken(PhaseStarted("push", 1, 500), BlobFinished(blob(1), "p"))
    assert tally.done_bytes == 500


def test_a_blob_that_failed_is_not_on_its_way() -> None:
    """A failed item takes its blob out of the sum."""
    tally = taken(
        PhaseStarted("fetch", 1, 2000),
        BlobStarted(blob(1), "p"),
        BlobAdvanced(blob(1), "p", 900),
        ItemFinished("fetch", str(blob(1).digest), "failed"),
    )
    assert (tally.done_bytes, tally.done_items, tally.running) == (0, 1, {})


def test_a_phase_begins_from_nothing() -> None:
    """Neither items nor bytes of one phase count in the next."""
    tally = taken(
        PhaseStarted("resolve", 2),
        ItemFinished("resolve", "a"),
        ItemFinished("other", "a"),
        PhaseFinished("resolve"),
    )
    assert (tally.phase, tally.done_items) == ("", 1)
    tally.take(PhaseStarted("fetch", 1, 10))
    assert (tally.phase, tally.done_items, tally.done_bytes) == ("fetch", 0, 0)


def test_a_log_gets_a_line_now_and_then() -> None:
    """A line is written every ten seconds, with the rate since the last one and the time left."""
    clock, stream = Clock(), io.StringIO()
    display, tally = LineDisplay(stream, now=clock), Tally()
    tally.take(PhaseStarted("fetch", 2, 100_000_000, done_bytes=20_000_000))
    tally.take(BlobStarted(blob(1, 80_000_000), "p"))
    for seconds, offset in ((1, 1_000_000), (10, 20_000_000), (15, 25_000_000), (20, 40_000_000)):
        clock.time = 100.0 + seconds
        tally.take(BlobAdvanced(blob(1, 80_000_000), "p", offset))
        display.draw(tally)
    assert stream.getvalue().splitlines() == [
        "fetch: 40.0 MB of 100.0 MB (40%), 2.0 MB/s, 30 s left",
        "fetch: 60.0 MB of 100.0 MB (60%), 2.0 MB/s, 20 s left",
    ]


def test_a_log_counts_items_where_there_are_no_bytes() -> None:
    """A phase of items says how many are done."""
    clock, stream = Clock(), io.StringIO()
    display = LineDisplay(stream, now=clock)
    clock.time += 11
    display.draw(taken(PhaseStarted("resolve", 1200), ItemFinished("resolve", "a")))
    assert stream.getvalue() == "resolve: 1 of 1,200\n"


def test_a_phase_that_counts_nothing_has_its_name_and_time() -> None:
    """Syncing shows that it goes on, without a number or a bar that stands still."""
    clock, log, terminal = Clock(), io.StringIO(), Terminal()
    lines, bars = LineDisplay(log, now=clock), BarDisplay(terminal, rows=1, now=clock)
    clock.time += 11
    for display in (lines, bars):
        display.draw(taken(PhaseStarted("seal")))
    assert log.getvalue() == "seal\n"
    assert "seal [00:" in terminal.getvalue()
    bars.close()


def test_bars_are_drawn_for_the_phase_and_running_blobs() -> None:
    """The total and as many blobs as there are rows are drawn, and taken away at the end."""
    clock, stream = Clock(), Terminal()
    display, tally = BarDisplay(stream, rows=2, now=clock), Tally()
    tally.take(PhaseStarted("fetch", 3, 10_000))
    for number in (1, 2, 3):
        tally.take(BlobStarted(blob(number), "p"))
    display.draw(tally)
    assert stream.getvalue() == "", "what is done at once gets no bars"
    for _ in range(3):
        clock.time += 0.5
        display.draw(tally)
    drawn = stream.getvalue()
    assert "fetch:" in drawn
    assert drawn.count(f"{blob(1).digest.short}:") >= 1
    assert blob(1).digest.hex[:12] in drawn
    assert len(display._bars) == 2
    tally.take(BlobFinished(blob(1), "p"))
    clock.time += 0.5
    display.draw(tally)
    assert [row for _, row, _ in display._bars.values()] == [2, 1], "a free row is used again"
    tally.take(PhaseFinished("fetch"))
    display.draw(tally)
    assert display._bars == {}
    assert display._total is None


def test_bars_leave_room_for_what_the_terminal_echoes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A `^C` behind the first bar must not break its line, or it would stay on the screen."""
    monkeypatch.setattr("tqdm.std._screen_shape_wrapper", lambda: lambda _: (60, 20))
    clock, stream = Clock(), Terminal()
    display, tally = BarDisplay(stream, rows=1, now=clock), taken(PhaseStarted("fetch", 1, 10_000))
    clock.time += 1
    display.draw(tally)
    drawn = max(len(line) for line in re.split(r"[\r\n]", stream.getvalue()))
    display.close()
    assert drawn == 57


def test_lines_between_bars_stand_on_their_own() -> None:
    """A warning is written on a cleared line while bars are drawn."""
    clock, stream = Clock(), Terminal()
    display, tally = BarDisplay(stream, rows=1, now=clock), taken(PhaseStarted("fetch", 1, 10_000))
    clock.time += 1
    display.draw(tally)
    before = len(stream.getvalue())
    display.write("warning: x")
    written = stream.getvalue()[before:]
    display.close()
    line = next(line for line in written.splitlines() if "warning" in line)
    assert line.rpartition("\r")[2] == "warning: x"


@pytest.mark.parametrize(
    ("verbosity", "shown"),
    [
        ("quiet", {"w"}),
        ("normal", {"w", "i", "slow"}),
        ("verbose", {"w", "i", "d", "slow", "fast", "img", str(blob(1).digest)}),
    ],
)
def test_the_verbosity_decides_what_is_told(verbosity: str, shown: set[str]) -> None:
    """quiet tells warnings only, normal long pauses too, verbose everything but advances."""
    stream = io.StringIO()
    console = Console(NoDisplay(stream), verbosity=verbosity, has_color=False)  # type: ignore[arg-type]
    for event in (
        Notice("warning", "c", "<w>"),
        Notice("info", "c", "<i>"),
        Notice("debug", "c", "<d>"),
        RetryScheduled("<slow>", "r", 30, 2),
        RetryScheduled("<fast>", "r", 0.5, 2),
        ItemFinished("resolve", "<img>"),
        ItemFinished("fetch", str(blob(1).digest)),
        BlobStarted(blob(1), "p"),
        BlobAdvanced(blob(1), "p", 5),
        BlobFinished(blob(1), "p"),
    ):
        console.take(event, NOW)
    lines = stream.getvalue().splitlines()
    found = {word for word in ("w", "i", "d", "slow", "fast", "img") if f"<{word}>" in str(lines)}
    found |= {str(blob(1).digest)} if str(blob(1).digest) in str(lines) else set()
    assert found == shown
    assert len(lines) == len(shown)


def test_what_a_server_sent_cannot_steer_a_terminal() -> None:
    """Control and direction characters of a notice are shown as escapes."""
    stream = io.StringIO()
    console = Console(NoDisplay(stream), verbosity="normal", has_color=False)
    console.take(Notice("warning", "c", "a\x1b[2J\r\nb\u202ec\x9bd"), NOW)
    assert stream.getvalue() == "warning: a\\x1b[2J\\r\\nb\\u202ec\\x9bd\n"


def test_a_terminal_that_is_gone_does_not_end_the_run() -> None:
    """When nobody can read standard error any more, events are still taken."""

    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    console = Console(NoDisplay(Gone()), verbosity="normal", has_color=False)
    for _ in range(2):
        console.take(Notice("warning", "c", "x"), NOW)
        console.tick()
    console.close()
