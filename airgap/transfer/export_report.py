"""What an export plans and did, as values for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airgap.bundle.volumes import VolumePlan
from airgap.oci.digest import Digest
from airgap.transfer.left import left_by
from airgap.transfer.outcome import ExportPlan, Failure
from airgap.transfer.plan import ExportSelection


def describe_plan(
    selection: ExportSelection,
    volumes: VolumePlan,
    held: Mapping[Digest, int],
    *,
    free_bytes: int | None,
    parity_bytes: int,
) -> ExportPlan:
    """Say what an export will do.

    Args:
        selection: What travels.
        volumes: The files that it goes into.
        held: How many bytes of each blob an interrupted run left.
        free_bytes: The room where it goes, where that is known.
        parity_bytes: How much the parity beside it takes.
    """
    blobs = [fetch.descriptor for fetch in selection.fetches]
    blob_bytes = sum(blob.size for blob in blobs)
    # A blob that was begun goes on; of one that now has fewer bytes nothing is kept.
    here = [(held.get(blob.digest, -1), blob.size) for blob in blobs]
    held_bytes = sum(length for length, size in here if 0 < length <= size)
    return ExportPlan(
        selection.images,
        volumes.catalog.id,
        volumes.size,
        len(selection.fetches),
        blob_bytes,
        sum(length != size for length, size in here),
        blob_bytes - held_bytes,
        held_bytes,
        free_bytes,
        selection.catalog.omitted,
        failures(selection),
        volumes.sizes,
        volumes.cuts,
        parity_bytes,
        **_left(selection),
    )


def with_selection(plan: ExportPlan, selection: ExportSelection, volumes: VolumePlan) -> ExportPlan:
    """The plan after what could not be had was left out."""
    return replace(
        plan,
        images=selection.images,
        bundle_id=volumes.catalog.id,
        bundle_size=volumes.size,
        volumes=volumes.sizes,
        cuts=volumes.cuts,
        omitted=selection.catalog.omitted,
        failed=failures(selection),
        **_left(selection),
    )


def _left(selection: ExportSelection) -> dict[str, Any]:
    catalog = selection.catalog
    return {
        "bases": catalog.bases,
        "left_blobs": len(catalog.held),
        "left_bytes": catalog.held_size,
        "left_by": left_by(catalog),
    }


def failures(selection: ExportSelection) -> tuple[Failure, ...]:
    """What does not travel because it failed."""
    return tuple(Failure(str(reference), error) for reference, error in selection.failed)
