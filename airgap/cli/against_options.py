"""Options about what the receiver of a bundle has, or lacks, and about lock files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from airgap.cli.options import FILE, Command, all_of
from airgap.errors import SettingsError
from airgap.oci.reference import Reference
from airgap.run import Run
from airgap.transfer.export import ExportOptions, open_sources

if TYPE_CHECKING:  # what an option needs is loaded where it is given
    from airgap.record.lock import Lock
    from airgap.registry.client import Client
    from airgap.transfer.against import Check
    from airgap.transfer.bundle_source import Holdings


class AgainstFlags(TypedDict):
    """What an export takes that sends only what is missing."""

    against: tuple[Path, ...]
    exactly: Path | None
    lock: Path | None


def against_options(command: Command) -> Command:
    """Add `--against`, `--exactly` and `--lock`."""
    return all_of(
        click.option(
            "--against",
            type=FILE,
            multiple=True,
            metavar="FILE|FOLDER",
            help="Leave out what the receiver has by this inventory, receipt, bundle, catalog or "
            "lock file (repeatable).",
        ),
        click.option(
            "--exactly",
            type=FILE,
            metavar="FILE",
            help="Take exactly what `export inventory --missing-for` found to be missing.",
        ),
        click.option(
            "--lock",
            type=FILE,
            metavar="FILE",
            help="Write what each name stood for to this file, which -f takes.",
        ),
    )(command)


def check_against(flags: AgainstFlags, *, is_asked: bool) -> None:
    """See that the options do not contradict each other.

    Args:
        flags: The options.
        is_asked: Whether images are named beside them.

    Raises:
        SettingsError: They do, or a lock file could not be written in the end.
        ConflictError: What is there instead of a lock file is something else.
    """
    if flags["lock"] is not None:
        from airgap.transfer.locked import LOCK_FILE

        LOCK_FILE.before(flags["lock"])
    if flags["exactly"] is None:
        return
    if is_asked:
        raise SettingsError(
            "--exactly itself says which images are wanted", hint="name no others beside it"
        )
    if flags["against"]:
        raise SettingsError(
            "--exactly itself says what the receiver lacks", hint="leave out --against"
        )


def receiver_options(
    flags: AgainstFlags,
    references: tuple[Reference, ...],
    options: ExportOptions,
    *,
    client: Client | Holdings,
    locks: Sequence[Lock],
    check: Check | None,
    run: Run,
) -> tuple[tuple[Reference, ...], ExportOptions]:
    """Find out what the receiver has or lacks, and whether tags of lock files have moved.

    Args:
        flags: The options.
        references: What was asked for.
        options: What of it is wanted.
        client: Where images are looked up.
        locks: The lock files that were given.
        check: Refuses what is not signed as it must be; None checks nothing.
        run: Progress and cancellation.

    Returns:
        What is asked for, and what of it is wanted, with all of that.

    Raises:
        AirgapError: A file cannot be read, is damaged, or is of another kind.
    """
    sources = partial(open_sources, client, registries=1, jobs=options.jobs, run=run)
    if locks:
        from airgap.transfer.locked import warn_of_moved

        warn_of_moved(locks, sources=sources(), run=run)
    if flags["exactly"] is not None:
        from airgap.transfer.against import read_need

        need = read_need(flags["exactly"], check=check)
        return need.references, replace(options, known=need.known)
    if flags["against"]:
        from airgap.transfer.against import read_known

        known = read_known(flags["against"], check=check, sources=sources, run=run)
        return references, replace(options, known=known)
    return references, options
