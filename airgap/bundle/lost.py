"""What a file held that is lost or damaged, by what is left of it and by others. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from airgap.bundle.catalog import Catalog
from airgap.bundle.layout import Layout, Share, plan_layout
from airgap.bundle.placement import Extent, Placement
from airgap.bundle.signed import check_signatures
from airgap.bundle.survey import Survey
from airgap.errors import BundleFormatError
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


def original_layout(found: Survey, signatures: bytes) -> Layout | None:
    """Where everything lay in a damaged file, by what is left of it; None where that is not known.

    All of the front but the signatures can be made again from the catalog. The seal says whether
    these are the ones that were written: what is damaged must not get a seal that calls it right.

    Args:
        found: What is left of the file.
        signatures: Those that another volume or copy of the bundle has.
    """
    own, seal = found.layout, found.seal
    if own is None:
        return None
    catalog = own.catalog
    for wanted in dict.fromkeys((catalog.signatures, signatures)):
        layout = own
        if wanted != catalog.signatures:
            share = Share.of(own.placement, catalog)
            signed = replace(catalog, signatures=wanted)
            layout = plan_layout(signed, found.documents, share)
        placement = seal.placement if seal else own.placement
        is_it = seal is None or seal.uncovered == layout.seal.uncovered
        if layout.placement == placement and is_it:
            with suppress(BundleFormatError):
                check_signatures(wanted or b"{}")
                return layout
    return None


def _pieces(placement: Placement | None) -> dict[Digest, Extent]:
    extents = placement.extents if placement else ()
    return {extent.digest: extent for extent in extents if extent.start is not None}


def _start(piece: Extent | None) -> int | None:
    return piece.start if piece else None


def _end(piece: Extent | None) -> int | None:
    return None if piece is None or piece.start is None else piece.start + piece.length
