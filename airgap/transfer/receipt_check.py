"""What is wrong with a receipt: compared with its bundle. Pure; findings are values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from airgap.bundle.catalog import Catalog, CatalogImage
from airgap.errors import ExitCode
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document, Index
from airgap.record.receipt import Receipt, ReceiptEntry, ReceiptImage
from airgap.transfer.destination import Target
from airgap.transfer.publication import Publication, plan_publications

ReceiptFindingKind = Literal[
    "other-bundle", "other-registry", "contradiction", "unaccounted", "unexplained",
    "missing", "tag-moved", "size-mismatch",
]  # fmt: skip
"""What is wrong.

`other-bundle`: the receipt is of another bundle. `other-registry`: it is of another registry.
`contradiction`: it says something of an image or blob that the bundle does not. `unaccounted`: the
bundle has something that the receipt says nothing of. `unexplained`: the receipt names content
that the bundle does not have. `missing`: the registry does not have what the receipt says.
`tag-moved`: a tag names something else today. `size-mismatch`: content has another size there.
"""

EXITS: dict[ReceiptFindingKind, ExitCode] = {
    "other-bundle": ExitCode.INTEGRITY,
    "other-registry": ExitCode.INTEGRITY,
    "contradiction": ExitCode.INTEGRITY,
    "unaccounted": ExitCode.INCOMPLETE,
    "unexplained": ExitCode.INTEGRITY,
    "missing": ExitCode.INCOMPLETE,
    "tag-moved": ExitCode.INTEGRITY,
    "size-mismatch": ExitCode.INTEGRITY,
}
_ARRIVED = ("pushed", "present", "skipped", "image-only")


@dataclass(frozen=True, slots=True)
class ReceiptFinding:
    """One thing that is wrong with a receipt, or with what it says.

    Attributes:
        kind: What sort of thing.
        message: One line.
        image: The image that is concerned, by its source name; empty where it is none alone.
        digest: The content that is concerned.
        repository: The repository that is concerned.
    """

    kind: ReceiptFindingKind
    message: str
    image: str = ""
    digest: Digest | None = None
    repository: str = ""


def exit_code(findings: Iterable[ReceiptFinding]) -> ExitCode:
    """0 where nothing is wrong, else the first of 20 and 23 that was found."""
    found = {EXITS[finding.kind] for finding in findings}
    ranks = (ExitCode.INTEGRITY, ExitCode.INCOMPLETE)
    return next((code for code in ranks if code in found), ExitCode.OK)


def compare_with_bundle(
    receipt: Receipt, catalog: Catalog, documents: Mapping[Digest, Document]
) -> tuple[ReceiptFinding, ...]:
    """See that a receipt is of a bundle, and accounts for all that the bundle carries.

    Every image must be there, as one that arrived, failed, waits or was left; of each that
    arrived, every manifest and blob that it needs, in its repository, with the right size.

    Args:
        receipt: The receipt.
        catalog: What the bundle carries.
        documents: Its manifests.
    """
    if receipt.bundle != catalog.id:
        text = f"the receipt is of the bundle {receipt.bundle}, and this one is {catalog.id}"
        return (ReceiptFinding("other-bundle", text, digest=catalog.id),)
    return tuple(_Comparison(receipt, catalog, documents).findings())


_Sizes = Mapping[str, Mapping[Digest, int]]
"""What repositories are said to have, by name."""


@dataclass(slots=True)
class _Comparison:
    receipt: Receipt
    catalog: Catalog
    documents: Mapping[Digest, Document]
    manifests: _Sizes = field(init=False)
    blobs: _Sizes = field(init=False)

    def __post_init__(self) -> None:
        self.manifests = _sizes(self.receipt.manifests)
        self.blobs = _sizes(self.receipt.blobs)

    def findings(self) -> Iterator[ReceiptFinding]:
        yield from self._bases()
        images = {image.name: image for image in self.receipt.images}
        arrived: list[tuple[Target, ReceiptImage]] = []
        for image in self.catalog.images:
            found = images.pop(image.reference.tagged, None)
            yield from self._image(image, found)
            if found is not None and found.digest == image.digest and found.outcome in _ARRIVED:
                arrived.append((Target(image, found.repository, found.tag or None), found))
        for name in images:
            yield ReceiptFinding("unexplained", f"the bundle has no image {name}", name)
        targets = [target for target, _ in arrived]
        publications = plan_publications(targets, self.catalog, self.documents)
        for publication, (_, found) in zip(publications, arrived, strict=True):
            yield from self._content(publication, found)
        yield from self._unexplained()

    def _bases(self) -> Iterator[ReceiptFinding]:
        mine = {(base.kind, base.id, base.place) for base in self.catalog.bases}
        if {(base.kind, base.id, base.place) for base in self.receipt.bases} != mine:
            yield ReceiptFinding("contradiction", "the bundle builds on something else")

    def _image(self, image: CatalogImage, found: ReceiptImage | None) -> Iterator[ReceiptFinding]:
        name = image.reference.tagged
        if found is None:
            text = f"the receipt says nothing of {name}"
            yield ReceiptFinding("unaccounted", text, name, image.digest)
        elif found.digest != image.digest:
            text = f"{name} is {image.digest} in the bundle, and the receipt says {found.digest}"
            yield ReceiptFinding("contradiction", text, name, image.digest)
        elif found.outcome in ("pushed", "present") and found.named != image.digest:
            text = f"{name} arrived, and the receipt says that its name stands for {found.named}"
            yield ReceiptFinding("contradiction", text, name, image.digest)

    def _content(self, publication: Publication, found: ReceiptImage) -> Iterator[ReceiptFinding]:
        repository = publication.target.repository
        single = found.outcome == "image-only"
        manifests = [
            (document.descriptor.digest, document.descriptor.size)
            for document in publication.all_documents()
            if not (single and isinstance(document, Index))
        ]
        blobs = [(blob.digest, blob.size) for blob in publication.blobs]
        blobs += [(blob.digest, blob.size) for blob in publication.held]
        yield from self._entries("manifest", self.manifests, manifests, repository, found)
        yield from self._entries("blob", self.blobs, blobs, repository, found)

    def _entries(
        self,
        what: str,
        sizes: _Sizes,
        wanted: Sequence[tuple[Digest, int]],
        repository: str,
        image: ReceiptImage,
    ) -> Iterator[ReceiptFinding]:
        there = sizes.get(repository, {})
        for digest, size in wanted:
            if digest not in there:
                text = f"the receipt lacks the {what} {digest} of {image.name} in {repository}"
                yield ReceiptFinding("unaccounted", text, image.name, digest, repository)
            elif there[digest] != size:
                text = f"{digest} has {size} bytes, and the receipt says {there[digest]}"
                yield ReceiptFinding("contradiction", text, image.name, digest, repository)

    def _unexplained(self) -> Iterator[ReceiptFinding]:
        known = self.catalog.sizes() | {blob.digest: blob.size for blob in self.catalog.held}
        for entry in (*self.receipt.manifests, *self.receipt.blobs):
            if entry.digest not in known:
                text = f"the bundle has no {entry.digest}, which {entry.repository} is said to have"
                yield ReceiptFinding(
                    "unexplained", text, digest=entry.digest, repository=entry.repository
                )


def _sizes(entries: Iterable[ReceiptEntry]) -> _Sizes:
    found: dict[str, dict[Digest, int]] = {}
    for entry in entries:
        found.setdefault(entry.repository, {})[entry.digest] = entry.size
    return found
