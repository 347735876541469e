"""Names of a bundle's images on a registry that serves the bundle: those that an import gives."""

from __future__ import annotations

from collections.abc import Callable

from airgap.bundle.reader import BundleReader
from airgap.bundle.served import ServedImage
from airgap.content.arrival import Arrival, ArrivedImage
from airgap.transfer.destination import Destination, plan_targets
from airgap.transfer.publication import Publication, plan_publications


def import_names(
    *, keep_host: bool = False, registry: str = "localhost"
) -> Callable[[BundleReader], tuple[ServedImage, ...]]:
    """Name images as `import bundle` would name them.

    Args:
        keep_host: Whether the source registry's host stays as the first part of the path.
        registry: What the registry is called, for messages and for the length of names.
    """

    def name(reader: BundleReader) -> tuple[ServedImage, ...]:
        targets = plan_targets(reader.catalog.images, Destination(registry), keep_host=keep_host)
        publications = plan_publications(targets, reader.catalog, reader.documents)
        return tuple(_served(publication) for publication in publications)

    return name


def served_arrival(reader: BundleReader, *, keep_host: bool = False) -> Arrival:
    """What a bundle that is served in place brings, for pages that tell where images came from."""
    targets = plan_targets(reader.catalog.images, Destination("localhost"), keep_host=keep_host)
    images = (
        ArrivedImage(
            target.image.reference.tagged,
            target.repository,
            target.tag or "",
            target.image.digest,
            "present",
        )
        for target in targets
    )
    return Arrival(reader.id, reader.path.name, tuple(images), is_served=True)


def _served(publication: Publication) -> ServedImage:
    target = publication.target
    return ServedImage(
        target.image.reference.tagged,
        target.repository,
        dict(publication.tags()),
        tuple(document.descriptor.digest for document in publication.all_documents()),
        (
            *(blob.digest for blob in publication.blobs),
            *(blob.digest for blob in publication.held),
        ),
        tuple(
            (referral.subject, referral.document.descriptor.digest)
            for referral in publication.referrals
            if referral.tag is None
        ),
    )
