"""A receipt: what an import brought to a registry, digest by digest, or how far it came. Pure.

The sha256 of its bytes is its id. Signatures stand behind these bytes and are no part of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args

from airgap.oci.digest import Digest
from airgap.record.bases import Base
from airgap.record.log import LogPosition

ReceiptOutcome = Literal["complete", "partial", "failed"]
BlobOutcome = Literal["pushed", "present", "mounted", "copied"]
ReceiptImageOutcome = Literal[
    "pushed", "present", "skipped", "image-only", "failed", "waiting", "left"
]
OUTCOMES: tuple[ReceiptOutcome, ...] = get_args(ReceiptOutcome)
BLOB_OUTCOMES: tuple[BlobOutcome, ...] = get_args(BlobOutcome)
IMAGE_OUTCOMES: tuple[ReceiptImageOutcome, ...] = get_args(ReceiptImageOutcome)


@dataclass(frozen=True, slots=True, order=True)
class ReceiptEntry:
    """A blob or a manifest that a repository has.

    Attributes:
        digest: What it is.
        repository: The repository on the destination.
        size: Its bytes.
        outcome: Whether it was sent, there already, mounted from another repository of the
            registry, or copied from there through airgap.
    """

    digest: Digest
    repository: str
    size: int
    outcome: BlobOutcome


@dataclass(frozen=True, slots=True)
class ReceiptImage:
    """What became of one image of the bundle.

    Attributes:
        name: Its full source name.
        digest: What the name stands for in the bundle.
        repository: The repository on the destination; empty for an image that was left, or where
            the import was stopped before that was decided.
        tag: Its tag there; empty where it is there by digest, or was left.
        outcome: pushed; present (it was there); skipped (the tag stays at another digest);
            image-only (one platform in the place of its index); failed; waiting (for what another
            bundle or medium brings); left (nobody asked for it).
        named: What the name on the destination stands for; None where that is not known.
    """

    name: str
    digest: Digest
    repository: str
    tag: str
    outcome: ReceiptImageOutcome
    named: Digest | None = None


@dataclass(frozen=True, slots=True, order=True)
class ReceiptTag:
    """A tag that was set beside those of images that arrived: cosign's, or of one that failed."""

    repository: str
    tag: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class ReceiptFailure:
    """Something that failed.

    Attributes:
        name: The image; empty for what ended the whole import.
        code: The error's code (docs/exit-codes.md).
        message: The error in one line.
    """

    name: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ReceiptHolding:
    """What a receipt says of one digest.

    Attributes:
        size: Its bytes.
        repositories: The repositories that have it, sorted.
    """

    size: int
    repositories: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What an import brought to a registry.

    Attributes:
        bundle: The bundle id.
        bases: What the bundle builds on.
        registry: The registry that was imported to.
        prefix: The path in it below which repositories were put; may be empty.
        started: When the import began, by the clock of the importing machine.
        finished: When it ended.
        version: The version of airgap.
        by: Who imported, as they call themselves; may be empty.
        outcome: complete: every image that was asked for is there. partial: some failed or wait.
            failed: the import was stopped by an error or by somebody.
        error: What stopped it; None where nothing did.
        images: Every image of the bundle, sorted by name.
        manifests: The manifests that are there, sorted by digest and repository.
        blobs: The configs and layers that are there, likewise.
        tags: What was tagged beside the images that arrived, sorted.
        failed: What failed while the rest went on.
        log: How far the log of custody goes with its entry of this import; None without a log.
        raw: The canonical bytes.
    """

    bundle: Digest
    bases: tuple[Base, ...] = ()
    registry: str
    prefix: str = ""
    started: datetime
    finished: datetime
    version: str = ""
    by: str = ""
    outcome: ReceiptOutcome
    error: ReceiptFailure | None = None
    images: tuple[ReceiptImage, ...] = ()
    manifests: tuple[ReceiptEntry, ...] = ()
    blobs: tuple[ReceiptEntry, ...] = ()
    tags: tuple[ReceiptTag, ...] = ()
    failed: tuple[ReceiptFailure, ...] = ()
    log: LogPosition | None = None
    raw: bytes = field(default=b"", repr=False, compare=False)

    @property
    def id(self) -> Digest:
        """The digest of the receipt without its signatures."""
        return Digest.of(self.raw)

    def find(self, digest: Digest) -> ReceiptHolding | None:
        """What the receipt says of a blob or manifest; None where it is not there."""
        found = [*_of(self.blobs, digest), *_of(self.manifests, digest)]
        if not found:
            return None
        return ReceiptHolding(found[0].size, tuple(sorted({e.repository for e in found})))


def in_order(entries: Iterable[ReceiptEntry]) -> tuple[ReceiptEntry, ...]:
    """Entries as they stand in a receipt."""
    return tuple(sorted(entries, key=_key))


def _of(entries: tuple[ReceiptEntry, ...], digest: Digest) -> Iterator[ReceiptEntry]:
    start = bisect_left(entries, (digest, ""), key=_key)
    while start < len(entries) and entries[start].digest == digest:
        yield entries[start]
        start += 1


def _key(entry: ReceiptEntry) -> tuple[Digest, str]:
    return entry.digest, entry.repository
