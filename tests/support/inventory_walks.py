"""Registries whose inventories are taken by their API, for tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from airgap.server.settings import RegistrySettings
from airgap.transfer.inventory_findings import WalkOptions
from airgap.transfer.inventory_registry import (
    InventoryOptions,
    InventoryOrigin,
    InventoryReport,
    take_inventory,
)
from tests.support import builders
from tests.support.embedded import EmbeddedRegistry, Seen, Status
from tests.support.inventories import MADE
from tests.support.registry_client import open_lab


class Plain(EmbeddedRegistry):
    """The embedded registry without its own inventory, and without the referrers API if wanted."""

    def __init__(self, *, referrers: bool = False) -> None:
        super().__init__(settings=replace(RegistrySettings(), referrers=referrers))
        self.fault = self._no_inventory
        self.also: Any = None

    def _no_inventory(self, seen: Seen) -> Status | None:
        if "_airgap" in seen.path:
            return Status(404)
        return self.also(seen) if self.also else None

    def bodies(self) -> int:
        """How many manifests were sent."""
        return self.count("GET", r"/manifests/")


def take(host: str, cache: Path | None = None, *names: str, **walk: Any) -> InventoryReport:
    """Take an inventory with a client of its own."""
    options = InventoryOptions(InventoryOrigin(MADE, "Ada", "1"), names, WalkOptions(**walk), cache)
    with open_lab() as lab:
        return take_inventory(lab.client, host, options=options, run=lab.client.network.run)


def fill(registry: EmbeddedRegistry) -> tuple[builders.Content, builders.Content]:
    """Two repositories: an index with a signature tag in one, an image that shares a layer."""
    multi = builders.multi_platform()
    single = builders.image(layers=(1000, 777), seed=3)
    builders.push(registry.repository("team/app"), multi, tag="1.0")
    builders.push(registry.repository("team/app"), multi, tag="latest")
    tag, signature = builders.cosign_signature(multi.descriptor)
    builders.push(registry.repository("team/app"), signature, tag=tag)
    builders.push(registry.repository("base"), single, tag="3")
    builders.push(registry.repository("copy"), single, tag="3")
    return multi, single


def expect_all_held(report: InventoryReport, name: str, content: builders.Content) -> None:
    """See that a repository is said to hold everything of a content."""
    for part in content.walk():
        held = report.inventory.find(part.digest)
        assert held is not None
        assert held.size == len(part.raw)
        assert name in held.repositories
        for blob in part.blobs:
            held = report.inventory.find(blob.descriptor.digest)
            assert held is not None
            assert (held.size, name in held.repositories) == (blob.descriptor.size, True)
