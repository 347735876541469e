"""`airgap serve` as a process of its own, for tests of what only a process has."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_SECONDS = 60.0


@dataclass
class ServedProcess:
    """A server that runs.

    Attributes:
        process: The process.
        result: What it said at the start.
        errors: What it wrote to standard error so far.
    """

    process: subprocess.Popen[str]
    result: Mapping[str, Any]
    errors: deque[str]

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.result["port"])

    @property
    def host(self) -> str:
        """The same as a reference names it."""
        return f"127.0.0.1:{self.port}"

    @property
    def memory(self) -> int:
        """How many bytes of memory it has had at most."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024

    def connect(self, timeout: float = 30.0) -> socket.socket:
        """A connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Tell it to stop."""
        self.process.send_signal(number)

    def wait(self, timeout: float = 30.0) -> int:
        """Wait for its end."""
        return self.process.wait(timeout)


@contextmanager
def served(
    *arguments: object, environ: Mapping[str, str] | None = None, listen: str = "127.0.0.1:0"
) -> Iterator[ServedProcess]:
    """Run `airgap serve` until the context ends.

    Args:
        arguments: Its options beside `--listen` and `--json`.
        environ: What is set beside the environment.
        listen: Where it listens.
    """
    command = [sys.executable, "-m", "airgap", "serve", "--json", "--listen", listen]
    process = subprocess.Popen(
        [*command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environ or {})},
    )
    errors: deque[str] = deque(maxlen=200)
    alarm = threading.Timer(START_SECONDS, process.kill)
    alarm.start()
    try:
        result = _first_result(process)
        alarm.cancel()
        assert result is not None, f"no server: {process.stderr.read()}"  # type: ignore[union-attr]
        readers = [
            threading.Thread(target=_keep, args=(stream, errors), daemon=True)
            for stream in (process.stdout, process.stderr)
        ]
        for reader in readers:
            reader.start()
        yield ServedProcess(process, result, errors)
        if process.poll() is None:
            process.terminate()
            process.wait(30)
        for reader in readers:
            reader.join(10)
    finally:
        alarm.cancel()
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def _first_result(process: subprocess.Popen[str]) -> Mapping[str, Any] | None:
    assert process.stdout is not None
    for line in process.stdout:
        value = json.loads(line)
        if value["type"] == "result":
            return value
        if value["type"] == "error":
            raise AssertionError(line)
    return None


def _keep(stream: Any, lines: deque[str]) -> None:
    for line in stream:
        lines.append(line)
