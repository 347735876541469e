"""What a bundle holds, for people: images, platforms, sizes, referrers, what is left out. Pure.

It needs the catalog, the manifests and the configs of single images, all of which lie at the front
of a bundle; no layer is read.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from airgap.bundle import closure
from airgap.bundle.catalog import Catalog, CatalogImage, Omission, OmissionReason
from airgap.bundle.engines import ImageKind, image_kind
from airgap.errors import InvalidContentError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.document import parse_object
from airgap.oci.manifest import Document, Index, Manifest
from airgap.oci.platform import Platform
from airgap.oci.referrer_kind import ReferrerKind, referrer_kind
from airgap.record.bases import BaseKind

ConfigReader = Callable[[Digest], bytes | None]

_REFERENCE_TYPE = "vnd.docker.reference.type"
_REFERENCE_DIGEST = "vnd.docker.reference.digest"


@dataclass(frozen=True, slots=True)
class PlatformSummary:
    """One entry of an index, or the one platform of an image.

    Attributes:
        platform: What it runs on; None where nothing says so.
        digest: Its manifest.
        size: Its bytes in the bundle: manifest, config and layers.
        left_out: Why it does not travel; None if it does.
    """

    platform: Platform | None
    digest: Digest
    size: int
    left_out: OmissionReason | None = None


@dataclass(frozen=True, slots=True)
class ReferrerSummary:
    """Something that refers to an image, to one of its platforms, or to another referrer.

    Attributes:
        kind: What it is for.
        digest: Its manifest.
        subject: What it refers to.
        artifact_type: What it says it is.
        tag: The tag that carries it, if it is one of cosign's.
        size: Its bytes in the bundle: manifest, config and layers.
        is_in_index: Whether it is an entry of the image's own index, as BuildKit makes them.
    """

    kind: ReferrerKind
    digest: Digest
    subject: Digest
    artifact_type: str | None
    tag: str
    size: int
    is_in_index: bool = False


@dataclass(frozen=True, slots=True)
class ImageSummary:
    """One name and what stands behind it.

    Attributes:
        name: The full source name.
        digest: The manifest or index that it stood for.
        kind: Whether an engine can run it, chooses from it by platform, or neither.
        media_type: Of that manifest or index.
        artifact_type: What an artifact says it is.
        platforms: One for an image, several for an index; those left out are among them.
        size: Its bytes in the bundle: all manifests, configs and layers, without referrers.
        shared_size: How many of these other images of the bundle have, too.
        referrers: What refers to it, at any remove.
        omitted: What of it does not travel.
        held_blobs: How many of its configs and layers are left to the receiver.
        held_size: Their bytes, which are not in `size`.
    """

    name: str
    digest: Digest
    kind: ImageKind
    media_type: str
    artifact_type: str | None
    platforms: tuple[PlatformSummary, ...]
    size: int
    shared_size: int
    referrers: tuple[ReferrerSummary, ...]
    omitted: tuple[Omission, ...]
    held_blobs: int = 0
    held_size: int = 0


@dataclass(frozen=True, slots=True)
class BaseSummary:
    """Something that says what the receiver has.

    Attributes:
        kind: What it is.
        id: The digest of it.
        place: The registry that it speaks of; empty where it speaks of none.
        held_blobs: How many blobs are left to the receiver because of it.
        held_size: Their bytes.
    """

    kind: BaseKind
    id: Digest
    place: str
    held_blobs: int
    held_size: int


@dataclass(frozen=True, slots=True)
class BundleSummary:
    """What a bundle holds.

    Attributes:
        bundle_id: The bundle id.
        images: By name.
        manifests: How many manifests and indexes it holds.
        blobs: How many configs and layers it holds.
        content_size: The bytes of all of these, each counted once.
        saved_size: How many more bytes the images would take if none shared with another.
        referrers: How many referrers of each kind it holds, each counted once.
        omitted: All that is left out.
        bases: What the bundle was planned against.
        held_blobs: How many blobs are left to the receiver.
        held_size: Their bytes.
    """

    bundle_id: Digest
    images: tuple[ImageSummary, ...]
    manifests: int
    blobs: int
    content_size: int
    saved_size: int
    referrers: Mapping[ReferrerKind, int]
    omitted: tuple[Omission, ...]
    bases: tuple[BaseSummary, ...] = ()
    held_blobs: int = 0
    held_size: int = 0


def summarize(
    catalog: Catalog, documents: Mapping[Digest, Document], read_config: ConfigReader
) -> BundleSummary:
    """Say what a bundle holds.

    Args:
        catalog: Its catalog.
        documents: Its manifests and indexes.
        read_config: Gives the bytes of a config, or None where it is not there:
            `BundleReader.read_config`.
    """
    summarizer = _Summarizer(catalog, documents, read_config)
    images = tuple(summarizer.image(image) for image in catalog.images)
    by_digest = {r.digest: r.kind for image in images for r in image.referrers}
    sizes = catalog.sizes()
    return BundleSummary(
        catalog.id,
        images,
        len(catalog.manifests),
        len(catalog.blobs),
        sum(sizes.values()),
        summarizer.saved(),
        dict(sorted(Counter(by_digest.values()).items())),
        catalog.omitted,
        tuple(_bases(catalog)),
        len(catalog.held),
        catalog.held_size,
    )


def _bases(catalog: Catalog) -> Iterator[BaseSummary]:
    blobs = Counter(blob.base for blob in catalog.held)
    sizes: Counter[int] = Counter()
    for blob in catalog.held:
        sizes[blob.base] += blob.size
    for number, base in enumerate(catalog.bases):
        yield BaseSummary(base.kind, base.id, base.place, blobs[number], sizes[number])


class _Summarizer:
    """Knows what all images share, and what refers to what."""

    def __init__(
        self,
        catalog: Catalog,
        documents: Mapping[Digest, Document],
        read_config: ConfigReader,
    ) -> None:
        self._documents = documents
        self._read_config = read_config
        self._sizes = catalog.sizes()
        self._omitted = catalog.omissions()
        self._held = catalog.held_sizes()
        self._referrers = closure.referrers_by_subject(catalog.referrers)
        self._tags = {(r.subject, r.digest): r.tag for r in catalog.referrers if r.tag}
        roots = {image.digest for image in catalog.images}
        # The sets themselves are made again for each image: together they may be many.
        self._users = Counter(d for root in roots for d in closure.reachable([root], documents))
        self._done: dict[Digest, ImageSummary] = {}

    def saved(self) -> int:
        """How many bytes are there once and wanted by several images."""
        return sum((users - 1) * self._sizes.get(d, 0) for d, users in self._users.items())

    def image(self, image: CatalogImage) -> ImageSummary:
        """Say what stands behind one name."""
        if image.digest not in self._done:
            self._done[image.digest] = self._image(image)
        return replace(self._done[image.digest], name=image.reference.tagged)

    def _image(self, image: CatalogImage) -> ImageSummary:
        document = self._documents[image.digest]
        reach = closure.reachable([image.digest], self._documents)
        return ImageSummary(
            image.reference.tagged,
            image.digest,
            image_kind(document),
            document.descriptor.media_type,
            document.artifact_type if image_kind(document) == "artifact" else None,
            tuple(self._platforms(document)),
            self._size(reach),
            self._size(digest for digest in reach if self._users[digest] > 1),
            (*self._embedded(document), *self._referring(reach)),
            tuple(self._omitted[digest] for digest in sorted(reach & self._omitted.keys())),
            len(reach & self._held.keys()),
            sum(self._held[digest] for digest in reach & self._held.keys()),
        )

    def _size(self, digests: Iterable[Digest]) -> int:
        return sum(self._sizes.get(digest, 0) for digest in digests)

    def _platforms(self, document: Document) -> Iterator[PlatformSummary]:
        if isinstance(document, Manifest):
            if document.is_runnable:
                yield self._row(document.descriptor, self._config_platform(document))
            return
        for entry in _entries(document, self._documents):
            child = self._documents.get(entry.digest)
            if _REFERENCE_TYPE in entry.annotations:
                continue
            platform = entry.platform
            if platform is None and isinstance(child, Manifest) and child.is_runnable:
                platform = self._config_platform(child)
            yield self._row(entry, platform)

    def _row(self, entry: Descriptor, platform: Platform | None) -> PlatformSummary:
        omission = self._omitted.get(entry.digest)
        size = self._size(closure.reachable([entry.digest], self._documents))
        return PlatformSummary(platform, entry.digest, size, omission.reason if omission else None)

    def _config_platform(self, manifest: Manifest) -> Platform | None:
        raw = self._read_config(manifest.config.digest) if manifest.config else None
        if raw is None:
            return None
        try:
            platform = Platform.from_json(parse_object(raw, what="the config"))
        except InvalidContentError:
            return None
        return platform if platform and platform.is_known else None

    def _embedded(self, document: Document) -> Iterator[ReferrerSummary]:
        """The attestations that an index lists beside its platforms."""
        for entry in _entries(document, self._documents):
            child = self._documents.get(entry.digest)
            if child is None or _REFERENCE_TYPE not in entry.annotations:
                continue
            subject = document.descriptor.digest
            with suppress(InvalidContentError):
                subject = Digest.parse(entry.annotations.get(_REFERENCE_DIGEST))
            yield self._referrer(child, subject, is_in_index=True)

    def _referring(self, reach: set[Digest]) -> Iterator[ReferrerSummary]:
        waiting, seen = deque(sorted(reach)), set(reach)
        while waiting:
            subject = waiting.popleft()
            for digest in self._referrers.get(subject, ()):
                yield self._referrer(self._documents[digest], subject)
                if digest not in seen:
                    found = closure.reachable([digest], self._documents) - seen
                    seen |= found
                    waiting.extend(sorted(found))

    def _referrer(
        self, document: Document, subject: Digest, *, is_in_index: bool = False
    ) -> ReferrerSummary:
        digest = document.descriptor.digest
        tag = self._tags.get((subject, digest), "")
        kind = "attestation" if is_in_index else referrer_kind(document, tag=tag)
        return ReferrerSummary(
            kind,
            digest,
            subject,
            document.artifact_type,
            tag,
            self._size(closure.reachable([digest], self._documents)),
            is_in_index,
        )


def _entries(document: Document, documents: Mapping[Digest, Document]) -> Iterator[Descriptor]:
    """What an index lists, with what the indexes in it list in their place."""
    waiting = list(reversed(document.children()))
    seen = {document.descriptor.digest}
    while waiting:
        entry = waiting.pop()
        child = documents.get(entry.digest)
        if isinstance(child, Index) and entry.digest not in seen:
            seen.add(entry.digest)
            waiting.extend(reversed(child.children()))
        elif not isinstance(child, Index):
            yield entry
