"""The inventory of a registry: told by itself where it can, else found by its API."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from airgap.errors import BundleFormatError, RegistryProtocolError
from airgap.record.inventory import Inventory
from airgap.record.inventory_builder import InventoryBuilder
from airgap.registry.client import Client
from airgap.run import Run
from airgap.transfer.inventory_findings import Findings, WalkOptions
from airgap.transfer.inventory_walk import RegistryWalk
from airgap.transfer.manifest_cache import ManifestCache
from airgap.transfer.outcome import Failure


@dataclass(frozen=True, slots=True)
class InventoryOrigin:
    """When, by whom and by which version of airgap an inventory is made."""

    made: datetime
    by: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class InventoryOptions:
    """How the inventory of a registry is taken.

    Attributes:
        origin: When and by whom.
        repositories: What is looked at; everything that the registry lists without any.
        walk: How the registry is asked.
        cache_folder: Where manifests are kept for the next time; None keeps none.
    """

    origin: InventoryOrigin
    repositories: tuple[str, ...] = ()
    walk: WalkOptions = field(default_factory=WalkOptions)
    cache_folder: Path | None = None


@dataclass(frozen=True, slots=True)
class InventoryReport:
    """An inventory, and how it came about.

    Attributes:
        inventory: What the place holds.
        failed: What is left out because it failed.
        manifests_fetched: How many manifests were fetched.
        manifests_known: How many were known from an earlier run and not fetched again.
        missing_blobs: How many blobs are named by manifests and are not there.
    """

    inventory: Inventory
    failed: tuple[Failure, ...] = ()
    manifests_fetched: int = 0
    manifests_known: int = 0
    missing_blobs: int = 0


def take_inventory(
    client: Client, registry: str, *, options: InventoryOptions, run: Run
) -> InventoryReport:
    """Find out what a registry holds.

    Args:
        client: Talks to the registry.
        registry: The registry, as in a `Reference`; the inventory's place.
        options: How.
        run: Progress and cancellation.

    Raises:
        UnauthorizedError: Its repositories are not listed for us, or one is not ours to read.
        AirgapError: Something could not be had, unless failures are to be left out.
    """
    if not options.repositories and not options.walk.check_blobs:
        told = _told(client, registry, options.origin)
        if told is not None:
            return InventoryReport(told)
    origin = options.origin
    builder = InventoryBuilder(
        place=registry, kind="registry", made=origin.made, by=origin.by, version=origin.version
    )
    # Where only some repositories or no referrers are looked at, more may be there.
    builder.is_complete = not options.repositories and options.walk.referrers
    names = options.repositories or tuple(client.repositories(registry))
    cache = ManifestCache(options.cache_folder)
    findings = Findings(registry, builder, cache=cache, options=options.walk, run=run)
    done = RegistryWalk(client, findings).walk(dict.fromkeys(names))
    if options.repositories:
        for name in sorted(done.empty):
            run.warn("repository-empty", f"{registry}/{name} has no tags, or is not there")
    return InventoryReport(
        builder.build(),
        tuple(sorted(done.failed, key=lambda failure: failure.name)),
        done.fetched,
        done.known,
        done.missing_blobs,
    )


def _told(client: Client, registry: str, origin: InventoryOrigin) -> Inventory | None:
    """What airgap's own registry says of itself; nothing from another one."""
    raw = client.inventory(registry)
    if raw is None:
        return None
    try:
        told = Inventory.parse(raw)
        if told.kind != "registry":
            raise BundleFormatError(f"it is the inventory of a {told.kind}")
    except BundleFormatError as error:
        raise RegistryProtocolError(
            f"{registry} gives an inventory that makes no sense: {error.message}",
            hint="name the repositories with --repository to have them looked at one by one",
            origin="source",
        ) from error
    return told.with_origin(place=registry, made=origin.made, by=origin.by, version=origin.version)
