"""`airgap inspect bundle`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import click

from airgap.bundle.reader import numbers_text, open_bundle
from airgap.bundle.summary import (
    BaseSummary,
    BundleSummary,
    ImageSummary,
    PlatformSummary,
    ReferrerSummary,
    summarize,
)
from airgap.cli.invocation import Invocation
from airgap.cli.omissions import omission_text
from airgap.cli.options import FILE, OutputFlags, output_options
from airgap.cli.session import Session
from airgap.cli.values import as_seekable
from airgap.cli.visible import count_text, cut, held_text, size_text
from airgap.errors import AirgapError
from airgap.oci import mediatype
from airgap.trust.signatures import Signatures

COMMAND = "inspect bundle"


@dataclass(frozen=True, slots=True)
class VolumeSummary:
    """A file of a bundle: its number, where it is, and its bytes."""

    volume: int
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class InspectResult:
    """What a bundle carries, for JSON (docs/json-output.md)."""

    path: str
    size: int
    summary: BundleSummary
    volume_count: int = 1
    volumes: tuple[VolumeSummary, ...] = ()
    missing_volumes: tuple[int, ...] = ()
    signatures: tuple[str, ...] = ()
    is_signed: bool = False


class InspectFlags(OutputFlags):
    """The options of the command."""

    bundle: tuple[Path, ...]


@click.command("bundle")
@click.argument("bundle", type=FILE, nargs=-1, required=True)
@output_options
@click.pass_obj
def inspect_bundle(invocation: Invocation, **flags: Unpack[InspectFlags]) -> None:
    """List what BUNDLE carries: images, platforms, what refers to them, and what is left out.

    BUNDLE is a file, some or all of its volumes, or folders that hold them. Only the front of each
    file is read. `airgap verify bundle` checks all of it.
    """
    session = Session(invocation, flags, command=COMMAND)
    paths = [as_seekable(path) for path in flags["bundle"]]
    with session.run(), open_bundle(paths, must_be_whole=False) as reader:
        summary = summarize(reader.catalog, reader.documents, reader.read_config)
        volumes = tuple(
            VolumeSummary(number, volume.name, volume.size)
            for number, volume in sorted(reader.volumes.items())
        )
        signatures = reader.catalog.signatures
        result = InspectResult(
            reader.name,
            reader.size,
            summary,
            reader.volume_count,
            volumes,
            reader.missing_volumes,
            _signers(signatures),
            bool(signatures),
        )
        session.show_result(result, lambda: result_lines(result))


def result_lines(result: InspectResult) -> Iterator[str]:
    """A summary for people."""
    summary, path, size = result.summary, result.path, result.size
    images, blobs = count_text(len(summary.images), "image"), count_text(summary.blobs, "blob")
    manifests = count_text(summary.manifests, "manifest")
    yield f"{path}: {size_text(size)}; {images}, {manifests}, {blobs}"
    if result.volume_count > 1:
        here = f"{len(result.volumes):,} of {result.volume_count:,} volumes are here"
        missing = f"; missing: {numbers_text(result.missing_volumes)}"
        yield here + (missing if result.missing_volumes else "")
        yield from cut(
            f"  volume {row.volume}: {row.path}  {size_text(row.size)}" for row in result.volumes
        )
    yield f"bundle id: {summary.bundle_id}"
    yield from _signature_lines(result)
    yield from _held_lines(summary)
    if summary.saved_size > 0:
        yield f"sharing saves {size_text(summary.saved_size)}"
    if summary.referrers:
        counts = (count_text(count, kind) for kind, count in summary.referrers.items())
        yield f"referrers: {', '.join(counts)}"
    for image in summary.images:
        yield ""
        yield from _image_lines(image)
    if summary.omitted:
        yield ""
        yield "left out on purpose:"
        yield from (f"  {omission_text(omission)}" for omission in summary.omitted)


def _signers(raw: bytes) -> tuple[str, ...]:
    """The keys that signatures name; none where they cannot be read, which a check says."""
    try:
        signatures = Signatures.parse(raw)
    except AirgapError:
        return ()
    return tuple(str(signature.key) for signature in signatures.by_key)


def _signature_lines(result: InspectResult) -> Iterator[str]:
    if not result.is_signed:
        return
    yield "signatures (not checked here):"
    yield from cut(f"  key {key}" for key in result.signatures)
    if not result.signatures:
        yield "  none that names a key"


def _held_lines(summary: BundleSummary) -> Iterator[str]:
    if summary.held_blobs:
        yield f"left to the receiver: {held_text(summary.held_blobs, summary.held_size)}"
    elif summary.bases:
        yield "left to the receiver: nothing"
    yield from cut(f"  {_base_text(base)}" for base in summary.bases)


def _base_text(base: BaseSummary) -> str:
    place = f" of {base.place}" if base.place else ""
    held = held_text(base.held_blobs, base.held_size) if base.held_blobs else "nothing"
    return f"{held} by the {base.kind}{place}  {base.id}"


def _image_lines(image: ImageSummary) -> Iterator[str]:
    yield image.name
    kind = f"{image.kind} ({image.artifact_type})" if image.artifact_type else image.kind
    shared = f", {size_text(image.shared_size)} shared" if image.shared_size else ""
    yield f"  {kind}  {size_text(image.size)}{shared}{_held_text(image)}  {image.digest}"
    names = {platform.digest: str(platform.platform) for platform in image.platforms}
    yield from (_platform_line(p, image) for p in image.platforms if p.platform or p.left_out)
    for referrer in image.referrers:
        subject = names.get(referrer.subject, "")
        yield _referrer_line(referrer, subject)


def _held_text(image: ImageSummary) -> str:
    if not image.held_blobs:
        return ""
    return f", {held_text(image.held_blobs, image.held_size)} left to the receiver"


def _platform_line(row: PlatformSummary, image: ImageSummary) -> str:
    name = row.platform or "unknown platform"
    if row.left_out:
        return f"  {name}  left out ({row.left_out})  {row.digest}"
    # An image for one platform has said its digest and size before.
    return (
        f"  {name}"
        if row.digest == image.digest
        else (f"  {name}  {size_text(row.size)}  {row.digest}")
    )


def _referrer_line(row: ReferrerSummary, subject: str) -> str:
    # The type of an image's config says nothing: buildkit's attestations have it.
    is_told = row.artifact_type and row.artifact_type != mediatype.OCI_CONFIG
    what = f"{row.kind} ({row.artifact_type})" if is_told else row.kind
    of = f" of {subject}" if subject else ""
    tag = f" as {row.tag}" if row.tag else ""
    return f"  {what}{of}{tag}  {size_text(row.size)}  {row.digest}"
