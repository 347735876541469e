"""Inventories for tests."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from airgap.oci.digest import Digest
from airgap.record.inventory import Inventory
from airgap.record.inventory_builder import InventoryBuilder
from airgap.record.inventory_format import Kind

MADE = datetime(2026, 1, 31, 12, 30, 5, tzinfo=UTC)
PLACE = "registry.internal:5000"
BUNDLE = Digest.of(b"a bundle")


def digest(text: str, algorithm: str = "sha256") -> Digest:
    """The digest of a text."""
    return Digest.of(text.encode(), algorithm)


def builder(kind: Kind = "registry", *, place: str = PLACE, by: str = "") -> InventoryBuilder:
    """A builder at a fixed time."""
    need = BUNDLE if kind == "need" else None
    return InventoryBuilder(place=place, kind=kind, made=MADE, by=by, need=need)


def make_inventory(
    blobs: Iterable[tuple[Digest, int, str]] = (),
    images: Iterable[tuple[str, Digest]] = (),
    *,
    kind: Kind = "registry",
    place: str = PLACE,
    by: str = "",
) -> Inventory:
    """An inventory of these facts."""
    made = builder(kind, place=place, by=by)
    for found, size, repository in blobs:
        made.add_blob(found, size, repository)
    for name, image in images:
        made.add_image(name, image)
    return made.build()


def rebuild(inventory: Inventory) -> Inventory:
    """Make an inventory again from what it says."""
    made = InventoryBuilder(
        place=inventory.place,
        kind=inventory.kind,
        made=inventory.made,
        by=inventory.by,
        version=inventory.version,
        need=inventory.need,
    )
    made.is_complete = inventory.is_complete
    for found, size, repositories in inventory.blobs():
        for repository in repositories or ("",):
            made.add_blob(found, size, repository)
    for name, image in inventory.images:
        made.add_image(name, image)
    return made.build()


APP, LAYER, OTHER = digest("app"), digest("layer"), digest("other")
LONG = digest("long", "sha512")


def sample() -> Inventory:
    """Two repositories that share a layer, and a manifest by sha512."""
    return make_inventory(
        [
            (APP, 500, "team/app"),
            (LAYER, 1 << 40, "team/app"),
            (LAYER, 1 << 40, "base"),
            (OTHER, 0, "base"),
            (LONG, 7, "team/app"),
            (LONG, 7, "base"),
        ],
        [("team/app:1.0", APP), ("team/app:latest", APP), ("team/app:long", LONG)],
        by="Ada, shift 2",
    )
