"""Making an inventory from facts that come in any order. Pure.

Facts are kept as packed records and not as objects: a million of them take as much memory as the
inventory that is made of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from datetime import datetime
from itertools import groupby
from struct import Struct
from typing import NamedTuple

from airgap.errors import InvalidContentError
from airgap.oci.descriptor import MAX_SIZE as MAX_BLOB
from airgap.oci.digest import Digest
from airgap.record.inventory import Inventory
from airgap.record.inventory_check import OtherDigest, check_image_name, name_check, other_bytes
from airgap.record.inventory_format import (
    DIGEST_SIZE,
    MAX_ROWS,
    DigestRows,
    Header,
    Kind,
    check_word,
    number_bytes,
)
from airgap.record.origin import check_place

_FACT = Struct(">32sQI")  # big-endian, so that packed records sort like what they hold
_RECORD = Struct(f"{_FACT.size}s")
_NOWHERE = MAX_ROWS
"""The repository of a fact that names none."""


class InventoryBuilder:
    """Collects what a place holds.

    Args:
        place: The registry as HOST:PORT; empty where it has no such name.
        kind: What kind of place it is.
        made: When this is.
        by: Who makes it.
        version: The version of airgap that makes it.
        need: For a need: the bundle that lacks what it lists.

    Attributes:
        is_complete: Whether all that the place holds is being told.

    Raises:
        InvalidContentError: One of them cannot stand in an inventory.
    """

    def __init__(
        self,
        *,
        place: str,
        kind: Kind,
        made: datetime,
        by: str = "",
        version: str = "",
        need: Digest | None = None,
    ) -> None:
        if (kind == "need") != (need is not None):
            raise InvalidContentError("a need, and nothing else, names a bundle")
        self.is_complete = True
        self._kind: Kind = kind
        self._origin = (
            check_place(place),
            made,
            check_word(by, "who makes it"),
            check_word(version, "a version"),
        )
        self._need = need
        self._is_name = name_check(kind)
        self._numbers: dict[str, int] = {}
        self._images: dict[str, Digest] = {}
        self._facts = [bytearray() for _ in range(256)]
        self._others: set[tuple[Digest, int, int]] = set()
        self._contradicted: set[Digest] = set()

    def add_repository(self, name: str) -> int:
        """The number by which `add_link` knows a repository.

        Raises:
            InvalidContentError: It is not a name that this kind of place has.
        """
        number = self._numbers.get(name)
        if number is None:
            if not self._is_name(name):
                raise InvalidContentError(f"{name[:200]!r} is not a repository")
            number = self._numbers[name] = len(self._numbers)
        return number

    def add_blob(self, digest: Digest, size: int, repository: str = "") -> None:
        """Say that a blob or manifest is held, by a repository where there is one.

        Raises:
            InvalidContentError: The size or the name cannot be.
        """
        number = self.add_repository(repository) if repository else _NOWHERE
        if digest.algorithm == "sha256":
            self.add_link(bytes.fromhex(digest.hex), size, number)
        else:
            _check_size(size)
            self._others.add((digest, size, number))

    def add_link(self, digest: bytes, size: int, repository: int) -> None:
        """Say the same with the 32 bytes of a sha256 and a number of `add_repository`.

        Raises:
            InvalidContentError: The size cannot be.
        """
        _check_size(size)
        self._facts[digest[0]] += _FACT.pack(digest, size, repository)

    def add_bulk(self, rows: Iterable[tuple[str, int, str]]) -> None:
        """Take many rows of digest, size and repository, in any order.

        Raises:
            InvalidContentError: One of them cannot be.
        """
        facts, numbers, pack = self._facts, self._numbers, _FACT.pack
        for text, size, name in rows:
            number = numbers.get(name)
            if number is None or not 0 <= size <= MAX_BLOB or len(text) != 71:
                self.add_blob(Digest.parse(text), size, name)
                continue
            raw = bytes.fromhex(text[7:])
            facts[raw[0]] += pack(raw, size, number)

    def add_image(self, name: str, digest: Digest) -> None:
        """Say that a name stands for a manifest, which is held unless this is a need.

        Args:
            name: `repository:tag` in a registry, else the full name of the source.
            digest: The manifest.

        Raises:
            InvalidContentError: The name cannot be, or it stood for something else before.
        """
        check_image_name(self._kind, name)
        if self._images.setdefault(name, digest) != digest:
            raise InvalidContentError(f"{name} is {self._images[name]} and {digest}")

    def build(self) -> Inventory:
        """Write all of it down.

        A digest that was told with two sizes is left out, since one of them is wrong, and so are
        images that are such a digest; the inventory is then not complete.

        Raises:
            InvalidContentError: An image is not held.
        """
        tables, others = self._merge(), self._merge_others()
        rows = DigestRows(memoryview(tables.digests))
        if self._kind == "need":
            for digest in self._images.values():
                if rows.find(digest) is None:
                    others.setdefault(digest, OtherDigest(digest, None, ()))
        further = [others[digest] for digest in sorted(others)]
        images = self._place_images(rows, [other.digest for other in further])
        repositories, further = self._number_repositories(tables, further)
        return self._write(tables, repositories, images, further)

    def _merge(self) -> _Tables:
        tables = _Tables(bytearray(), array("Q"), array("I"), array("I"))
        for facts in self._facts:
            # Of equal records one is left, and those of a digest come together.
            records = sorted(set(_RECORD.iter_unpack(facts)))
            for digest, group in groupby(records, key=_digest_of):
                told = [_FACT.unpack(record) for (record,) in group]
                if told[0][1] != told[-1][1]:
                    self._contradicted.add(Digest("sha256", digest.hex()))
                    continue
                tables.digests.extend(digest)
                tables.sizes.append(told[0][1])
                tables.links.extend(number for _, _, number in told if number != _NOWHERE)
                tables.ends.append(len(tables.links))
        return tables

    def _merge_others(self) -> dict[Digest, OtherDigest]:
        merged = {}
        for digest, group in groupby(sorted(self._others), key=lambda fact: fact[0]):
            told = list(group)
            if told[0][1] != told[-1][1]:
                self._contradicted.add(digest)
                continue
            numbers = tuple(number for _, _, number in told if number != _NOWHERE)
            merged[digest] = OtherDigest(digest, told[0][1], numbers)
        return merged

    def _place_images(self, rows: DigestRows, further: list[Digest]) -> list[tuple[str, int]]:
        places = {digest: len(rows) + number for number, digest in enumerate(further)}
        found = []
        for name, digest in sorted(self._images.items()):
            row = places.get(digest, rows.find(digest))
            if row is not None:
                found.append((name, row))
            elif digest not in self._contradicted:
                raise InvalidContentError(f"{name} is {digest}, which nobody says is held")
        return found

    def _number_repositories(
        self, tables: _Tables, others: list[OtherDigest]
    ) -> tuple[list[str], list[OtherDigest]]:
        """Number the repositories that hold something by their order; gives their names."""
        used = set(tables.links).union(*(other.repositories for other in others))
        names = sorted(name for name, number in self._numbers.items() if number in used)
        final = {self._numbers[name]: number for number, name in enumerate(names)}
        links, begin = tables.links, 0
        for end in tables.ends:
            if end - begin == 1:
                links[begin] = final[links[begin]]
            else:
                links[begin:end] = array("I", sorted(final[n] for n in links[begin:end]))
            begin = end
        return names, [
            other._replace(repositories=tuple(sorted(final[n] for n in other.repositories)))
            for other in others
        ]

    def _write(
        self,
        tables: _Tables,
        repositories: list[str],
        images: list[tuple[str, int]],
        others: list[OtherDigest],
    ) -> Inventory:
        place, made, by, version = self._origin
        names = "".join(
            f"{name}\n" for name in (*repositories, *(name for name, _ in images))
        ).encode("ascii")
        header = Header(
            self._kind,
            place,
            made,
            by,
            version,
            self.is_complete and not self._contradicted,
            self._need,
            blobs=len(tables.sizes),
            links=len(tables.links),
            repositories=len(repositories),
            images=len(images),
            name_bytes=len(names),
            others=len(others),
        )
        raw = b"".join(
            (
                header.to_bytes(),
                tables.digests,
                number_bytes(tables.sizes, "Q"),
                number_bytes(tables.ends, "I"),
                number_bytes(tables.links, "I"),
                number_bytes([row for _, row in images], "I"),
                names,
                other_bytes(others),
            )
        )
        return Inventory.parse(raw)


class _Tables(NamedTuple):
    digests: bytearray
    sizes: array[int]
    ends: array[int]
    links: array[int]


def _check_size(size: int) -> None:
    if not 0 <= size <= MAX_BLOB:
        raise InvalidContentError(f"a blob cannot have {size} bytes")


def _digest_of(row: tuple[bytes]) -> bytes:
    return row[0][:DIGEST_SIZE]
