"""The CNCF registry (distribution), started and stopped by tests."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, Self

from airgap.registry.client import Client
from airgap.registry.credentials import CredentialStore
from airgap.registry.options import ClientOptions
from airgap.registry.repository import Repository
from airgap.run import Run
from tests.compat import software
from tests.support.builders import Content, push

ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)


class CncfRegistry:
    """A registry on 127.0.0.1 for as long as the context lasts.

    Args:
        folder: Where it keeps its content, configuration and log.
        platforms: Which manifests of an index have to be there when it is pushed; its default is
            all of them.
    """

    def __init__(self, folder: Path, *, platforms: Literal["all", "none"] | None = None) -> None:
        self.folder = folder
        self.host = f"127.0.0.1:{_free_port()}"
        self.url = f"http://{self.host}"
        self.process: subprocess.Popen[bytes] | None = None
        self._stack = ExitStack()
        self._program = software.find("registry")
        folder.mkdir(parents=True, exist_ok=True)
        validation = {"manifests": {"indexes": {"platforms": platforms}}} if platforms else {}
        configuration = {
            "version": "0.1",
            "log": {"level": "info", "accesslog": {"disabled": False}},
            "storage": {
                "filesystem": {"rootdirectory": str(folder / "data")},
                "delete": {"enabled": True},
            },
            "http": {"addr": self.host},
            "validation": validation,
        }
        # JSON is YAML
        (folder / "config.yml").write_text(json.dumps(configuration))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self) -> None:
        """Start it, at the same address as before."""
        command = [self._program, "serve", self.folder / "config.yml"]
        self.process = self._stack.enter_context(
            software.daemon(command, is_ready=self._is_up, home=self.folder, log=self.log)
        )

    def kill(self) -> None:
        """End it the way a power cut does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self._stack.close()

    @property
    def log(self) -> Path:
        """Where it writes what it is asked."""
        return self.folder / "log"

    def requests(self) -> list[str]:
        """The lines of its log that speak of requests."""
        return [line for line in self.log.read_text().splitlines() if " HTTP/1.1" in line]

    def get(self, path: str) -> tuple[bytes, str]:
        """Get a manifest or blob past our own client: its bytes and its type."""
        request = urllib.request.Request(f"{self.url}/v2/{path}", headers={"Accept": ACCEPT})
        with _OPENER.open(request, timeout=10) as response:
            return response.read(), response.headers["Content-Type"]

    def get_json(self, path: str) -> Any:
        """Get a document."""
        return json.loads(self.get(path)[0])

    def has(self, path: str) -> bool:
        """Whether there is such a manifest or blob."""
        try:
            self.get(path)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 404:
                return False
            raise
        return True

    def tags(self, repository: str) -> list[str]:
        """The tags of a repository."""
        found: list[str] = self.get_json(f"{repository}/tags/list")["tags"]
        return sorted(found)

    def push(self, name: str, *contents: Content, tags: tuple[str, ...] = ()) -> None:
        """Fill a repository: every content by digest, the last one under the tags."""
        with self._client() as client:
            repository: Repository = client.repository(self.host, name, origin="destination")
            for content in contents:
                push(repository, content)
            for tag in tags:
                repository.put_manifest(contents[-1].document, tag=tag)

    def _client(self) -> Client:
        nowhere = self.folder / "no-credentials"
        return Client(ClientOptions(), CredentialStore(nowhere), run=Run())

    def _is_up(self) -> bool:
        try:
            self.get("")
        except OSError:
            return False
        return True


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
