"""`airgap inspect inventory`."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import click

from airgap.cli.inventory_view import SummaryFlags, described, show_inventory, summary_options
from airgap.cli.invocation import Invocation
from airgap.cli.options import FILE, OutputFlags, output_options
from airgap.cli.session import Session
from airgap.cli.values import as_seekable
from airgap.transfer.inventory_file import INVENTORY_FILE
from airgap.trust.signatures import Signatures

COMMAND = "inspect inventory"


class InspectInventoryFlags(SummaryFlags, OutputFlags):
    """The options of the command."""

    inventory: Path


@click.command("inventory")
@click.argument("inventory", type=FILE)
@summary_options
@output_options
@click.pass_obj
def inspect_inventory(invocation: Invocation, **flags: Unpack[InspectInventoryFlags]) -> None:
    """Show of which place INVENTORY is, when and by whom it was made, and what it counts.

    With -v its images are listed. All of it is checked but signatures and whether it is the one
    that the other side made: `airgap verify inventory` does that.
    """
    session = Session(invocation, flags, command=COMMAND)
    path = as_seekable(flags["inventory"])
    with session.run():
        inventory, record = INVENTORY_FILE.read(path)
        by_key = Signatures.parse(record.signatures).by_key if record.signatures else ()
        signed_by = tuple(signature.key for signature in by_key)
        result = described(inventory, str(path), signed_by)
        show_inventory(session, flags, result, is_whole=not (flags["summary"] or flags["qr"]))
