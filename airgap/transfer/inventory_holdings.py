"""The inventory of bundles and image layouts: what they carry, and under which names."""

from __future__ import annotations

from collections.abc import Iterator

from airgap.bundle.closure import successors
from airgap.errors import ConflictError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.record.inventory import Inventory
from airgap.record.inventory_builder import InventoryBuilder
from airgap.transfer.bundle_source import Holding, Holdings
from airgap.transfer.inventory_registry import InventoryOrigin
from airgap.transfer.layout_source import LayoutFolder


def inventory_of_holdings(holdings: Holdings, origin: InventoryOrigin) -> Inventory:
    """Write down what bundles and layouts carry; what they left out or to others is not in it.

    Args:
        holdings: The bundles and layouts.
        origin: When and by whom this is.

    Raises:
        ConflictError: A name stands for one image here and for another there.
        StorageError: A layout cannot be read.
    """
    is_layout = all(isinstance(holding, LayoutFolder) for holding in holdings)
    builder = InventoryBuilder(
        place="",
        kind="layout" if is_layout else "bundle",
        made=origin.made,
        by=origin.by,
        version=origin.version,
    )
    names: dict[str, Digest] = {}
    for holding in holdings:
        for image in holding.catalog.images:
            name = image.reference.tagged
            if names.setdefault(name, image.digest) != image.digest:
                raise ConflictError(
                    f"{name} is {names[name]} in one of them and {image.digest} in another",
                    hint="make an inventory of each",
                    origin="source",
                )
        _tell(holding, builder)
    for name, digest in names.items():
        builder.add_image(name, digest)
    return builder.build()


def _tell(holding: Holding, builder: InventoryBuilder) -> None:
    sizes = holding.catalog.sizes()
    told: set[Digest] = set()
    for repository, root in _roots(holding):
        for digest in _below(holding, root):
            if _is_here(holding, digest, sizes):
                builder.add_blob(digest, sizes[digest], repository)
                told.add(digest)
    for digest, size in sizes.items():  # what no name leads to
        if digest not in told and _is_here(holding, digest, sizes):
            builder.add_blob(digest, size)


def _roots(holding: Holding) -> Iterator[tuple[str, Digest]]:
    for image in holding.catalog.images:
        yield image.reference.name, image.digest
    for referrer in holding.catalog.referrers:
        yield referrer.repository, referrer.digest


def _below(holding: Holding, root: Digest) -> Iterator[Digest]:
    """A manifest and all that it leads to."""
    waiting, seen = [root], {root}
    while waiting:
        digest = waiting.pop()
        yield digest
        document = holding.documents.get(digest)
        if document is None:
            continue
        fresh = {child.digest for child in successors(document)} - seen
        seen |= fresh
        waiting += sorted(fresh)


def _is_here(holding: Holding, digest: Digest, sizes: dict[Digest, int]) -> bool:
    """Whether it travels; a layout is asked for the file, since it has no list of what is there."""
    if digest not in sizes:
        return False
    return digest in holding.documents or holding.has_blob(Descriptor("-", digest, sizes[digest]))
