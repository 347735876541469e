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
from airgap.transfer.copy import BlobSource
from airgap.transfer.destination import Target
from airgap.transfer.existing_tags import ExistingTags, OnExistingTag
from airgap.transfer.outcome import Failure, ImportedImage, ImportResult, Outcome
from airgap.transfer.publication import Publication
from airgap.transfer.push_blobs import Attempt, BlobPusher, Tally, sending_order
from airgap.transfer.push_manifests import ManifestPusher, Sparse, tag_digests
from airgap.transfer.receiver import Receiver, ReceivingRepository
from airgap.transfer.rehearsal import RehearsedRepository
from airgap.transfer.rollback import RollbackGuard
from airgap.transfer.standing import PHASE, Standing
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
        receiver = receiver.within(self._scope)
        self._tally = Tally()
        width = min(settings.jobs, receiver.width)
        self._blobs = BlobPusher(self._tally, width=width, is_dry=settings.is_dry)
        self._lock = threading.Lock()
        self._list_lock = threading.Lock()
        names = {p.target.repository for p in self._publications}
        real = {name: receiver.repository(name) for name in names}
        self._repositories: dict[str, ReceivingRepository] = {
            name: RehearsedRepository(repository) if settings.is_dry else repository
            for name, repository in real.items()
        }
        self._standing = Standing(keep_going=settings.keep_going, run=run)
        self._tags = ExistingTags(
            self._registry,
            self._repositories,
            self._standing,
            on_existing_tag=settings.on_existing_tag,
            sparse=settings.sparse,
            rollback=settings.rollback,
        )
        self._named: dict[Target, Digest] = {}
        self._present: set[Target] = set()
        self._wanted = _wants(self._publications)
        self._notes: list[str] = []

    @property
    def publications(self) -> tuple[Publication, ...]:
        """What goes there."""
        return self._publications

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

    def push_blobs(
        self, source: BlobSource | None, *, held: Callable[[Descriptor], bool] | None = None
    ) -> None:
        """Send what is missing, in parallel.

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
        sent = {d.descriptor.digest for p in self._publications for d in p.all_documents()}
        images = tuple(self._image(publication) for publication in self._publications)
        return ImportResult(
            catalog.id,
            images,
            sum(len(p.referrals) for p in self._publications if self._standing.is_ready(p.target)),
            self._tally.pushed,
            self._tally.pushed_bytes,
            self._tally.present,
            self._tally.mounted,
            self._tally.manifests,
            tuple(
                Failure(target.image.reference.tagged, error)
                for target, error in self._standing.failed.items()
            ),
            tuple(o for o in catalog.omitted if not sent.isdisjoint(o.parents)),
            (*(rollback.text for rollback in self._tags.rollbacks.values()), *self._notes),
            seconds,
        )

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
        with self._lock:
            self._named[target] = digest
            if target.tag is None and digest not in pusher.sent:
                self._present.add(target)
            self._notes.extend(self._notes_on(publication, digest))
        run.emit(ItemFinished(PHASE, target.image.reference.tagged))

    def _notes_on(self, publication: Publication, named: Digest) -> Iterator[str]:
        """What became of a publication that somebody who looks at its name would not expect."""
        target = publication.target
        if named != target.image.digest:
            why = (
                "--sparse image asks for that, as not all of its platforms were exported"
                if self._settings.sparse == "image"
                else "the registry wants all platforms of an index, and not all were exported"
            )
            yield f"{self._name(target)} is one image instead of an index: {why}"
        for referral in publication.referrals:
            if referral.tag in self._tags.kept(target.repository):
                yield (
                    f"{self._registry}/{target.repository}:{referral.tag} stays as it is: what "
                    f"{target.image.reference.tagged} brings under it is there by digest only, "
                    f"{referral.document.descriptor.digest}"
                )

    def _image(self, publication: Publication) -> ImportedImage:
        target = publication.target
        digest = target.image.digest
        current = self._tags.current(target.repository, target.tag)
        outcome: Outcome = "pushed"
        if target in self._standing.failed:
            outcome = "failed"
        elif target in self._standing.waiting:
            outcome = "waiting"
        elif target.tag in self._tags.kept(target.repository) and current is not None:
            outcome, digest = "skipped", current
        elif self._named[target] == digest and (
            current in tag_digests(publication.root) or target in self._present
        ):
            outcome = "present"
        elif self._settings.is_dry:
            outcome = "planned"
        elif self._named[target] != digest:
            outcome, digest = "image-only", self._named[target]
        return ImportedImage(target.image.reference.tagged, self._name(target), digest, outcome)

    def _name(self, target: Target) -> str:
        return f"{self._registry}/{target.repository}{target.locator}"

    def _targets(self, digest: Digest) -> list[Target]:
        return self._wanted[digest].targets

    def _repositories_for(self, digest: Digest) -> list[ReceivingRepository]:
        """The repositories of images that still can be completed."""
        targets = [t for t in self._targets(digest) if t not in self._standing.failed]
        return [self._repositories[name] for name in dict.fromkeys(t.repository for t in targets)]

    def _attempts(self, digest: Digest) -> Attempt:
        """Attempts with a blob in one repository: what that refuses, others may take."""

        @contextmanager
        def attempt(repository: ReceivingRepository) -> Iterator[None]:
            targets = self._targets(digest)
            there = [t for t in targets if t.repository == repository.repository]
            with self._standing.attempt(there, of_destination=True):
                yield

        return attempt

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
