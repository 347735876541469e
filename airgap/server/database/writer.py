"""The one thread that writes: what comes in while it is busy goes into one transaction.

A commit costs a sync of the disk. Whoever waits for one while another one runs shares the next
with all others who wait: so many pushes at once cost few syncs, and one alone waits for nobody.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from airgap.errors import AirgapError, StorageError
from airgap.server.database.engine import Database
from airgap.server.database.errors import database_error, database_errors

T = TypeVar("T")
Work = Callable[[Connection], T]

_MAX_GROUP = 256
_LATER_SECONDS = 5.0
"""How long work that nobody waits for waits for other work to go with."""

_log = logging.getLogger(__name__)


class _Job:
    def __init__(self, work: Work[Any], *, is_later: bool = False, only_adds: bool = False) -> None:
        self.work = work
        self.changes = not (is_later or only_adds)
        self.is_later = is_later
        self.future: Future[Any] = Future()
        self.result: Any = None


class Writer:
    """Runs work that changes the database, in the order in which it comes.

    Args:
        database: Where.

    Attributes:
        generation: Changes with every commit that may change or take away what was there, before
            anybody hears of it.
        has_failed: Whether the database ever could not be written, so that files may be without
            their rows.
    """

    def __init__(self, database: Database) -> None:
        self.generation = 0
        self.has_failed = False
        self._database = database
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="airgap-database", daemon=True)
        self._thread.start()

    def run(self, work: Work[T], *, only_adds: bool = False) -> T:
        """Do work and return what it gives once that is committed.

        Args:
            work: Gets a connection; it is all or nothing by itself.
            only_adds: Whether everything that was there before is there afterwards, unchanged.

        Raises:
            AirgapError: What it raises; nothing of it is kept.
            StorageError: The database failed.
        """
        return self._put(work, only_adds=only_adds).result()

    def later(self, work: Work[object]) -> None:
        """Do work within seconds, together with other work if there is some.

        Nobody waits for it, so that it costs no sync of its own; a failure is logged.
        """
        job = _Job(work, is_later=True)
        job.future.add_done_callback(_log_failure)
        with self._lock:
            if not self._is_closed:
                self._jobs.put(job)

    def close(self) -> None:
        """Do what is left and end."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._jobs.put(None)
        self._thread.join()

    def _put(self, work: Work[T], *, only_adds: bool) -> Future[T]:
        job = _Job(work, only_adds=only_adds)
        with self._lock:
            if self._is_closed:
                raise StorageError(f"{self._database.name} is closed")
            self._jobs.put(job)
        return job.future

    def _run(self) -> None:
        is_open = True
        while is_open:
            group, is_open = self._gather()
            if group:
                self._commit(group)

    def _gather(self) -> tuple[list[_Job], bool]:
        """Wait for work that somebody waits for, or until other work has waited long enough.

        Returns:
            The work, and whether there may be more.
        """
        group: list[_Job] = []
        deadline: float | None = None
        is_waited_for = False
        while len(group) < _MAX_GROUP:
            try:
                if is_waited_for:
                    job = self._jobs.get_nowait()
                else:
                    left = None if deadline is None else max(0.0, deadline - time.monotonic())
                    job = self._jobs.get(timeout=left)
            except queue.Empty:
                break
            if job is None:
                return group, False
            group.append(job)
            is_waited_for = is_waited_for or not job.is_later
            if deadline is None:
                deadline = time.monotonic() + _LATER_SECONDS
        return group, True

    def _commit(self, group: list[_Job]) -> None:
        """Do all jobs in one transaction; each one that fails is undone by itself."""
        done: list[_Job] = []
        try:
            with database_errors(self._database.name), self._database.writing.begin() as connection:
                for job in group:
                    if self._do(job, connection):
                        done.append(job)
        except BaseException as error:
            self.has_failed = True
            self.generation += 1  # nobody knows how far a commit came that failed
            for job in group:
                if not job.future.done():
                    job.future.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        if any(job.changes for job in done):
            self.generation += 1
        for job in done:
            job.future.set_result(job.result)

    def _do(self, job: _Job, connection: Connection) -> bool:
        try:
            with connection.begin_nested():
                job.result = job.work(connection)
        except DBAPIError as error:
            self.has_failed = True
            first = _first_of(error)
            if error.connection_invalidated or not self._is_in_transaction(connection):
                # SQLite takes everything back when the disk is full: all of the group failed
                raise first from None
            job.future.set_exception(database_error(first, self._database.name))
            return False
        except Exception as error:  # noqa: BLE001 (it is raised where the work was handed in)
            job.future.set_exception(error)
            return False
        return True

    def _is_in_transaction(self, connection: Connection) -> bool:
        raw: object = connection.connection.dbapi_connection
        return raw.in_transaction if isinstance(raw, sqlite3.Connection) else True


def _first_of(error: DBAPIError) -> DBAPIError:
    """What went wrong first: where a savepoint is gone as well, its own error hides that."""
    first: DBAPIError = error
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, DBAPIError):
            first = seen
        seen = seen.__context__
    return first


def _log_failure(future: Future[object]) -> None:
    error = future.exception()
    if isinstance(error, AirgapError):
        _log.warning("%s", error)
    elif error is not None:
        _log.error("the database could not be written", exc_info=error)
