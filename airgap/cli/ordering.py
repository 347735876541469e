"""Has a data folder worked on: by the server that runs on it, or here where none does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

import click

from airgap.cli.options import Command
from airgap.errors import LockedError, UnavailableError
from airgap.run import Run
from airgap.server.control import ask_server
from airgap.server.datafolder import open_data
from airgap.server.orders import ORDERS


class DatabaseFlags(TypedDict):
    """What commands take that may have to open a database."""

    database: str | None


def database_option(command: Command) -> Command:
    """Add `--database`."""
    return click.option(
        "--database",
        metavar="URL",
        help="Where the metadata is, as for serve; not needed while that runs.",
    )(command)


def carry_out(
    folder: Path, order: str, values: dict[str, Any], *, database: str | None, run: Run
) -> dict[str, Any]:
    """Carry an order out.

    Args:
        folder: The data folder.
        order: What, see `airgap.server.orders`.
        values: How.
        database: Where its database is, if not in the folder.
        run: Ends it.

    Raises:
        LockedError: A process that takes no orders uses the folder.
        AirgapError: What came of it.
    """
    try:
        return ask_server(folder, order, values)
    except UnavailableError:
        pass  # nobody serves it, so it is worked on here
    try:
        depot = open_data(folder, database_url=database, creates=False)
    except LockedError:
        # whoever has it may only just have begun to take orders
        try:
            return ask_server(folder, order, values)
        except UnavailableError:
            pass
        raise
    try:
        return ORDERS[order](depot, values, run.cancel)
    finally:
        depot.close()
