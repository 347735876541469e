"""What commands tell a person in the end: pure functions from results to lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from airgap.cli.omissions import left_lines, omission_lines
from airgap.cli.visible import count_text, cut, size_text, speed_text
from airgap.errors import PartialError

if TYPE_CHECKING:  # each command has loaded what its own result is
    from airgap.transfer.destination import Destination
    from airgap.transfer.outcome import (
        ExportPlan,
        ExportResult,
        Failure,
        ImportedImage,
        ImportResult,
        PlannedImage,
    )
    from airgap.transfer.spread_outcome import SpreadResult

_OUTCOMES = {
    "pushed": "pushed",
    "present": "there already",
    "skipped": "left as it is",
    "planned": "to be pushed",
    "image-only": "pushed as a single image",
    "failed": "failed",
    "waiting": "waiting for more",
}


def plan_lines(plan: ExportPlan) -> Iterator[str]:
    """What an export would do."""
    yield from cut(_image_line(image) for image in plan.images)
    blobs = count_text(plan.blob_count, "blob")
    yield f"{count_text(len(plan.images), 'image')}, {blobs} ({size_text(plan.blob_bytes)})"
    fetch = f"to fetch: {count_text(plan.fetch_count, 'blob')} ({size_text(plan.fetch_bytes)})"
    if plan.held_bytes:
        fetch += f"; {size_text(plan.held_bytes)} are here from an interrupted run"
    yield fetch
    size = f"size of the bundle: {size_text(plan.bundle_size)}{_volumes_text(plan)}"
    if plan.parity_bytes:
        size += f"; parity: {size_text(plan.parity_bytes)}"
    if plan.free_bytes is not None:
        size += f"; free: {size_text(plan.free_bytes)}"
        if plan.free_bytes < plan.fetch_bytes + plan.parity_bytes:
            size += ", which is not enough"
    yield size
    yield from _left_lines(plan)
    yield from omission_lines(plan.omitted)
    yield from failure_lines(plan.failed)
    yield f"bundle id: {plan.bundle_id}"


def export_lines(result: ExportResult) -> Iterator[str]:
    """What an export did."""
    plan = result.plan
    yield from cut(_image_line(image) for image in plan.images)
    where = "standard output" if result.path == "-" else result.path
    images, blobs = count_text(len(plan.images), "image"), count_text(plan.blob_count, "blob")
    yield f"{where}: {images}, {blobs}, {size_text(plan.bundle_size)}{_volumes_text(plan)}"
    yield f"fetched {speed_text(result.fetched_bytes, result.seconds)}"
    if result.beside is not None and result.beside.text:
        size = size_text(result.beside.block_size)
        yield f"parity protects against {result.beside.text} (blocks of {size})"
    yield from _left_lines(plan)
    yield from omission_lines(plan.omitted)
    yield from failure_lines(result.failed)
    yield f"bundle id: {plan.bundle_id}"
    if result.is_removable:
        yield "synced; safe to remove"


def spread_lines(result: SpreadResult) -> Iterator[str]:
    """What an export to several media did."""
    for number, volumes_here in enumerate(result.media, 1):
        yield f"medium {number}: {_numbers_text(volumes_here) if volumes_here else 'parity alone'}"
    for medium in result.written:
        if medium.beside is not None and medium.beside.text:
            what = f"parity of {_numbers_text(medium.volumes)}"
            yield f"{what} protects against {medium.beside.text}"
    images, media = count_text(len(result.images), "image"), len(result.media)
    volumes = count_text(len(result.volumes), "volume")
    size = size_text(sum(result.volumes))
    where = "1 medium" if media == 1 else f"{media} media"
    yield f"{images}, {size} in {volumes} on {where}"
    yield f"fetched {speed_text(result.fetched_bytes, result.seconds)}"
    yield from left_lines(result.bases, result.left_by)
    yield from failure_lines(result.failed)
    yield f"bundle id: {result.bundle_id}"
    if result.scratch is not None:
        yield f"{result.scratch} holds all of it as well; it is not needed any more"
    yield "synced and read back; safe to remove"


def _left_lines(plan: ExportPlan) -> Iterator[str]:
    yield from left_lines(plan.bases, plan.left_by)
    if plan.left_blobs and not plan.blob_count:
        yield "the receiver has every blob: the bundle carries manifests and names alone"


def _numbers_text(numbers: Sequence[int]) -> str:
    word = "volume" if len(numbers) == 1 else "volumes"
    return f"{word} {', '.join(map(str, numbers))}"


def _volumes_text(plan: ExportPlan) -> str:
    if len(plan.volumes) < 2:
        return ""
    cuts = f", {count_text(plan.cuts, 'blob')} cut" if plan.cuts else ""
    return f" in {len(plan.volumes):,} volumes{cuts}"


def import_lines(result: ImportResult, *, to: Destination, is_dry: bool) -> Iterator[str]:
    """What an import did, or would do."""
    yield from cut(_target_line(image) for image in result.images)
    outcomes = Counter(_OUTCOMES[image.outcome] for image in result.images)
    parts = ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.items())
    images = count_text(len(result.images), "image")
    yield f"{to}: {images}" + (f" ({parts})" if parts else "")
    yield (
        f"blobs: {result.blobs_pushed:,} {'to push' if is_dry else 'pushed'}"
        f" ({size_text(result.bytes_pushed)}), {result.blobs_present:,} there already,"
        f" {result.blobs_mounted:,} mounted{_copied_text(result)};"
        f" manifests: {result.manifests_pushed:,}{' to push' if is_dry else ''};"
        f" referrers: {result.referrers:,}"
    )
    if not is_dry:
        yield f"sent {speed_text(result.bytes_pushed, result.seconds)}"
    yield from omission_lines(result.omitted)
    yield from (f"note: {note}" for note in result.notes)
    yield from failure_lines(result.failed)
    yield f"bundle id: {result.bundle_id}"
    if result.receipt is not None:
        yield f"receipt: {result.receipt.path} ({result.receipt.outcome}), {result.receipt.id}"


def partial_error(failed: Sequence[Failure], what: str) -> PartialError:
    """The error of a run that went on without what failed."""
    names = [failure.name for failure in failed]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return PartialError(
        f"{count_text(len(names), 'reference')} could not be {what}: {shown}",
        failed=[f"{failure.name}: {failure.error.message}" for failure in failed],
        hint="the rest is done; run the same command again when the reasons are gone",
    )


def _image_line(image: PlannedImage) -> str:
    platforms = ", ".join(str(platform) for platform in image.platforms) or image.kind
    name = image.reference.tagged
    line = f"  {name}  {platforms}  {size_text(image.size)}  {image.digest}"
    if image.left_by:
        whose = ", ".join(f"{share.kind} {share.id.short}" for share in image.left_by)
        what = f"{count_text(image.left_blobs, 'blob')}, {size_text(image.left_bytes)}"
        line += f"  without {what} by {whose}"
    return line


def _copied_text(result: ImportResult) -> str:
    return f", {result.blobs_copied:,} copied within the registry" if result.blobs_copied else ""


def _target_line(image: ImportedImage) -> str:
    return f"  {image.source} -> {image.target}  {_OUTCOMES[image.outcome]}"


def failure_lines(failed: Sequence[Failure]) -> Iterator[str]:
    """What failed while the rest went on."""
    yield from (f"failed: {failure.name}: {failure.error.message}" for failure in failed)
