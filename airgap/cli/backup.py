"""`airgap backup` and `airgap restore`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import click

from airgap.cli.invocation import Invocation
from airgap.cli.options import FILE, DataFlags, OutputFlags, data_option, output_options
from airgap.cli.ordering import DatabaseFlags, database_option
from airgap.cli.session import Session
from airgap.errors import PartialError
from airgap.server.backup import write_backup
from airgap.server.restore import restore_backup
from airgap.wording import count_text, size_text


class BackupFlags(OutputFlags, DataFlags, DatabaseFlags):
    """The options of `backup`."""

    output: Path


class RestoreFlags(OutputFlags, DataFlags, DatabaseFlags):
    """The options of `restore`."""

    backup: Path


@dataclass(frozen=True, slots=True)
class BackupResult:
    """What is in a backup, for JSON (docs/json-output.md)."""

    data: str
    path: str
    blobs: int
    size: int
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """What was restored, for JSON (docs/json-output.md)."""

    data: str
    path: str
    blobs: int
    size: int


@click.command("backup")
@click.option(
    "-o", "--output", type=FILE, required=True, metavar="FILE", help="The tar to be written."
)
@data_option
@database_option
@output_options
@click.pass_obj
def backup(invocation: Invocation, **flags: Unpack[BackupFlags]) -> None:
    """Write the data folder into one tar, while the registry is served or not.

    It is as the registry was at one moment, with users and keys: only its owner may read it.
    """
    session = Session(invocation, flags, command="backup")
    folder = flags["data"] or session.settings.environment.data_folder
    with session.run() as run:
        report = write_backup(
            folder, flags["output"], database_url=flags["database"], cancel=run.cancel
        )
    result = BackupResult(str(folder), report.path, report.blobs, report.size, report.missing)
    invocation.show_result("backup", result, lambda: _backup_lines(result))
    if report.missing:
        raise PartialError(
            f"{count_text(len(report.missing), 'blob')} that the registry knows could not be found",
            failed=report.missing,
            hint="push the images again that need them",
        )


@click.command("restore")
@click.argument("backup", type=FILE)
@data_option
@database_option
@output_options
@click.pass_obj
def restore(invocation: Invocation, **flags: Unpack[RestoreFlags]) -> None:
    """Make a data folder of BACKUP. The folder must be empty, or not be there."""
    session = Session(invocation, flags, command="restore")
    folder = flags["data"] or session.settings.environment.data_folder
    with session.run() as run:
        report = restore_backup(
            flags["backup"], folder, database_url=flags["database"], cancel=run.cancel
        )
    result = RestoreResult(str(folder), str(flags["backup"]), report.blobs, report.size)
    invocation.show_result("restore", result, lambda: _restore_lines(result))


def _backup_lines(result: BackupResult) -> Iterator[str]:
    for digest in result.missing:
        yield f"missing: {digest}"
    yield f"{result.path}: {count_text(result.blobs, 'blob')}, {size_text(result.size)}"


def _restore_lines(result: RestoreResult) -> Iterator[str]:
    yield f"{result.data}: {count_text(result.blobs, 'blob')}, {size_text(result.size)}"
    yield f"serve it with: airgap serve --data {result.data}"
