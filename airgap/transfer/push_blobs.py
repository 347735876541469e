"""Sending blobs: found, mounted or uploaded, once for all the repositories that want them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from airgap.content.store import Chunks, Ingest, Opener
from airgap.errors import (
    ContentNotFoundError,
    IncompleteBundleError,
    IntegrityError,
    UnavailableError,
)
from airgap.oci.descriptor import Descriptor
from airgap.run import Run
from airgap.run.events import BlobFinished
from airgap.transfer.copy import copy_blob
from airgap.transfer.receiver import ReceivingRepository
from airgap.transfer.tally import Tally
from airgap.transfer.window import Receiver as WindowReceiver
from airgap.transfer.window import Window
from airgap.transfer.workers import Task, Workers

Attempt = Callable[[ReceivingRepository], AbstractContextManager[None]]
"""Holds what is done for one repository: its failure may leave the others alone."""


_DAMAGED = "the bundle was damaged or changed: `airgap verify bundle` lists where; copy it again"


@dataclass(frozen=True, slots=True)
class _Upload:
    """A repository as a sink that mounts a blob where it can."""

    repository: ReceivingRepository
    mount_from: str | None

    @property
    def name(self) -> str:
        return self.repository.name

    def ingest(self, descriptor: Descriptor, /) -> AbstractContextManager[Ingest]:
        return self.repository.ingest(descriptor, mount_from=self.mount_from)


def sending_order(blobs: Iterable[Descriptor]) -> Iterator[Descriptor]:
    """The largest first, and one of the smallest after every third.

    A small blob costs waits for a registry's answers rather than bytes: behind large ones these
    waits cost nothing, instead of adding up at the end.
    """
    waiting = deque(sorted(blobs, key=lambda blob: (-blob.size, blob.digest)))
    count = 0
    while waiting:
        count += 1
        yield waiting.pop() if count % 4 == 0 else waiting.popleft()


class BlobPusher:
    """Sends blobs to the repositories that want them.

    Args:
        tally: Counts what is sent.
        width: How many requests the registry gets at a time.
        is_dry: Whether only to find out what would be sent.
    """

    def __init__(self, tally: Tally, *, width: int, is_dry: bool) -> None:
        self._tally = tally
        self._width = width
        self._is_dry = is_dry
        self._mounts: bool | None = None
        self._sample: tuple[Descriptor, ReceivingRepository] | None = None

    def push(
        self,
        descriptor: Descriptor,
        repositories: Sequence[ReceivingRepository],
        open_at: Opener,
        *,
        attempt: Attempt,
        run: Run,
    ) -> None:
        """Make a blob be in all the repositories; sent once where the registry can mount it."""
        present, missing = self._look(descriptor, repositories, attempt, run)
        if self._is_dry:
            if missing and not present:
                self._tally.blob(descriptor, missing.pop().repository, "pushed")
            for repository in missing:
                self._tally.blob(descriptor, repository.repository, "mounted")
            return
        for repository in missing:
            mount_from = present[0].repository if present else None
            with attempt(repository):
                self._send(descriptor, repository, mount_from, open_at, run)
                present.append(repository)

    def find(
        self,
        descriptor: Descriptor,
        repositories: Sequence[ReceivingRepository],
        *,
        attempt: Attempt,
        run: Run,
    ) -> list[ReceivingRepository]:
        """Give the repositories that lack a blob which is not at hand, and cannot mount it."""
        present, missing = self._look(descriptor, repositories, attempt, run)
        lacking: list[ReceivingRepository] = []
        for repository in missing:
            with attempt(repository):
                if not self._mount(descriptor, repository, present, run):
                    lacking.append(repository)
        return lacking

    def take_over(
        self,
        descriptor: Descriptor,
        home: ReceivingRepository,
        repositories: Sequence[ReceivingRepository],
        *,
        attempt: Attempt,
        run: Run,
    ) -> None:
        """Bring a blob from one repository into others: mounted, or read there and sent.

        Raises:
            IncompleteBundleError: It was there a moment ago and is gone.
            IntegrityError: The repository gives other bytes than it should.
        """
        for repository in repositories:
            if self._is_dry:
                self._tally.blob(descriptor, repository.repository, "mounted")
                continue
            with attempt(repository):
                self._take(descriptor, home, repository, run)

    def push_passing(
        self,
        descriptor: Descriptor,
        repositories: Sequence[ReceivingRepository],
        chunks: Chunks,
        *,
        attempt: Attempt,
        run: Run,
    ) -> None:
        """Do the same with content that comes only once.

        Blobs go to all the repositories at the same time once a mount was refused. Whether the
        registry mounts is asked, if need be, before a blob passes that would not fit the window.
        """
        window = Window(chunks, run=run)
        present, missing = self._look(descriptor, repositories, attempt, run)
        if len(missing) > 1 and not present and descriptor.size > window.size:
            self._try_mounting(missing, attempt)
        while len(missing) > 1 and not present and self._may_mount(descriptor, window):
            first = missing.pop(0)
            present += self._send_to_all(descriptor, [first], window, attempt, run)
        unmounted: list[ReceivingRepository] = []
        for repository in missing:
            with attempt(repository):
                if not self._mount(descriptor, repository, present, run):
                    unmounted.append(repository)
        if unmounted:
            present += self._send_to_all(descriptor, unmounted, window, attempt, run)
        if len(repositories) == 1 and present:
            self._sample = descriptor, present[0]
        window.drain()

    def _take(
        self,
        descriptor: Descriptor,
        home: ReceivingRepository,
        repository: ReceivingRepository,
        run: Run,
    ) -> None:
        def open_at(offset: int, /) -> AbstractContextManager[Chunks]:
            return home.open(descriptor, offset=offset)

        upload = _Upload(repository, home.repository)
        try:
            sent = copy_blob(open_at, upload, descriptor, run=run)
        except ContentNotFoundError as error:
            raise IncompleteBundleError(
                f"{descriptor.digest} was in {home.name} and cannot be had from there any more: "
                f"{error.message}",
                missing=[str(descriptor.digest)],
                hint="run the same command again: it says what is missing",
            ) from error
        except IntegrityError as error:
            error.origin = error.origin or "destination"
            error.hint = error.hint or f"{home.name} is damaged there: the blob must be brought"
            raise
        if sent is None:
            self._count_mounted(descriptor, repository, run)
        else:
            self._tally.blob(descriptor, repository.repository, "copied")

    def _try_mounting(self, repositories: Sequence[ReceivingRepository], attempt: Attempt) -> None:
        """Find out whether the registry mounts, with a blob that it has, such as a config.

        The blob is not wanted where it is mounted; nothing refers to it there, and the registry's
        garbage collection takes it away. A layer that is sent once instead of to each repository
        is worth that.
        """
        if self._mounts is not None or self._sample is None:
            return
        sample, home = self._sample
        other = next(r for r in repositories if r.repository != home.repository)
        with attempt(other):
            self._mounts = other.mount(sample, from_repository=home.repository)

    def _may_mount(self, descriptor: Descriptor, window: Window) -> bool:
        if self._mounts is None:
            return descriptor.size <= window.size
        return self._mounts

    def _mount(
        self,
        descriptor: Descriptor,
        repository: ReceivingRepository,
        present: list[ReceivingRepository],
        run: Run,
    ) -> bool:
        if not present or self._mounts is False:
            return False
        self._mounts = repository.mount(descriptor, from_repository=present[0].repository)
        if self._mounts:
            self._count_mounted(descriptor, repository, run)
        return self._mounts

    def _send_to_all(
        self,
        descriptor: Descriptor,
        repositories: Sequence[ReceivingRepository],
        window: Window,
        attempt: Attempt,
        run: Run,
    ) -> list[ReceivingRepository]:
        """Send what passes to several repositories; gives those that have it.

        No more at once than there may be connections: one that waits for a connection would be
        waited for by those that have one, once the window is full.
        """
        done: list[ReceivingRepository] = []

        def task(repository: ReceivingRepository, receiver: WindowReceiver, run: Run) -> Task:
            def send() -> None:
                try:
                    with attempt(repository):
                        self._send(descriptor, repository, None, receiver.open_at, run)
                        done.append(repository)
                finally:
                    receiver.leave()

            return send

        for start in range(0, len(repositories), self._width):
            batch = repositories[start : start + self._width]
            if start and descriptor.size > window.size:
                for repository in batch:
                    with attempt(repository):
                        raise self._too_many(descriptor, repositories)
                continue
            workers = Workers(len(batch), run=run)
            workers.finish([task(r, window.join(), workers.run) for r in batch])
        return done

    def _too_many(
        self, descriptor: Descriptor, repositories: Sequence[ReceivingRepository]
    ) -> UnavailableError:
        return UnavailableError(
            f"{descriptor.digest} is wanted in {len(repositories)} repositories that do not mount "
            f"it, and only {self._width} uploads go on at a time",
            hint=f"pipe it again with --jobs {len(repositories)}, what arrived is skipped",
            origin="destination",
        )

    def _look(
        self,
        descriptor: Descriptor,
        repositories: Sequence[ReceivingRepository],
        attempt: Attempt,
        run: Run,
    ) -> tuple[list[ReceivingRepository], list[ReceivingRepository]]:
        present: list[ReceivingRepository] = []
        missing: list[ReceivingRepository] = []
        for repository in repositories:
            with attempt(repository):
                (present if repository.has_blob(descriptor) else missing).append(repository)
        for repository in present:
            self._tally.blob(descriptor, repository.repository, "present")
            run.emit(BlobFinished(descriptor, repository.name, "present"))
        return present, missing

    def _send(
        self,
        descriptor: Descriptor,
        repository: ReceivingRepository,
        mount_from: str | None,
        open_at: Opener,
        run: Run,
    ) -> None:
        try:
            sent = copy_blob(open_at, _Upload(repository, mount_from), descriptor, run=run)
        except IntegrityError as error:
            if error.origin is None:  # what was sent, and not what somebody answered
                error.origin = "bundle"
                error.hint = error.hint or _DAMAGED
            raise
        if sent is None:
            self._count_mounted(descriptor, repository, run)
        else:
            self._tally.blob(descriptor, repository.repository, "pushed")

    def _count_mounted(
        self, descriptor: Descriptor, repository: ReceivingRepository, run: Run
    ) -> None:
        self._tally.blob(descriptor, repository.repository, "mounted")
        run.emit(BlobFinished(descriptor, repository.name, "mounted"))
