"""Takes events from the engine's threads and hands them to what shows them, on a timer."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from airgap.oci.digest import Digest
from airgap.run import CancelToken, Event
from airgap.run.events import BlobAdvanced, BlobFinished, Notice

STOPPING = Notice(
    "warning",
    "stopping",
    "stopping; everything is kept, run the same command again to go on",
)


class EventSink(Protocol):
    """Shows or writes events; called by one thread at a time."""

    def take(self, event: Event, when: datetime, /) -> None:
        """Take one event. Of the advances of a blob only the latest of each tick arrives."""
        ...

    def tick(self) -> None:
        """Draw, if it is time to."""
        ...

    def close(self) -> None:
        """Finish: nothing comes any more."""
        ...


class EventPump:
    """A reporter that costs its callers next to nothing.

    It stores the latest fact of each blob and queues everything else; a thread of its own hands
    both on every `interval` seconds. No caller waits for a terminal, a pipe or a lock.

    Args:
        sinks: What takes the events.
        cancel: Watched, to say that the run is stopping.
        interval: Seconds between two looks.
        now: The clock.
        stopping: What is said when the run is stopping.
    """

    def __init__(
        self,
        sinks: Sequence[EventSink],
        cancel: CancelToken,
        *,
        interval: float = 0.15,
        now: Callable[[], float] = time.time,
        stopping: Notice = STOPPING,
    ) -> None:
        self._sinks = sinks
        self._cancel = cancel
        self._interval = interval
        self._now = now
        self._stopping = stopping
        self._queue: deque[tuple[float, Event]] = deque()
        self._latest: dict[tuple[Digest, str], tuple[float, BlobAdvanced]] = {}
        self._has_said_stopping = False
        self._closing = threading.Event()
        self._pumping = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="events", daemon=True)
        self._error: Exception | None = None

    def emit(self, event: Event, /) -> None:
        """Take one event."""
        if isinstance(event, BlobAdvanced):
            self._latest[event.descriptor.digest, event.place] = (self._now(), event)
        else:
            self._queue.append((self._now(), event))

    def start(self) -> None:
        """Begin to hand events on."""
        self._thread.start()

    def close(self) -> None:
        """Hand on what is left and close the sinks.

        Raises:
            Exception: What a sink raised; the others got their events.
        """
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        self.pump()
        for sink in self._sinks:
            self._guard(sink.close)
        if self._error is not None:
            raise self._error

    def pump(self) -> None:
        """Hand on everything that was reported until now."""
        with self._pumping:  # somebody who is asked something waits for what was said before
            self._pump()

    def _pump(self) -> None:
        # The advances are looked at before the queue, so that a blob's start, which was queued
        # before, is handed on before them; and its end takes away those that came before it.
        advanced = list(self._latest.items())
        while self._queue:
            when, event = self._queue.popleft()
            if isinstance(event, BlobFinished):
                key = (event.descriptor.digest, event.place)
                self._latest.pop(key, None)
                advanced = [item for item in advanced if item[0] != key] if advanced else advanced
            self._hand_on(when, event)
        for key, (when, fact) in advanced:
            if self._latest.get(key) == (when, fact):
                self._latest.pop(key, None)
            self._hand_on(when, fact)
        if self._cancel.is_cancelled and not self._has_said_stopping:
            self._has_said_stopping = True
            self._hand_on(self._now(), self._stopping)
        for sink in self._sinks:
            self._guard(sink.tick)

    def _work(self) -> None:
        while not self._closing.wait(self._interval):
            self.pump()

    def _hand_on(self, when: float, event: Event) -> None:
        time_of_day = datetime.fromtimestamp(when, UTC)
        for sink in self._sinks:
            self._guard(lambda sink=sink: sink.take(event, time_of_day))  # type: ignore[misc]  # mypy does not infer the default

    def _guard(self, call: Callable[[], None]) -> None:
        # The first failure is kept for `close`: work goes on when nobody can watch it.
        try:
            call()
        except Exception as error:  # noqa: BLE001 (raised again in close)
            self._error = self._error or error
