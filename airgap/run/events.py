"""The facts that engines report: frozen, with absolute offsets, without formatted text.

How and when they are shown is the command line's business: it samples the latest fact of each
blob on a timer, or prints every one as a line of JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from airgap.oci.descriptor import Descriptor


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    """A part of the work begins.

    Attributes:
        phase: resolve, fetch, move, verify, check, push, seal, parity or repair.
        total_items: How many images, manifests or blobs it has, where that is known.
        total_bytes: How many bytes it will move or read, where that is known.
        done_bytes: How many of them an earlier run did.
    """

    phase: str
    total_items: int | None = None
    total_bytes: int | None = None
    done_bytes: int = 0


@dataclass(frozen=True, slots=True)
class PhaseAdvanced:
    """A phase whose bytes belong to no blob has come so far."""

    phase: str
    done_bytes: int


@dataclass(frozen=True, slots=True)
class PhaseFinished:
    """A part of the work is done."""

    phase: str


@dataclass(frozen=True, slots=True)
class ItemFinished:
    """One image, manifest or blob of a phase is done, whatever was needed for it.

    Attributes:
        phase: The phase that it counts in.
        name: A reference, or a digest.
        outcome: done, present, mounted, omitted or failed.
    """

    phase: str
    name: str
    outcome: Literal["done", "present", "mounted", "omitted", "failed"] = "done"


@dataclass(frozen=True, slots=True)
class BlobStarted:
    """A blob begins to move, at the offset up to which it is already there."""

    descriptor: Descriptor
    place: str
    offset: int = 0


@dataclass(frozen=True, slots=True)
class BlobAdvanced:
    """A blob has moved up to an offset. The offset may fall back when a transfer is repeated."""

    descriptor: Descriptor
    place: str
    offset: int


@dataclass(frozen=True, slots=True)
class BlobFinished:
    """A blob is there, whole and verified."""

    descriptor: Descriptor
    place: str
    outcome: Literal["copied", "present", "mounted"] = "copied"


@dataclass(frozen=True, slots=True)
class RetryScheduled:
    """A request failed and is tried again after a pause in seconds."""

    what: str
    reason: str
    delay: float
    attempt: int


@dataclass(frozen=True, slots=True)
class MediumWanted:
    """The work goes on as soon as another medium is there.

    Attributes:
        bundle: The bundle id.
        volumes: How many volumes the bundle has.
        missing: Those that are still to be read or written.
    """

    bundle: str
    volumes: int
    missing: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a user should know. Levels: debug, info, warning."""

    level: Literal["debug", "info", "warning"]
    code: str
    message: str


Event = (
    PhaseStarted
    | PhaseAdvanced
    | PhaseFinished
    | ItemFinished
    | BlobStarted
    | BlobAdvanced
    | BlobFinished
    | RetryScheduled
    | MediumWanted
    | Notice
)


class Reporter(Protocol):
    """Takes events: from any thread, without blocking and without raising."""

    def emit(self, event: Event, /) -> None:
        """Take one event."""
        ...


class NullReporter:
    """Takes events and does nothing."""

    def emit(self, event: Event, /) -> None:
        """Take one event."""
