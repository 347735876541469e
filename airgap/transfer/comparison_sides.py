"""Opening what is compared: records, bundles, lists of references and registries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from airgap.bundle.catalog import Catalog
from airgap.bundle.foreign import ENCRYPTED
from airgap.content.storage import storage_errors
from airgap.errors import ConflictError, ContentNotFoundError
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.record.inventory import Inventory
from airgap.record.lock import Lock
from airgap.record.lock_format import is_lock
from airgap.record.receipt import Receipt
from airgap.registry.client import Client
from airgap.run import Run
from airgap.run.events import ItemFinished, PhaseFinished, PhaseStarted
from airgap.transfer.comparison import Side, ascending
from airgap.transfer.destination import Destination
from airgap.transfer.inventory_findings import WalkOptions
from airgap.transfer.inventory_registry import InventoryOptions, InventoryOrigin, take_inventory
from airgap.transfer.known import Told
from airgap.transfer.records import Contents, open_record
from airgap.transfer.resolve import PHASE
from airgap.transfer.rollback import THERE
from airgap.transfer.sources import RegistrySources
from airgap.transfer.workers import Task, Workers

_BEGINNING = 64 * 1024
ClientOpener = Callable[[], Client]
"""Gives a client, which is opened only where something asks a registry."""


@dataclass(frozen=True, slots=True)
class SideOpener:
    """Opens what is compared.

    Attributes:
        client: Opens what talks to registries.
        origin: When and by whom a registry is looked at.
        jobs: How many requests are on their way at once.
        cache: Where manifests of registries are kept for the next time; None keeps none.
        run: Progress and cancellation.
    """

    client: ClientOpener
    origin: InventoryOrigin
    jobs: int
    run: Run
    cache: Path | None = None

    def record(self, path: Path) -> Side:
        """Open a bundle, its catalog, a layout, an inventory, a receipt or a lock file.

        Raises:
            AirgapError: It is none of these, or cannot be read.
        """
        content = open_record(path).content
        name = str(path)
        if isinstance(content, Contents):
            return _of_catalog(name, content.catalog)
        if isinstance(content, Inventory):
            return _of_inventory(name, content)
        if isinstance(content, Receipt):
            return _of_receipt(name, content)
        return _of_lock(name, content)

    def references(self, name: str, references: Sequence[Reference]) -> Side:
        """Ask registries what references stand for, with one request each.

        Raises:
            ConflictError: One name stands for two images.
        AirgapError: One stands for nothing, or a registry does not tell.
        """
        registries = len({reference.registry for reference in references})
        sources = RegistrySources(
            self.client(), registries=registries, jobs=self.jobs, run=self.run
        )
        found: dict[Reference, Digest] = {}

        def asking(reference: Reference) -> Task:
            def task() -> None:
                there = sources.open(reference.name).resolve(reference.locator)
                if there is None:
                    raise ContentNotFoundError(
                        f"{reference} is not there",
                        hint="check the name and the tag; some registries say this where a login "
                        "is needed",
                        origin="source",
                    )
                found[reference] = there.digest
                self.run.emit(ItemFinished(PHASE, str(reference)))

            return task

        self.run.emit(PhaseStarted(PHASE, len(references)))
        workers = Workers(sources.width, run=self.run, ends=sources.scope)
        workers.finish([asking(reference) for reference in references])
        self.run.emit(PhaseFinished(PHASE))
        named: dict[Reference, Digest] = {}
        for reference in references:
            known = named.setdefault(_unpinned(reference), found[reference])
            if known != found[reference]:
                raise ConflictError(
                    f"{name} asks for {_unpinned(reference).tagged} as {known} and as"
                    f" {found[reference]}",
                    hint="one name can stand for one image only: leave out one of them",
                )
        return Side(name, "list", source_names=named)

    def registry(self, place: Destination) -> Side:
        """Look at a registry, or at what lies below a path in it.

        Raises:
            AirgapError: It does not tell what it holds.
        """
        client = self.client()
        repositories: tuple[str, ...] = ()
        if place.prefix:
            listed = client.repositories(place.registry)
            repositories = tuple(name for name in listed if _is_below(name, place.prefix))
            if not repositories:
                nothing = ascending({})
                return Side(str(place), "registry", receiver_names={}, sizes=nothing)
        options = InventoryOptions(
            self.origin, repositories, WalkOptions(jobs=self.jobs), cache_folder=self.cache
        )
        report = take_inventory(client, place.registry, options=options, run=self.run)

        def holds(repository: str, digest: Digest) -> bool:
            # A list of tags says nothing of what was pushed by digest alone.
            there = client.repository(place.registry, repository, origin="source")
            return there.resolve(str(digest)) is not None

        side = _of_registry(str(place), report.inventory)
        return replace(side, kind="registry", holds=holds, prefix=place.prefix)


def is_list(path: Path) -> bool:
    """Whether a file looks like a list of references, and like nothing else that is compared.

    Raises:
        StorageError: It cannot be read.
    """
    with storage_errors(path):
        if not path.is_file():
            return False
        with path.open("rb") as file:
            beginning = file.read(_BEGINNING)
    is_text = b"\0" not in beginning and not beginning.lstrip().startswith((b"{", b"<"))
    return is_text and not beginning.startswith(ENCRYPTED) and not is_lock(beginning)


def _of_catalog(name: str, catalog: Catalog) -> Side:
    return Side(
        name,
        "bundle",
        source_names={image.reference: image.digest for image in catalog.images},
        sizes=ascending(catalog.sizes()),
        left=len(catalog.held),
    )


def _of_inventory(name: str, inventory: Inventory) -> Side:
    if inventory.kind == "registry":
        return _of_registry(name, inventory)
    images = {Reference.parse(image.name): image.digest for image in inventory.images}
    return Side(name, "inventory", source_names=images, sizes=_sizes_of(inventory))


def _of_registry(name: str, inventory: Inventory) -> Side:
    return Side(
        name,
        "inventory",
        receiver_names={image.name: image.digest for image in inventory.images},
        sizes=_sizes_of(inventory),
        holds=_holding(inventory.find),
    )


def _of_receipt(name: str, receipt: Receipt) -> Side:
    there = [
        (image, image.named)
        for image in receipt.images
        if image.outcome in THERE and image.named is not None
    ]
    sizes = {entry.digest: entry.size for entry in (*receipt.blobs, *receipt.manifests)}

    return Side(
        name,
        "receipt",
        source_names={Reference.parse(image.name): digest for image, digest in there},
        receiver_names={
            image.repository + (f":{image.tag}" if image.tag else f"@{digest}"): digest
            for image, digest in there
        },
        sizes=ascending(sizes),
        holds=_holding(receipt.find),
        prefix=receipt.prefix,
    )


def _holding(find: Callable[[Digest], Told | None]) -> Callable[[str, Digest], bool]:
    """What tells whether a repository has something, by what a record says of it."""

    def holds(repository: str, digest: Digest) -> bool:
        held = find(digest)
        return held is not None and repository in held.repositories

    return holds


def _of_lock(name: str, lock: Lock) -> Side:
    images = {image.reference: image.digest for image in lock.images}
    return Side(name, "lock", source_names=images)


def _sizes_of(inventory: Inventory) -> Callable[[], Iterator[tuple[Digest, int]]]:
    def give() -> Iterator[tuple[Digest, int]]:
        return ((digest, size) for digest, size, _ in inventory.blobs())

    return give


def _unpinned(reference: Reference) -> Reference:
    """The name as a catalog has it: with a tag, or with the digest alone."""
    return reference.with_digest(None) if reference.tag else reference


def _is_below(repository: str, prefix: str) -> bool:
    return repository == prefix or repository.startswith(f"{prefix}/")
