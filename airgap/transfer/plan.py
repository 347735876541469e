"""What an export writes: a pure function of what was found and what is wanted.

The same inputs give the same plan. Blobs that turn out not to be had are an argument: a new plan
without the images that need them is made by the same function.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from airgap.bundle.catalog import (
    Catalog,
    CatalogImage,
    CatalogReferrer,
    Omission,
    OmissionReason,
)
from airgap.bundle.closure import successors
from airgap.bundle.engines import runnable_manifests
from airgap.bundle.summary import image_kind
from airgap.errors import AirgapError, ConflictError, ContentNotFoundError, SizeMismatchError
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document, Index, Manifest
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference
from airgap.transfer.outcome import PlannedImage
from airgap.transfer.platforms import choose_entries, covers
from airgap.transfer.resolution import Resolution, Selection

DEFAULT_LOAD_PLATFORM = Platform("linux", "amd64")


@dataclass(frozen=True, slots=True)
class Fetch:
    """A blob that has to be in the bundle.

    Attributes:
        descriptor: What it is.
        repositories: Where it can be had: `registry/path`, in the order to try.
    """

    descriptor: Descriptor
    repositories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExportSelection:
    """What goes into a bundle.

    Attributes:
        catalog: What the bundle says it carries.
        documents: Its manifests and indexes.
        fetches: Its other blobs, in the catalog's order.
        images: What each image takes along.
        failed: References that cannot travel, and why.
    """

    catalog: Catalog
    documents: Mapping[Digest, Document]
    fetches: tuple[Fetch, ...]
    images: tuple[PlannedImage, ...]
    failed: tuple[tuple[Reference, AirgapError], ...]


@dataclass(slots=True)
class _Closure:
    """All that one image needs, gathered by walking it."""

    documents: dict[Digest, Document] = field(default_factory=dict[Digest, Document])
    referrers: list[CatalogReferrer] = field(default_factory=list[CatalogReferrer])
    blobs: dict[Digest, Descriptor] = field(default_factory=dict[Digest, Descriptor])
    omitted: dict[tuple[Digest, OmissionReason], tuple[Descriptor, set[Digest]]] = field(
        default_factory=dict[tuple[Digest, OmissionReason], tuple[Descriptor, set[Digest]]]
    )
    platforms: list[Platform] = field(default_factory=list[Platform])
    error: AirgapError | None = None

    def omit(self, descriptor: Descriptor, reason: OmissionReason, parent: Digest) -> None:
        self.omitted.setdefault((descriptor.digest, reason), (descriptor, set()))[1].add(parent)


def select_export(
    resolution: Resolution,
    selection: Selection,
    *,
    lost: Mapping[Digest, AirgapError] | None = None,
) -> ExportSelection:
    """Decide what a bundle holds.

    Args:
        resolution: What was found.
        selection: What is wanted.
        lost: Blobs that cannot be had, and why: images that need one do not travel, or travel
            without it where the source lacks it and that is allowed.
    """
    failed = list(resolution.failed)
    closures: dict[Reference, _Closure] = {}
    sizes = {d: document.descriptor.size for d, document in resolution.documents.items()}
    for reference, digest in sorted(resolution.roots, key=lambda root: (root[0].tagged, root[1])):
        closure = _Walk(resolution, selection, lost or {}, reference.name).walk(digest)
        if closure.error is None:
            closure.error = _platform_error(reference, closure, selection)
        if closure.error is None:
            closure.error = _size_error(reference, closure, sizes)
        if closure.error is not None:
            failed.append((reference, closure.error))
        else:
            closures[reference] = closure
            for blob in closure.blobs.values():
                sizes.setdefault(blob.digest, blob.size)
    return _merge(resolution, selection, closures, failed)


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
        self._closure = _Closure()

    def walk(self, root: Digest) -> _Closure:
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


def _platform_error(
    reference: Reference, closure: _Closure, selection: Selection
) -> AirgapError | None:
    """A platform that was asked for and that the image does not have.

    What no engine runs (a chart, a signature) has no platform and travels with any.
    """
    there = {str(p) for p in closure.platforms} | _left_out_platforms(closure)
    for wanted in selection.platforms if there else ():
        if not covers(wanted, closure.platforms):
            others = ", ".join(sorted(there - {str(wanted)}))  # a bundle may have left it out
            return ContentNotFoundError(
                f"{reference} is not there for {wanted}; it has {others}",
                hint="ask for platforms that every image of this run has",
                origin="source",
            )
    return None


def _size_error(
    reference: Reference, closure: _Closure, sizes: dict[Digest, int]
) -> AirgapError | None:
    """A size that is not the one that content has, or that another manifest says it has.

    The bundle would be refused on the other side, where the source cannot be asked any more.
    """
    # What others say counts first; neither is copied, since there may be thousands of images.
    own = {blob.digest: blob.size for blob in closure.blobs.values()}
    known = ChainMap(sizes, own)
    for document in closure.documents.values():
        for needed in successors(document):
            size = known.get(needed.digest, needed.size)
            if size != needed.size:
                return SizeMismatchError(
                    f"{reference}: {needed.digest} has {size} bytes and {needed.size} by "
                    f"{document.descriptor.digest}",
                    expected=str(needed.size),
                    actual=str(size),
                    hint="one of the manifests that name it is wrong; it must be built again",
                    origin="source",
                )
    return None


def _left_out_platforms(closure: _Closure) -> set[str]:
    entries = [descriptor for descriptor, _ in closure.omitted.values()]
    return {str(e.platform) for e in entries if e.platform is not None and e.platform.is_known}


def _merge(
    resolution: Resolution,
    selection: Selection,
    closures: Mapping[Reference, _Closure],
    failed: list[tuple[Reference, AirgapError]],
) -> ExportSelection:
    documents: dict[Digest, Document] = {}
    blobs: dict[Digest, Descriptor] = {}
    places: dict[Digest, list[str]] = {}
    configs: set[Digest] = set()
    for reference, closure in closures.items():
        documents |= closure.documents
        for digest, blob in closure.blobs.items():
            blobs.setdefault(digest, blob)
            known = places.setdefault(digest, [])
            if reference.name not in known:
                known.append(reference.name)
        for document in closure.documents.values():
            if isinstance(document, Manifest) and document.config is not None:
                configs.add(document.config.digest)
    # A manifest may stand among another's layers: its bytes are here already, once.
    for digest in documents.keys() & blobs.keys():
        del blobs[digest]
    ordered = sorted(configs & blobs.keys()) + [d for d in blobs if d not in configs]
    named = _named(resolution, closures)
    images = [
        CatalogImage(name, digest, _load(digest, closure, selection, resolution.loads.get(name)))
        for name, (digest, closure) in named.items()
    ]
    catalog = Catalog.build(
        images=images,
        referrers={r for closure in closures.values() for r in closure.referrers},
        manifests=(document.descriptor for document in documents.values()),
        blobs=((digest, blobs[digest].size) for digest in ordered),
        omitted=_omissions(closures, documents.keys() | blobs.keys()),
    )
    return ExportSelection(
        catalog,
        documents,
        tuple(Fetch(blobs[digest], tuple(places[digest])) for digest in ordered),
        tuple(_planned(i, named[i.reference][1]) for i in catalog.images),
        tuple(failed),
    )


def _named(
    resolution: Resolution, closures: Mapping[Reference, _Closure]
) -> dict[Reference, tuple[Digest, _Closure]]:
    """The images by the name that the bundle gives them.

    A pinned reference with a tag is known by its tag; one by digest alone by the digest.
    """
    named: dict[Reference, tuple[Digest, _Closure]] = {}
    for reference, digest in resolution.roots:
        closure = closures.get(reference)
        if closure is None:
            continue
        name = reference.with_digest(None) if reference.tag else reference
        if named.setdefault(name, (digest, closure))[0] != digest:
            raise ConflictError(
                f"{name.tagged} is asked for with two digests",
                hint="one name can stand for one image only: leave out one of them",
            )
    return named


def _planned(image: CatalogImage, closure: _Closure) -> PlannedImage:
    size = sum(d.descriptor.size for d in closure.documents.values())
    size += sum(blob.size for blob in closure.blobs.values())
    kind = image_kind(closure.documents[image.digest])
    return PlannedImage(
        image.reference, image.digest, kind, tuple(dict.fromkeys(closure.platforms)), size
    )


def _load(
    digest: Digest, closure: _Closure, selection: Selection, known: Digest | None
) -> Digest | None:
    """The manifest that stands for an index where an engine knows no indexes.

    It never depends on the machine that exports: the same inputs give the same bytes. What the
    source says it is stays so, unless another platform is asked for.
    """
    root = closure.documents[digest]
    runnable = [m.descriptor.digest for m in runnable_manifests(digest, closure.documents)]
    if not isinstance(root, Index) or not runnable:
        return None
    if selection.load_platform is None and known in runnable:
        return known
    wanted = selection.load_platform or DEFAULT_LOAD_PLATFORM
    indexes = [d for d in closure.documents.values() if isinstance(d, Index)]
    for entry in (entry for index in indexes for entry in index.manifests):
        if entry.digest in runnable and entry.platform and entry.platform.matches(wanted):
            return entry.digest
    return runnable[0]


def _omissions(
    closures: Mapping[Reference, _Closure], travelling: AbstractSet[Digest]
) -> list[Omission]:
    merged: dict[Digest, tuple[Descriptor, OmissionReason, set[Digest]]] = {}
    for closure in closures.values():
        for (digest, reason), (descriptor, parents) in closure.omitted.items():
            if digest not in travelling:
                merged.setdefault(digest, (descriptor, reason, set()))[2].update(parents)
    return [
        Omission(descriptor, reason, tuple(sorted(parents)))
        for descriptor, reason, parents in merged.values()
    ]


def without_load_platform(selected: ExportSelection, wanted: Platform) -> tuple[Reference, ...]:
    """The images for several platforms of which engines without indexes get another one."""
    return tuple(
        image.reference
        for image in selected.images
        if image.kind == "index" and image.platforms and not covers(wanted, image.platforms)
    )
