"""Tar members as bundles have them: plain files with a fixed header (POSIX.1-2001, pax).

One function makes the header of a name and size; a reader compares what it finds with that, so a
bundle has exactly one form. Sizes from 8 GiB on and long names use a pax record.
"""

from __future__ import annotations

from dataclasses import dataclass

from airgap.errors import BundleFormatError

BLOCK = 512
END = bytes(2 * BLOCK)
"""Two blocks of zeros end a tar."""

_MAX_OCTAL = 8**11 - 1
_NAME = 100
_MAX_PAX = 64 * 1024
_MAX_DIGITS = 5
"""As many as the length of a pax header has; Python refuses to read numbers of thousands."""


def padded(size: int) -> int:
    """The size of a member's content with what fills its last block."""
    return (size + BLOCK - 1) // BLOCK * BLOCK


def padding(size: int) -> bytes:
    """The zeros that fill the last block of a member's content."""
    return bytes(padded(size) - size)


def header(name: str, size: int) -> bytes:
    """The header of a file: mode 0644, owner 0, time 0; with a pax header where it takes one."""
    records = b""
    if len(name) > _NAME:
        records += _record("path", name)
    if size > _MAX_OCTAL:
        records += _record("size", str(size))
    plain = _ustar(name[:_NAME], 0 if size > _MAX_OCTAL else size, b"0")
    if not records:
        return plain
    return _ustar("././@PaxHeader", len(records), b"x") + records + padding(len(records)) + plain


def header_size(name: str, size: int) -> int:
    """How long the header of a file is, without making it."""
    if len(name) <= _NAME and size <= _MAX_OCTAL:
        return BLOCK
    return len(header(name, size))


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of a member says.

    Attributes:
        name: The member's name as it stands there; never a path to write to.
        size: The bytes of its content.
        kind: The type flag: `0` for a file, `x` for a pax header.
    """

    name: str
    size: int
    kind: str


def parse_header(block: bytes) -> Header | None:
    """Read one header block; None for a block of zeros, which ends a tar.

    Raises:
        BundleFormatError: The block is no tar header, or its checksum is wrong.
    """
    if len(block) != BLOCK:
        raise BundleFormatError("the file ends within a tar header")
    if not any(block):
        return None
    if _checksum(block) != _octal(block[148:156]) or block[257:262] != b"ustar":
        raise BundleFormatError(
            "this is not a tar header", hint="the file is damaged, or not a bundle"
        )
    name, prefix = _text(block[:100]), _text(block[345:500])
    return Header(
        f"{prefix}/{name}" if prefix else name,
        _octal(block[124:136]),
        "0" if block[156] == 0 else chr(block[156]),
    )


def pax_records(data: bytes) -> dict[str, str]:
    """Read the records of a pax header.

    Raises:
        BundleFormatError: They are malformed or too many.
    """
    if len(data) > _MAX_PAX:
        raise BundleFormatError("a pax header is too large")
    records: dict[str, str] = {}
    try:
        while data:
            length, _, _ = data.partition(b" ")
            is_number = len(length) <= _MAX_DIGITS and length.isdigit()
            if not is_number or not 0 < int(length) <= len(data):
                raise BundleFormatError("a pax record has a wrong length")
            record, data = data[: int(length)], data[int(length) :]
            key, found, value = record[len(length) + 1 :].decode().partition("=")
            if not found or not value.endswith("\n") or key in records:
                raise BundleFormatError("a pax record is malformed")
            records[key] = value[:-1]
    except UnicodeDecodeError as error:
        raise BundleFormatError("a pax record is not UTF-8") from error
    return records


def _ustar(name: str, size: int, kind: bytes) -> bytes:
    block = b"".join(
        [
            name.encode().ljust(_NAME, b"\0"),
            b"0000644\0" + b"0000000\0" + b"0000000\0",
            b"%011o\0" % size,
            b"%011o\0" % 0,
            b" " * 8,
            kind,
            bytes(100),
            b"ustar\00000",
            bytes(64),
            b"0000000\0" + b"0000000\0",
            bytes(167),
        ]
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _record(key: str, value: str) -> bytes:
    body = f" {key}={value}\n".encode()
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length = len(str(length)) + len(body)
    return str(length).encode() + body


def _checksum(block: bytes) -> int:
    return sum(block[:148]) + 8 * 32 + sum(block[156:])


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0")
    if not digits.isdigit() or any(d in b"89" for d in digits):
        raise BundleFormatError(
            "a number in a tar header is malformed",
            hint="the file is damaged, or made by something else than airgap",
        )
    return int(digits, 8)


def _text(field: bytes) -> str:
    try:
        return field.split(b"\0", 1)[0].decode()
    except UnicodeDecodeError as error:
        raise BundleFormatError("a member's name is not UTF-8") from error
