"""How an inventory is written: a header of one line, tables of numbers, and names. Pure.

The header is canonical JSON and says how many rows each table has, so that where each lies is
known and the length must fit to the byte. Numbers are little-endian. Behind each other come:

1. the sha256 digests that are held, 32 bytes each, strictly ascending;
2. their sizes, 8 bytes each;
3. where the links of each end, 4 bytes each;
4. the links, 4 bytes each: the numbers of the repositories that hold the digest, ascending;
5. what each image is, 4 bytes each: the row of its digest;
6. the names of the repositories, then those of the images, each ascending and on a line of its own;
7. where there are any, one line of JSON: digests that are not in the table, because they are of
   another algorithm, or because an image of a need has them and they are not needed. Their rows
   are counted on from those of the table.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, get_args

from airgap.errors import BundleFormatError, InvalidContentError
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes, parse_object
from airgap.record.format_version import check_version
from airgap.record.origin import MAX_BY, check_place, parse_time, time_text

FORMAT_VERSION = 1
MEDIA_TYPE = "application/vnd.airgap.inventory.v1"
MAX_SIZE = 1 << 30
"""Enough for twenty million blobs."""
MAX_HEADER = 16 * 1024
MAX_NAMES = 4_000_000
"""How many names it may have: each becomes an object, of many times the bytes that it has here."""
DIGEST_SIZE = 32
_SIZE_SIZE = 8
_NUMBER_SIZE = 4
MAX_ROWS = (1 << 32) - 1

Kind = Literal["registry", "bundle", "layout", "need"]
_KINDS: tuple[Kind, ...] = get_args(Kind)
_COUNTS = ("blobs", "links", "repositories", "images", "nameBytes", "others")


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of an inventory.

    Attributes:
        kind: What kind of place it speaks of; a `need` says what a registry lacks.
        place: The registry as HOST:PORT; empty where it has no such name.
        made: When, to the second.
        by: Who made it, as they call themselves; may be empty.
        version: The version of airgap that made it; may be empty.
        is_complete: Whether it names all that the place holds. Where not, all that it names is
            there, and more may be.
        need: The bundle that lacks what a need lists.
        blobs: How many sha256 digests the table has.
        links: How many links.
        repositories: How many names of repositories.
        images: How many names of images.
        name_bytes: How long all names are, with the ends of their lines.
        others: How many digests the line of JSON has.
    """

    kind: Kind
    place: str
    made: datetime
    by: str
    version: str
    is_complete: bool
    need: Digest | None
    blobs: int
    links: int
    repositories: int
    images: int
    name_bytes: int
    others: int

    def to_bytes(self, *, has_origin: bool = True) -> bytes:
        """The line, with its end.

        Args:
            has_origin: Whether it says when, by whom and by which version it was made.
        """
        value: dict[str, Any] = {
            "formatVersion": FORMAT_VERSION,
            "mediaType": MEDIA_TYPE,
            "requires": [],
            "kind": self.kind,
            "complete": self.is_complete,
        }
        counts = (self.blobs, self.links, self.repositories, self.images)
        value |= dict(zip(_COUNTS, (*counts, self.name_bytes, self.others), strict=True))
        if self.place:
            value["place"] = self.place
        if self.need is not None:
            value["need"] = str(self.need)
        if has_origin:
            value["made"] = time_text(self.made)
            value |= {k: v for k, v in (("by", self.by), ("version", self.version)) if v}
        return canonical_bytes(value) + b"\n"


class Sections(NamedTuple):
    """The parts of an inventory; numbers are read where they lie."""

    digests: memoryview
    sizes: Sequence[int]
    ends: Sequence[int]
    links: Sequence[int]
    images: Sequence[int]
    names: memoryview
    others: memoryview


class DigestRows:
    """The table of digests as a sequence, to be searched where it lies.

    The beginnings of the digests lie beside it as numbers, which are searched without a step of
    Python for each comparison: plans look up many thousand digests.
    """

    __slots__ = ("_beginnings", "_view")

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._beginnings = array("I", view.cast("I")[:: DIGEST_SIZE // 4].tobytes())
        if sys.byteorder == "little":
            self._beginnings.byteswap()

    def __len__(self) -> int:
        return len(self._beginnings)

    def __getitem__(self, row: int) -> bytes:
        start = row * DIGEST_SIZE
        return bytes(self._view[start : start + DIGEST_SIZE])

    def find(self, digest: Digest) -> int | None:
        """The row of a digest; None where it has none."""
        if digest.algorithm != "sha256":
            return None
        wanted = bytes.fromhex(digest.hex)
        beginning = int.from_bytes(wanted[:4], "big")
        row = bisect_left(self._beginnings, beginning)
        if row == len(self) or self._beginnings[row] != beginning:
            return None
        if self[row] == wanted:
            return row
        # Few begin alike, unless somebody chose them.
        end = bisect_right(self._beginnings, beginning, row)
        row = bisect_left(self, wanted, row, end)
        return row if row < end and self[row] == wanted else None


def parse_header(raw: bytes | memoryview) -> tuple[Header, int]:
    """Read the first line.

    Returns:
        The header, and how long the line is with its end.

    Raises:
        BundleFormatError: It is that of no inventory, is damaged, or needs a newer airgap.
    """
    start = bytes(raw[: MAX_HEADER + 1])
    line, end, _ = start.partition(b"\n")
    if not end or not line.startswith(b"{"):
        raise BundleFormatError("this is no inventory", hint="`airgap export inventory` makes one")
    try:
        value = parse_object(line, what="the inventory's header")
        if value.get("mediaType") != MEDIA_TYPE:
            shown = str(value.get("mediaType"))[:100]
            raise BundleFormatError(
                f"this is no inventory: it says that it is {shown!r}",
                hint="`airgap export inventory` makes one",
            )
        check_version(value, what="inventory", newest=FORMAT_VERSION)
        header = _header(value)
    except InvalidContentError as error:
        raise BundleFormatError(f"the inventory is damaged: {error.message}") from error
    if header.to_bytes() != line + end:
        raise BundleFormatError("the inventory's header is not in its canonical form")
    return header, len(line) + 1


def cut_sections(raw: bytes, header: Header, start: int) -> Sections:
    """Cut the tables out, without copying them.

    Args:
        raw: The whole inventory.
        header: Its header.
        start: Where the header ends.

    Raises:
        BundleFormatError: It is longer or shorter than its header says.
    """
    view = memoryview(raw).toreadonly()
    lengths = (
        header.blobs * DIGEST_SIZE,
        header.blobs * _SIZE_SIZE,
        header.blobs * _NUMBER_SIZE,
        header.links * _NUMBER_SIZE,
        header.images * _NUMBER_SIZE,
        header.name_bytes,
    )
    needed = start + sum(lengths)
    is_open = header.others > 0  # only the line of JSON has a length of its own
    if len(raw) < needed + is_open:
        raise BundleFormatError(
            f"the inventory was cut short: it has {len(raw)} bytes, and its header says"
            f" {'more than ' if is_open else ''}{needed}",
            hint="copy it again from where it was made",
        )
    if len(raw) > needed and not is_open:
        raise BundleFormatError("the inventory has bytes behind its end")
    parts = []
    for length in lengths:
        parts.append(view[start : start + length])
        start += length
    digests, sizes, ends, links, images, names = parts
    return Sections(
        digests,
        _numbers(sizes, "Q"),
        _numbers(ends, "I"),
        _numbers(links, "I"),
        _numbers(images, "I"),
        names,
        view[start:],
    )


def number_bytes(values: Sequence[int], code: Literal["Q", "I"]) -> bytes:
    """Numbers as a table holds them."""
    row = array(code, values)
    if sys.byteorder == "big":
        row.byteswap()
    return row.tobytes()


def check_word(text: object, what: str) -> str:
    """See that a text is short and can be shown as it is.

    Raises:
        InvalidContentError: It cannot.
    """
    if not isinstance(text, str) or len(text) > MAX_BY or not text.isprintable():
        raise InvalidContentError(f"{what} must have at most {MAX_BY} characters, all printable")
    return text


def _header(value: dict[str, Any]) -> Header:
    kind = next((k for k in _KINDS if k == value.get("kind")), None)
    if kind is None:
        raise InvalidContentError(f"{str(value.get('kind'))[:60]!r} is no kind of inventory")
    place, is_complete, need = value.get("place", ""), value.get("complete"), value.get("need")
    if not isinstance(is_complete, bool):
        raise InvalidContentError("it does not say whether it is complete")
    if (kind == "need") != (need is not None):
        raise InvalidContentError("a need, and nothing else, names the bundle that it is of")
    counts = {key: _count(value, key) for key in _COUNTS}
    if counts["repositories"] + counts["images"] > MAX_NAMES:
        raise InvalidContentError(f"it has more than {MAX_NAMES} names")
    return Header(
        kind,
        check_place(place),
        parse_time(value.get("made")),
        check_word(value.get("by", ""), "who made it"),
        check_word(value.get("version", ""), "the version that made it"),
        is_complete,
        None if need is None else Digest.parse(need),
        *counts.values(),
    )


def _count(value: dict[str, Any], key: str) -> int:
    count = value.get(key)
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MAX_ROWS:
        raise InvalidContentError(f"{key} must be a number of rows")
    return count


def _numbers(view: memoryview, code: Literal["Q", "I"]) -> Sequence[int]:
    if sys.byteorder == "little":
        return view.cast(code)
    row = array(code, bytes(view))  # pragma: no cover - on big-endian machines
    row.byteswap()  # pragma: no cover
    return row  # pragma: no cover
