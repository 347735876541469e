"""Bundles on their way in from browsers: each in a thread of its own, found again by an id."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from airgap.content.arrival import (
    Admission,
    Arrival,
    ArrivalLedger,
    ArrivalOptions,
    BundleImporter,
)
from airgap.content.depot import Depot
from airgap.errors import AirgapError, CancelledError, LockedError
from airgap.oci.digest import Digest
from airgap.run import CancelToken, Event, Run
from airgap.run.events import BlobAdvanced, BlobFinished, BlobStarted, PhaseStarted
from airgap.server.pages.browser_file import BrowserFile

MAX_RUNNING = 8
"""How many bundles arrive at a time."""
MAX_KEPT = 100
"""Of how many the outcome is remembered."""
_JOIN_SECONDS = 10.0

_log = logging.getLogger(__name__)

State = Literal["front", "content", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What somebody wants to bring.

    Attributes:
        who: The user; empty for anonymous.
        name: What the file is called.
        size: How many bytes it has.
        mark: What tells it from another file of that name and size (when it was changed).
        options: How it is imported.
    """

    who: str
    name: str
    size: int
    mark: str
    options: ArrivalOptions

    def is_file_of(self, other: Delivery) -> bool:
        """Whether it is the same file from the same user, however it is imported."""
        return replace(self, options=other.options) == other


class Progress:
    """How far an arrival is: a `run.Reporter`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offsets: dict[Digest, int] = {}
        self.state: State = "front"
        self.total: int | None = None

    @property
    def done(self) -> int:
        """How many bytes are there that were missing."""
        with self._lock:
            return sum(self._offsets.values())

    def emit(self, event: Event, /) -> None:
        """Take a fact."""
        with self._lock:
            match event:
                case PhaseStarted(phase="push", total_bytes=total):
                    self.state, self.total = "content", total
                case BlobStarted(descriptor, _, offset) | BlobAdvanced(descriptor, _, offset):
                    self._offsets[descriptor.digest] = offset
                case BlobFinished(descriptor, _, "copied"):
                    self._offsets[descriptor.digest] = descriptor.size
                case _:
                    pass


class Arriving:
    """One bundle on its way in.

    Args:
        delivery: What it is.
        work: Imports it; blocks until it is done.
    """

    def __init__(
        self,
        delivery: Delivery,
        work: Callable[[BrowserFile, Run], Arrival],
    ) -> None:
        self.id = secrets.token_urlsafe(18)
        self.delivery = delivery
        self.progress = Progress()
        self._cancel = CancelToken()
        self.file = BrowserFile(delivery.name, delivery.size, self._cancel)
        self.arrival: Arrival | None = None
        self.error: AirgapError | None = None
        self._work = work
        self._thread = threading.Thread(target=self._run, name="airgap-arrival", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether it is neither done nor failed."""
        return self.arrival is None and self.error is None

    @property
    def state(self) -> State:
        """How far it is."""
        if self.arrival is not None:
            return "done"
        if self.error is not None:
            return "cancelled" if isinstance(self.error, CancelledError) else "failed"
        return self.progress.state

    def status(self) -> dict[str, Any]:
        """All that a page needs to go on and to show."""
        want = self.file.want if self.is_running else None
        value: dict[str, Any] = {
            "id": self.id,
            "name": self.delivery.name,
            "size": self.delivery.size,
            "state": self.state,
            "done": self.progress.done,
            "total": self.progress.total,
            "want": {"offset": want.offset, "size": want.size} if want else None,
            "options": _options_value(self.delivery.options),
        }
        if self.error is not None:
            value["error"] = {
                "code": self.error.code,
                "message": self.error.message,
                "hint": self.error.hint or "",
            }
        if self.arrival is not None:
            value["arrival"] = _arrival_value(self.arrival)
        return value

    def cancel(self) -> None:
        """Give it up; what arrived is kept."""
        self._cancel.cancel()
        self.file.finish()

    def join(self) -> None:
        """Wait until its thread has ended, for a while."""
        self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        try:
            self.arrival = self._work(self.file, Run(self.progress, self._cancel))
        except AirgapError as error:
            self.error = error
        except Exception:  # noqa: BLE001 - a bug: the log says it, and the page that it failed
            _log.exception("the arrival of %s failed", self.delivery.name)
            self.error = AirgapError("the registry failed; its log says how")
        finally:
            self.file.finish()


class ArrivalDesk:
    """All bundles on their way into one depot.

    Args:
        depot: Where they go.
        importer: Checks and imports them.
        ledger: Remembers them, where there is something that does.
        free_bytes: The room that is left for content.
        now: The time of day.
    """

    def __init__(
        self,
        depot: Depot,
        importer: BundleImporter,
        *,
        ledger: ArrivalLedger | None = None,
        free_bytes: Callable[[], int | None] = lambda: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._depot = depot
        self._importer = importer
        self._ledger = ledger
        self._free_bytes = free_bytes
        self._now = now
        self._lock = threading.Lock()
        self._arrivals: dict[str, Arriving] = {}

    def begin(
        self, delivery: Delivery, *, registry: str, may_write: Callable[[str], bool]
    ) -> Arriving:
        """Begin to take a bundle in, or go on with one whose browser was closed.

        Args:
            delivery: What it is.
            registry: What the registry is called in messages.
            may_write: Whether whoever brings it may write to a repository.

        Raises:
            LockedError: Too many bundles arrive already.
        """
        admission = Admission(registry, may_write, self._free_bytes)

        def work(file: BrowserFile, run: Run) -> Arrival:
            options = delivery.options
            arrival = self._importer(file, self._depot, options, admission, run=run)
            arrival = replace(arrival, when=self._now(), who=delivery.who)
            if self._ledger is not None:
                self._ledger.note_arrival(arrival)
            return arrival

        with self._lock:
            for found in self._running():
                if found.delivery == delivery:
                    found.file.hear()
                    return found
                if found.delivery.is_file_of(delivery):
                    found.cancel()  # the same file, to be imported in another way
            running = self._running()
            if len(running) >= MAX_RUNNING:
                raise LockedError(
                    f"{MAX_RUNNING} bundles are arriving already",
                    hint="wait until one of them is done",
                )
            arriving = Arriving(delivery, work)
            self._arrivals[arriving.id] = arriving
            self._forget()
        return arriving

    def find(self, arrival_id: str, who: str) -> Arriving | None:
        """One that somebody brings."""
        with self._lock:
            found = self._arrivals.get(arrival_id)
        return found if found is not None and found.delivery.who == who else None

    def running(self, who: str) -> tuple[Arriving, ...]:
        """Those that somebody brings and that are not done."""
        with self._lock:
            found = tuple(self._arrivals.values())
        return tuple(a for a in found if a.is_running and a.delivery.who == who)

    def close(self) -> None:
        """Give all of them up, so that the depot can be closed."""
        with self._lock:
            found = tuple(self._arrivals.values())
        for arriving in found:
            arriving.cancel()
        for arriving in found:
            arriving.join()

    def _running(self) -> list[Arriving]:
        return [found for found in self._arrivals.values() if found.is_running]

    def _forget(self) -> None:
        ended = [key for key, found in self._arrivals.items() if not found.is_running]
        for key in ended[: max(0, len(self._arrivals) - MAX_KEPT)]:
            del self._arrivals[key]


def _options_value(options: ArrivalOptions) -> dict[str, Any]:
    return {
        "prefix": options.prefix,
        "keepHost": options.keep_host,
        "onExistingTag": options.on_existing_tag,
        "sparse": options.sparse,
    }


def _arrival_value(arrival: Arrival) -> dict[str, Any]:
    return {
        "bundle": str(arrival.bundle),
        "sent": arrival.sent_bytes,
        "notes": list(arrival.notes),
        "images": [
            {
                "source": image.source,
                "repository": image.repository,
                "tag": image.tag,
                "digest": str(image.digest),
                "outcome": image.outcome,
            }
            for image in arrival.images
        ],
    }
