"""An inventory: what a place holds, which repositories hold it, and when and by whom it was made.

It is read where its bytes lie. Manifests are in it like blobs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple, Self

from airgap.errors import BundleFormatError
from airgap.oci.digest import Digest, Hasher
from airgap.record.inventory_check import Contents, check_sections, links_of
from airgap.record.inventory_format import (
    MAX_SIZE,
    DigestRows,
    Header,
    Kind,
    Sections,
    check_word,
    cut_sections,
    parse_header,
)
from airgap.record.origin import check_place


class Holding(NamedTuple):
    """What an inventory says of a digest.

    Attributes:
        size: Its bytes.
        repositories: Who holds it, ascending: repositories of a registry, or
            `registry/repository` of a bundle or layout.
    """

    size: int
    repositories: tuple[str, ...]


class InventoryImage(NamedTuple):
    """An image of a place.

    Attributes:
        name: `repository:tag` in a registry, else the full name of the source.
        digest: What the name stands for.
    """

    name: str
    digest: Digest


class Inventory:
    """What a place holds. `parse` makes one of bytes, `InventoryBuilder` of facts.

    Attributes:
        raw: The bytes, without signatures.
    """

    __slots__ = ("_contents", "_header", "_images", "_rows", "_sections", "_start", "raw")

    def __init__(
        self, raw: bytes, header: Header, start: int, sections: Sections, contents: Contents
    ) -> None:
        self.raw = raw
        self._header = header
        self._start = start
        self._sections = sections
        self._contents = contents
        self._rows = DigestRows(sections.digests)
        self._images: tuple[InventoryImage, ...] | None = None

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read an inventory that came from somebody else, and check all of it.

        Args:
            raw: Its bytes, without the signatures that may stand behind it.

        Raises:
            BundleFormatError: It is none, is damaged, or needs a newer airgap.
        """
        if len(raw) > MAX_SIZE:
            raise BundleFormatError(f"the inventory has more than {MAX_SIZE} bytes")
        header, start = parse_header(raw)
        sections = cut_sections(raw, header, start)
        return cls(raw, header, start, sections, check_sections(header, sections))

    def with_origin(self, *, place: str, made: datetime, by: str, version: str) -> Self:
        """The same holdings, told at another time or by somebody else.

        Raises:
            InvalidContentError: One of these cannot stand in an inventory.
        """
        header = replace(
            self._header,
            place=check_place(place),
            made=made,
            by=check_word(by, "who makes it"),
            version=check_word(version, "a version"),
        )
        raw = header.to_bytes() + bytes(memoryview(self.raw)[self._start :])
        return type(self).parse(raw)

    @property
    def id(self) -> Digest:
        """The digest of all its bytes."""
        return Digest.of(self.raw)

    @property
    def content_digest(self) -> Digest:
        """A digest of what the place holds, the same whenever and by whomever it was made."""
        hasher = Hasher()
        hasher.update(self._header.to_bytes(has_origin=False))
        hasher.update(memoryview(self.raw)[self._start :])
        return hasher.digest()

    @property
    def kind(self) -> Kind:
        """What kind of place it speaks of."""
        return self._header.kind

    @property
    def place(self) -> str:
        """The registry as HOST:PORT; empty where it has no such name."""
        return self._header.place

    @property
    def made(self) -> datetime:
        """When it was made."""
        return self._header.made

    @property
    def by(self) -> str:
        """Who made it, as they call themselves; may be empty."""
        return self._header.by

    @property
    def version(self) -> str:
        """The version of airgap that made it; may be empty."""
        return self._header.version

    @property
    def is_complete(self) -> bool:
        """Whether it names all that the place holds."""
        return self._header.is_complete

    @property
    def need(self) -> Digest | None:
        """The bundle that lacks what a need lists."""
        return self._header.need

    @property
    def blob_count(self) -> int:
        """How many digests are held."""
        return self._header.blobs + sum(o.size is not None for o in self._contents.others)

    @property
    def link_count(self) -> int:
        """How often a digest is held by a repository."""
        others = self._contents.others
        return self._header.links + sum(len(other.repositories) for other in others)

    @property
    def image_count(self) -> int:
        """How many images have a name."""
        return self._header.images

    @property
    def total_size(self) -> int:
        """The bytes of all that is held, each digest counted once."""
        others = self._contents.others
        return sum(self._sections.sizes) + sum(other.size or 0 for other in others)

    @property
    def repositories(self) -> tuple[str, ...]:
        """The repositories that hold something, ascending."""
        return self._contents.repositories

    @property
    def images(self) -> tuple[InventoryImage, ...]:
        """The images that have a name, ascending."""
        if self._images is None:
            names = zip(self._contents.image_names, self._sections.images, strict=True)
            self._images = tuple(InventoryImage(name, self._digest(row)) for name, row in names)
        return self._images

    def find(self, digest: Digest) -> Holding | None:
        """What is said of a digest; None where it is not held."""
        row = self._row(digest)
        return None if row is None else self._holding(row)

    def blobs(self) -> Iterator[tuple[Digest, int, tuple[str, ...]]]:
        """Every digest that is held, with its size and who holds it; ascending."""
        total = self._header.blobs + self._header.others
        for row in range(total):
            holding = self._holding(row)
            if holding is not None:
                yield self._digest(row), holding.size, holding.repositories

    def _row(self, digest: Digest) -> int | None:
        if digest.algorithm == "sha256":
            return self._rows.find(digest)
        others = self._contents.others
        place = bisect_left(others, digest, key=lambda other: other.digest)
        is_there = place < len(others) and others[place].digest == digest
        return self._header.blobs + place if is_there else None

    def _holding(self, row: int) -> Holding | None:
        sections, others = self._sections, self._contents.others
        size: int | None
        if row < self._header.blobs:
            size = sections.sizes[row]
        else:
            size = others[row - self._header.blobs].size
        if size is None:
            return None
        names = self._contents.repositories
        return Holding(size, tuple(names[number] for number in links_of(sections, others, row)))

    def _digest(self, row: int) -> Digest:
        if row < self._header.blobs:
            return Digest("sha256", self._rows[row].hex())
        return self._contents.others[row - self._header.blobs].digest
