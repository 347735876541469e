"""What of a bundle is served under which name, and what that makes of one repository."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from airgap.bundle import closure
from airgap.bundle.held import HeldBlob
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


def foundations(readers: Iterable[BundleReader]) -> dict[Digest, frozenset[Digest]]:
    """For each bundle the ids of those that it builds on, itself or through another one here."""
    direct = {
        reader.id: {base.id for base in reader.catalog.bases if base.kind == "bundle"}
        for reader in readers
    }
    found: dict[Digest, frozenset[Digest]] = {}
    for bundle, own in direct.items():
        below: set[Digest] = set()
        waiting = [*own]
        while waiting:
            current = waiting.pop()
            if current not in below:
                below.add(current)
                waiting += direct.get(current, ())
        found[bundle] = frozenset(below)
    return found


Naming = Callable[[BundleReader], Iterable[ServedImage]]
"""Says under which names the images of a bundle are served."""


@dataclass(frozen=True, slots=True)
class ServedTag:
    """What a tag names, which image of which bundle brought it, and the id of that bundle."""

    digest: Digest
    place: str
    bundle: Digest


@dataclass(slots=True)
class Shelf:
    """What is known of one repository.

    Attributes:
        manifests: Every manifest and index.
        blobs: What can be reached through this repository.
        tags: What each tag names, and where that is from.
        names: The tags in lexical order.
        referrers: What a list of referrers says, by subject and referrer.
    """

    manifests: dict[Digest, Document] = field(default_factory=dict[Digest, Document])
    blobs: set[Digest] = field(default_factory=set[Digest])
    tags: dict[str, ServedTag] = field(default_factory=dict[str, ServedTag])
    names: list[str] = field(default_factory=list[str])
    referrers: dict[Digest, dict[Digest, Descriptor]] = field(
        default_factory=dict[Digest, dict[Digest, Descriptor]]
    )

    def add(
        self, images: Iterable[ServedImage], bundle: OpenedBundle, *, over: AbstractSet[Digest]
    ) -> None:
        """Put in what belongs to images of a bundle.

        Args:
            images: Those that lie in this repository.
            bundle: What they are from.
            over: The bundles that this one builds on: it may move their tags.

        Raises:
            ConflictError: A tag of them names something else already.
        """
        for image in images:
            self._add(image, bundle.reader.documents)
            place = f"{image.source} of {bundle.path}"
            for tag, digest in image.tags.items():
                brought = ServedTag(digest, place, bundle.reader.id)
                self._tag(f"{image.repository}:{tag}", tag, brought, over)
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

    def _tag(self, name: str, tag: str, brought: ServedTag, over: AbstractSet[Digest]) -> None:
        known = self.tags.setdefault(tag, brought)
        if known.digest == brought.digest:
            return
        if known.bundle not in over:
            raise ConflictError(
                f"{known.place} and {brought.place} would both be {name}, with different content",
                hint="serve them one at a time, or import them in their order; "
                "--keep-host keeps images of different hosts apart",
                origin="bundle",
            )
        self.tags[tag] = brought
