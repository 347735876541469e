"""What can be known of a bundle before its blobs are hashed, however damaged it is.

A sound front says it all. Where the front is damaged, the catalog, the placement and the seal are
looked for one by one, so that a check can still say which images the damage concerns. What is
found that way serves to describe the damage; such a bundle is never called right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import BinaryIO, TypeVar

from airgap.bundle import closure, members
from airgap.bundle.catalog import MAX_SIZE, Catalog
from airgap.bundle.finding import Finding
from airgap.bundle.foreign import DAMAGED
from airgap.bundle.front import (
    Tape,
    check_manifest_sizes,
    engine_files,
    not_made_from_catalog,
    parse_document,
    read_front,
)
from airgap.bundle.layout import (
    CATALOG_FILE,
    PLACEMENT_FILE,
    SEAL_FILE,
    SIGNATURES_FILE,
    Layout,
    Share,
    plan_layout,
    signature_members,
)
from airgap.bundle.placement import Extent, Placement, Seal
from airgap.bundle.signed import MAX_SIGNATURES
from airgap.content.posix import read_at
from airgap.content.storage import storage_errors
from airgap.content.store import CHUNK_SIZE
from airgap.errors import AirgapError, BundleFormatError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest, Hasher
from airgap.oci.manifest import Document

_SEARCHED = 64 * 1024 * 1024
"""How many bytes at either end are searched for a document whose place is not known."""

T = TypeVar("T")


@dataclass(slots=True)
class Survey:
    """What is known of a bundle.

    Attributes:
        error: Why its front is not sound; None where it is.
        catalog: What it carries, if that can be read.
        documents: The manifests and indexes that are sound.
        placement: Where its content lies, if that is known.
        layout: Every byte of it but the blobs', if that is known.
        seal: What its end says, if it can be read and has its own digest.
        hashed: The manifests that were hashed, right or wrong.
        bytes_read: How many bytes were read and compared.
        findings: What is wrong so far.
    """

    error: Finding | None = None
    catalog: Catalog | None = None
    documents: Mapping[Digest, Document] = field(default_factory=dict[Digest, Document])
    placement: Placement | None = None
    layout: Layout | None = None
    seal: Seal | None = None
    hashed: set[Digest] = field(default_factory=set[Digest])
    bytes_read: int = 0
    findings: list[Finding] = field(default_factory=list[Finding])

    @property
    def is_sure(self) -> bool:
        """Whether the catalog is the one that placement and seal name: if not, it is damaged."""
        if self.catalog is None:
            return False
        return self.placement is None or self.placement.bundle == self.catalog.id

    @property
    def is_sealed(self) -> bool:
        """Whether the seal was written for these documents, signatures included."""
        seal, layout = self.seal, self.layout
        return seal is not None and layout is not None and seal.uncovered == layout.seal.uncovered

    def adopt(self, sound: Survey) -> None:
        """Hold what is the same in all volumes only once in memory, and nothing needless."""
        layout, placement = self.layout, self.placement
        if self.catalog is None or sound.catalog is None or self.catalog.id != sound.catalog.id:
            return
        self.catalog = replace(sound.catalog, signatures=self.catalog.signatures)
        if self.error is None:
            self.documents = sound.documents
        if self.hashed == sound.hashed:
            self.hashed = sound.hashed
        if placement is not None and sound.placement is not None:
            if placement.homes == sound.placement.homes:
                placement = replace(placement, homes=sound.placement.homes)
            self.placement = placement
        if layout is not None and placement is not None:
            seal = replace(layout.seal, placement=placement)
            self.layout = replace(
                layout, catalog=self.catalog, front=b"", placement=placement, seal=seal
            )
        if self.seal is not None and placement is not None and self.seal.placement == placement:
            self.seal = replace(self.seal, placement=placement)


def survey_file(stream: BinaryIO, *, name: str, size: int) -> Survey:
    """Read the front of a bundle, or what is left of it.

    Args:
        stream: The open file, at its beginning.
        name: What it is called in messages.
        size: The bytes of the file.

    Raises:
        StorageError: The medium gave an error where the front lies.
    """
    tape = Tape(stream.read, name=name)
    with storage_errors(name):
        try:
            front = read_front(tape)
        except AirgapError as error:
            return _Salvage(stream.fileno(), name=name, size=size).survey(error)
    found = Survey(
        catalog=front.catalog,
        documents=front.documents,
        placement=front.layout.placement,
        layout=front.layout,
        seal=_seal_of(front.layout, stream.fileno(), name),
        hashed=set(front.documents),
        bytes_read=tape.offset,
    )
    if found.seal is None or found.seal.placement == found.placement:
        return found
    # One flipped digit may leave a placement that is possible: the seal has a digest of its own.
    found.placement = found.seal.placement
    again = survey_again(found, found, fd=stream.fileno(), name=name)
    if again is found:
        found.placement = front.layout.placement
    return again


def survey_again(found: Survey, sound: Survey, *, fd: int, name: str) -> Survey:
    """Look at a volume with a damaged front anew, with what a sound volume of its bundle says.

    Args:
        found: What it says itself.
        sound: What another volume says.
        fd: The open file.
        name: What it is called in messages.

    Returns:
        A survey with all that must stand in its front; where it cannot be told which volume it
        is, the first one.

    Raises:
        StorageError: The medium gave an error where the front lies.
    """
    catalog = sound.catalog
    if found.placement is None or catalog is None or found.placement.bundle != catalog.id:
        return found
    share = Share.of(found.placement, catalog)
    if share is None or share.problem(catalog):
        return found
    layout = _plan_signed(found, catalog, sound.documents, share)
    catalog = layout.catalog
    again = Survey(found.error, catalog, sound.documents, layout.placement, layout, found.seal)
    with storage_errors(name):
        _compare_documents(again, fd, name)
    return again


def _plan_signed(
    found: Survey, catalog: Catalog, documents: Mapping[Digest, Document], share: Share
) -> Layout:
    """Plan a volume with the signatures that it has, or had: its offsets tell which fit."""
    own = found.catalog.signatures if found.catalog else b""
    layouts = []
    for signatures in dict.fromkeys((catalog.signatures, own, b"")):
        layouts.append(plan_layout(replace(catalog, signatures=signatures), documents, share))
        if layouts[-1].placement == found.placement:
            return layouts[-1]
    return layouts[0]


def _seal_of(layout: Layout, fd: int, name: str) -> Seal | None:
    """The seal of a file with a sound front, if it can be read."""
    tail, header = layout.tail(), members.BLOCK
    with storage_errors(name):
        raw = read_at(fd, len(tail), layout.placement.seal)
    try:
        said = members.parse_header(raw[:header])
        return Seal.parse(raw[header : header + said.size]) if said else None
    except AirgapError:
        return None  # which is found when the end of the file is compared


def _compare_documents(found: Survey, fd: int, name: str) -> None:
    """Compare what stands before the manifests with what is planned."""
    catalog, layout = found.catalog, found.layout
    if catalog is None or layout is None:
        return
    share = Share.of(layout.placement, catalog)
    contents = engine_files(catalog, found.documents, share) | {
        CATALOG_FILE: catalog.raw,
        **dict(signature_members(catalog)),
        PLACEMENT_FILE: layout.placement.to_bytes(),
    }
    offset = 0
    for member, content in contents.items():
        expected = members.header(member, len(content)) + content + members.padding(len(content))
        actual = read_at(fd, len(expected), offset)
        if actual != expected and len(actual) == len(expected):
            error = not_made_from_catalog(member, name)
            found.findings.append(replace(Finding.of(error), offset=offset, length=len(expected)))
        found.bytes_read += len(actual)
        offset += len(expected)


class _Salvage:
    """Looks for the documents of a bundle whose front is damaged."""

    def __init__(self, fd: int, *, name: str, size: int) -> None:
        self._fd = fd
        self._name = name
        self._size = size
        self._found = Survey()

    def survey(self, error: AirgapError) -> Survey:
        found = self._found
        found.error = Finding.of(error)
        found.catalog = self._parsed(Catalog.parse, CATALOG_FILE, 0)
        planned = self._parsed(Placement.parse, PLACEMENT_FILE, 0)
        start = max(0, self._size - _SEARCHED)
        if planned is not None and start < planned.seal < self._size:
            start = planned.seal
        seal = self._parsed(Seal.parse, SEAL_FILE, start)
        found.placement, found.seal = seal.placement if seal else planned, seal
        if found.catalog is not None:
            # also where they are damaged: all that lies behind them counts on their size
            signatures = self._signatures(found.placement)
            found.catalog = replace(found.catalog, signatures=signatures)
            self._read_documents(found.catalog)
            if found.is_sure:
                found.findings.extend(gap_findings(found.catalog, found.documents))
            if self._can_plan(found.catalog):
                self._plan(found.catalog)
        if found.layout is None and seal is not None:
            self._check_uncovered(seal)
        return found

    def _parsed(self, parse: Callable[[bytes], T], name: str, start: int) -> T | None:
        try:
            raw = self._find(name, start)
            return None if raw is None else parse(raw)
        except AirgapError:
            return None

    def _signatures(self, placement: Placement | None) -> bytes:
        """The signatures as they stand before all content; empty where there are none."""
        behind = placement.extents[0].offset if placement and placement.extents else 0
        raw = self._find(SIGNATURES_FILE, 0, end=behind) or b""
        return raw if len(raw) <= MAX_SIGNATURES else b""

    def _find(self, name: str, start: int, *, end: int | None = None) -> bytes | None:
        """The content of the first member of this name that begins behind an offset."""
        end = self._size if end is None else min(end, self._size)
        pattern = name.encode().ljust(100, b"\0")
        for offset in range(start, min(start + _SEARCHED, end), CHUNK_SIZE):
            window = read_at(self._fd, CHUNK_SIZE + members.BLOCK, offset)
            at = window.find(pattern)
            while 0 <= at < end - offset:
                if (offset + at) % members.BLOCK == 0:
                    return self._content(window[at : at + members.BLOCK], offset + at)
                at = window.find(pattern, at + 1)
        return None

    def _content(self, block: bytes, offset: int) -> bytes:
        """What lies behind a header: by its size, or up to the first zero where it is damaged."""
        offset += members.BLOCK
        try:
            header = members.parse_header(block)
        except BundleFormatError:
            header = None
        limit = min(header.size if header else MAX_SIZE, MAX_SIZE, self._size - offset)
        raw = read_at(self._fd, max(0, limit), offset)
        return raw if header else raw.partition(b"\0")[0]

    def _read_documents(self, catalog: Catalog) -> None:
        try:
            check_manifest_sizes(catalog)
        except BundleFormatError:
            return  # which is then the error of the front
        placement = self._found.placement
        extents = {extent.digest: extent for extent in placement.extents} if placement else {}
        documents = {}
        for descriptor in catalog.manifests:
            extent = extents.get(descriptor.digest)
            document = self._document(descriptor, extent) if extent else None
            if document is not None:
                documents[descriptor.digest] = document
        try:
            closure.check_steps(catalog, documents)
        except BundleFormatError:
            return  # as above: nothing may walk these documents
        self._found.documents = documents

    def _document(self, descriptor: Descriptor, extent: Extent) -> Document | None:
        """A manifest, if it is sound; one that is not there is found missing later."""
        if extent.end > self._size or extent.length != descriptor.size:
            return None
        self._found.hashed.add(descriptor.digest)
        try:
            return parse_document(read_at(self._fd, extent.length, extent.offset), descriptor)
        except AirgapError as error:
            finding = replace(
                Finding.of(error),
                digest=descriptor.digest,
                offset=extent.offset,
                length=extent.length,
            )
            self._found.findings.append(finding)
            return None

    def _can_plan(self, catalog: Catalog) -> bool:
        placement = self._found.placement
        if placement is None or not self._found.is_sure:
            return False
        share = Share.of(placement, catalog)
        return (
            len(self._found.documents) == len(catalog.manifests)
            and self._has_right_loads(catalog)
            and (share is None or share.problem(catalog) is None)
        )

    def _has_right_loads(self, catalog: Catalog) -> bool:
        try:
            closure.check_loads(catalog, self._found.documents)
        except BundleFormatError:
            return False  # which is then the error of the front, and stays it
        return True

    def _plan(self, catalog: Catalog) -> None:
        """Plan the file anew, and compare the documents in its front with that."""
        found = self._found
        share = Share.of(found.placement, catalog) if found.placement else None
        found.layout = plan_layout(catalog, found.documents, share)
        found.placement = found.layout.placement
        _compare_documents(found, self._fd, self._name)

    def _check_uncovered(self, seal: Seal) -> None:
        """Compare the bytes that no blob's digest covers with the digest that the seal has."""
        hasher = Hasher()
        start = 0
        for extent in (*seal.placement.extents, Extent(seal.uncovered, seal.placement.seal, 0)):
            while start < extent.offset:
                part = read_at(self._fd, min(CHUNK_SIZE, extent.offset - start), start)
                if not part:
                    return
                hasher.update(part)
                start += len(part)
            start = extent.end
        if hasher.digest() != seal.uncovered:
            message = f"{self._name}: headers or documents are not those that the seal covers"
            self._found.findings.append(Finding("structure", message, DAMAGED))


def gap_findings(catalog: Catalog, documents: Mapping[Digest, Document]) -> list[Finding]:
    """What the manifests need and the bundle lacks, each once."""
    found: dict[Digest, Finding] = {}
    for gap in closure.gaps(catalog, documents):
        digest = gap.descriptor.digest
        found.setdefault(digest, replace(Finding.of(gap.error()), digest=digest))
    return list(found.values())
