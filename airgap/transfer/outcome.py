"""What a transfer will do and what it did, as values for whoever shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from airgap.bundle.catalog import Omission
from airgap.bundle.engines import ImageKind
from airgap.errors import AirgapError
from airgap.oci.digest import Digest
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference
from airgap.record.bases import Base, BaseKind
from airgap.trust.signer import Signer

Outcome = Literal["pushed", "present", "skipped", "planned", "image-only", "failed", "waiting"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that failed while the rest went on."""

    name: str
    error: AirgapError


def may_go_on(error: AirgapError) -> bool:
    """Whether something else may be tried after a failure.

    A registry that wants to be left alone for long is not something that failed: to ask on would
    only make it angrier, and list everything as failed.
    """
    return getattr(error, "retry_after", None) is None


@dataclass(frozen=True, slots=True)
class LeftShare:
    """What is left to the receiver because one base says that it is there.

    Attributes:
        base: The number of the base, from 0: of the plan's `bases`.
        kind: What the base is.
        id: Its digest.
        blobs: How many blobs are left to the receiver on its word.
        size: Their bytes.
    """

    base: int
    kind: BaseKind
    id: Digest
    blobs: int
    size: int


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """An image that will travel.

    Attributes:
        reference: Its source name.
        digest: What the name stands for.
        kind: Whether an engine can run it, chooses from it by platform, or neither.
        platforms: Those that travel, as far as they are known without reading a config.
        size: The bytes of its manifests and blobs, shared ones included.
        left_blobs: How many of its blobs are left to the receiver, which has them.
        left_bytes: Their bytes.
        left_by: The same by what says that the receiver has them.
    """

    reference: Reference
    digest: Digest
    kind: ImageKind
    platforms: tuple[Platform, ...]
    size: int
    left_blobs: int = 0
    left_bytes: int = 0
    left_by: tuple[LeftShare, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """What an export will do, or did. Sizes are bytes.

    Attributes:
        images: Sorted by name.
        bundle_id: The digest of the catalog.
        bundle_size: The size of the finished file.
        blob_count: How many blobs the bundle holds, manifests not counted.
        blob_bytes: Their bytes.
        fetch_count: How many of them are not here yet, or not whole.
        fetch_bytes: The bytes of those that are not here yet.
        held_bytes: What an interrupted run left, of whole and of begun blobs.
        free_bytes: The room on the output's file system, where that is known.
        omitted: What is left out on purpose.
        failed: References that failed.
        volumes: How many bytes each file has.
        cuts: How many blobs lie in several volumes.
        parity_bytes: About how much the parity takes that is written beside it.
        bases: What says what the receiver has.
        left_blobs: How many blobs are left to the receiver, which has them.
        left_bytes: Their bytes.
        left_by: The same by what says that the receiver has them.
    """

    images: tuple[PlannedImage, ...]
    bundle_id: Digest
    bundle_size: int
    blob_count: int
    blob_bytes: int
    fetch_count: int
    fetch_bytes: int
    held_bytes: int
    free_bytes: int | None
    omitted: tuple[Omission, ...]
    failed: tuple[Failure, ...]
    volumes: tuple[int, ...] = ()
    cuts: int = 0
    parity_bytes: int = 0
    bases: tuple[Base, ...] = ()
    left_blobs: int = 0
    left_bytes: int = 0
    left_by: tuple[LeftShare, ...] = ()


@dataclass(frozen=True, slots=True)
class Protection:
    """What lies beside a bundle.

    Attributes:
        files: The files that were written.
        damaged_blocks: How many damaged blocks parity can rebuild, wherever they are.
        block_size: Bytes of a block.
        lost_volumes: How many whole volumes parity can rebuild.
        text: The same for people.
    """

    files: tuple[str, ...]
    damaged_blocks: int = 0
    block_size: int = 0
    lost_volumes: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What an export did.

    Attributes:
        plan: What was in fact written; its `failed` is complete.
        path: The file, the first of the volumes, or `-` for a pipe.
        seconds: How long it took.
        fetched_bytes: What this run fetched.
        failed: References that are not in the bundle.
        is_removable: Whether the file lies on a mounted medium of its own.
        files: The files, in the order of the volumes; none for a pipe.
        beside: What was written beside them; None where nothing was wanted.
    """

    plan: ExportPlan
    path: str
    seconds: float
    fetched_bytes: int
    failed: tuple[Failure, ...]
    is_removable: bool
    files: tuple[str, ...] = ()
    beside: Protection | None = None


@dataclass(frozen=True, slots=True)
class ImportedImage:
    """What became of one image of a bundle.

    Attributes:
        source: Its name in the bundle.
        target: Its name on the destination.
        digest: What the target name stands for now.
        outcome: pushed; present (the same digest was there); skipped (another digest was there
            and stays); planned (dry run); image-only (one platform instead of its index); failed;
            waiting (for content on a medium or in a bundle that has not come yet).
    """

    source: str
    target: str
    digest: Digest
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class WrittenReceipt:
    """A receipt that an import wrote.

    Attributes:
        path: The file.
        id: The digest of the receipt, without its signatures.
        outcome: complete, partial or failed.
    """

    path: str
    id: Digest
    outcome: str


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did, or with a dry run what it would do. Sizes are bytes.

    Attributes:
        bundle_id: The bundle id.
        images: What became of each, in the order of the bundle.
        referrers: How many referrers were pushed or there.
        blobs_pushed: How many blobs were sent.
        bytes_pushed: Their bytes.
        blobs_present: How many were there.
        blobs_mounted: How many were taken over from another repository.
        manifests_pushed: How many manifests were sent, once more for each tag beside a digest.
        failed: Images that failed.
        omitted: What these images name and the bundle leaves out on purpose.
        notes: What happened otherwise than one might think.
        seconds: How long it took.
        blobs_copied: How many were read in another repository of the registry and sent.
        receipt: The receipt that was written.
        signers: Those who are trusted and signed the bundle; nobody where nobody had to.
    """

    bundle_id: Digest
    images: tuple[ImportedImage, ...]
    referrers: int
    blobs_pushed: int
    bytes_pushed: int
    blobs_present: int
    blobs_mounted: int
    manifests_pushed: int
    failed: tuple[Failure, ...]
    omitted: tuple[Omission, ...]
    notes: tuple[str, ...]
    seconds: float
    blobs_copied: int = 0
    receipt: WrittenReceipt | None = None
    signers: tuple[Signer, ...] = ()
