"""What commands tell a person in the end: pure functions from results to lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from airgap.bundle.catalog import Omission
from airgap.cli.visible import count_text, size_text, time_text
from airgap.errors import PartialError
from airgap.transfer.destination import Destination
from airgap.transfer.outcome import (
    ExportPlan,
    ExportResult,
    Failure,
    ImportedImage,
    ImportResult,
    PlannedImage,
)

MAX_ROWS = 100
"""Longer lists are cut, with a word on where the rest stands."""

_OUTCOMES = {
    "pushed": "pushed",
    "present": "there already",
    "skipped": "left as it is",
    "planned": "to be pushed",
    "image-only": "pushed as a single image",
    "failed": "failed",
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
    size = f"size of the bundle: {size_text(plan.bundle_size)}"
    if plan.free_bytes is not None:
        size += f"; free: {size_text(plan.free_bytes)}"
    yield size
    yield from _omission_lines(plan.omitted)
    yield from _failure_lines(plan.failed)
    yield f"bundle id: {plan.bundle_id}"


def export_lines(result: ExportResult) -> Iterator[str]:
    """What an export did."""
    plan = result.plan
    yield from cut(_image_line(image) for image in plan.images)
    where = "standard output" if result.path == "-" else result.path
    images, blobs = count_text(len(plan.images), "image"), count_text(plan.blob_count, "blob")
    yield f"{where}: {images}, {blobs}, {size_text(plan.bundle_size)}"
    yield f"fetched {speed_text(result.fetched_bytes, result.seconds)}"
    yield from _omission_lines(plan.omitted)
    yield from _failure_lines(result.failed)
    yield f"bundle id: {plan.bundle_id}"
    if result.is_removable:
        yield "synced; safe to remove"


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
        f" {result.blobs_mounted:,} mounted; manifests: {result.manifests_pushed:,};"
        f" referrers: {result.referrers:,}"
    )
    if not is_dry:
        yield f"sent {speed_text(result.bytes_pushed, result.seconds)}"
    yield from (f"note: {note}" for note in result.notes)
    yield from _failure_lines(result.failed)
    yield f"bundle id: {result.bundle_id}"


def partial_error(failed: Sequence[Failure], what: str) -> PartialError:
    """The error of a run that went on without what failed."""
    names = [failure.name for failure in failed]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return PartialError(
        f"{count_text(len(names), 'reference')} could not be {what}: {shown}",
        failed=[f"{failure.name}: {failure.error.message}" for failure in failed],
        hint="the rest is done; run the same command again when the reasons are gone",
    )


def cut(lines: Iterable[str], *, rest: str = "--json lists them all") -> Iterator[str]:
    """The first lines, and how many more there are."""
    more = 0
    for number, line in enumerate(lines):
        if number < MAX_ROWS:
            yield line
        else:
            more += 1
    if more:
        yield f"… and {more:,} more ({rest})"


def omission_text(omission: Omission) -> str:
    """One thing that is left out, and why."""
    descriptor = omission.descriptor
    what = f"{descriptor.digest} ({descriptor.media_type}, {size_text(descriptor.size)})"
    match omission.reason:
        case "platform":
            return f"{_platform_text(omission)}: {what}"
        case "non-distributable":
            return f"non-distributable layer: {what}"
        case "missing-at-source":
            return f"missing at the source: {what}"


def _image_line(image: PlannedImage) -> str:
    platforms = ", ".join(str(platform) for platform in image.platforms) or "artifact"
    name = image.reference.tagged
    return f"  {name}  {platforms}  {size_text(image.size)}  {image.digest}"


def _target_line(image: ImportedImage) -> str:
    return f"  {image.source} -> {image.target}  {_OUTCOMES[image.outcome]}"


def _omission_lines(omitted: Sequence[Omission]) -> Iterator[str]:
    if not omitted:
        return
    yield f"left out on purpose: {count_text(len(omitted), 'item')}"
    platforms = Counter(_platform_text(o) for o in omitted if o.reason == "platform")
    if platforms:
        listed = ", ".join(f"{name} ({count:,})" for name, count in sorted(platforms.items()))
        yield f"  other platforms: {listed}"
    others = (f"  {omission_text(o)}" for o in omitted if o.reason != "platform")
    yield from cut(others, rest="airgap inspect bundle lists them all")


def _platform_text(omission: Omission) -> str:
    # Entries for no platform speak of one that stays behind: buildkit's attestations.
    platform = omission.descriptor.platform
    return str(platform) if platform and platform.is_known else "what belongs to them"


def _failure_lines(failed: Sequence[Failure]) -> Iterator[str]:
    yield from (f"failed: {failure.name}: {failure.error.message}" for failure in failed)


def speed_text(size: int, seconds: float) -> str:
    """How much in how long, and how fast that was."""
    text = f"{size_text(size)} in {time_text(seconds)}"
    return f"{text} ({size_text(int(size / seconds))}/s)" if size and seconds > 0 else text
