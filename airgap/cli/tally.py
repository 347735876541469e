"""Where a run stands, added up from events: no clock and no output."""

from __future__ import annotations

from dataclasses import dataclass

from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.run import Event
from airgap.run.events import (
    BlobAdvanced,
    BlobFinished,
    BlobStarted,
    ItemFinished,
    PhaseAdvanced,
    PhaseFinished,
    PhaseStarted,
)


@dataclass(slots=True)
class RunningBlob:
    """A blob on its way: up to where it is there."""

    descriptor: Descriptor
    offset: int


class Tally:
    """The phase that goes on, how far it is, and what is on its way.

    Offsets are absolute, so a transfer that is repeated takes back what it had counted and not
    more, and an event that got lost does no harm.

    Attributes:
        phase: The name of the phase; empty between two.
        number: Counts the phases, so that one that begins anew is told apart.
        total_items: How many items it has, where that is known.
        total_bytes: How many bytes it has, where that is known.
        done_items: How many are done.
        skipped_bytes: Bytes that needed no moving: they say nothing about the speed.
        running: The blobs on their way, in the order in which they began.
    """

    def __init__(self) -> None:
        self.phase = ""
        self.number = 0
        self.total_items: int | None = None
        self.total_bytes: int | None = None
        self.done_items = 0
        self.skipped_bytes = 0
        self.running: dict[tuple[Digest, str], RunningBlob] = {}
        self._finished_bytes = 0

    @property
    def done_bytes(self) -> int:
        """How many bytes are there, never more than the total."""
        done = self._finished_bytes + sum(blob.offset for blob in self.running.values())
        return done if self.total_bytes is None else min(done, self.total_bytes)

    def take(self, event: Event) -> None:
        """Add one event."""
        match event:
            case PhaseStarted():
                self._begin(event)
            case PhaseAdvanced(phase, done_bytes) if phase == self.phase:
                self._finished_bytes = done_bytes
            case PhaseFinished(phase) if phase == self.phase:
                self.phase = ""
                self.running.clear()
            case BlobStarted() | BlobAdvanced():
                self._advance(event)
            case BlobFinished():
                self._finish(event)
            case ItemFinished():
                self._count(event)
            case _:
                pass

    def _begin(self, event: PhaseStarted) -> None:
        self.phase = event.phase
        self.number += 1
        self.total_items, self.total_bytes = event.total_items, event.total_bytes
        self.done_items = 0
        self._finished_bytes = self.skipped_bytes = event.done_bytes
        self.running.clear()

    def _advance(self, event: BlobStarted | BlobAdvanced) -> None:
        key = (event.descriptor.digest, event.place)
        blob = self.running.get(key)
        if blob is None:
            self.running[key] = RunningBlob(event.descriptor, event.offset)
            if isinstance(event, BlobStarted):
                self.skipped_bytes += event.offset
        else:
            blob.offset = event.offset

    def _finish(self, event: BlobFinished) -> None:
        was_running = self.running.pop((event.descriptor.digest, event.place), None)
        self._finished_bytes += event.descriptor.size
        if was_running is None or event.outcome != "copied":
            self.skipped_bytes += event.descriptor.size - (was_running.offset if was_running else 0)

    def _count(self, event: ItemFinished) -> None:
        if event.phase == self.phase:
            self.done_items += 1
        if event.outcome == "failed":
            gone = [key for key in self.running if str(key[0]) == event.name]
            for key in gone:
                del self.running[key]
