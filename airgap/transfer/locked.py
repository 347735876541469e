"""Making, writing and checking lock files: what names stand for at their sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap.bundle.catalog import Catalog
from airgap.bundle.closure import reachable, successors
from airgap.bundle.volumes import VolumePlan
from airgap.content.atomic import write_file
from airgap.errors import AirgapError, CancelledError
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference
from airgap.record.lock import MAX_PLATFORM, Lock, LockedImage, LockedPlatform
from airgap.run import Run
from airgap.transfer.export_options import ExportOptions
from airgap.transfer.export_report import failures
from airgap.transfer.export_selection import select
from airgap.transfer.outcome import Failure
from airgap.transfer.record_file import RecordFile
from airgap.transfer.resolve import Resolver
from airgap.transfer.sources import Sources
from airgap.transfer.workers import Task, Workers

LOCK_FILE = RecordFile(Lock, "lock file", "airgap lock")


@dataclass(frozen=True, slots=True)
class MovedTag:
    """A tag that does not stand for what a lock says.

    Attributes:
        name: The full name.
        locked: What the lock says.
        now: What it stands for now; None where the tag is gone.
    """

    name: str
    locked: Digest
    now: Digest | None

    def __str__(self) -> str:
        if self.now is None:
            return f"{self.name} is gone; the lock says {self.locked}"
        return f"{self.name} is {self.now} now; the lock says {self.locked}"


@dataclass(frozen=True, slots=True)
class LockResult:
    """A lock that was made.

    Attributes:
        lock: What it says.
        failed: References that are not in it.
    """

    lock: Lock
    failed: tuple[Failure, ...]


def lock_of(
    catalog: Catalog, documents: Mapping[Digest, Document], platforms: Sequence[Platform]
) -> Lock:
    """What a bundle's names stand for.

    Args:
        catalog: What the bundle carries.
        documents: Its manifests.
        platforms: Those that were asked for; none means all.
    """
    left_out = catalog.omissions()
    sizes: dict[Digest, int] = {}
    for document in documents.values():
        sizes[document.descriptor.digest] = document.descriptor.size
        for needed in successors(document):
            if needed.digest not in left_out:
                sizes[needed.digest] = needed.size
    return Lock.build(
        (_image(i.reference, i.digest, documents, sizes) for i in catalog.images), platforms
    )


def _image(
    reference: Reference,
    digest: Digest,
    documents: Mapping[Digest, Document],
    sizes: Mapping[Digest, int],
) -> LockedImage:
    document = documents[digest]
    return LockedImage(
        reference,
        digest,
        document.descriptor.media_type,
        sum(sizes.get(needed, 0) for needed in reachable([digest], documents)),
        tuple(
            LockedPlatform(str(entry.platform)[:MAX_PLATFORM], entry.digest)
            for entry in document.children()
            if entry.platform is not None and entry.platform.is_known and entry.digest in documents
        ),
    )


def write_lock(path: Path, lock: Lock) -> None:
    """Write a lock file, replacing one that is there.

    Raises:
        ConflictError: Something else is there.
        SettingsError: It cannot be written there.
        StorageError: It could not be written; what was there before is still there.
    """
    LOCK_FILE.before(path)
    write_file(path, lock.to_bytes())


def write_wanted_lock(options: ExportOptions, plan: VolumePlan) -> None:
    """Write down what each name of a bundle stood for, where that is wanted.

    Raises:
        StorageError: It could not be written.
    """
    if options.lock is not None:
        write_lock(options.lock, lock_of(plan.catalog, plan.documents, options.platforms))


def make_lock(
    references: Sequence[Reference],
    *,
    sources: Sources,
    options: ExportOptions,
    run: Run,
) -> LockResult:
    """Find out what names stand for. Only manifests are fetched.

    Args:
        references: The names; what is pinned stays so.
        sources: Where they are looked up.
        options: The platforms that are asked for, and whether failures are left out.
        run: Progress and cancellation.

    Raises:
        AirgapError: A name stands for nothing, unless that is to be left out.
    """
    resolver = Resolver(sources, options.selection, keep_going=options.keep_going, run=run)
    selection = select(resolver.resolve(references), options)
    lock = lock_of(selection.catalog, selection.documents, options.platforms)
    return LockResult(lock, failures(selection))


def find_moved(locks: Sequence[Lock], *, sources: Sources, run: Run) -> tuple[MovedTag, ...]:
    """Ask for every tag of lock files whether it still stands for the same, with one request each.

    Args:
        locks: The locks.
        sources: Where the names are looked up.
        run: Cancellation.

    Raises:
        AirgapError: A source could not tell.
    """
    moved: dict[str, MovedTag] = {}

    def asking(image: LockedImage, tag: str) -> Task:
        def task() -> None:
            found = sources.open(image.reference.name).resolve(tag)
            if found is None or found.digest != image.digest:
                name = image.reference.tagged
                moved[name] = MovedTag(name, image.digest, found.digest if found else None)

        return task

    images = {image.pinned: image for lock in locks for image in lock.images}.values()
    workers = Workers(sources.width, run=run, ends=sources.scope)
    workers.finish(
        [asking(image, image.reference.tag) for image in images if image.reference.tag is not None]
    )
    return tuple(moved[name] for name in sorted(moved))


def warn_of_moved(locks: Sequence[Lock], *, sources: Sources, run: Run) -> None:
    """Warn of every tag of lock files that stands for something else now.

    What is exported stays what the locks say, so a source that cannot tell is no failure.

    Args:
        locks: The locks.
        sources: Where the names are looked up.
        run: Takes the warnings.
    """
    try:
        for moved in find_moved(locks, sources=sources, run=run):
            run.warn("tag-moved", str(moved))
    except CancelledError:
        raise
    except AirgapError as error:
        run.debug("tag-moved", f"whether tags have moved is not known: {error.message}")
