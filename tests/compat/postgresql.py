"""A PostgreSQL server of one's own, from the distribution's package, on a socket in a folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tests.compat import software

_USER = "airgap"
_START_TRIES = 600
_FOLDERS = "/usr/lib/postgresql"


class PostgreSQL:
    """A server that runs.

    Args:
        folder: Where its socket is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = count()

    def database(self) -> str:
        """Make a database and give its URL."""
        import psycopg

        name = f"test{next(self._numbers)}"
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql+psycopg://{_USER}@/{name}?host={self.folder}"

    def answers(self) -> bool:
        """Whether it takes connections."""
        import psycopg

        try:
            psycopg.connect(self._dsn("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    def disconnect_all(self) -> None:
        """End all other connections, as a restart does."""
        import psycopg

        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )

    def _dsn(self, name: str) -> str:
        return f"host={self.folder} user={_USER} dbname={name}"


@contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """Run a server as long as the context lasts; it does not run as root."""
    binaries = _binaries()
    account = _account()
    folder = Path(tempfile.mkdtemp(prefix="airgap-pg-"))
    process: subprocess.Popen[bytes] | None = None
    try:
        if account:
            os.chown(folder, pwd.getpwnam(account).pw_uid, pwd.getpwnam(account).pw_gid)
        data, log = folder / "data", (folder / "log").open("wb")
        with log:
            as_account = {"user": account, "group": account, "extra_groups": []} if account else {}
            subprocess.run(
                [binaries / "initdb", "-D", data, "-U", _USER, "--auth=trust", "--no-sync"],
                check=True, cwd=folder, stdout=log, stderr=log, timeout=120, **as_account,
            )  # fmt: skip
            process = subprocess.Popen(
                [binaries / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=",
                 "-c", "fsync=off"],
                cwd=folder, stdout=log, stderr=log, **as_account,
            )  # fmt: skip
        server = PostgreSQL(folder)
        for _ in range(_START_TRIES):
            if server.answers():
                break
            assert process.poll() is None, (folder / "log").read_text()
            threading.Event().wait(0.1)
        yield server
    finally:
        if process is not None:
            process.send_signal(signal.SIGINT)  # without waiting for clients
            process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path:
    found = sorted(Path(_FOLDERS).glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    return Path(software.find("initdb")).parent


def _account() -> str | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    software.lacking("there is no account postgres or nobody")
    return None
