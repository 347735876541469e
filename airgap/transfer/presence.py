"""Which blobs no source has, asked before the first is fetched: where a plan must not change."""

from __future__ import annotations

from collections.abc import Iterable

from airgap.errors import AirgapError, ContentNotFoundError
from airgap.oci import mediatype
from airgap.oci.digest import Digest
from airgap.run import Run
from airgap.transfer.plan import Fetch
from airgap.transfer.sources import Sources


def find_lost(sources: Sources, fetches: Iterable[Fetch], *, run: Run) -> dict[Digest, AirgapError]:
    """Ask for every blob, and give the error of each that is nowhere.

    Layers that name urls of their own are not asked for: those may have them.

    Args:
        sources: Where repositories are opened.
        fetches: The blobs.
        run: Cancellation.

    Raises:
        AirgapError: A source could not tell: that is never taken for "no".
    """
    lost: dict[Digest, AirgapError] = {}
    for fetch in fetches:
        run.cancel.check()
        descriptor = fetch.descriptor
        if mediatype.is_non_distributable(descriptor.media_type) and descriptor.urls:
            continue
        places = (sources.open(name) for name in fetch.repositories)
        if not any(place.has_blob(descriptor) for place in places):
            lost[descriptor.digest] = ContentNotFoundError(
                f"{' and '.join(fetch.repositories)} lack the blob {descriptor.digest}",
                origin="source",
            )
    return lost
