"""The options about tags that go back to an older image, and what they ask the log for."""

from __future__ import annotations

from collections.abc import Collection

import click

from airgap.cli.options import Command, CustodyFlags, custody_option
from airgap.cli.session import Session
from airgap.errors import AirgapError
from airgap.run import Run
from airgap.transfer.custody import CustodyLog
from airgap.transfer.rollback import ImportHistory, RollbackGuard


class RollbackFlags(CustodyFlags):
    """What a command takes that moves tags."""

    no_rollback: bool | None


def rollback_options(command: Command) -> Command:
    """Add `--no-rollback` and `--custody-log`."""
    option = click.option(
        "--no-rollback/--allow-rollback",
        default=None,
        help="Refuse to move a tag back to an image that was imported before the one there.",
    )
    return option(custody_option(command))


def rollback_guard(session: Session, run: Run) -> RollbackGuard:
    """What says, by the log of custody, whether a tag goes back.

    Where none may, the log must be whole; otherwise one that cannot be read is a warning.
    """
    refuses = session.settings.no_rollback
    log = CustodyLog(session.custody_log)

    def history(names: Collection[str]) -> ImportHistory:
        try:
            return log.history(names, is_strict=refuses)
        except AirgapError as error:
            if refuses:
                raise
            run.warn("rollback", f"whether tags go back is not known: {error}")
            return ImportHistory(())

    return RollbackGuard(history, refuses)
