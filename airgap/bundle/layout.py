"""The layout of a bundle: every byte but the blobs', known before the first blob is fetched.

Order in the file: oci-layout, index.json, manifest.json, catalog, its signatures where there are
any, planned placement, manifests, blobs in the catalog's order (configs, then layers), seal. A
volume of several has the same form and holds the blobs, and the pieces of cut ones, that its share
names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

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
SIGNATURES_FILE = "airgap/signatures.json"
PLACEMENT_FILE = "airgap/placement.json"
SEAL_FILE = "airgap/seal.json"


@dataclass(frozen=True, slots=True)
class Share:
    """What of a bundle one of several volumes holds.

    Attributes:
        volume: Which one it is, from 1.
        volumes: How many there are.
        contents: Its blobs and pieces in their order; their offsets mean nothing yet.
        homes: See `Placement`.
    """

    volume: int
    volumes: int
    contents: tuple[Extent, ...]
    homes: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, placement: Placement, catalog: Catalog) -> Share | None:
        """What a placement says that its volume holds; None for a bundle of one file."""
        if placement.volumes == 1:
            return None
        contents = placement.extents[len(catalog.manifests) :]
        return cls(placement.volume, placement.volumes, contents, placement.homes)

    def problem(self, catalog: Catalog) -> str | None:
        """What is wrong where this is no share of the bundle; None where all is right."""
        if len(self.homes) != len(catalog.blobs):
            return "the placement does not say where every blob lies"
        here: dict[Digest, int] = {}
        wanted = set[Digest]()
        for (digest, size), (first, last) in zip(catalog.blobs, self.homes, strict=True):
            if not 1 <= first <= last <= self.volumes:
                return f"the placement has {digest} in volumes {first} to {last}"
            if first <= self.volume <= last:
                here[digest] = size
                wanted |= {digest} if first == last else set()
        if len(self.contents) != len(here):
            return "the placement contradicts itself about what this volume holds"
        for extent in self.contents:
            size = here.pop(extent.digest, -1)
            start, is_whole = extent.start, extent.digest in wanted
            is_right = (
                start is None and extent.length == size
                if is_whole
                else start is not None and extent.length > 0 and start + extent.length <= size
            )
            if not is_right:
                return f"the placement has {extent.digest} other than the catalog"
        return None

    def absent(self, catalog: Catalog) -> set[Digest]:
        """The blobs that are not whole in this volume."""
        whole = {extent.digest for extent in self.contents if extent.start is None}
        return {digest for digest, _ in catalog.blobs if digest not in whole}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything of a bundle's file lies.

    Attributes:
        catalog: What it carries.
        placement: The offsets of manifests and blobs.
        front: The bytes up to and with the last manifest, filled to whole blocks.
        blobs: The extents behind the front, in order: what is to be fetched.
        seal: The content of the seal; what pieces hash to is not known before they are there.
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

    @property
    def pieces(self) -> tuple[Extent, ...]:
        """The pieces of cut blobs."""
        return tuple(extent for extent in self.blobs if extent.start is not None)

    def check_manifest(self, digest: Digest, *, name: str) -> None:
        """See that a manifest lies in the front, which is all that there is to do for it.

        Raises:
            ContentNotFoundError: It does not.
        """
        if all(manifest.digest != digest for manifest in self.catalog.manifests):
            raise ContentNotFoundError(f"{name} has no place for {digest}")

    def tail(self, pieces: tuple[Digest, ...] | None = None) -> bytes:
        """The seal as a member, and the end of the tar.

        Args:
            pieces: What each of `pieces` hashes to, now that it is known.
        """
        seal = self.seal if pieces is None else replace(self.seal, pieces=pieces)
        return _member(SEAL_FILE, seal.to_bytes()) + members.END


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


def plan_layout(
    catalog: Catalog, documents: Mapping[Digest, Document], share: Share | None = None
) -> Layout:
    """Lay out a bundle, or one volume of it.

    Args:
        catalog: What it carries.
        documents: Every manifest and index that the catalog names.
        share: What this volume holds; None for a bundle of one file.
    """
    head, placement = _outline(catalog, documents, share)
    manifests = placement.extents[: len(catalog.manifests)]
    front = b"".join(
        [
            head,
            _member(PLACEMENT_FILE, placement.to_bytes()),
            *(_member(e.name, documents[e.digest].raw) for e in manifests),
        ]
    )
    blobs = placement.extents[len(manifests) :]
    seal = _seal(placement, front, manifests, blobs)
    size = placement.seal + len(_member(SEAL_FILE, seal.to_bytes())) + len(members.END)
    return Layout(catalog, placement, front, blobs, seal, size)


def measure(
    catalog: Catalog, documents: Mapping[Digest, Document], share: Share | None = None
) -> int:
    """The bytes of the file that `plan_layout` lays out, which takes much longer."""
    _, placement = _outline(catalog, documents, share)
    extents = placement.extents
    # of the same length as the digests that will be in it
    digest = Digest.of(b"")
    pieces = tuple(digest for extent in extents if extent.start is not None)
    covered = sum(extent.length for extent in extents)
    seal = Seal(placement, digest, placement.seal - covered, pieces).to_bytes()
    header = members.header_size(SEAL_FILE, len(seal))
    return placement.seal + header + members.padded(len(seal)) + len(members.END)


def _outline(
    catalog: Catalog, documents: Mapping[Digest, Document], share: Share | None
) -> tuple[bytes, Placement]:
    """What stands before the placement, and the placement."""
    absent = share.absent(catalog) if share else set[Digest]()
    head = b"".join(
        _member(name, data)
        for name, data in (
            (oci_layout.LAYOUT_FILE, oci_layout.LAYOUT_BYTES),
            (INDEX_FILE, engines.index_json(catalog, documents, absent=absent)),
            (DOCKER_FILE, engines.docker_manifest_json(catalog, documents, absent=absent)),
            (CATALOG_FILE, catalog.raw),
            *signature_members(catalog),
        )
    )
    contents = share.contents if share else tuple(Extent(d, 0, size) for d, size in catalog.blobs)
    placement = Placement(catalog.id, (), 0)
    if share:
        placement = replace(
            placement, volume=share.volume, volumes=share.volumes, homes=share.homes
        )
    wanted = [*(Extent(m.digest, 0, m.size) for m in catalog.manifests), *contents]
    return head, _place(placement, len(head), wanted)


def signature_members(catalog: Catalog) -> tuple[tuple[str, bytes], ...]:
    """The member that holds the signatures, with its content; none where there are none."""
    return ((SIGNATURES_FILE, catalog.signatures),) if catalog.signatures else ()


def _place(placement: Placement, start: int, wanted: list[Extent]) -> Placement:
    """Find the placement whose own size is the one that its offsets count on.

    Offsets only grow with the size of the document that holds them, so this ends.
    """
    length = 0
    sizes = [(members.header_size(e.name, e.length), members.padded(e.length)) for e in wanted]
    while True:
        offset = start + members.header_size(PLACEMENT_FILE, length) + members.padded(length)
        extents = []
        for extent, (header, content) in zip(wanted, sizes, strict=True):
            offset += header
            extents.append(Extent(extent.digest, offset, extent.length, extent.start))
            offset += content
        placement = replace(placement, extents=tuple(extents), seal=offset)
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
    unknown = tuple(Digest.of(b"") for extent in blobs if extent.start is not None)
    return Seal(placement, hasher.digest(), hasher.size, unknown)


def _header(extent: Extent) -> bytes:
    return members.header(extent.name, extent.length)


def _member(name: str, data: bytes) -> bytes:
    return members.header(name, len(data)) + data + members.padding(len(data))
