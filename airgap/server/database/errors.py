"""What goes wrong with a database, said in airgap's own errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from airgap.errors import AirgapError, LockedError, StorageError, StorageFullError

_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE})
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_POSTGRESQL_FULL = "53100"
"""`disk_full` (PostgreSQL manual, appendix A)."""


def database_error(error: SQLAlchemyError, what: str) -> AirgapError:
    """Translate an error of the database. Its text stays out: it may hold values of a statement.

    Args:
        error: What was raised.
        what: Which database, without its password.
    """
    cause = error.orig if isinstance(error, DBAPIError) else None
    if isinstance(cause, sqlite3.Error):
        name = getattr(cause, "sqlite_errorname", type(cause).__name__)
        kind = getattr(cause, "sqlite_errorcode", 0)
        if kind in _FULL or kind & 0xFF in _FULL:
            return StorageFullError(f"{what}: no room to write ({name})", hint="make room")
        if kind & 0xFF in _BUSY:
            return LockedError(f"{what}: used by another process ({name})", hint="try again")
        return StorageError(f"{what}: {name}", hint="check the disk and its file system")
    if getattr(cause, "sqlstate", None) == _POSTGRESQL_FULL:
        return StorageFullError(f"{what}: no room to write", hint="make room for the database")
    reason = type(cause or error).__name__
    state = getattr(cause, "sqlstate", None)
    shown = f"{reason} {state}" if state else reason
    return StorageError(
        f"{what}: {shown}", hint="check that the database runs and that its URL is right"
    )


@contextmanager
def database_errors(what: str) -> Iterator[None]:
    """Translate what the database raises inside.

    Raises:
        StorageFullError: There is no room left.
        LockedError: Another process has it.
        StorageError: Anything else went wrong.
    """
    try:
        yield
    except SQLAlchemyError as error:
        raise database_error(error, what) from error
