"""Saying what is there instead of a bundle, or instead of the member that should come.

Pure: it gets bytes and raises. No name that it meets is used for anything but the message.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn

from airgap.bundle import members
from airgap.bundle.layout import (
    CATALOG_FILE,
    DOCKER_FILE,
    INDEX_FILE,
    PLACEMENT_FILE,
    SEAL_FILE,
    SIGNATURES_FILE,
)
from airgap.errors import AirgapError, BundleFormatError, IncompleteBundleError
from airgap.oci.layout import LAYOUT_FILE, blob_digest

_MAX_PAX = 64 * 1024
_MAGIC = (
    (b"\x1f\x8b", "gzip", "gunzip", "zcat"),
    (b"\x28\xb5\x2f\xfd", "zstd", "zstd -d", "zstdcat"),
    (b"\xfd7zXZ\0", "xz", "unxz", "xzcat"),
    (b"BZh", "bzip2", "bunzip2", "bzcat"),
    (b"\x04\x22\x4d\x18", "lz4", "lz4 -d", "lz4 -dc"),
)
ENCRYPTED = b"age-encryption.org/v1"
"""How a file in the age format begins (age-encryption.org/v1, "Header")."""
_OTHER = (
    (b"PK\x03\x04", "a zip file", "a bundle is what airgap export images writes"),
    (b"<", "HTML or XML", "a bundle is what airgap export images writes"),
    (
        b"{",
        "JSON",
        (
            "inventories are read by `airgap inspect inventory`, receipts by "
            "`airgap verify receipt`, and both by --against"
        ),
    ),
)
_KINDS = {
    "1": "a hard link",
    "2": "a symbolic link",
    "3": "a device",
    "4": "a device",
    "5": "a folder",
    "6": "a named pipe",
}
_IMAGE_ARCHIVE = re.compile(
    r"(\./)?(oci-layout|index\.json|manifest\.json|repositories|blobs(/.*)?"
    r"|(sha256:)?[0-9a-f]{64}([./].*)?)",
    re.DOTALL,
)
_OWN = (
    LAYOUT_FILE,
    INDEX_FILE,
    DOCKER_FILE,
    CATALOG_FILE,
    SIGNATURES_FILE,
    PLACEMENT_FILE,
    SEAL_FILE,
)
_BEFORE_CATALOG = _OWN[:4]
DAMAGED = "the file was damaged or changed: do not use it, copy it again"
"""The hint where a bundle is not as airgap wrote it."""


def encrypted_error(name: str) -> BundleFormatError:
    """The error for what is encrypted, where it has to be plain."""
    return BundleFormatError(
        f"{name} is encrypted",
        hint="`airgap import bundle FILE --identity KEY` reads it, `airgap verify bundle FILE` "
        "needs no key, and `age -d -i KEY FILE` makes it plain for anything else, also for a pipe",
        origin="bundle",
    )


def refuse_beginning(block: bytes, *, name: str) -> None:
    """Look at the first block of a file and refuse what cannot be a bundle.

    Raises:
        BundleFormatError: It is empty, compressed, or no tar.
    """
    if not block:
        raise BundleFormatError(
            f"{name} is empty",
            hint="see whether what should have written it ended with an error",
            origin="bundle",
        )
    for magic, what, unpack, cat in _MAGIC:
        if block.startswith(magic):
            raise BundleFormatError(
                f"{name} is compressed with {what}",
                hint=f"unpack it first ({unpack}), or: {cat} FILE | airgap import bundle -",
                origin="bundle",
            )
    if block.startswith(ENCRYPTED):
        raise encrypted_error(name)
    if block[:1] == bytes(1) and not any(block):
        raise IncompleteBundleError(
            f"{name} begins with zeros: it was never finished",
            hint="run the export again, or copy it again from where it is whole",
        )
    for magic, what, hint in _OTHER:
        if block.startswith(magic):
            raise BundleFormatError(
                f"{name} is {what} and not a bundle", hint=hint, origin="bundle"
            )
    is_cut_tar = len(block) < members.BLOCK and block.startswith(LAYOUT_FILE.encode() + b"\0")
    if not is_cut_tar:
        try:
            members.parse_header(block)
        except AirgapError as error:
            message = f"{name} is not a bundle: it is not a tar, or its first block is damaged"
            raise BundleFormatError(
                message, hint="a bundle is what airgap export writes", origin="bundle"
            ) from error


def refuse_member(
    block: bytes, read: Callable[[int], bytes], *, expected: str, where: str
) -> NoReturn:
    """Say why a header is not the one that must come next.

    Args:
        block: The first block of what is there.
        read: Gives up to so many of the bytes behind it.
        expected: The name of the member that must come.
        where: The bundle and the offset, for the message.

    Raises:
        BundleFormatError: Something else is there.
        IncompleteBundleError: Nothing is there.
    """
    try:
        header = members.parse_header(block)
        name = _true_name(header, read) if header else ""
    except AirgapError as error:
        raise BundleFormatError(
            f"{where}: {error.message}", hint=DAMAGED, origin="bundle"
        ) from error
    if header is None:
        raise IncompleteBundleError(
            f"{where}: the content ends where {expected} should begin",
            missing=(expected,),
            hint="run the export again, or copy it again from where it is whole",
        )
    shown = repr(name[:200])
    _refuse_unsafe(name, shown, where)
    if header.kind in _KINDS and not (header.kind == "5" and _is_image_archive(name, expected)):
        _refuse_as(f"{where}: {shown} is {_KINDS[header.kind]}; a bundle holds plain files only")
    if _is_image_archive(name, expected):
        raise BundleFormatError(
            f"{where.partition(' at byte ')[0]} is an image archive that airgap did not make:"
            " it has no catalog",
            hint="load it with the tool that made it, push it to a registry and export that",
            origin="bundle",
        )
    if name == expected:
        _refuse_as(f"{where}: the header of {shown} is not the one that airgap writes")
    if name in _OWN or blob_digest(name) is not None:
        _refuse_as(f"{where}: {shown} stands twice or in the wrong place; {expected} should come")
    _refuse_as(f"{where}: {shown} is not a member of a bundle; {expected} should come")


def _true_name(header: members.Header, read: Callable[[int], bytes]) -> str:
    """The member's name, from the pax header where there is one."""
    if header.kind != "x" or header.size > _MAX_PAX:
        return header.name
    return members.pax_records(read(header.size)).get("path", header.name)


def _refuse_unsafe(name: str, shown: str, where: str) -> None:
    reason = ""
    if name.startswith("/"):
        reason = "is an absolute path"
    elif "\\" in name or re.match(r"[A-Za-z]:", name):
        reason = "is a path of another system"
    elif ".." in name.split("/"):
        reason = "leads out of the folder"
    elif not name.isprintable():
        reason = "has characters that cannot be printed"
    if reason:
        raise BundleFormatError(
            f"{where}: the member {shown} {reason}",
            hint="somebody made this file to do harm: do not unpack it",
            origin="bundle",
        )


def _is_image_archive(name: str, expected: str) -> bool:
    return expected in _BEFORE_CATALOG and _IMAGE_ARCHIVE.fullmatch(name) is not None


def _refuse_as(message: str) -> NoReturn:
    raise BundleFormatError(message, hint=DAMAGED, origin="bundle")
