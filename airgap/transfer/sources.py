"""The repositories that a transfer reads from, each opened once."""

from __future__ import annotations

import threading

from airgap.registry.client import Client
from airgap.registry.repository import Repository
from airgap.run import Run

MAX_THREADS = 32
"""However many registries there are; what one of them gets is not cut by this."""


class Sources:
    """Opens repositories by their full names.

    Args:
        client: Talks to registries.
        registries: How many different ones there are.
        jobs: How many requests one of them gets at a time.
        run: The run of the whole transfer.

    Attributes:
        width: How many threads all of them are worth.
        scope: Ends the waits of this transfer's requests; cancelled when the transfer fails.
    """

    def __init__(self, client: Client, *, registries: int, jobs: int, run: Run) -> None:
        self.scope = run.scoped()
        self.client = client.within(self.scope)
        self._lock = threading.Lock()
        self._open: dict[str, Repository] = {}
        self.width = max(jobs, min(MAX_THREADS, registries * jobs))

    def open(self, name: str) -> Repository:
        """Open `registry/repository`."""
        with self._lock:
            repository = self._open.get(name)
            if repository is None:
                registry, _, path = name.partition("/")
                repository = self.client.repository(registry, path, origin="source")
                self._open[name] = repository
            return repository
