"""The layout of a bundle: every byte but the blobs', known before the first blob is fetched.

Order in the file: oci-layout, index.json, manifest.json, catalog, planned placement, manifests,
blobs in the catalog's order (configs, then layers), seal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from airgap.bundle import engines, members
from airgap.bundle.catalog import Catalog
from airgap.bundle.placement import Extent, Placement, Seal
from airgap.errors import ContentNotFoundError, SizeMismatchError
from airgap.oci import layout as oci_layout
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest, Hasher
from airgap.oci.manifest import Document

INDEX_FILE = oci_layout.INDEX_FILE
DOCKER_FILE = "manifest.json"
CATALOG_FILE = "airgap/catalog.json"
PLACEMENT_FILE = "airgap/placement.json"
SEAL_FILE = "airgap/seal.json"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything of a bundle lies.

    Attributes:
        catalog: What it carries.
        placement: The offsets of manifests and blobs.
        front: The bytes up to and with the last manifest, filled to whole blocks.
        blobs: The extents behind the front, in order: what is to be fetched.
        seal: The content of the seal.
        size: The bytes of the whole file.
    """

    catalog: Catalog
    placement: Placement
    front: bytes = field(repr=False)
    blobs: tuple[Extent, ...]
    seal: Seal
    size: int

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Every run of bytes behind the front that belongs to no blob, with its offset.

        These are each blob's header, what fills its last block, and the tail with the seal.
        """
        for extent in self.blobs:
            yield from frame(extent)
        yield self.placement.seal, self.tail()

    def check_manifest(self, digest: Digest, *, name: str) -> None:
        """See that a manifest lies in the front, which is all that there is to do for it.

        Raises:
            ContentNotFoundError: It does not.
        """
        if all(manifest.digest != digest for manifest in self.catalog.manifests):
            raise ContentNotFoundError(f"{name} has no place for {digest}")

    def tail(self) -> bytes:
        """The seal as a member, and the end of the tar."""
        return _member(SEAL_FILE, self.seal.to_bytes()) + members.END


def check_size(extent: Extent, descriptor: Descriptor) -> None:
    """See that a blob that is to come has the size of its place.

    Raises:
        SizeMismatchError: It has another one.
    """
    if extent.length != descriptor.size:
        raise SizeMismatchError(
            f"{descriptor.digest} is said to have {descriptor.size} bytes here "
            f"and {extent.length} elsewhere",
            expected=str(extent.length),
            actual=str(descriptor.size),
            origin="source",
        )


def frame(extent: Extent) -> Iterator[tuple[int, bytes]]:
    """What stands around a blob, with the offset of each: its header, and what fills its block."""
    head = _header(extent)
    yield extent.offset - len(head), head
    fill = members.padding(extent.length)
    if fill:
        yield extent.end, fill


def plan_layout(catalog: Catalog, documents: Mapping[Digest, Document]) -> Layout:
    """Lay out a bundle.

    Args:
        catalog: What it carries.
        documents: Every manifest and index that the catalog names.
    """
    head = b"".join(
        _member(name, data)
        for name, data in (
            (oci_layout.LAYOUT_FILE, oci_layout.LAYOUT_BYTES),
            (INDEX_FILE, engines.index_json(catalog, documents)),
            (DOCKER_FILE, engines.docker_manifest_json(catalog, documents)),
            (CATALOG_FILE, catalog.raw),
        )
    )
    sizes = [(m.digest, m.size) for m in catalog.manifests] + list(catalog.blobs)
    placement = _place(catalog.id, len(head), sizes)
    manifests = placement.extents[: len(catalog.manifests)]
    front = b"".join(
        [
            head,
            _member(PLACEMENT_FILE, placement.to_bytes()),
            *(_member(_path(e), documents[e.digest].raw) for e in manifests),
        ]
    )
    blobs = placement.extents[len(manifests) :]
    seal = _seal(placement, front, manifests, blobs)
    size = placement.seal + len(_member(SEAL_FILE, seal.to_bytes())) + len(members.END)
    return Layout(catalog, placement, front, blobs, seal, size)


def _place(bundle: Digest, start: int, sizes: list[tuple[Digest, int]]) -> Placement:
    """Find the placement whose own size is the one that its offsets count on.

    Offsets only grow with the size of the document that holds them, so this ends.
    """
    length = 0
    while True:
        offset = start + len(members.header(PLACEMENT_FILE, length)) + members.padded(length)
        extents = []
        for digest, size in sizes:
            offset += len(members.header(oci_layout.blob_path(digest), size))
            extents.append(Extent(digest, offset, size))
            offset += members.padded(size)
        placement = Placement(bundle, tuple(extents), offset)
        actual = len(placement.to_bytes())
        if actual == length:
            return placement
        length = actual


def _seal(
    placement: Placement, front: bytes, manifests: tuple[Extent, ...], blobs: tuple[Extent, ...]
) -> Seal:
    hasher = Hasher()
    start = 0
    for extent in manifests:
        hasher.update(front[start : extent.offset])
        start = extent.end
    hasher.update(front[start:])
    for extent in blobs:
        hasher.update(_header(extent))
        hasher.update(members.padding(extent.length))
    return Seal(placement, hasher.digest(), hasher.size)


def _path(extent: Extent) -> str:
    return oci_layout.blob_path(extent.digest)


def _header(extent: Extent) -> bytes:
    return members.header(_path(extent), extent.length)


def _member(name: str, data: bytes) -> bytes:
    return members.header(name, len(data)) + data + members.padding(len(data))
