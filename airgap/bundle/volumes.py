"""The volumes of a bundle: how many, what each holds, and where. Pure.

`docs/bundle-format.md` says what a volume is. How blobs are shared out is no part of the format:
a reader takes it from the placements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from airgap.bundle import closure, engines, members
from airgap.bundle.catalog import Catalog
from airgap.bundle.layout import Layout, Share, measure, plan_layout
from airgap.bundle.packing import Gauge, Group, pack
from airgap.bundle.placement import MAX_VOLUMES, Extent
from airgap.errors import SettingsError
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document
from airgap.wording import size_text

SMALLEST = (1 << 20) - (1 << 16)
"""No volume is planned for less room: that of 1 MiB, less what its encryption may take."""
_FRONTS = 16
"""How many times its front a volume must be able to hold: each carries the whole catalog."""


@dataclass(frozen=True, slots=True)
class VolumePlan:
    """Where everything of a bundle in one or several files lies.

    Attributes:
        catalog: What the bundle carries.
        documents: Every manifest and index.
        shares: What each volume holds; one None for a bundle of one file.
        placements: The blobs and pieces of each volume, at their offsets.
        sizes: How many bytes each file has.
        homes: For each of the catalog's blobs, the first and last volume that holds some of it.
    """

    catalog: Catalog
    documents: Mapping[Digest, Document] = field(repr=False)
    shares: tuple[Share | None, ...]
    placements: tuple[tuple[Extent, ...], ...]
    sizes: tuple[int, ...]
    homes: tuple[tuple[int, int], ...] = ()

    @property
    def count(self) -> int:
        """How many volumes there are."""
        return len(self.sizes)

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(self.sizes)

    @property
    def is_split(self) -> bool:
        """Whether these are volumes and not one file."""
        return self.shares[0] is not None

    @property
    def cuts(self) -> int:
        """How many blobs lie in several volumes."""
        return sum(first != last for first, last in self.homes)

    def layout(self, index: int) -> Layout:
        """Every byte of one file but the blobs', made when it is asked for.

        A front may be large, and there may be many: they are not all held.

        Args:
            index: Which one, from 0.
        """
        return plan_layout(self.catalog, self.documents, self.shares[index])

    def parts(self) -> dict[Digest, tuple[tuple[int, Extent], ...]]:
        """Where each blob lies: the files, from 0, with the extents in order of the blob."""
        found: dict[Digest, list[tuple[int, Extent]]] = {}
        for index, extents in enumerate(self.placements):
            for extent in extents:
                found.setdefault(extent.digest, []).append((index, extent))
        return {digest: tuple(parts) for digest, parts in found.items()}


def plan_one_file(layout: Layout, documents: Mapping[Digest, Document]) -> VolumePlan:
    """A bundle of one file."""
    return VolumePlan(layout.catalog, documents, (None,), (layout.blobs,), (layout.size,))


def plan_volumes(
    catalog: Catalog, documents: Mapping[Digest, Document], *, volume_size: int
) -> VolumePlan:
    """Share a bundle out to volumes.

    Args:
        catalog: What it carries.
        documents: Every manifest and index that the catalog names.
        volume_size: The most bytes that a volume may have.

    Raises:
        SettingsError: Volumes of this size would hold little but what each repeats, or there
            would be too many.
    """
    whole = plan_layout(catalog, documents)
    smallest = max(SMALLEST, _FRONTS * len(whole.front))
    if volume_size < smallest:
        raise SettingsError(
            f"a volume of {size_text(volume_size)} is too small for this bundle",
            hint=f"--volume-size {smallest} or more: each volume carries the whole catalog",
        )
    groups = image_groups(catalog, documents)
    # as few as there can be; what stands in each volume grows with the digits of their number
    count = 1 + sum(size for _, size in catalog.blobs) // volume_size
    while True:
        contents = _pack(groups, whole, documents, volume_size, count)
        if len(contents) > MAX_VOLUMES:
            raise SettingsError(
                f"this would be {len(contents)} volumes; more than {MAX_VOLUMES} cannot be told"
                " apart",
                hint="--volume-size takes larger volumes",
            )
        if len(str(len(contents))) <= len(str(count)):
            return plan_shares(whole, documents, contents)
        count = len(contents)


def image_groups(catalog: Catalog, documents: Mapping[Digest, Document]) -> list[Group]:
    """The blobs of each image that no image before it has, in the order of the catalog.

    Blobs of what refers to an image belong to it.
    """
    order = {digest: number for number, (digest, _) in enumerate(catalog.blobs)}
    referrers = closure.referrers_by_subject(catalog.referrers)
    groups: list[Group] = []
    left = set(order)
    for image in catalog.images:
        found = closure.with_referrers([image.digest], documents, referrers) & left
        left -= found
        if found:
            groups.append(tuple(catalog.blobs[n] for n in sorted(order[d] for d in found)))
    if left:
        groups.append(tuple(catalog.blobs[n] for n in sorted(order[d] for d in left)))
    return groups


def _pack(
    groups: Sequence[Group],
    whole: Layout,
    documents: Mapping[Digest, Document],
    volume_size: int,
    count: int,
) -> list[tuple[Extent, ...]]:
    """Pack as if there were `count` volumes: their number stands in every placement."""
    empty = measure(whole.catalog, documents, _share(whole.catalog, (), count))
    # the placement may grow over some blocks
    fixed = empty + _names(whole.catalog, documents) + 4 * members.BLOCK
    gauge = Gauge(volume_size - fixed, len(str(volume_size)))
    spare = partial(_spare, whole.catalog, documents, volume_size, count)
    return pack(groups, gauge, spare)


def _names(catalog: Catalog, documents: Mapping[Digest, Document]) -> int:
    """How many bytes the names of images take at most beyond those of none."""
    absent = {digest for digest, _ in catalog.blobs}
    return sum(
        members.padded(len(make(catalog, documents)))
        for make in (engines.index_json, engines.docker_manifest_json)
        if absent
    )


def _spare(
    catalog: Catalog,
    documents: Mapping[Digest, Document],
    volume_size: int,
    count: int,
    contents: Sequence[Extent],
) -> int:
    share = _share(catalog, tuple(contents), count)
    return volume_size - measure(catalog, documents, share)


def _share(catalog: Catalog, contents: tuple[Extent, ...], count: int) -> Share:
    return Share(count, count, contents, ((count, count),) * len(catalog.blobs))


def plan_shares(
    whole: Layout, documents: Mapping[Digest, Document], contents: Sequence[tuple[Extent, ...]]
) -> VolumePlan:
    """Lay out volumes whose contents are given.

    Args:
        whole: The bundle in one file.
        documents: Its manifests and indexes.
        contents: The blobs and pieces of each volume; their offsets mean nothing.
    """
    catalog = whole.catalog
    if len(contents) == 1:
        return plan_one_file(whole, documents)
    found: dict[Digest, list[int]] = {}
    for number, extents in enumerate(contents, 1):
        for extent in extents:
            found.setdefault(extent.digest, []).append(number)
    homes = tuple((found[digest][0], found[digest][-1]) for digest, _ in catalog.blobs)
    shares = tuple(
        Share(number, len(contents), extents, homes) for number, extents in enumerate(contents, 1)
    )
    layouts = (
        (layout.blobs, layout.size)
        for layout in (plan_layout(catalog, documents, share) for share in shares)
    )
    placements, sizes = zip(*layouts, strict=True)
    return VolumePlan(catalog, documents, shares, placements, sizes, homes)
