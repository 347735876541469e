"""The front of a bundle: everything before the first config or layer, read once and believed late.

One piece of code serves a file and a pipe. Names and descriptors come from the catalog only; every
manifest is hashed before it is parsed; what can be made again from the catalog is made again and
compared. Nothing here becomes a path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NoReturn

from airgap.bundle import closure, engines, members
from airgap.bundle.catalog import MAX_SIZE, Catalog, check_size
from airgap.bundle.foreign import DAMAGED, refuse_beginning, refuse_member
from airgap.bundle.layout import (
    CATALOG_FILE,
    DOCKER_FILE,
    INDEX_FILE,
    PLACEMENT_FILE,
    SIGNATURES_FILE,
    Layout,
    Share,
    plan_layout,
)
from airgap.bundle.placement import Placement
from airgap.bundle.signed import MAX_SIGNATURES, check_signatures
from airgap.content.store import CHUNK_SIZE
from airgap.errors import (
    AirgapError,
    BundleFormatError,
    DigestMismatchError,
    IncompleteBundleError,
    InvalidContentError,
)
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest, Hasher
from airgap.oci.document import check_values
from airgap.oci.layout import LAYOUT_BYTES, LAYOUT_FILE, blob_path
from airgap.oci.manifest import MAX_MANIFEST_SIZE, Document, parse_manifest

MAX_DOCUMENTS = 256 * 1024 * 1024
"""All manifests and indexes of a bundle together have no more bytes: they are held in memory."""


class Tape:
    """The bytes of a bundle from the start on, each read once.

    Args:
        read: Gives up to so many bytes, none at the end.
        name: What the bundle is called in messages.
    """

    def __init__(self, read: Callable[[int], bytes], *, name: str) -> None:
        self._read = read
        self.name = name
        self.offset = 0

    def some(self, limit: int) -> bytes:
        """The next bytes, at most so many; empty at the end."""
        data = self._read(min(limit, CHUNK_SIZE))
        self.offset += len(data)
        return data

    def upto(self, size: int) -> bytes:
        """The next bytes: so many, or fewer where the file ends."""
        parts = []
        while size and (part := self.some(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def take(self, size: int, *, what: str) -> bytes:
        """The next bytes, exactly so many.

        Raises:
            IncompleteBundleError: There are fewer.
        """
        data = self.upto(size)
        if len(data) < size:
            self.cut(what)
        return data

    def cut(self, what: str) -> NoReturn:
        """Say that the bytes end too early.

        Raises:
            IncompleteBundleError: Always.
        """
        raise IncompleteBundleError(
            f"{self.name} is cut short: it ends after {self.offset} bytes, within {what}",
            missing=(what,),
            hint="copy it again from where it is whole",
        )


@dataclass(frozen=True, slots=True)
class Front:
    """What the front of a bundle says, checked.

    Attributes:
        catalog: What the bundle carries, with its signatures.
        documents: Every manifest and index, hashed and parsed.
        layout: Every byte of the file but the blobs', planned anew from the two.
    """

    catalog: Catalog
    documents: Mapping[Digest, Document]
    layout: Layout


def read_front(tape: Tape) -> Front:
    """Read the front, up to and with the last manifest.

    Raises:
        BundleFormatError: This is no bundle, is damaged, or needs a newer airgap.
        IncompleteBundleError: It ends too early, or lacks what a manifest needs.
        DigestMismatchError: A manifest does not have its digest.
    """
    with of_bundle():
        return _read_front(tape)


@contextmanager
def of_bundle() -> Iterator[None]:
    """Say of errors raised inside that the bundle is to blame, and what to do."""
    try:
        yield
    except AirgapError as error:
        error.origin = error.origin or "bundle"
        error.hint = error.hint or DAMAGED
        raise


def _read_front(tape: Tape) -> Front:
    made = {}
    for name in (LAYOUT_FILE, INDEX_FILE, DOCKER_FILE):
        _, size = _begin(tape, {name: MAX_SIZE})
        made[name] = _hash(tape, name, size)
    catalog = Catalog.parse(_document(tape, {CATALOG_FILE: MAX_SIZE})[1])
    # Each entry of the placement is shorter than twice the one of the catalog that it belongs to.
    next_one = {PLACEMENT_FILE: 2 * len(catalog.raw) + members.BLOCK}
    name, raw = _document(tape, {SIGNATURES_FILE: MAX_SIGNATURES} | next_one)
    if name == SIGNATURES_FILE:
        catalog = replace(catalog, signatures=check_signatures(raw))
        name, raw = _document(tape, next_one)
    placement = Placement.parse(raw)
    check_placement(placement, catalog, name=tape.name)
    documents = _documents(tape, catalog)
    closure.check_steps(catalog, documents)
    closure.check_loads(catalog, documents)
    for gap in closure.gaps(catalog, documents):
        raise gap.error()
    closure.check_belonging(catalog, documents)
    share = Share.of(placement, catalog)
    for name, content in engine_files(catalog, documents, share).items():
        if made[name] != Digest.of(content):
            raise not_made_from_catalog(name, tape.name)
    layout = plan_layout(catalog, documents, share)
    if layout.placement.to_bytes() != raw:
        raise not_made_from_catalog(PLACEMENT_FILE, tape.name)
    if len(layout.front) != tape.offset:
        raise BundleFormatError(f"{tape.name}: the front does not have the planned size")
    return Front(catalog, documents, layout)


def engine_files(
    catalog: Catalog, documents: Mapping[Digest, Document], share: Share | None = None
) -> dict[str, bytes]:
    """What stands before the catalog, for other engines: made from it and from what is here."""
    absent = share.absent(catalog) if share else set[Digest]()
    return {
        LAYOUT_FILE: LAYOUT_BYTES,
        INDEX_FILE: engines.index_json(catalog, documents, absent=absent),
        DOCKER_FILE: engines.docker_manifest_json(catalog, documents, absent=absent),
    }


def not_made_from_catalog(member: str, name: str) -> BundleFormatError:
    """The error for a member that is not what its catalog asks for."""
    return BundleFormatError(
        f"{name}: {member} is not the one that the catalog stands for",
        hint=DAMAGED,
        origin="bundle",
    )


def check_placement(placement: Placement, catalog: Catalog, *, name: str) -> None:
    """Compare what a placement says about itself and about blobs with the catalog.

    Raises:
        BundleFormatError: It belongs to another bundle, or does not share out this one.
    """
    if placement.bundle != catalog.id:
        raise BundleFormatError(
            f"{name}: the placement belongs to the bundle {placement.bundle.short},"
            f" the catalog is {catalog.id.short}",
            hint=DAMAGED,
            origin="bundle",
        )
    share = Share.of(placement, catalog)
    if share is not None and (problem := share.problem(catalog)):
        raise BundleFormatError(f"{name}: {problem}", hint=DAMAGED, origin="bundle")


def parse_document(raw: bytes, descriptor: Descriptor) -> Document:
    """Hash a manifest or index of a bundle, then parse it.

    Raises:
        DigestMismatchError: It does not have the digest that the catalog says.
        BundleFormatError: It is no manifest of the type that the catalog says.
    """
    digest = descriptor.digest
    actual = Digest.of(raw, digest.algorithm)
    if actual != digest:
        raise DigestMismatchError(
            f"the manifest {digest} hashes to {actual}",
            expected=str(digest),
            actual=str(actual),
            hint="the file is damaged: copy it again",
            origin="bundle",
        )
    try:
        document = parse_manifest(raw, descriptor.media_type, algorithm=digest.algorithm)
    except InvalidContentError as error:
        raise BundleFormatError(error.message, hint=error.hint, origin="bundle") from error
    if document.descriptor.media_type != descriptor.media_type:
        raise BundleFormatError(
            f"the manifest {digest} is {document.descriptor.media_type}"
            f" and not {descriptor.media_type}, as the catalog says",
            origin="bundle",
        )
    return document


def check_manifest_sizes(catalog: Catalog) -> None:
    """Refuse manifests that together or alone are too large to be held in memory.

    Raises:
        BundleFormatError: They are.
    """
    for descriptor in catalog.manifests:
        if descriptor.size > MAX_MANIFEST_SIZE:
            raise BundleFormatError(
                f"the manifest {descriptor.digest} has {descriptor.size} bytes;"
                f" more than {MAX_MANIFEST_SIZE} are refused",
                origin="bundle",
            )
    total = sum(descriptor.size for descriptor in catalog.manifests)
    if total > MAX_DOCUMENTS:
        raise BundleFormatError(
            f"the manifests have {total} bytes together; more than {MAX_DOCUMENTS} are refused",
            origin="bundle",
        )


def check_readable(layout: Layout, documents: Mapping[Digest, Document]) -> None:
    """Refuse to write a bundle that is larger than readers take, before its first byte.

    Raises:
        BundleFormatError: It is.
    """
    catalog = layout.catalog
    check_manifest_sizes(catalog)
    closure.check_steps(catalog, documents)
    for name, content in engine_files(catalog, documents).items():
        if len(content) > MAX_SIZE:
            raise BundleFormatError(
                f"{name} has {len(content)} bytes; more than {MAX_SIZE} are refused",
                origin="bundle",
            )
    check_size(catalog.raw)
    if catalog.signatures:
        check_signatures(catalog.signatures)
    try:
        check_values(layout.placement.to_bytes(), what="the placement")
    except InvalidContentError as error:
        raise BundleFormatError(error.message, origin="bundle") from error


def take_header(tape: Tape, name: str, size: int) -> None:
    """Read the header of the member that must come next.

    Raises:
        BundleFormatError: Something else comes.
        IncompleteBundleError: Nothing comes.
    """
    start = tape.offset
    expected = members.header(name, size)
    block = tape.take(members.BLOCK, what=name)
    if block != expected[: members.BLOCK]:
        refuse_member(block, tape.upto, expected=name, where=f"{tape.name} at byte {start}")
    if tape.take(len(expected) - members.BLOCK, what=name) != expected[members.BLOCK :]:
        raise BundleFormatError(
            f"{tape.name}: the header of {name} at byte {start} is damaged",
            hint=DAMAGED,
            origin="bundle",
        )


def take_padding(tape: Tape, name: str, size: int) -> None:
    """Read the zeros behind the content of a member.

    Raises:
        BundleFormatError: They are not zeros.
        IncompleteBundleError: They are not there.
    """
    start = tape.offset
    expected = members.padding(size)
    if tape.take(len(expected), what=name) != expected:
        raise BundleFormatError(
            f"{tape.name}: what fills the block behind {name} at byte {start} is not zeros",
            hint=DAMAGED,
            origin="bundle",
        )


def _begin(tape: Tape, limits: Mapping[str, int]) -> tuple[str, int]:
    """Read a header of which the size is not known; gives the name, too.

    Args:
        tape: Where from.
        limits: The members that may come, with how many bytes each may have; where none of them
            comes, the last one is missed.
    """
    start = tape.offset
    name = list(limits)[-1]
    block = tape.upto(members.BLOCK)
    if start == 0:
        refuse_beginning(block, name=tape.name)
    if len(block) < members.BLOCK:
        tape.cut(name)
    where = f"{tape.name} at byte {start}"
    try:
        header = members.parse_header(block)
    except AirgapError:
        header = None
    if header is not None and header.name in limits:
        name = header.name
    if header is None or block != members.header(name, header.size):
        refuse_member(block, tape.upto, expected=name, where=where)
    if header.size > limits[name]:
        raise BundleFormatError(
            f"{where}: {name} has {header.size} bytes; more than {limits[name]} are refused",
            origin="bundle",
        )
    return name, header.size


def _document(tape: Tape, limits: Mapping[str, int]) -> tuple[str, bytes]:
    """Read one of the members that may come: its name and its content."""
    name, size = _begin(tape, limits)
    raw = tape.take(size, what=name)
    take_padding(tape, name, size)
    return name, raw


def _hash(tape: Tape, name: str, size: int) -> Digest:
    hasher = Hasher()
    while hasher.size < size:
        chunk = tape.some(size - hasher.size)
        if not chunk:
            tape.cut(name)
        hasher.update(chunk)
    take_padding(tape, name, size)
    return hasher.digest()


def _documents(tape: Tape, catalog: Catalog) -> dict[Digest, Document]:
    check_manifest_sizes(catalog)
    documents = {}
    for descriptor in catalog.manifests:
        name = blob_path(descriptor.digest)
        take_header(tape, name, descriptor.size)
        raw = tape.take(descriptor.size, what=name)
        documents[descriptor.digest] = parse_document(raw, descriptor)
        take_padding(tape, name, descriptor.size)
    return documents
