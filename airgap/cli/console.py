"""What a person sees of a run: notices and progress, on standard error."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from airgap.cli.progress import Display
from airgap.cli.tally import Tally
from airgap.cli.visible import labelled, size_text, time_text
from airgap.run import Event
from airgap.run.events import BlobFinished, ItemFinished, Notice, RetryScheduled

LONG_PAUSE = 5.0
"""A pause of so many seconds is told of without --verbose: the run looks stuck otherwise."""

Verbosity = Literal["quiet", "normal", "verbose"]
_COLORS = {"warning": 33, "info": 36, "debug": 90, "retry": 33}


class Console:
    """Shows events to a person; what cannot be written is dropped.

    Args:
        display: Draws, or does not.
        verbosity: quiet shows warnings only; verbose shows each item.
        has_color: Whether labels are coloured.
    """

    def __init__(self, display: Display, *, verbosity: Verbosity, has_color: bool) -> None:
        self._display = display
        self._verbosity = verbosity
        self._has_color = has_color
        self._tally = Tally()
        self._is_gone = False

    def take(self, event: Event, _when: datetime, /) -> None:
        """Count an event, and write a line where it deserves one."""
        self._tally.take(event)
        line = self._line(event)
        if line is not None and not self._is_gone:
            try:
                self._display.write(line)
            except OSError:  # nobody watches any more; the work goes on
                self._is_gone = True

    def tick(self) -> None:
        """Draw."""
        if not self._is_gone:
            try:
                self._display.draw(self._tally)
            except OSError:
                self._is_gone = True

    def close(self) -> None:
        """Take away what is drawn."""
        if not self._is_gone:
            try:
                self._display.close()
            except OSError:
                self._is_gone = True

    def _line(self, event: Event) -> str | None:
        is_verbose = self._verbosity == "verbose"
        match event:
            case Notice(level, _, message):
                shown = {"quiet": ("warning",), "normal": ("warning", "info")}
                is_shown = is_verbose or level in shown[self._verbosity]
                return self._labelled(level, message) if is_shown else None
            case RetryScheduled():
                is_long = event.delay >= LONG_PAUSE and self._verbosity == "normal"
                if not (is_verbose or is_long):
                    return None
                pause = time_text(event.delay)
                return self._labelled(
                    "retry", f"{event.what}: {event.reason}; attempt {event.attempt} in {pause}"
                )
            case ItemFinished() if is_verbose and not _is_told(event):
                return self._labelled("debug", f"{event.phase}: {event.name}: {event.outcome}")
            case BlobFinished() if is_verbose:
                size = size_text(event.descriptor.size)
                name = event.descriptor.digest
                return self._labelled("debug", f"{event.place}: {name} ({size}) {event.outcome}")
            case _:
                return None

    def _labelled(self, label: str, text: str) -> str:
        return labelled(label, text, color=_COLORS[label] if self._has_color else None)


def _is_told(event: ItemFinished) -> bool:
    """Whether this is a blob that came: its own line has said so."""
    return event.outcome == "done" and event.name.startswith(("sha256:", "sha512:"))
