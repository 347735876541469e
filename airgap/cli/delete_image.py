"""`airgap delete image`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Unpack

import click

from airgap.cli.invocation import Invocation
from airgap.cli.options import DataFlags, OutputFlags, data_option, output_options
from airgap.cli.ordering import DatabaseFlags, carry_out, database_option
from airgap.cli.session import Session
from airgap.errors import SettingsError
from airgap.wording import count_text

COMMAND = "delete image"


class DeleteFlags(OutputFlags, DataFlags, DatabaseFlags):
    """The options of the command."""

    images: tuple[str, ...]
    keep_newest: int | None
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Removed:
    """What is gone from one repository, for JSON (docs/json-output.md)."""

    repository: str
    tags: tuple[str, ...]
    manifests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """What is gone, for JSON (docs/json-output.md)."""

    data: str
    is_dry_run: bool
    removed: tuple[Removed, ...]


@click.command("image")
@click.argument("images", nargs=-1, metavar="[IMAGE]...")
@click.option(
    "--keep-newest",
    type=click.IntRange(min=0),
    metavar="N",
    help="In each repository named, or in all, delete all images but the N that were pushed last.",
)
@click.option("--dry-run", is_flag=True, help="Only tell what would be deleted.")
@data_option
@database_option
@output_options
@click.pass_obj
def delete_image(invocation: Invocation, **flags: Unpack[DeleteFlags]) -> None:
    """Delete IMAGEs (REPOSITORY:TAG or REPOSITORY@DIGEST) from the data folder.

    What belongs to an image goes with it if nothing else names it: the manifests of its platforms,
    signatures and whatever else refers to it. All of them are deleted or none. The room is free
    after the next airgap gc.
    """
    session = Session(invocation, flags, command=COMMAND)
    if not flags["images"] and flags["keep_newest"] is None:
        raise SettingsError("no image is named", hint="write REPOSITORY:TAG, or --keep-newest N")
    folder = flags["data"] or session.settings.environment.data_folder
    values = {
        "names": list(flags["images"]),
        "keep_newest": flags["keep_newest"],
        "is_dry_run": flags["dry_run"],
    }
    with session.run() as run:
        found = carry_out(folder, "delete", values, database=flags["database"], run=run)
    removed = tuple(
        Removed(entry["repository"], tuple(entry["tags"]), tuple(entry["manifests"]))
        for entry in found["removed"]
    )
    result = DeleteResult(str(folder), flags["dry_run"], removed)
    invocation.show_result(COMMAND, result, lambda: _lines(result))


def _lines(result: DeleteResult) -> Iterator[str]:
    verb = "would delete" if result.is_dry_run else "deleted"
    for removed in result.removed:
        for tag in removed.tags:
            yield f"{verb} {removed.repository}:{tag}"
        count = count_text(len(removed.manifests), "manifest")
        yield f"{verb} {count} of {removed.repository}"
    if not result.removed:
        yield "there was nothing to delete"
    elif not result.is_dry_run:
        yield "airgap gc frees the room"
