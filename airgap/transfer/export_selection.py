"""What an export does with what was found: the one place where its plan is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from airgap.errors import AirgapError, PartialError
from airgap.oci.digest import Digest
from airgap.transfer.export_options import ExportOptions
from airgap.transfer.plan import ExportSelection, select_export
from airgap.transfer.resolution import Resolution
from airgap.transfer.signing import sign_catalog


def select(
    resolution: Resolution,
    options: ExportOptions,
    *,
    lost: Mapping[Digest, AirgapError] | None = None,
) -> ExportSelection:
    """Decide what travels.

    Args:
        resolution: What was found.
        options: What of it is wanted.
        lost: Blobs that cannot be had, and why.

    Raises:
        AirgapError: The first failure, unless failures are to be left out; or nothing is left.
    """
    selection = select_export(resolution, options.selection, lost=lost)
    if selection.failed and not options.keep_going:
        raise selection.failed[0][1]
    if not selection.catalog.images:
        raise PartialError(
            "none of the images could be exported",
            failed=[f"{name}: {error.message}" for name, error in selection.failed],
            hint="what was fetched is kept; run the same command again",
        )
    catalog = sign_catalog(selection.catalog, options.sign, options.revocations)
    return replace(selection, catalog=catalog)
