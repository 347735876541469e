"""`airgap gc`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Unpack

import click

from airgap.cli.invocation import Invocation
from airgap.cli.options import DataFlags, OutputFlags, data_option, output_options
from airgap.cli.ordering import DatabaseFlags, carry_out, database_option
from airgap.cli.session import Session
from airgap.wording import count_text, size_text

COMMAND = "gc"


class GcFlags(OutputFlags, DataFlags, DatabaseFlags):
    """The options of the command."""

    dry_run: bool
    untagged_older_than: float | None


@dataclass(frozen=True, slots=True)
class GcResult:
    """What was freed, for JSON (docs/json-output.md)."""

    data: str
    manifests: int
    links: int
    blobs: int
    size: int
    uploads: int
    upload_size: int
    repositories: int
    is_dry_run: bool


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Only tell what would be freed.")
@click.option(
    "--untagged-older-than",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="Also delete manifests that were pushed so long ago and that nothing names.",
)
@data_option
@database_option
@output_options
@click.pass_obj
def collect(invocation: Invocation, **flags: Unpack[GcFlags]) -> None:
    """Free the room of blobs that no manifest needs.

    It may run while the registry is served. Manifests stay, tagged or not, until they are deleted
    or --untagged-older-than says so; whatever was pushed or asked for in the last hour stays.
    """
    session = Session(invocation, flags, command=COMMAND)
    folder = flags["data"] or session.settings.environment.data_folder
    values = {"is_dry_run": flags["dry_run"], "untagged_days": flags["untagged_older_than"]}
    with session.run() as run:
        found = carry_out(folder, "gc", values, database=flags["database"], run=run)
    result = GcResult(str(folder), **found)
    invocation.show_result(COMMAND, result, lambda: _lines(result))


def _lines(result: GcResult) -> Iterator[str]:
    verb = "would free" if result.is_dry_run else "freed"
    yield (
        f"{verb} {size_text(result.size + result.upload_size)}:"
        f" {count_text(result.blobs, 'blob')},"
        f" {count_text(result.uploads, 'upload')} that nobody went on with"
    )
    if result.manifests:
        verb = "would delete" if result.is_dry_run else "deleted"
        yield f"{verb} {count_text(result.manifests, 'manifest')} that nothing names"
