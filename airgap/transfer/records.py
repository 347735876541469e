"""Whatever tells what a place holds, opened by what is in it and not by its name."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from airgap.bundle.catalog import MEDIA_TYPE as CATALOG
from airgap.bundle.catalog import Catalog
from airgap.bundle.foreign import ENCRYPTED
from airgap.bundle.volume_file import open_file
from airgap.content.storage import is_folder, storage_errors
from airgap.errors import AirgapError, BundleFormatError
from airgap.oci.digest import Digest
from airgap.oci.layout import LAYOUT_FILE
from airgap.oci.manifest import Document
from airgap.record import inventory_format, lock_format
from airgap.record.inventory import Inventory
from airgap.trust import signed

if TYPE_CHECKING:  # each kind of record loads what it needs where it is found
    from airgap.record.lock import Lock
    from airgap.record.receipt import Receipt

_BEGINNING = 64 * 1024
_TAR = LAYOUT_FILE.encode() + b"\0"
_USTAR = slice(257, 262)
_KIND = re.compile(rb'"mediaType":"(application/vnd\.airgap\.[a-z.0-9+-]{1,100})"')
_HINT = (
    "give an inventory, a receipt, a bundle or its catalog, an image layout or a lock file; "
    "see `airgap export inventory --help`"
)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a bundle or an image layout says it carries.

    Attributes:
        name: The path, for people.
        catalog: What it carries; with the bundle's signatures.
        documents: Every manifest and index; none where only the catalog is here.
    """

    name: str
    catalog: Catalog
    documents: Mapping[Digest, Document] = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenedRecord:
    """A record that was read.

    Attributes:
        path: Where it is.
        content: What it says.
        payload: The bytes that its signatures sign: those of the record, or of the catalog.
        signatures: The document of signatures that came with it; empty for none.
    """

    path: Path
    content: Inventory | Receipt | Lock | Contents
    payload: bytes = field(repr=False)
    signatures: bytes = field(default=b"", repr=False)

    @property
    def id(self) -> Digest:
        """The digest of the payload: the bundle id, or the id of the record."""
        return Digest.of(self.payload)


def open_record(path: Path, *, unknown: BundleFormatError | None = None) -> OpenedRecord:
    """Read an inventory, a receipt, a lock file, a catalog, or what a bundle or layout carries.

    Of a bundle in volumes, any one of them is enough. No signature is checked here.

    Args:
        path: The file, or a folder.
        unknown: What is raised where it is none of these; by default an error that lists them.

    Raises:
        ContentNotFoundError: There is no such file.
        StorageError: It cannot be read.
        BundleFormatError: It is none of these, is damaged, or needs a newer airgap.
        SignatureError: The signatures behind it are cut short.
    """
    if is_folder(path):
        return _open_contents(path)
    with open_file(path) as file, storage_errors(path):
        beginning = file.read(_BEGINNING)
        if beginning.startswith((_TAR, ENCRYPTED)) or beginning[_USTAR] == b"ustar":
            return _open_contents(path)
        if beginning.startswith(b"{"):
            # Read in one piece, and with no more room than it has: an inventory may be large.
            size = min(file.seek(0, os.SEEK_END), _limit(beginning))
            file.seek(0)
            return _open_json(path, file.read(size), unknown)
        if lock_format.is_lock(beginning):
            from airgap.record.lock import Lock  # only here

            raw = beginning + file.read(lock_format.MAX_SIZE + 1 - len(beginning))
            return OpenedRecord(path, Lock.parse(raw, name=str(path)), raw)
    raise unknown or _unknown(path)


def _open_contents(path: Path) -> OpenedRecord:
    from airgap.transfer.bundle_source import open_holding  # only for bundles and layouts

    holding = open_holding([path], must_be_whole=False)
    try:
        contents = Contents(holding.name, holding.catalog, holding.documents)
    finally:
        holding.close()
    return OpenedRecord(path, contents, contents.catalog.raw, contents.catalog.signatures)


def _open_json(path: Path, raw: bytes, unknown: BundleFormatError | None) -> OpenedRecord:
    payload, signatures = signed.split(raw, what=str(path))
    try:
        content = _parse(path, payload, unknown)
    except AirgapError as error:
        error.origin = error.origin or "local"
        error.hint = error.hint or "it was damaged or changed: copy it again from where it was made"
        if str(path) not in error.message:
            error.message = f"{path}: {error.message}"
        raise
    return OpenedRecord(path, content, payload, signatures)


def _parse(
    path: Path, payload: bytes, unknown: BundleFormatError | None
) -> Inventory | Receipt | Contents:
    # Each parser sees for itself that what it gets is what it should be.
    line, end, _ = payload[: inventory_format.MAX_HEADER + 1].partition(b"\n")
    # A crafted file may name one type millions of times: it is kept once.
    kinds = {found[1] for found in _KIND.finditer(line if end else payload)}
    if inventory_format.MEDIA_TYPE.encode() in kinds:
        return Inventory.parse(payload)
    from airgap.record import receipt_format  # an inventory, which may be large, needs it not

    if receipt_format.MEDIA_TYPE.encode() in kinds:
        return receipt_format.parse_receipt(payload)
    if CATALOG.encode() in kinds:
        return Contents(str(path), Catalog.parse(payload), {})
    if kinds:
        shown = min(kinds).decode()[:100]
        raise BundleFormatError(
            f"{path} is {shown}, which does not say what a place holds or is of a newer airgap",
            hint=_HINT,
        )
    if not payload.rstrip().endswith(b"}"):  # what it is stands behind the middle of a record
        raise BundleFormatError(f"{path} is JSON that is cut short")
    raise unknown or _unknown(path)


def _limit(beginning: bytes) -> int:
    """How much is read at most of a record that begins like this."""
    # Only an inventory has a second line, and may have more bytes than any document of JSON.
    if b"\n" in beginning[: inventory_format.MAX_HEADER + 1]:
        most = inventory_format.MAX_SIZE
    else:
        from airgap.record import receipt_format  # as above

        most = receipt_format.MAX_SIZE
    return most + 2 * signed.MAX_SIZE


def _unknown(path: Path) -> BundleFormatError:
    return BundleFormatError(
        f"{path} says nothing about what a place holds", hint=_HINT, origin="local"
    )
