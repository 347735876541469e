"""What a registry lacks of what a bundle leaves to it: the same look-ups as before an import."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from airgap.bundle.catalog import Catalog
from airgap.bundle.reader import open_bundle
from airgap.bundle.stream import BundleStream
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document
from airgap.record.inventory import Inventory
from airgap.record.inventory_builder import InventoryBuilder
from airgap.registry.client import Client
from airgap.run import Run
from airgap.run.events import PhaseFinished, PhaseStarted
from airgap.transfer.base_guard import PHASE, BaseGuard, Elsewhere
from airgap.transfer.decrypted import EncryptedBundle
from airgap.transfer.destination import Destination, plan_targets
from airgap.transfer.publication import Publication, plan_publications
from airgap.transfer.receiver import RegistryReceiver
from airgap.transfer.trusting import check_bundle_trust
from airgap.transfer.workers import Task, Workers
from airgap.trust.policy import Trust
from airgap.trust.signatures import Signatures
from airgap.version import __version__

Front = tuple[Catalog, Mapping[Digest, Document]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingOptions:
    """What of a bundle is looked for, and where; the words mean what they mean to an import.

    Attributes:
        keep_host: Whether the source registry's host stays as the first part of the path.
        only: Globs on source names; none means all images.
        mount_from: Further repositories of the registry in which blobs may lie.
        jobs: How many requests the registry gets at a time.
        made: When this is.
        by: Who asks.
        trust: Who must have signed the bundle; None where nobody must. A need names images: what
            nobody signed could make the other side send any that it has.
        signatures: Signatures that came beside the bundle.
    """

    made: datetime
    keep_host: bool = False
    only: tuple[str, ...] = ()
    mount_from: tuple[str, ...] = ()
    jobs: int = 4
    by: str = ""
    trust: Trust | None = None
    signatures: Signatures = field(default_factory=Signatures)


def find_missing(
    bundle: Path | Sequence[Path] | BinaryIO | EncryptedBundle,
    to: Destination,
    *,
    client: Client,
    options: MissingOptions,
    run: Run | None = None,
) -> Inventory:
    """Write down what a bundle leaves to a registry and the registry does not have.

    Nothing is changed there. Of a bundle in volumes, any one of them is enough; of a pipe, its
    beginning is read.

    Args:
        bundle: The file, some of its volumes or their folders, a stream, or encrypted files.
        to: The registry, and the path below which repositories would go.
        client: Talks to the registry.
        options: What is looked for.
        run: Progress and cancellation.

    Returns:
        A need: the blobs that are missing, and the images that lack them by their source names;
        without any of them where nothing is missing.

    Raises:
        SignatureError: The bundle is not signed as is demanded; nothing was asked then.
        AirgapError: The bundle cannot be read, or the registry could not tell.
    """
    run = run or Run()
    catalog, documents = _front(bundle, run)
    check_bundle_trust(catalog, options.trust, options.signatures, run=run)
    targets = plan_targets(catalog.images, to, keep_host=options.keep_host, only=options.only)
    publications = plan_publications(targets, catalog, documents)
    receiver = RegistryReceiver(client.within(run), to.registry)
    elsewhere = Elsewhere(to=to, keep_host=options.keep_host, mount_from=options.mount_from)
    guard = BaseGuard(receiver.repository, publications, catalog, elsewhere)
    tasks = [look for _, look in guard.tasks()]
    run.emit(PhaseStarted(PHASE, len(tasks)))
    _ask(tasks, options.jobs, run)
    run.emit(PhaseFinished(PHASE))
    return _need(guard, publications, catalog, to, options)


def _ask(tasks: Sequence[Callable[[Run], None]], jobs: int, run: Run) -> None:
    workers = Workers(jobs, run=run)

    def bound(task: Callable[[Run], None]) -> Task:
        return lambda: task(workers.run)

    workers.finish([bound(task) for task in tasks])


def _need(
    guard: BaseGuard,
    publications: Sequence[Publication],
    catalog: Catalog,
    to: Destination,
    options: MissingOptions,
) -> Inventory:
    lacks = guard.lacking()
    builder = InventoryBuilder(
        place=to.registry,
        kind="need",
        made=options.made,
        by=options.by,
        version=__version__,
        need=catalog.id,
    )
    for publication in publications:
        image = publication.target.image
        blobs = lacks.get(publication.target, ())
        for blob in blobs:
            builder.add_blob(blob.digest, blob.size)
        if blobs:
            builder.add_image(image.reference.tagged, image.digest)
    return builder.build()


def _front(bundle: Path | Sequence[Path] | BinaryIO | EncryptedBundle, run: Run) -> Front:
    if isinstance(bundle, Path | Sequence):
        with open_bundle(bundle, must_be_whole=False) as reader:
            return reader.catalog, reader.documents
    stream = bundle if isinstance(bundle, EncryptedBundle) else BundleStream(bundle, run=run)
    front = stream.front()
    return front.catalog, front.documents
