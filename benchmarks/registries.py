"""CNCF registries of the benchmark's own: started on a free loopback port, stopped by their id."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

_REQUEST = re.compile(r'"(GET|HEAD|POST|PUT|PATCH|DELETE) (\S+) HTTP/')
_PATIENCE_SECONDS = 20.0


def programs() -> list[str]:
    """Folders beside those of PATH that may hold peers and the registry: the lab's, if set."""
    lab = os.environ.get("LAB")
    return [str(Path(lab, "bin"))] if lab else []


def find(name: str) -> str | None:
    """Where a program is, in PATH or in the lab."""
    return shutil.which(name, path=os.pathsep.join([*programs(), os.environ.get("PATH", "")]))


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def kind_of(path: str) -> str:
    """What a request asks for: ping, manifests, blobs, tags, referrers or uploads."""
    plain = path.partition("?")[0]
    if plain.rstrip("/") == "/v2":
        return "ping"
    for kind in ("uploads", "manifests", "blobs", "tags", "referrers"):
        if f"/{kind}/" in plain:
            return kind
    return "other"


class Registry:
    """A CNCF registry over a folder, as a context.

    Args:
        storage: Its folder; made if it is not there, kept afterwards.
        environment: What the process sees.
        access_log: Whether it writes a line for each request (not while times are taken).
    """

    def __init__(
        self, storage: Path, environment: Mapping[str, str], *, access_log: bool = False
    ) -> None:
        """Choose a port; nothing is started yet."""
        binary = find("registry")
        if binary is None:
            raise FileNotFoundError("no CNCF registry: put `registry` on PATH or set LAB")
        storage.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self._config = storage.with_name(storage.name + ".yml")
        self._log = storage.with_name(storage.name + ".log")
        silent = str(not access_log).lower()
        self._config.write_text(
            "version: 0.1\n"
            f"log: {{level: error, accesslog: {{disabled: {silent}}}}}\n"
            f'storage: {{filesystem: {{rootdirectory: "{storage}"}}}}\n'
            f'http: {{addr: "{self.host}"}}\n'
        )
        self._command = [binary, "serve", str(self._config)]
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._pings = 0

    def __enter__(self) -> Registry:
        """Start it and wait until it answers."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(f"the registry did not start: {self._log.read_text()[-500:]}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/v2/")
            answers = connection.getresponse().status == 200
            self._pings += answers
            return answers
        except OSError:
            return False
        finally:
            connection.close()

    def requests(self) -> Counter[str]:
        """How many requests of each kind the access log holds, but for those of the start."""
        counted = Counter(kind_of(path) for _, path in self._requests())
        counted["ping"] -= self._pings
        return counted

    def asked(self, method: str, kind: str) -> list[str]:
        """The paths of the requests of a method and a kind that the access log holds."""
        return [p for found, p in self._requests() if found == method and kind_of(p) == kind]

    def _requests(self) -> list[tuple[str, str]]:
        return _REQUEST.findall(self._log.read_text(errors="replace"))
