"""`airgap inspect bundle`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import click

from airgap.bundle.reader import numbers_text, open_bundle
from airgap.bundle.summary import (
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
from airgap.cli.visible import count_text, cut, size_text
from airgap.oci import mediatype

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
        result = InspectResult(
            reader.name, reader.size, summary, reader.volume_count, volumes, reader.missing_volumes
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


def _image_lines(image: ImageSummary) -> Iterator[str]:
    yield image.name
    kind = f"{image.kind} ({image.artifact_type})" if image.artifact_type else image.kind
    shared = f", {size_text(image.shared_size)} shared" if image.shared_size else ""
    yield f"  {kind}  {size_text(image.size)}{shared}  {image.digest}"
    names = {platform.digest: str(platform.platform) for platform in image.platforms}
    yield from (_platform_line(p, image) for p in image.platforms if p.platform or p.left_out)
    for referrer in image.referrers:
        subject = names.get(referrer.subject, "")
        yield _referrer_line(referrer, subject)


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
