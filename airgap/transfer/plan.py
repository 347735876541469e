"""What an export writes: a pure function of what was found and what is wanted.

The same inputs give the same plan. Blobs that turn out not to be had are an argument: a new plan
without the images that need them is made by the same function.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from airgap.bundle.catalog import (
    Catalog,
    CatalogImage,
    Omission,
    OmissionReason,
)
from airgap.bundle.closure import successors
from airgap.bundle.engines import image_kind, runnable_manifests
from airgap.errors import AirgapError, ConflictError, ContentNotFoundError, SizeMismatchError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document, Index, Manifest
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference
from airgap.transfer.image_closure import ImageClosure, walk_image
from airgap.transfer.known import Doubt, Known
from airgap.transfer.left import Left, leave_known
from airgap.transfer.outcome import PlannedImage
from airgap.transfer.platforms import covers
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
        doubts: Blobs that travel although somebody says that the receiver has them.
    """

    catalog: Catalog
    documents: Mapping[Digest, Document]
    fetches: tuple[Fetch, ...]
    images: tuple[PlannedImage, ...]
    failed: tuple[tuple[Reference, AirgapError], ...]
    doubts: tuple[Doubt, ...] = ()


def select_export(
    resolution: Resolution,
    selection: Selection,
    *,
    lost: Mapping[Digest, AirgapError] | None = None,
    known: Known | None = None,
) -> ExportSelection:
    """Decide what a bundle holds.

    Args:
        resolution: What was found.
        selection: What is wanted.
        lost: Blobs that cannot be had, and why: images that need one do not travel, or travel
            without it where the source lacks it and that is allowed.
        known: What the receiver has: that is left to it instead of being fetched.
    """
    failed = list(resolution.failed)
    closures: dict[Reference, ImageClosure] = {}
    sizes = {d: document.descriptor.size for d, document in resolution.documents.items()}
    for reference, digest in sorted(resolution.roots, key=lambda root: (root[0].tagged, root[1])):
        closure = walk_image(
            digest, reference.name, resolution=resolution, selection=selection, lost=lost or {}
        )
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
    known = (known or Known()).including(resolution.held)
    return _merge(resolution, selection, closures, failed, known)


def _platform_error(
    reference: Reference, closure: ImageClosure, selection: Selection
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
    reference: Reference, closure: ImageClosure, sizes: dict[Digest, int]
) -> AirgapError | None:
    """A size that is not the one that content has, or that another manifest says it has.

    The bundle would be refused on the other side, where the source cannot be asked any more.
    """
    # What others say counts first; neither is copied, since there may be thousands of images.
    own = closure.blobs
    for document in closure.documents.values():
        for needed in successors(document):
            size = sizes.get(needed.digest)
            if size is None:
                size = own[needed.digest].size if needed.digest in own else needed.size
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


def _left_out_platforms(closure: ImageClosure) -> set[str]:
    entries = [descriptor for descriptor, _ in closure.omitted.values()]
    return {str(e.platform) for e in entries if e.platform is not None and e.platform.is_known}


def _merge(
    resolution: Resolution,
    selection: Selection,
    closures: Mapping[Reference, ImageClosure],
    failed: list[tuple[Reference, AirgapError]],
    known: Known,
) -> ExportSelection:
    documents: dict[Digest, Document] = {}
    blobs: dict[Digest, Descriptor] = {}
    places: dict[Digest, list[str]] = {}
    configs: set[Digest] = set()
    for reference, closure in closures.items():
        documents |= closure.documents
        repository = reference.name
        for digest, blob in closure.blobs.items():
            repositories = places.get(digest)
            if repositories is None:
                blobs[digest], places[digest] = blob, [repository]
            elif repositories[-1] != repository:  # those of one repository follow each other
                repositories.append(repository)
        for document in closure.documents.values():
            if isinstance(document, Manifest) and document.config is not None:
                configs.add(document.config.digest)
    # A manifest may stand among another's layers: its bytes are here already, once.
    for digest in documents.keys() & blobs.keys():
        del blobs[digest]
    # An entry of an index is left to nobody, even where only the blobs endpoint knows it.
    leavable = {d: blob for d, blob in blobs.items() if d not in resolution.unreadable}
    left = leave_known(leavable, places, known)
    travelling = [digest for digest in blobs if digest not in left.held]
    ordered = sorted(digest for digest in travelling if digest in configs)
    ordered += [digest for digest in travelling if digest not in configs]
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
        bases=left.bases,
        held=left.held.values(),
    )
    return ExportSelection(
        catalog,
        documents,
        tuple(Fetch(blobs[digest], tuple(places[digest])) for digest in ordered),
        tuple(_planned(i, named[i.reference][1], left) for i in catalog.images),
        tuple(failed),
        left.doubts,
    )


def _named(
    resolution: Resolution, closures: Mapping[Reference, ImageClosure]
) -> dict[Reference, tuple[Digest, ImageClosure]]:
    """The images by the name that the bundle gives them.

    A pinned reference with a tag is known by its tag; one by digest alone by the digest.
    """
    named: dict[Reference, tuple[Digest, ImageClosure]] = {}
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


def _planned(image: CatalogImage, closure: ImageClosure, left: Left) -> PlannedImage:
    size = sum(d.descriptor.size for d in closure.documents.values())
    size += sum(blob.size for blob in closure.blobs.values())
    shares = left.shares(closure.blobs)
    return PlannedImage(
        image.reference,
        image.digest,
        image_kind(closure.documents[image.digest]),
        tuple(dict.fromkeys(closure.platforms)),
        size,
        sum(share.blobs for share in shares),
        sum(share.size for share in shares),
        shares,
    )


def _load(
    digest: Digest, closure: ImageClosure, selection: Selection, known: Digest | None
) -> Digest | None:
    """The manifest that stands for an index where an engine knows no indexes.

    It never depends on the machine that exports: the same inputs give the same bytes. What the
    source says it is stays so, unless another platform is asked for.
    """
    if not isinstance(closure.documents[digest], Index):
        return None
    runnable = [m.descriptor.digest for m in runnable_manifests(digest, closure.documents)]
    if not runnable:
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
    closures: Mapping[Reference, ImageClosure], travelling: AbstractSet[Digest]
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
