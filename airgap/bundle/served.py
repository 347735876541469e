"""What of a bundle is served under which name, and what that makes of one repository."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from airgap.bundle import closure
from airgap.bundle.bases import HeldBlob
from airgap.bundle.opened import OpenedBundle
from airgap.bundle.reader import BundleReader
from airgap.errors import ConflictError, IncompleteBundleError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document
from airgap.oci.referrers import referrer_descriptor
from airgap.wording import count_text, size_text

_SHOWN = 3
"""So many images are named at once; there may be hundreds."""


@dataclass(frozen=True, slots=True)
class ServedImage:
    """An image of a bundle and the place that it gets.

    Attributes:
        source: What it is called in the bundle.
        repository: The repository that it lies in.
        tags: What the tags name that it brings: its own, and those of cosign.
        manifests: Every manifest and index that belongs to it, those of referrers included.
        blobs: The blobs that these need, also those that lie in other bundles.
        referrals: Subjects and what refers to them, also where a referrer does not say so itself.
    """

    source: str
    repository: str
    tags: Mapping[str, Digest]
    manifests: tuple[Digest, ...]
    blobs: tuple[Digest, ...]
    referrals: tuple[tuple[Digest, Digest], ...] = ()


def check_held(readers: Sequence[BundleReader]) -> None:
    """See that what bundles leave to their receiver lies in others that are served with them.

    Raises:
        IncompleteBundleError: Some of it does not.
    """
    for reader in readers:
        missing = [
            blob
            for blob in reader.catalog.held
            if all(other.length(blob.digest) != blob.size for other in readers)
        ]
        if missing:
            raise _incomplete(reader, missing)


def _incomplete(reader: BundleReader, missing: Sequence[HeldBlob]) -> IncompleteBundleError:
    lost = [blob.digest for blob in missing]
    names = closure.affected(lost, reader.catalog, reader.documents)
    images = sorted({name for found in names.values() for name in found})
    shown = ", ".join(images[:_SHOWN])
    rest = len(images) - _SHOWN
    more = f" and {count_text(rest, 'more image')}" if rest > 0 else ""
    size = sum(blob.size for blob in missing)
    return IncompleteBundleError(
        f"{reader.name} leaves {count_text(len(missing), 'blob')} ({size_text(size)}) to its "
        f"receiver, which no bundle here holds; needed by {shown}{more}",
        missing=[str(digest) for digest in lost],
        hint="serve it beside the bundles that hold them, or import it into the registry that does",
    )


Naming = Callable[[BundleReader], Iterable[ServedImage]]
"""Says under which names the images of a bundle are served."""


@dataclass(slots=True)
class Shelf:
    """What is known of one repository.

    Attributes:
        manifests: Every manifest and index.
        blobs: What can be reached through this repository.
        tags: What each tag names, and which image of which bundle brought it.
        names: The tags in lexical order.
        referrers: What a list of referrers says, by subject and referrer.
    """

    manifests: dict[Digest, Document] = field(default_factory=dict[Digest, Document])
    blobs: set[Digest] = field(default_factory=set[Digest])
    tags: dict[str, tuple[Digest, str]] = field(default_factory=dict[str, tuple[Digest, str]])
    names: list[str] = field(default_factory=list[str])
    referrers: dict[Digest, dict[Digest, Descriptor]] = field(
        default_factory=dict[Digest, dict[Digest, Descriptor]]
    )

    def add(self, images: Iterable[ServedImage], bundle: OpenedBundle) -> None:
        """Put in what belongs to images of a bundle.

        Raises:
            ConflictError: A tag of them names something else already.
        """
        for image in images:
            self._add(image, bundle.reader.documents)
            place = f"{image.source} of {bundle.path}"
            for tag, digest in image.tags.items():
                self._tag(f"{image.repository}:{tag}", tag, digest, place)
        self.names = sorted(self.tags)

    def _add(self, image: ServedImage, documents: Mapping[Digest, Document]) -> None:
        self.blobs.update(image.blobs)
        for digest in image.manifests:
            document = documents[digest]
            self.manifests[digest] = document
            if document.subject is not None:
                self._refer(document.subject.digest, document)
        for subject, digest in image.referrals:
            self._refer(subject, documents[digest])

    def _refer(self, subject: Digest, document: Document) -> None:
        entry = referrer_descriptor(document)
        self.referrers.setdefault(subject, {})[entry.digest] = entry

    def _tag(self, name: str, tag: str, digest: Digest, place: str) -> None:
        known, other = self.tags.setdefault(tag, (digest, place))
        if known != digest:
            raise ConflictError(
                f"{other} and {place} would both be {name}, with different content",
                hint="serve them one at a time; --keep-host keeps images of different hosts apart",
                origin="bundle",
            )
