"""Sending blobs: found, mounted or uploaded, once for all the repositories that want them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from airgap.content.store import Chunks, Ingest, Opener
from airgap.oci.descriptor import Descriptor
from airgap.registry.repository import Repository
from airgap.run import Run
from airgap.run.events import BlobFinished
from airgap.transfer.copy import copy_blob
from airgap.transfer.window import Receiver, Window
from airgap.transfer.workers import Task, Workers


@dataclass(slots=True)
class Tally:
    """What was sent so far; counted by several threads."""

    pushed: int = 0
    pushed_bytes: int = 0
    present: int = 0
    mounted: int = 0
    manifests: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, count: int = 1) -> None:
        """Count something."""
        with self.lock:
            setattr(self, name, getattr(self, name) + count)


@dataclass(frozen=True, slots=True)
class _Upload:
    """A repository as a sink that mounts a blob where it can."""

    repository: Repository
    mount_from: str | None

    @property
    def name(self) -> str:
        return self.repository.name

    def ingest(self, descriptor: Descriptor, /) -> AbstractContextManager[Ingest]:
        return self.repository.ingest(descriptor, mount_from=self.mount_from)


class BlobPusher:
    """Sends blobs to the repositories that want them.

    Args:
        tally: Counts what is sent.
        is_dry: Whether only to find out what would be sent.
    """

    def __init__(self, tally: Tally, *, is_dry: bool) -> None:
        self._tally = tally
        self._is_dry = is_dry
        self._mounts: bool | None = None

    def push(
        self,
        descriptor: Descriptor,
        repositories: Sequence[Repository],
        open_at: Opener,
        *,
        run: Run,
    ) -> None:
        """Make a blob be in all the repositories; sent once where the registry can mount it."""
        present, missing = self._look(descriptor, repositories, run)
        if self._is_dry:
            if missing and not present:
                self._count_sent(descriptor)
                missing.pop()
            self._tally.add("mounted", len(missing))
            return
        if missing and not present:
            first = missing.pop(0)
            self._send(descriptor, first, None, open_at, run)
            present.append(first)
        for repository in missing:
            self._send(descriptor, repository, present[0].repository, open_at, run)

    def push_passing(
        self,
        descriptor: Descriptor,
        repositories: Sequence[Repository],
        chunks: Chunks,
        *,
        run: Run,
    ) -> None:
        """Do the same with content that comes only once.

        A blob that would not fit the window goes to all the repositories at the same time until
        a mount was seen to work, and all blobs do once a mount was refused.
        """
        window = Window(chunks, run=run)
        present, missing = self._look(descriptor, repositories, run)
        if len(missing) > 1 and not present and self._may_mount(descriptor, window):
            first = missing.pop(0)
            self._send_to_all(descriptor, [first], window, run)
            present.append(first)
        unmounted = [r for r in missing if not self._mount(descriptor, r, present, run)]
        if unmounted:
            self._send_to_all(descriptor, unmounted, window, run)
        window.drain()

    def _may_mount(self, descriptor: Descriptor, window: Window) -> bool:
        if self._mounts is None:
            return descriptor.size <= window.size
        return self._mounts

    def _mount(
        self, descriptor: Descriptor, repository: Repository, present: list[Repository], run: Run
    ) -> bool:
        if not present or self._mounts is False:
            return False
        self._mounts = repository.mount(descriptor, from_repository=present[0].repository)
        if self._mounts:
            self._count_mounted(descriptor, repository, run)
        return self._mounts

    def _send_to_all(
        self, descriptor: Descriptor, repositories: Sequence[Repository], window: Window, run: Run
    ) -> None:
        workers = Workers(len(repositories), run=run)

        def task(repository: Repository, receiver: Receiver) -> Task:
            def send() -> None:
                try:
                    self._send(descriptor, repository, None, receiver.open_at, workers.run)
                finally:
                    receiver.leave()

            return send

        workers.finish([task(repository, window.join()) for repository in repositories])

    def _look(
        self, descriptor: Descriptor, repositories: Sequence[Repository], run: Run
    ) -> tuple[list[Repository], list[Repository]]:
        present: list[Repository] = []
        missing: list[Repository] = []
        for repository in repositories:
            (present if repository.has_blob(descriptor) else missing).append(repository)
        for repository in present:
            self._tally.add("present")
            run.emit(BlobFinished(descriptor, repository.name, "present"))
        return present, missing

    def _send(
        self,
        descriptor: Descriptor,
        repository: Repository,
        mount_from: str | None,
        open_at: Opener,
        run: Run,
    ) -> None:
        if copy_blob(open_at, _Upload(repository, mount_from), descriptor, run=run) is None:
            self._count_mounted(descriptor, repository, run)
        else:
            self._count_sent(descriptor)

    def _count_sent(self, descriptor: Descriptor) -> None:
        self._tally.add("pushed")
        self._tally.add("pushed_bytes", descriptor.size)

    def _count_mounted(self, descriptor: Descriptor, repository: Repository, run: Run) -> None:
        self._tally.add("mounted")
        run.emit(BlobFinished(descriptor, repository.name, "mounted"))
