"""What tests of second transfers share: inventories of contents, and what is known by them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from airgap.oci.digest import Digest
from airgap.record.bases import Base
from airgap.record.inventory import Inventory
from airgap.record.inventory_builder import InventoryBuilder
from airgap.transfer.known import Claim, Known, Witness
from tests.support.builders import Content

PLACE = "registry.internal:5000"
MADE = datetime(2026, 1, 31, 12, tzinfo=UTC)


def inventory(
    contents: Mapping[str, Content | Iterable[Content]], *, place: str = PLACE
) -> Inventory:
    """The inventory of a registry that holds contents, by `repository:tag` or by repository."""
    builder = InventoryBuilder(place=place, kind="registry", made=MADE)
    for name, found in contents.items():
        repository = name.partition(":")[0]
        for content in [found] if isinstance(found, Content) else found:
            for part in content.walk():
                builder.add_blob(part.digest, len(part.raw), repository)
                for blob in part.blobs:
                    descriptor = blob.descriptor
                    builder.add_blob(descriptor.digest, descriptor.size, repository)
            if ":" in name:
                builder.add_image(name, content.digest)
    return builder.build()


def need(
    bundle: Digest, images: Mapping[str, Content], missing: Iterable[Digest], *, place: str = PLACE
) -> Inventory:
    """What a registry lacks of some images of a bundle."""
    wanted = set(missing)
    builder = InventoryBuilder(place=place, kind="need", made=MADE, need=bundle)
    for name, content in images.items():
        builder.add_image(name, content.digest)
        for blob in content.all_blobs().values():
            descriptor = blob.descriptor
            if descriptor.digest in wanted:
                builder.add_blob(descriptor.digest, descriptor.size)
    return builder.build()


def known_by(*inventories: Inventory) -> Known:
    """What is known by inventories of registries."""
    return Known(
        Witness(Base("inventory", found.id, found.place), found.find) for found in inventories
    )


def witness(base: Base, claims: Mapping[Digest, Claim]) -> Witness:
    """Somebody who says just this."""
    return Witness(base, claims.get)
