"""What a volume held that is lost, by what the others say. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from airgap.bundle.catalog import Catalog
from airgap.bundle.layout import Share
from airgap.bundle.placement import Extent, Placement
from airgap.oci.digest import Digest


def lost_share(number: int, catalog: Catalog, known: Mapping[int, Placement]) -> Share | None:
    """What a lost volume must hold; None where its neighbours do not tell where blobs are cut.

    In which order it held that is not known, so a volume made by this may have other bytes than
    the lost one. It holds the same.

    Args:
        number: Which volume, from 1.
        catalog: What the bundle carries.
        known: The placements of other volumes, by their number.
    """
    one = next(iter(known.values()), None)
    if one is None or not 1 <= number <= one.volumes:
        return None
    before, behind = _pieces(known.get(number - 1)), _pieces(known.get(number + 1))
    contents: list[Extent] = []
    for (digest, size), (first, last) in zip(catalog.blobs, one.homes, strict=True):
        if not first <= number <= last:
            continue
        if first == last:
            contents.append(Extent(digest, 0, size))
            continue
        start = 0 if number == first else _end(before.get(digest))
        end = size if number == last else _start(behind.get(digest))
        if start is None or end is None or not start < end:
            return None
        contents.append(Extent(digest, 0, end - start, start))
    return Share(number, one.volumes, tuple(contents), one.homes)


def _pieces(placement: Placement | None) -> dict[Digest, Extent]:
    extents = placement.extents if placement else ()
    return {extent.digest: extent for extent in extents if extent.start is not None}


def _start(piece: Extent | None) -> int | None:
    return piece.start if piece else None


def _end(piece: Extent | None) -> int | None:
    return None if piece is None or piece.start is None else piece.start + piece.length
