"""Putting publications into one registry: tags looked at first, then blobs, then manifests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from airgap.bundle.catalog import Catalog
from airgap.content.store import Chunks, Opener
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document
from airgap.run import Run
from airgap.run.events import ItemFinished
from airgap.transfer.base_guard import BaseGuard, Elsewhere
from airgap.transfer.copy import BlobSource
from airgap.transfer.destination import Target
from airgap.transfer.existing_tags import ExistingTags, OnExistingTag
from airgap.transfer.ledger import Ledger
from airgap.transfer.outcome import ImportResult
from airgap.transfer.publication import Publication
from airgap.transfer.publish_report import PublishReport
from airgap.transfer.push_blobs import Attempt, BlobPusher, sending_order
from airgap.transfer.push_held import HeldPusher
from airgap.transfer.push_manifests import ManifestPusher, Sparse
from airgap.transfer.receiver import Receiver, ReceivingRepository
from airgap.transfer.rehearsal import RehearsedRepository
from airgap.transfer.rollback import RollbackGuard
from airgap.transfer.standing import PHASE, Standing
from airgap.transfer.tally import Tally
from airgap.transfer.workers import Task, Workers


@dataclass(frozen=True, slots=True)
class PublishSettings:
    """How publications are put there; see `ImportOptions`."""

    on_existing_tag: OnExistingTag
    sparse: Sparse
    jobs: int
    keep_going: bool
    is_dry: bool
    rollback: RollbackGuard | None = None
    ledger: Ledger | None = None


@dataclass(frozen=True, slots=True)
class _Want:
    descriptor: Descriptor
    targets: list[Target] = field(default_factory=list[Target])


class Publisher:
    """Puts publications into a registry.

    Args:
        receiver: The registry.
        publications: What goes there.
        settings: How.
        run: Progress and cancellation.
    """

    def __init__(
        self,
        receiver: Receiver,
        publications: Iterable[Publication],
        settings: PublishSettings,
        *,
        run: Run,
    ) -> None:
        self._registry = receiver.registry
        self._publications = tuple(publications)
        self._settings = settings
        self._run = run
        self._scope = run.scoped()
        self._receiver = receiver.within(self._scope)
        self._tally = Tally(settings.ledger)
        width = min(settings.jobs, self._receiver.width)
        self._blobs = BlobPusher(self._tally, width=width, is_dry=settings.is_dry)
        self._list_lock = threading.Lock()
        self._repositories: dict[str, ReceivingRepository] = {}
        for name in {p.target.repository for p in self._publications}:
            self._repositories[name] = self._repository(name)
        self._standing = Standing(keep_going=settings.keep_going, run=run)
        self._tags = ExistingTags(
            self._registry,
            self._repositories,
            self._standing,
            on_existing_tag=settings.on_existing_tag,
            sparse=settings.sparse,
            rollback=settings.rollback,
        )
        self._report = PublishReport(
            self._registry,
            self._publications,
            self._standing,
            self._tags,
            sparse=settings.sparse,
            is_dry=settings.is_dry,
        )
        self._held: HeldPusher | None = None
        self._wanted = _wants(self._publications)
        if settings.ledger is not None:
            settings.ledger.watch(self._report)

    @property
    def ready(self) -> tuple[Publication, ...]:
        """What goes there, without what has failed or waits for another bundle."""
        return tuple(p for p in self._publications if self._standing.is_ready(p.target))

    def home_of(self, digest: Digest) -> str | None:
        """After `check_bases`: a repository with a blob that the bundle leaves to the registry."""
        return None if self._held is None else self._held.home_of(digest)

    @property
    def blob_count(self) -> int:
        """How many blobs are wanted, each counted once."""
        return len(self._wanted)

    @property
    def blob_bytes(self) -> int:
        """Their bytes."""
        return sum(want.descriptor.size for want in self._wanted.values())

    @property
    def missing_bytes(self) -> int:
        """After `push_blobs`: the bytes that were sent, or in a dry run would be."""
        return self._tally.pushed_bytes

    @property
    def awaited(self) -> frozenset[Digest]:
        """After `push_blobs`: what neither the source nor the registry has yet."""
        return frozenset[Digest]().union(*self._standing.waiting.values())

    def check_tags(self) -> None:
        """Look at every tag that will be set, before anything is sent.

        Raises:
            ConflictError: A tag names another digest, and that is not to be changed.
        """
        self._tags.check(self._publications, self._parallel)
        for rollback in self._tags.rollbacks.values():
            self._run.warn("rollback", rollback.text)

    def check_bases(self, catalog: Catalog, elsewhere: Elsewhere) -> None:
        """Ask for everything that a bundle leaves to the registry, before anything is sent.

        Args:
            catalog: What the bundle carries and leaves.
            elsewhere: Where else a blob may lie than in an image's own repository.

        Raises:
            MissingBaseError: Something is not there. With `keep_going` what needs it fails.
        """
        guard = BaseGuard(self._repository, self.ready, catalog, elsewhere)
        self._held = HeldPusher(guard, self._standing, self._blobs, self._tally, self._attempts_for)
        self._held.check(self._parallel, registry=self._registry, hint=elsewhere.hint)

    def push_held(self) -> None:
        """Take over what lies in other repositories of the registry, in parallel."""
        if self._held is not None:
            self._held.push(self._parallel)

    def push_blobs(
        self, source: BlobSource | None, *, held: Callable[[Descriptor], bool] | None = None
    ) -> None:
        """Send what is missing, in parallel; first what lies in other repositories is taken over.

        Args:
            source: Where the blobs are; None for a dry run, which opens none.
            held: Which blobs the source has; what needs one that nobody has waits for it.
        """

        def opener(descriptor: Descriptor) -> Opener:
            def open_at(offset: int, /) -> AbstractContextManager[Chunks]:
                assert source is not None, "a dry run opens no blob"
                return source.open(descriptor, offset=offset)

            return open_at

        def task(descriptor: Descriptor) -> Callable[[Run], None]:
            def push(run: Run) -> None:
                with self._standing.attempt(self._targets(descriptor.digest)):
                    repositories = self._repositories_for(descriptor.digest)
                    attempt = self._attempts(descriptor.digest)
                    if held is not None and not held(descriptor):
                        lacking = self._blobs.find(
                            descriptor, repositories, attempt=attempt, run=run
                        )
                        places = {r.repository for r in lacking}
                        self._standing.wait(
                            (t for t in self._targets(descriptor.digest) if t.repository in places),
                            descriptor.digest,
                        )
                        return
                    self._blobs.push(
                        descriptor, repositories, opener(descriptor), attempt=attempt, run=run
                    )

            return push

        self.push_held()
        wanted = sending_order(want.descriptor for want in self._wanted.values())
        self._parallel([task(descriptor) for descriptor in wanted])

    def push_documents(self, documents: Mapping[Digest, Document]) -> None:
        """Send the manifests that are blobs of others: a pipe gives them with its front."""
        for digest in self._wanted.keys() & documents.keys():
            self.push_passing(digest, iter([documents[digest].raw]))

    def push_passing(self, digest: Digest, chunks: Chunks) -> None:
        """Send a blob that comes through a pipe to all the repositories that want it."""
        want = self._wanted.get(digest)
        if want is not None:
            with self._standing.attempt(want.targets):
                repositories = self._repositories_for(digest)
                self._blobs.push_passing(
                    want.descriptor,
                    repositories,
                    chunks,
                    attempt=self._attempts(digest),
                    run=self._run,
                )

    def push_manifests(self) -> None:
        """Send the manifests of everything whose blobs are there, and set the tags.

        A dry run counts them, and sends none.
        """

        def task(publication: Publication) -> Callable[[Run], None]:
            def push(run: Run) -> None:
                with self._standing.attempt([publication.target]):
                    self._push_manifests(publication, run)

            return push

        self._parallel([task(p) for p in self._publications if self._standing.is_ready(p.target)])

    def result(self, catalog: Catalog, *, seconds: float) -> ImportResult:
        """What became of everything that was to come from a bundle."""
        for note in self._held.notes() if self._held is not None else ():
            self._report.note(note)
        return self._report.result(catalog, self._tally, seconds=seconds)

    def _push_manifests(self, publication: Publication, run: Run) -> None:
        target = publication.target
        known = self._tags.of(target.repository)
        pusher = ManifestPusher(
            self._repositories[target.repository],
            sparse=self._settings.sparse,
            tags=known,
            keep_tags=self._tags.kept(target.repository),
            tally=self._tally,
            list_lock=self._list_lock,
            run=run,
        )
        named = pusher.push(publication)
        digest = named.descriptor.digest
        self._report.sent(publication, digest, is_new=digest in pusher.sent)
        run.emit(ItemFinished(PHASE, target.image.reference.tagged))

    def _targets(self, digest: Digest) -> list[Target]:
        return self._wanted[digest].targets

    def _repositories_for(self, digest: Digest) -> list[ReceivingRepository]:
        """The repositories of images that still can be completed."""
        targets = [t for t in self._targets(digest) if t not in self._standing.failed]
        return [self._repositories[name] for name in dict.fromkeys(t.repository for t in targets)]

    def _attempts(self, digest: Digest) -> Attempt:
        return self._attempts_for(self._targets(digest))

    def _attempts_for(self, targets: Sequence[Target]) -> Attempt:
        """Attempts with a blob in one repository: what that refuses, others may take."""

        @contextmanager
        def attempt(repository: ReceivingRepository) -> Iterator[None]:
            there = [t for t in targets if t.repository == repository.repository]
            with self._standing.attempt(there, of_destination=True):
                yield

        return attempt

    def _repository(self, name: str) -> ReceivingRepository:
        if name in self._repositories:
            return self._repositories[name]
        repository = self._receiver.repository(name)
        return RehearsedRepository(repository) if self._settings.is_dry else repository

    def _parallel(self, tasks: Sequence[Callable[[Run], None]]) -> None:
        workers = Workers(self._settings.jobs, run=self._run, ends=self._scope)

        def bound(task: Callable[[Run], None]) -> Task:
            return lambda: task(workers.run)

        workers.finish([bound(task) for task in tasks])


def _wants(publications: Iterable[Publication]) -> dict[Digest, _Want]:
    wants: dict[Digest, _Want] = {}
    for publication in publications:
        for blob in publication.blobs:
            wants.setdefault(blob.digest, _Want(blob)).targets.append(publication.target)
    return wants
