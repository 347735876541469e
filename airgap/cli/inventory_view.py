"""How inventories are shown: as lines, as one line that can be typed, and as a QR code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypedDict

import click

from airgap.cli.options import Command, all_of
from airgap.cli.qr import qr_lines
from airgap.cli.session import Session
from airgap.cli.visible import count_text, cut, size_text
from airgap.oci.digest import Digest
from airgap.record.inventory import Inventory
from airgap.record.inventory_summary import InventorySummary
from airgap.record.origin import time_text
from airgap.transfer.outcome import Failure

_KINDS = {
    "registry": "the registry",
    "bundle": "bundles",
    "layout": "image layouts",
    "need": "what a bundle lacks in the registry",
}


class SummaryFlags(TypedDict):
    """What commands take that show an inventory."""

    summary: bool
    qr: bool


@dataclass(frozen=True, slots=True)
class InventoryImageRow:
    """A name and what it stands for."""

    name: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class InventoryResult:
    """What an inventory says, for JSON (docs/json-output.md).

    Attributes:
        path: The file; None where it was not written.
        id: The digest of its bytes without signatures.
        content_digest: The digest of what is held, whenever and by whomever it was made.
        summary: The same and the counts in one line that can be typed.
        kind: registry, bundle, layout or need.
        place: The registry as HOST:PORT, or empty.
        made: When.
        by: Who made it, as they call themselves.
        version: The version of airgap that made it.
        is_complete: Whether it names all that the place holds.
        need: The bundle that lacks what a need lists.
        blobs: How many digests are held.
        links: How often a digest is held by a repository.
        repositories: How many repositories hold something.
        size: The bytes of all that is held, each digest counted once.
        images: The names and what they stand for.
        failed: What is left out because it failed.
        manifests_fetched: How many manifests were fetched to make it.
        manifests_known: How many were known from an earlier run.
        missing_blobs: How many blobs are named by manifests and are not there.
        signed_by: The ids of the keys whose signatures came with it.
    """

    path: str | None
    id: Digest
    content_digest: Digest
    summary: str
    kind: str
    place: str
    made: str
    by: str
    version: str
    is_complete: bool
    need: Digest | None
    blobs: int
    links: int
    repositories: int
    size: int
    images: tuple[InventoryImageRow, ...]
    failed: tuple[Failure, ...] = ()
    manifests_fetched: int = 0
    manifests_known: int = 0
    missing_blobs: int = 0
    signed_by: tuple[Digest, ...] = ()


def summary_options(command: Command) -> Command:
    """Add `--summary` and `--qr`."""
    return all_of(
        click.option(
            "--summary",
            is_flag=True,
            help="Print one line that can be typed: a digest of what is held, and counts.",
        ),
        click.option("--qr", is_flag=True, help="Draw that line as a QR code, to be scanned."),
    )(command)


def described(
    inventory: Inventory, path: str | None, signed_by: tuple[Digest, ...] = ()
) -> InventoryResult:
    """What an inventory says, as a result."""
    return InventoryResult(
        path,
        inventory.id,
        inventory.content_digest,
        str(InventorySummary.of(inventory)),
        inventory.kind,
        inventory.place,
        time_text(inventory.made),
        inventory.by,
        inventory.version,
        inventory.is_complete,
        inventory.need,
        inventory.blob_count,
        inventory.link_count,
        len(inventory.repositories),
        inventory.total_size,
        tuple(InventoryImageRow(*image) for image in inventory.images),
        signed_by=signed_by,
    )


def show_inventory(
    session: Session, flags: SummaryFlags, result: InventoryResult, *, is_whole: bool
) -> None:
    """Show an inventory as it is asked for; the QR code comes last.

    Args:
        session: The command.
        flags: Whether the short line is wanted, or its code.
        result: What is shown.
        is_whole: Whether more than the short line is wanted.

    Raises:
        StorageError: It could not be written.
    """
    is_short = flags["summary"] or flags["qr"]
    is_verbose = session.settings.verbose

    def lines() -> Iterator[str]:
        if is_whole:
            yield from _lines(result, is_verbose=is_verbose)
        if is_short:
            yield result.summary

    session.show_result(result, lines)
    if flags["qr"] and not session.settings.json:
        output = session.invocation.output
        has_color = session.invocation.has_color and output.is_terminal
        for line in qr_lines(result.summary, has_color=has_color):
            output.write(line)


def _lines(result: InventoryResult, *, is_verbose: bool) -> Iterator[str]:
    head = "" if result.path is None else f"{result.path}: "
    place = f" {result.place}" if result.place else ""
    by = f" by {result.by}" if result.by else ""
    version = f" with airgap {result.version}" if result.version else ""
    yield f"{head}inventory of {_KINDS[result.kind]}{place}"
    yield f"made {result.made}{by}{version}"
    # A need says what images lack, wherever in the registry they are to lie.
    where = f" in {count_text(result.repositories, 'repository', 'repositories')}"
    yield (
        f"{count_text(result.blobs, 'blob')} ({size_text(result.size)})"
        f"{where if result.need is None else ''}; {count_text(len(result.images), 'image')}"
    )
    if result.need is not None and result.images:
        yield f"needed for the bundle {result.need}"
    elif result.need is not None:
        yield f"nothing is missing: the bundle {result.need} can be imported"
    if not result.is_complete:
        yield "not complete: the place may hold more that was not asked for or may not be seen"
    if result.missing_blobs:
        yield f"{count_text(result.missing_blobs, 'blob')} named by manifests and not there"
    for failure in result.failed:
        yield f"failed: {failure.name}: {failure.error.message}"
    yield from (f"signed by the key {key} (not checked here)" for key in result.signed_by)
    yield f"id: {result.id}"
    yield f"content digest: {result.content_digest}"
    if is_verbose:
        yield from cut(f"  {image.name}  {image.digest}" for image in result.images)
