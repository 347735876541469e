"""`airgap serve` for the benchmark: started on a free loopback port, stopped by its id."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import IO

from benchmarks.measure import Bench, Command

_PATIENCE_SECONDS = 60.0
USER = "alice"
PASSWORD = "correct horse battery"


class Served:
    """Our registry, as a context.

    Args:
        program: How airgap is called.
        bench: Whose environment it gets.
        log: Where it writes what it has to say.
        arguments: What it is told beside where to listen.
    """

    def __init__(self, program: Command, bench: Bench, log: Path, *arguments: object) -> None:
        """Nothing is started yet."""
        self.host = ""
        self.started_in = 0.0
        """Seconds until it could be connected to."""
        fixed = ("serve", "--listen", "127.0.0.1:0", "--json")
        self._command = [*program, *fixed, *map(str, arguments)]
        self._environment = bench.environment
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Served:
        """Start it and wait until it says where it listens."""
        begin = time.perf_counter()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=subprocess.PIPE, stderr=log
            )
        assert self._process.stdout is not None
        self.host = _host(self._process.stdout)
        self.started_in = time.perf_counter() - begin
        if not self.host:
            self.__exit__()
            raise RuntimeError(f"airgap serve did not start: {self._log.read_text()[-2000:]}")
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def peak_memory(self) -> int:
        """The most memory that it has had, in bytes."""
        assert self._process is not None
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
        raise RuntimeError("this system does not say how much memory a process has had")


def _host(lines: IO[bytes]) -> str:
    for line in lines:
        event = json.loads(line)
        if event.get("type") == "result":
            return str(event["host"])
    return ""


def add_user(program: Command, bench: Bench, folder: Path) -> None:
    """Add a user who may do everything to a folder of users, unless it has some."""
    if (folder / "htpasswd").exists():
        return
    fixed = ["user", "add", USER, "--admin", "--password-stdin", "--data", str(folder)]
    subprocess.run(
        [*program, *fixed],
        env=bench.environment,
        input=PASSWORD.encode(),
        capture_output=True,
        check=True,
    )
