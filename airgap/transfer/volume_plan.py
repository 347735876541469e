"""The plan of the files of a bundle: one, or volumes."""

from __future__ import annotations

from airgap.bundle.front import check_readable
from airgap.bundle.layout import plan_layout
from airgap.bundle.volumes import VolumePlan, plan_one_file, plan_volumes
from airgap.errors import BundleFormatError, SettingsError
from airgap.transfer.plan import ExportSelection


def plan_files(selection: ExportSelection, *, volume_size: int | None) -> VolumePlan:
    """Lay a bundle out.

    Args:
        selection: What it carries.
        volume_size: The most bytes of a file; None means that all goes into one.

    Raises:
        SettingsError: No reader would take it, it is so large; or volumes are too small.
    """
    layout = plan_layout(selection.catalog, selection.documents)
    try:
        check_readable(layout, selection.documents)
    except BundleFormatError as error:
        raise SettingsError(
            f"this is too much for one bundle: {error.message}",
            hint="export the images in several bundles",
        ) from error
    if volume_size is None:
        return plan_one_file(layout, selection.documents)
    return plan_volumes(selection.catalog, selection.documents, volume_size=volume_size)
