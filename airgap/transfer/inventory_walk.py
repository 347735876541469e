"""A walk through the repositories of a registry, several requests at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

from airgap.registry.client import Client
from airgap.run.events import ItemFinished, PhaseFinished, PhaseStarted
from airgap.transfer.inventory_findings import Findings, Walked
from airgap.transfer.inventory_repository import RepositoryWalk
from airgap.transfer.workers import Task, Workers

PHASE = "inventory"


class RegistryWalk:
    """Walks repositories of one registry.

    Args:
        client: Talks to the registry.
        findings: Takes what is found, and says how to ask.
    """

    def __init__(self, client: Client, findings: Findings) -> None:
        run = findings.run
        scope = run.scoped()
        self._findings = findings
        self._run = run
        self._workers = Workers(findings.options.jobs, run=run, ends=scope)
        self._client = client.within(scope)
        self._lock = threading.Lock()
        self._waiting: deque[str] = deque()
        self._active: dict[str, RepositoryWalk] = {}

    def walk(self, repositories: Iterable[str]) -> Walked:
        """Find what these repositories hold.

        Raises:
            AirgapError: Something could not be had, unless failures are to be left out.
        """
        self._waiting.extend(repositories)
        self._run.emit(PhaseStarted(PHASE, total_items=len(self._waiting)))
        try:
            # A few at a time, each to its end: a walk that breaks off is continued behind them.
            count = min(self._findings.options.jobs, len(self._waiting))
            self._workers.finish([self._next] * count)
        finally:
            self._remember()
        self._run.emit(PhaseFinished(PHASE))
        return self._findings.walked

    def _next(self) -> None:
        with self._lock:
            if not self._waiting:
                return  # what ended before this began has taken the last one
            name = self._waiting.popleft()
            repository = self._client.repository(self._findings.registry, name, origin="source")
            walk = RepositoryWalk(repository, self._findings, self._workers.add, self._finished)
            self._active[name] = walk
        walk.start()

    def _finished(self, walk: RepositoryWalk) -> None:
        self._findings.tell_images(walk.images())
        walk.remember(is_done=True)
        self._run.emit(ItemFinished(PHASE, walk.name, "failed" if walk.has_failed else "done"))
        following: Task | None = None
        with self._lock:
            del self._active[walk.name]
            if self._waiting:
                following = self._next
        if following is not None:
            self._workers.add(following)

    def _remember(self) -> None:
        cache = self._findings.cache
        for walk in self._active.values():
            walk.remember(is_done=False)
        cache.prune()
        if cache.problem is not None:
            self._run.warn(
                "cache-unwritable",
                f"manifests are not kept for the next time: {cache.problem.message}",
            )
