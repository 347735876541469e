"""What an import sends: a pure function of a bundle's catalog and the names that images get."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from airgap.bundle.catalog import Catalog, CatalogReferrer
from airgap.bundle.engines import runnable_manifests
from airgap.bundle.held import HeldBlob
from airgap.errors import BundleFormatError, ConflictError, IncompleteBundleError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document, Index
from airgap.transfer.destination import Target


@dataclass(frozen=True, slots=True)
class Referral:
    """A referrer as it is sent: what it needs first, then itself, then its tag if it has one."""

    documents: tuple[Document, ...]
    subject: Digest
    tag: str | None

    @property
    def document(self) -> Document:
        """The referrer itself."""
        return self.documents[-1]


@dataclass(frozen=True, slots=True)
class Publication:
    """Everything that one target needs, in the order in which it is sent.

    Attributes:
        target: The image and its name.
        documents: The image's manifests, children before parents; the last is what the name
            stands for.
        referrals: What refers to any of them, subjects before referrers.
        blobs: What must be there before the manifests, and comes with the bundle.
        is_sparse: Whether an index names manifests that do not travel.
        held: What must be there before the manifests, and is left to the destination.
    """

    target: Target
    documents: tuple[Document, ...]
    referrals: tuple[Referral, ...]
    blobs: tuple[Descriptor, ...]
    is_sparse: bool
    held: tuple[HeldBlob, ...] = ()

    @property
    def root(self) -> Document:
        """What the name stands for."""
        return self.documents[-1]

    def all_documents(self) -> tuple[Document, ...]:
        """The manifests of the image and of what refers to it, each once."""
        documents = {d.descriptor.digest: d for d in self.documents}
        for referral in self.referrals:
            documents.update((d.descriptor.digest, d) for d in referral.documents)
        return tuple(documents.values())

    def tags(self) -> Iterator[tuple[str, Digest]]:
        """The tags that are set, and what they will name."""
        if self.target.tag is not None:
            yield self.target.tag, self.target.image.digest
        for referral in self.referrals:
            if referral.tag is not None:
                yield referral.tag, referral.document.descriptor.digest

    def single_image(self) -> Document | None:
        """The only manifest that an engine can run; None when there are several or none."""
        documents = {d.descriptor.digest: d for d in self.documents}
        runnable = runnable_manifests(self.root.descriptor.digest, documents)
        return runnable[0] if len(runnable) == 1 else None


def plan_publications(
    targets: Iterable[Target], catalog: Catalog, documents: Mapping[Digest, Document]
) -> tuple[Publication, ...]:
    """Decide what is sent for each target.

    Raises:
        IncompleteBundleError: A manifest names content that the bundle neither holds nor lists as
            left out or left to the destination.
        BundleFormatError: What is left to the destination has another size than a manifest says.
        ConflictError: One tag would have to name two manifests.
    """
    referrers: dict[tuple[str, Digest], list[CatalogReferrer]] = {}
    for referrer in catalog.referrers:
        referrers.setdefault((referrer.repository, referrer.subject), []).append(referrer)
    carried = {digest for digest, _ in catalog.blobs}
    omitted = set(catalog.omissions())
    held = {blob.digest: blob for blob in catalog.held}
    publications = tuple(
        _Planner(target, documents, referrers, carried, omitted, held).plan() for target in targets
    )
    _check_tags(publications)
    return publications


def _check_tags(publications: Iterable[Publication]) -> None:
    """See that no tag is set twice: repositories that become one bring the same cosign tags."""
    named: dict[tuple[str, str], tuple[Digest, Publication]] = {}
    for publication in publications:
        for tag, digest in publication.tags():
            key = (publication.target.repository, tag)
            other, first = named.setdefault(key, (digest, publication))
            if other != digest:
                raise ConflictError(
                    f"{first.target.image.reference.tagged} and "
                    f"{publication.target.image.reference.tagged} both bring the tag {tag}, with "
                    "different content",
                    hint="--keep-host keeps their hosts apart; --only PATTERN takes one of them",
                )


@dataclass(slots=True)
class _Planner:
    target: Target
    documents: Mapping[Digest, Document]
    referrers: Mapping[tuple[str, Digest], list[CatalogReferrer]]
    carried: set[Digest]
    omitted: set[Digest]
    held: Mapping[Digest, HeldBlob]
    blobs: dict[Digest, Descriptor] = field(default_factory=dict[Digest, Descriptor])
    left: dict[Digest, HeldBlob] = field(default_factory=dict[Digest, HeldBlob])
    is_sparse: bool = False

    def plan(self) -> Publication:
        documents = self._closure(self.target.image.digest)
        is_sparse = self.is_sparse
        referrals: list[Referral] = []
        followed: set[tuple[Digest, str]] = set()
        waiting = [document.descriptor.digest for document in documents]
        while waiting:
            subject = waiting.pop(0)
            key = (self.target.image.reference.name, subject)
            for referrer in self.referrers.get(key, ()):
                if (referrer.digest, referrer.tag) in followed:
                    continue
                followed.add((referrer.digest, referrer.tag))
                closure = self._closure(referrer.digest)
                referrals.append(Referral(closure, subject, referrer.tag or None))
                waiting.extend(document.descriptor.digest for document in closure)
        return Publication(
            self.target,
            documents,
            tuple(referrals),
            tuple(self.blobs.values()),
            is_sparse,
            tuple(self.left.values()),
        )

    def _closure(self, root: Digest) -> tuple[Document, ...]:
        """A manifest and all below it, children before parents."""
        ordered: dict[Digest, Document] = {}
        waiting: list[tuple[Digest, bool]] = [(root, False)]
        while waiting:
            digest, is_expanded = waiting.pop()
            document = self.documents[digest]
            if is_expanded:
                ordered.setdefault(digest, document)
                continue
            if digest in ordered:
                continue
            waiting.append((digest, True))
            for blob in document.blobs():
                self._need(blob, digest)
            for child in reversed(document.children()):
                if child.digest in self.documents:
                    waiting.append((child.digest, False))
                else:
                    self._need(child, digest)
                    self.is_sparse |= isinstance(document, Index) and child.digest in self.omitted
        return tuple(ordered.values())

    def _need(self, blob: Descriptor, parent: Digest) -> None:
        # A manifest that stands among layers is a blob there, whatever else it is.
        if blob.digest in self.carried or blob.digest in self.documents:
            self.blobs.setdefault(blob.digest, blob)
        elif blob.digest in self.held:
            left = self.left.setdefault(blob.digest, self.held[blob.digest])
            if left.size != blob.size:
                raise BundleFormatError(
                    f"the catalog leaves {blob.digest} to the destination with {left.size} bytes, "
                    f"and {parent} says {blob.size}"
                )
        elif blob.digest not in self.omitted:
            raise IncompleteBundleError(
                f"{self.target.image.reference.tagged}: {parent} needs {blob.digest}, which the "
                "bundle neither holds nor lists as left out",
                missing=[str(blob.digest)],
                hint="export the image again",
            )
