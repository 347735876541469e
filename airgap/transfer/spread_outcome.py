"""What an export to several media did: a value for people and for JSON."""

from __future__ import annotations

from dataclasses import dataclass

from airgap.oci.digest import Digest
from airgap.record.bases import Base
from airgap.transfer.outcome import Failure, LeftShare, Protection


@dataclass(frozen=True, slots=True)
class WrittenMedium:
    """What was written to one medium.

    Attributes:
        volumes: The numbers of the volumes.
        files: Their files.
        beside: What lies beside them.
    """

    volumes: tuple[int, ...]
    files: tuple[str, ...]
    beside: Protection | None = None


@dataclass(frozen=True, slots=True)
class SpreadResult:
    """What an export to several media did. Sizes are bytes.

    Attributes:
        bundle_id: The digest of the catalog.
        images: The names of the images.
        volumes: How many bytes each volume has.
        media: The volumes on each medium, those of earlier runs as well.
        written: What this run wrote.
        fetched_bytes: The bytes that came from sources in this run.
        failed: References that failed.
        seconds: How long this run took.
        scratch: The folder in which all of it lies, too, and which may be removed.
        bases: What says what the receiver has.
        left_by: What is left to the receiver, by the base that says that it has it.
    """

    bundle_id: Digest
    images: tuple[str, ...]
    volumes: tuple[int, ...]
    media: tuple[tuple[int, ...], ...]
    written: tuple[WrittenMedium, ...]
    fetched_bytes: int
    failed: tuple[Failure, ...]
    seconds: float
    scratch: str | None = None
    bases: tuple[Base, ...] = ()
    left_by: tuple[LeftShare, ...] = ()
