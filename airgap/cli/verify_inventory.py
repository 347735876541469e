"""`airgap verify inventory`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import click

from airgap.cli.inventory_view import described
from airgap.cli.invocation import Invocation
from airgap.cli.keyless_options import identities_of
from airgap.cli.options import FILE, OutputFlags, output_options
from airgap.cli.session import Session
from airgap.cli.signing_options import TrustFlags, trust_of, trust_options
from airgap.cli.values import as_seekable
from airgap.oci.digest import Digest
from airgap.record.inventory_summary import check_summary
from airgap.transfer.inventory_file import INVENTORY_FILE
from airgap.transfer.record_trust import record_signers
from airgap.trust.signer import Signer

COMMAND = "verify inventory"


class VerifyInventoryFlags(TrustFlags, OutputFlags):
    """The options of the command."""

    inventory: Path
    summary: str | None


@dataclass(frozen=True, slots=True)
class VerifiedInventory:
    """An inventory that is what it should be, for JSON (docs/json-output.md).

    Attributes:
        path: The file.
        id: The digest of its bytes without signatures.
        content_digest: The digest of what is held.
        place: The registry as HOST:PORT, or empty.
        made: When it was made.
        by: Who made it, as they call themselves.
        blobs: How many digests are held.
        signers: Those who are trusted and signed it.
        is_expected: Whether it was compared with a summary.
    """

    path: str
    id: Digest
    content_digest: Digest
    place: str
    made: str
    by: str
    blobs: int
    signers: tuple[Signer, ...]
    is_expected: bool


@click.command("inventory")
@click.argument("inventory", type=FILE)
@click.option(
    "--summary",
    metavar="TEXT",
    help="Compare with the line that --summary printed on the other side, or a content digest.",
)
@trust_options
@output_options
@click.pass_obj
def verify_inventory(invocation: Invocation, **flags: Unpack[VerifyInventoryFlags]) -> None:
    """Check that INVENTORY is whole, and is the one that the other side made.

    With --trust it must be signed by that key, else this exits with 21; with --summary it must be
    what was typed or scanned, else it exits with 20; 22 is for a file that is damaged.
    """
    session = Session(invocation, flags, command=COMMAND)
    path = as_seekable(flags["inventory"])
    summary = flags["summary"]
    with session.run() as run:
        inventory, record = INVENTORY_FILE.read(path)
        signers = record_signers(record, trust_of(session, identities_of(flags)), run=run)
        if summary is not None:
            check_summary(inventory, summary)
        shown = described(inventory, str(path))
        result = VerifiedInventory(
            str(path),
            shown.id,
            shown.content_digest,
            shown.place,
            shown.made,
            shown.by,
            shown.blobs,
            signers,
            summary is not None,
        )
        session.show_result(result, lambda: _lines(result))


def _lines(result: VerifiedInventory) -> Iterator[str]:
    place = f" of {result.place}" if result.place else ""
    yield f"{result.path}: whole; the inventory{place}, made {result.made}"
    if result.signers:
        yield f"signed by {', '.join(map(str, result.signers))}"
    if result.is_expected:
        yield "it is the one of the summary"
    if not result.signers and not result.is_expected:
        yield "whether it is the one that was made is not known: give --trust KEY or --summary TEXT"
    yield f"id: {result.id}"
