"""Progress on standard error: bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TextIO, cast

from airgap.cli.tally import RunningBlob, Tally
from airgap.cli.visible import size_text, time_text, visible

if TYPE_CHECKING:
    from tqdm import tqdm

    Bar = tqdm[Any]

LINE_SECONDS = 10.0
DELAY_SECONDS = 0.4
"""A run or a blob that is done within this time gets no bar."""


class Display(Protocol):
    """Shows a tally."""

    def draw(self, tally: Tally, /) -> None:
        """Show where the run stands, if it is time to."""
        ...

    def write(self, line: str, /) -> None:
        """Write a line that stays, without spoiling what is drawn."""
        ...

    def close(self) -> None:
        """Take away what is drawn."""
        ...


class NoDisplay:
    """Shows nothing but the lines that stay."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def draw(self, tally: Tally, /) -> None:
        """Nothing is drawn."""

    def write(self, line: str, /) -> None:
        """Write a line."""
        self._stream.write(f"{line}\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing was drawn."""


class LineDisplay(NoDisplay):
    """Writes a line every `interval` seconds: for logs.

    Args:
        stream: Where lines go.
        now: A clock that never goes back.
        interval: Seconds between lines.
    """

    def __init__(
        self, stream: TextIO, *, now: Callable[[], float], interval: float = LINE_SECONDS
    ) -> None:
        super().__init__(stream)
        self._now = now
        self._interval = interval
        self._last = now()
        self._number = 0
        self._moved = 0

    def draw(self, tally: Tally, /) -> None:
        """Write a line if the last one is long enough ago."""
        moved = tally.done_bytes - tally.skipped_bytes
        if tally.number != self._number:
            self._number, self._moved = tally.number, 0
        elapsed = self._now() - self._last
        if elapsed < self._interval:
            return
        self._last += elapsed
        if tally.phase:
            self.write(describe(tally, rate=max(0.0, (moved - self._moved) / elapsed)))
        self._moved = moved


def describe(tally: Tally, *, rate: float) -> str:
    """A line that says where a run stands."""
    if not tally.total_bytes:
        if not (tally.total_items or tally.done_items or tally.done_bytes):
            return tally.phase
        of = f" of {tally.total_items:,}" if tally.total_items else ""
        moved = f", {size_text(tally.done_bytes)}" if tally.done_bytes else ""
        return f"{tally.phase}: {tally.done_items:,}{of}{moved}"
    done, total = tally.done_bytes, tally.total_bytes
    line = f"{tally.phase}: {size_text(done)} of {size_text(total)} ({done * 100 // total}%)"
    if rate > 0:
        line += f", {size_text(int(rate))}/s, {time_text((total - done) / rate)} left"
    return line


class BarDisplay:
    """Draws bars with tqdm: one for the phase and one for each of the first running blobs.

    Args:
        stream: The terminal.
        rows: How many bars for blobs there is room for.
        now: A clock that never goes back.
    """

    def __init__(self, stream: TextIO, *, rows: int, now: Callable[[], float]) -> None:
        self._stream = stream
        self._rows = rows
        self._now = now
        self._begun = now()
        self._total: Bar | None = None
        self._number = 0
        self._seen: dict[int, float] = {}
        self._bars: dict[int, tuple[RunningBlob, int, Bar]] = {}

    def draw(self, tally: Tally, /) -> None:
        """Draw all bars."""
        now = self._now()
        if tally.number != self._number or not tally.phase:
            self.close()
            self._number = tally.number
        if not tally.phase or now - self._begun < DELAY_SECONDS:
            return
        self._draw_total(tally)
        self._draw_blobs(tally, now)

    def write(self, line: str, /) -> None:
        """Write a line above the bars."""
        if self._total is None:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        else:
            self._total.write(line, file=self._stream)

    def close(self) -> None:
        """Take all bars away."""
        for _, _, bar in self._bars.values():
            bar.close()
        self._bars.clear()
        self._seen.clear()
        if self._total is not None:
            self._total.close()
            self._total = None

    def _draw_total(self, tally: Tally) -> None:
        has_bytes = bool(tally.total_bytes)
        done = tally.done_bytes if has_bytes else tally.done_items
        if self._total is None:
            total = tally.total_bytes if has_bytes else tally.total_items
            self._total = self._bar(tally.phase, total, done, 0, unit="B" if has_bytes else "")
        if has_bytes:  # what needed no moving is no speed
            self._total.initial = min(max(self._total.initial, tally.skipped_bytes), done)
        self._total.update(done - self._total.n)

    def _draw_blobs(self, tally: Tally, now: float) -> None:
        running = {id(blob): blob for blob in tally.running.values()}
        for key in [key for key in self._bars if key not in running]:
            self._bars.pop(key)[2].close()
        self._seen = {key: self._seen.get(key, now) for key in running}
        for key, blob in running.items():
            if key in self._bars:
                bar = self._bars[key][2]
                bar.update(blob.offset - bar.n)
            elif len(self._bars) < self._rows and now - self._seen[key] >= DELAY_SECONDS:
                free = set(range(1, self._rows + 1)) - {row for _, row, _ in self._bars.values()}
                row = min(free)
                label = f"  {blob.descriptor.digest.short}"
                bar = self._bar(label, blob.descriptor.size, blob.offset, row, unit="B")
                self._bars[key] = (blob, row, bar)

    def _bar(self, label: str, total: int | None, done: int, row: int, *, unit: str) -> Bar:
        from threading import RLock

        from tqdm import tqdm  # only where bars are drawn

        tqdm.monitor_interval = 0  # a thread of its own that we have no need for
        tqdm.set_lock(RLock())  # instead of one for processes
        bar: Any = tqdm(
            total=total,
            initial=done,
            desc=visible(label),
            unit=unit,
            unit_scale=bool(unit),
            file=self._stream,
            position=row,
            leave=False,
            dynamic_ncols=True,
            delay=1e-9,  # nothing is drawn before the width is known
            mininterval=0,
            miniters=0,
            smoothing=0.1,
            bar_format=None if total else "{desc} [{elapsed}]",
        )
        if (shape := bar.dynamic_ncols) is not None:
            bar.dynamic_ncols = lambda stream: _without_margin(shape(stream))
        return cast("Bar", bar)


def _without_margin(shape: tuple[int | None, int | None]) -> tuple[int | None, int | None]:
    """Leave room for the `^C` that a terminal shows: it would break a full line in two."""
    columns, rows = shape
    return (columns and max(1, columns - 3)), rows
