"""`airgap export inventory`."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Unpack

import click

from airgap.cli.author import author_of
from airgap.cli.custody import CustodyEntry, custody, file_names
from airgap.cli.encryption_options import decrypt_options
from airgap.cli.inventory_source import (
    InventoryPlace,
    SourceFlags,
    parse_place,
    source_options,
    take_from,
)
from airgap.cli.inventory_view import (
    SummaryFlags,
    described,
    show_inventory,
    summary_options,
)
from airgap.cli.invocation import Invocation
from airgap.cli.options import (
    NEW_BUNDLE,
    NetworkFlags,
    custody_option,
    jobs_option,
    network_options,
    output_options,
)
from airgap.cli.output import Output
from airgap.cli.session import Session
from airgap.cli.signing_options import SignFlags, sign_options, signers
from airgap.cli.visible import count_text
from airgap.content.atomic import write_file
from airgap.errors import ExitCode, PartialError, SettingsError
from airgap.oci.digest import Digest
from airgap.transfer.inventory_file import INVENTORY_FILE
from airgap.transfer.inventory_registry import InventoryOrigin
from airgap.transfer.outcome import Failure
from airgap.transfer.record_file import signed_bytes
from airgap.version import __version__

COMMAND = "export inventory"


class ExportInventoryFlags(SourceFlags, SignFlags, SummaryFlags, NetworkFlags):
    """The options of the command."""

    output: Path | None
    by: str | None
    jobs: str | None


@click.command("inventory")
@source_options
@click.option(
    "-o",
    "--output",
    type=NEW_BUNDLE,
    metavar="FILE",
    help="Where it goes; an older inventory there is replaced; - is standard output.",
)
@click.option("--by", metavar="TEXT", help="Who makes it (default: USER@MACHINE).")
@sign_options
@summary_options
@decrypt_options
@jobs_option
@custody_option
@network_options
@output_options
@click.pass_obj
def export_inventory(invocation: Invocation, **flags: Unpack[ExportInventoryFlags]) -> None:
    """Write down what a place holds, so that the other side sends only what is missing there.

    The registry that airgap serves tells it by itself. Of others, the tags, manifests and referrers
    of all repositories that they list are read; for the next time, manifests are kept in the
    user's cache. Where the list of repositories is closed, name them with --repository or -f.

    `airgap export images --against FILE` takes the inventory on the other side.
    """
    output = flags["output"]
    is_pipe = str(output) == "-"
    session = Session(invocation, flags, command=COMMAND, is_bundle_on_stdout=is_pipe)
    place = parse_place(flags)
    if output is None and not (flags["summary"] or flags["qr"]):
        raise SettingsError("it is not said where the inventory goes", hint="name a file: -o FILE")
    if output is not None and not is_pipe:
        INVENTORY_FILE.before(output)
    origin = InventoryOrigin(datetime.now(UTC), author_of(flags["by"]), __version__)
    keys = signers(flags, session)
    if is_pipe and sys.stdout.isatty():
        raise SettingsError("an inventory is not written to a terminal", hint="-o FILE")
    with session.run() as run, custody(session, run, "export", is_dry=output is None) as entry:
        report = take_from(place, session, flags, origin, run)
        raw = signed_bytes(report.inventory.raw, keys)
        if output is not None and not is_pipe:
            write_file(output, raw)
        _log(entry, place, report.inventory.id, output, report.failed)
        result = replace(
            described(
                report.inventory,
                None if output is None else str(output),
                tuple(sorted(key.id for key in keys)),
            ),
            failed=report.failed,
            manifests_fetched=report.manifests_fetched,
            manifests_known=report.manifests_known,
            missing_blobs=report.missing_blobs,
        )
        if is_pipe:
            Output(sys.stdout).write_bytes(raw)
        show_inventory(session, flags, result, is_whole=output is not None)
        if report.failed:
            raise _partial(report.failed)


def _log(
    entry: CustodyEntry,
    place: InventoryPlace,
    inventory: Digest,
    output: Path | None,
    failed: tuple[Failure, ...],
) -> None:
    """Write the entry before the result is shown."""
    entry.tell(inventory=str(inventory))
    if place.registry is not None:
        entry.tell(source=str(place.registry))
    if output is not None:
        entry.tell(paths=file_names([output]))
    if failed:
        entry.tell(failed=[failure.name for failure in failed])
    entry.end(exit_code=ExitCode.PARTIAL if failed else ExitCode.OK)


def _partial(failed: tuple[Failure, ...]) -> PartialError:
    names = [failure.name for failure in failed]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")
    count = count_text(len(names), "repository or image", "repositories and images")
    return PartialError(
        f"{count} could not be read and {'is' if len(names) == 1 else 'are'} not in it: {shown}",
        failed=[f"{failure.name}: {failure.error.message}" for failure in failed],
        hint="it may be used: what is not in it travels again",
    )
