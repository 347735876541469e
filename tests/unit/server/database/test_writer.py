"""The thread that writes: what it groups, and what a failure takes with it."""

from __future__ import annotations

import sqlite3
import threading

import pytest
from sqlalchemy import event, insert, select
from sqlalchemy.exc import OperationalError

from airgap.errors import LockedError, StorageError, StorageFullError
from airgap.server.database.engine import open_sqlite, open_url
from airgap.server.database.errors import database_error
from airgap.server.database.tables import METADATA, REPOSITORIES
from airgap.server.database.writer import Writer


@pytest.fixture
def database(tmp_path):
    database = open_sqlite(tmp_path / "test.db", durable=False)
    with database.writing.begin() as connection:
        METADATA.create_all(connection)
    yield database
    database.close()


@pytest.fixture
def commits(database):
    """How often something was committed, as a list that grows."""
    found = []
    event.listen(database.writing, "commit", lambda connection: found.append(1))
    return found


@pytest.fixture
def writer(database):
    writer = Writer(database)
    yield writer
    writer.close()


def add(name):
    def work(connection):
        connection.execute(insert(REPOSITORIES).values(name=name, created_at=1.0))
        return name

    return work


def names(database):
    with database.reading.connect() as connection:
        return sorted(connection.scalars(select(REPOSITORIES.c.name)))


def test_work_is_committed_when_it_returns(writer, database):
    """What another connection sees right afterwards is what was written."""
    assert writer.run(add("a")) == "a"
    assert names(database) == ["a"]


def test_many_who_wait_share_a_transaction(writer, database, commits):
    """What comes in while the writer is busy is committed at once."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection):
        begun.set()
        assert go_on.wait(20)

    threads = [threading.Thread(target=writer.run, args=(slow,))]
    threads[0].start()
    assert begun.wait(20)
    threads += [threading.Thread(target=writer.run, args=(add(f"r{n}"),)) for n in range(20)]
    for thread in threads[1:]:
        thread.start()
    while writer._jobs.qsize() < 20:
        threading.Event().wait(0.001)
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(names(database)) == 20
    assert len(commits) == 2


def test_a_failure_takes_nothing_else_with_it(writer, database):
    """Work that fails is undone alone, and the error arrives where the work was handed in."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection):
        begun.set()
        assert go_on.wait(20)

    def failing(connection):
        add("half")(connection)
        raise ValueError("no")

    results = []

    def run(work):
        try:
            results.append(writer.run(work))
        except ValueError as error:
            results.append(str(error))

    threads = [threading.Thread(target=run, args=(w,)) for w in (slow, add("a"), failing, add("b"))]
    threads[0].start()
    assert begun.wait(20)
    for number, thread in enumerate(threads[1:], 1):
        thread.start()
        while writer._jobs.qsize() < number:
            threading.Event().wait(0.001)
    go_on.set()
    for thread in threads:
        thread.join()
    assert sorted(map(str, results)) == ["None", "a", "b", "no"]
    assert names(database) == ["a", "b"]


def test_a_commit_that_fails_is_acknowledged_to_nobody(writer, database):
    """If the group cannot be committed, everyone in it gets the error, and the next one goes on."""

    def refuse(connection):
        raise OperationalError("COMMIT", {}, sqlite3.OperationalError("disk"))

    event.listen(database.writing, "commit", refuse)
    with pytest.raises(StorageError):
        writer.run(add("a"))
    event.remove(database.writing, "commit", refuse)
    assert names(database) == []
    writer.run(add("b"))
    assert names(database) == ["b"]


def test_a_full_disk_is_acknowledged_to_nobody_of_the_group(writer, database):
    """SQLite takes the whole transaction back, and what comes later in it is not half written."""
    with database.reading.connect() as connection:
        size = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    begun, go_on = threading.Event(), threading.Event()

    def limit(connection):
        connection.exec_driver_sql(f"PRAGMA max_page_count = {size}")

    def slow(connection):
        begun.set()
        assert go_on.wait(20)

    def large(connection):
        for number in range(2000):
            add(f"large-{number}-{'x' * 200}")(connection)

    writer.run(limit)
    results = {}

    def run(number, work):
        try:
            results[number] = writer.run(work)
        except StorageFullError:
            results[number] = "full"

    works = (slow, add("a"), large, add("b"))
    threads = [threading.Thread(target=run, args=item) for item in enumerate(works)]
    threads[0].start()
    assert begun.wait(20)
    for number, thread in enumerate(threads[1:], 1):
        thread.start()
        while writer._jobs.qsize() < number:
            threading.Event().wait(0.001)
    go_on.set()
    for thread in threads:
        thread.join()
    # who is told first is up to the threads
    assert results == {0: None, 1: "full", 2: "full", 3: "full"}
    assert names(database) == []
    assert writer.has_failed
    writer.run(add("small"))
    assert names(database) == ["small"]


def test_what_nobody_waits_for_goes_with_the_next(writer, database, commits):
    """It costs no transaction of its own, and is there when the writer ends at the latest."""
    writer.later(add("later"))
    writer.run(add("now"))
    assert names(database) == ["later", "now"]
    assert len(commits) == 1
    writer.later(add("last"))
    writer.close()
    assert names(database) == ["last", "later", "now"]


def test_what_nobody_waits_for_is_written_soon(writer, database, monkeypatch):
    """Without anything else to write it does not wait for ever."""
    monkeypatch.setattr("airgap.server.database.writer._LATER_SECONDS", 0.01)
    done = threading.Event()

    def work(connection):
        add("later")(connection)
        done.set()

    writer.later(work)
    assert done.wait(20)


def test_a_closed_writer_takes_nothing(writer):
    """Who writes after the end gets an error and does not wait for ever."""
    writer.close()
    writer.close()
    with pytest.raises(StorageError, match="closed"):
        writer.run(add("a"))
    writer.later(add("b"))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_FULL, StorageFullError),
        (sqlite3.SQLITE_BUSY, LockedError),
        (sqlite3.SQLITE_IOERR_FSYNC, StorageError),
        (sqlite3.SQLITE_CORRUPT, StorageError),
    ],
)
def test_errors_are_said_in_our_words(code, kind):
    """What SQLite says becomes an error with an exit code; no statement stands in it."""
    cause = sqlite3.OperationalError("text")
    cause.sqlite_errorcode = code
    cause.sqlite_errorname = "SQLITE_WORD"
    error = database_error(OperationalError("SELECT secret", {"a": "b"}, cause), "the database")
    assert type(error) is kind
    assert "secret" not in error.message
    assert "SQLITE_WORD" in error.message


def test_a_database_that_is_not_there_hides_its_password():
    """The message names the server and not who signs in."""
    pytest.importorskip("psycopg")
    url = "postgresql+psycopg://user:secret@127.0.0.1:1/nowhere?connect_timeout=2"
    database = open_url(url)
    with pytest.raises(StorageError) as caught:
        database.ping()
    database.close()
    assert "secret" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
