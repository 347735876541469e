"""All that one image needs: a walk through what was resolved, in the order of its entries. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from airgap.bundle.catalog import CatalogReferrer, OmissionReason
from airgap.errors import AirgapError, ContentNotFoundError
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document, Index
from airgap.oci.platform import Platform
from airgap.transfer.platforms import choose_entries
from airgap.transfer.resolution import Resolution, Selection


@dataclass(slots=True)
class ImageClosure:
    """All that one image needs.

    Attributes:
        documents: Its manifests and indexes.
        referrers: What refers to any of them.
        blobs: Configs, layers and what else its manifests name.
        omitted: What of it does not travel on purpose, by digest and reason, with its parents.
        platforms: The platforms that travel.
        error: Why it cannot travel; None if it can.
    """

    documents: dict[Digest, Document] = field(default_factory=dict[Digest, Document])
    referrers: list[CatalogReferrer] = field(default_factory=list[CatalogReferrer])
    blobs: dict[Digest, Descriptor] = field(default_factory=dict[Digest, Descriptor])
    omitted: dict[tuple[Digest, OmissionReason], tuple[Descriptor, set[Digest]]] = field(
        default_factory=dict[tuple[Digest, OmissionReason], tuple[Descriptor, set[Digest]]]
    )
    platforms: list[Platform] = field(default_factory=list[Platform])
    error: AirgapError | None = None

    def omit(self, descriptor: Descriptor, reason: OmissionReason, parent: Digest) -> None:
        """Note that something does not travel."""
        self.omitted.setdefault((descriptor.digest, reason), (descriptor, set()))[1].add(parent)


def walk_image(
    root: Digest,
    repository: str,
    *,
    resolution: Resolution,
    selection: Selection,
    lost: Mapping[Digest, AirgapError],
) -> ImageClosure:
    """Gather what an image needs.

    Args:
        root: Its manifest or index.
        repository: Where it was found, as `registry/path`.
        resolution: What was found.
        selection: What is wanted.
        lost: Blobs that cannot be had, and why.
    """
    return _Walk(resolution, selection, lost, repository).walk(root)


class _Walk:
    """Walks one image through what was resolved, in the order of its entries."""

    def __init__(
        self,
        resolution: Resolution,
        selection: Selection,
        lost: Mapping[Digest, AirgapError],
        repository: str,
    ) -> None:
        self._resolution = resolution
        self._selection = selection
        self._lost = lost
        self._repository = repository
        self._closure = ImageClosure()

    def walk(self, root: Digest) -> ImageClosure:
        document = self._resolution.documents[root]
        platform = self._resolution.platforms.get(root)
        if platform is not None:
            self._closure.platforms.append(platform)
        self._document(document)
        return self._closure

    def _document(self, document: Document) -> None:
        digest = document.descriptor.digest
        if digest in self._closure.documents:
            return
        self._closure.documents[digest] = document
        error = self._resolution.errors.get((self._repository, digest))
        if error is not None:
            self._fail(error)
        if isinstance(document, Index):
            self._entries(document)
        for blob in document.blobs():
            self._blob(blob, digest)
        for referrer in self._resolution.referrers.get((self._repository, digest), ()):
            if self._follow(referrer.descriptor, digest, as_blob=False):
                self._closure.referrers.append(
                    CatalogReferrer(self._repository, digest, referrer.digest, referrer.tag)
                )

    def _entries(self, index: Index) -> None:
        choice = choose_entries(index, self._selection.platforms)
        digest = index.descriptor.digest
        for entry in choice.left_out:
            self._closure.omit(entry, "platform", digest)
        for entry in choice.travelling:
            followed = self._follow(entry, digest)
            if followed and entry.platform is not None and entry.platform.is_known:
                self._closure.platforms.append(entry.platform)

    def _follow(self, entry: Descriptor, parent: Digest, *, as_blob: bool = True) -> bool:
        """Go on to a manifest that is named; False when it does not travel.

        What only the blobs endpoint knows may be an entry of an index, but refers to nothing.
        """
        document = self._resolution.documents.get(entry.digest)
        if document is not None:
            self._document(document)
            return True
        if as_blob and entry.digest in self._resolution.unreadable:
            self._blob(entry, parent)
            return True
        omission = self._resolution.left_out.get(entry.digest)
        if omission is not None:
            self._closure.omit(entry, omission.reason, parent)
            return False
        error = self._resolution.errors.get((self._repository, entry.digest))
        if isinstance(error, ContentNotFoundError) and self._selection.allow_missing_at_source:
            self._closure.omit(entry, "missing-at-source", parent)
        else:
            self._fail(error or ContentNotFoundError(f"{entry.digest} was not resolved"))
        return False

    def _blob(self, blob: Descriptor, parent: Digest) -> None:
        error = self._lost.get(blob.digest)
        omission = self._resolution.left_out.get(blob.digest)
        is_foreign = mediatype.is_non_distributable(blob.media_type)
        if omission is not None:
            self._closure.omit(blob, omission.reason, parent)
        elif is_foreign and not self._selection.non_distributable:
            self._closure.omit(blob, "non-distributable", parent)
        elif error is None:
            self._closure.blobs.setdefault(blob.digest, blob)
        elif isinstance(error, ContentNotFoundError) and self._selection.allow_missing_at_source:
            self._closure.omit(blob, "missing-at-source", parent)
        else:
            self._fail(error)

    def _fail(self, error: AirgapError) -> None:
        self._closure.error = self._closure.error or error
