"""Opens a database: SQLite in the data folder by default, PostgreSQL by URL."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool, QueuePool

from airgap.content.storage import storage_errors
from airgap.errors import SettingsError
from airgap.server.database.errors import database_errors

_BUSY_MILLISECONDS = 10_000
_CACHE_KIB = 2048
_READERS = 8
"""How many connections are kept open; more are made while more are needed."""

_HINT = "write postgresql+psycopg://USER@HOST/DATABASE"


class Database:
    """A way to one database.

    Attributes:
        name: What it is called in messages: its file, or its URL without the password.
        reading: Gives connections in which each statement stands for itself.
        writing: Gives connections with transactions that write.
        snapshots: Gives connections with transactions that see one state of everything.
    """

    def __init__(self, name: str, *, reading: Engine, writing: Engine, snapshots: Engine) -> None:
        self.name = name
        self.reading = reading
        self.writing = writing
        self.snapshots = snapshots

    @property
    def is_sqlite(self) -> bool:
        """Whether it lies in a file of the data folder."""
        return self.writing.dialect.name == "sqlite"

    def ping(self) -> None:
        """See whether it answers.

        Raises:
            StorageError: It does not.
        """
        with database_errors(self.name), self.reading.connect() as connection:
            connection.execute(select(1))

    def close(self) -> None:
        """Close all connections."""
        for engine in (self.reading, self.writing, self.snapshots):
            engine.dispose()


def open_sqlite(path: Path, *, durable: bool = True) -> Database:
    """Open a database in a file, and make it if it is not there.

    Args:
        path: The file.
        durable: Whether a transaction must survive a power cut once it is committed.

    Raises:
        StorageError: The file cannot be made.
    """
    with storage_errors(path):
        # names of private repositories stand in it, and SQLite's other files take its mode over
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    synchronous = "FULL" if durable else "OFF"
    engines = {
        "reading": _sqlite_engine(path, synchronous, begin=None, size=_READERS),
        # takes the lock at once: a transaction that reads first could not write any more
        "writing": _sqlite_engine(path, synchronous, begin="BEGIN IMMEDIATE", size=1),
        "snapshots": _sqlite_engine(path, synchronous, begin="BEGIN", size=0),
    }
    return Database(str(path), **engines)


def _sqlite_engine(path: Path, synchronous: str, *, begin: str | None, size: int) -> Engine:
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path)),
        poolclass=QueuePool if size else NullPool,
        # the driver itself begins no transactions: what it does by default breaks savepoints
        connect_args={"check_same_thread": False, "isolation_level": None},
        **({"pool_size": size, "max_overflow": -1, "pool_use_lifo": True} if size else {}),
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        for pragma in (
            f"busy_timeout = {_BUSY_MILLISECONDS}",
            "journal_mode = WAL",
            f"synchronous = {synchronous}",
            f"cache_size = -{_CACHE_KIB}",
            "foreign_keys = ON",
            "trusted_schema = OFF",
        ):
            connection.execute(f"PRAGMA {pragma}")

    if begin is not None:

        @event.listens_for(engine, "begin")
        def start(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

    return engine


def open_url(text: str) -> Database:
    """Open a database by its URL.

    Raises:
        SettingsError: It is no such URL, or the driver is not installed.
    """
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise SettingsError("--database is not a URL", hint=_HINT) from error
    if url.get_backend_name() != "postgresql":
        raise SettingsError(
            f"--database cannot be {url.get_backend_name()[:40]!r}: only PostgreSQL", hint=_HINT
        )
    url = url.set(drivername="postgresql+psycopg")
    try:
        engine = create_engine(
            url,
            pool_size=_READERS,
            max_overflow=4 * _READERS,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 10, "application_name": "airgap"},
        )
    except (ImportError, NoSuchModuleError) as error:
        raise SettingsError(
            "PostgreSQL needs the package psycopg", hint="install airgap[postgresql]"
        ) from error
    return Database(
        url.render_as_string(hide_password=True),
        reading=engine.execution_options(isolation_level="AUTOCOMMIT"),
        writing=engine,
        snapshots=engine.execution_options(isolation_level="REPEATABLE READ"),
    )
