"""What an export does with what was found: the one place where its plan is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from airgap.errors import AirgapError, PartialError
from airgap.oci.digest import Digest
from airgap.run import Run
from airgap.transfer.export_options import ExportOptions
from airgap.transfer.plan import ExportSelection, select_export, without_load_platform
from airgap.transfer.resolution import Resolution
from airgap.transfer.signing import sign_catalog
from airgap.wording import count_text


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
    selection = select_export(resolution, options.selection, lost=lost, known=options.known)
    if selection.failed and not options.keep_going:
        raise selection.failed[0][1]
    if not selection.catalog.images:
        raise PartialError(
            "none of the images can be had",
            failed=[f"{name}: {error.message}" for name, error in selection.failed],
            hint=("what was fetched is kept; " if lost else "")
            + "run the same command again when the reasons are gone",
        )
    catalog = sign_catalog(
        selection.catalog, options.sign, options.revocations, originals=options.originals
    )
    return replace(selection, catalog=catalog)


def warn_of(selection: ExportSelection, options: ExportOptions, *, run: Run) -> None:
    """Say what of a plan is not as one might think.

    Args:
        selection: What travels.
        options: What was wanted.
        run: Takes the warnings.
    """
    if options.load_platform is not None:
        found = without_load_platform(selection, options.load_platform)
        if found:
            run.warn(
                "load-platform",
                f"there is no {options.load_platform} of "
                f"{_shown([reference.tagged for reference in found])}: what docker load gets is "
                "another platform",
            )
    if selection.doubts:
        doubt, count = selection.doubts[0], len(selection.doubts)
        run.warn(
            "held-size",
            f"{doubt.base.kind} {doubt.base.id.short} says that {doubt.blob.digest} has "
            f"{doubt.told} bytes and not {doubt.blob.size}: it is not believed, and the blob "
            f"travels{f'; so do {count - 1} more' if count > 1 else ''}",
        )
    unmet = options.known.unmet(selection.catalog.sizes()) if options.known else 0
    if unmet:
        run.warn(
            "need-unmet",
            f"{count_text(unmet, 'blob')} of the need {'is' if unmet == 1 else 'are'} not in this "
            "bundle: none of its images that travel names them",
        )


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")
