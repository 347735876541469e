"""The placement: at which offset of which volume each blob lies. A hint, never believed alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airgap.bundle.catalog import FORMAT_VERSION
from airgap.errors import BundleFormatError, InvalidContentError, SizeMismatchError
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes, parse_object
from airgap.oci.layout import blob_path
from airgap.record.format_version import check_version

MEDIA_TYPE = "application/vnd.airgap.placement.v1+json"
SEAL_MEDIA_TYPE = "application/vnd.airgap.seal.v1+json"
MAX_VOLUMES = 99_999
_MAX_OFFSET = 1 << 60


@dataclass(frozen=True, slots=True)
class Extent:
    """A run of bytes of one blob in a volume. Offsets are those of the content, in bytes.

    Attributes:
        digest: The blob.
        offset: Where in the volume.
        length: How many bytes.
        start: Where in the blob, if this is a piece of a cut one; None where it is all of it.
    """

    digest: Digest
    offset: int
    length: int
    start: int | None = None

    @property
    def name(self) -> str:
        """The name of its member. Those of the pieces of a blob sort as the pieces do."""
        if self.start is None:
            return blob_path(self.digest)
        digest = self.digest
        return f"airgap/pieces/{digest.algorithm}/{digest.hex}/{self.start:013d}"

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.offset + self.length

    def short_error(self, size: int) -> SizeMismatchError:
        """The error of a blob that is committed before it is whole."""
        return SizeMismatchError(
            f"{self.digest} has {size} bytes and should have {self.length}",
            expected=str(self.length),
            actual=str(size),
        )


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the content of one volume lies.

    Attributes:
        bundle: The bundle id.
        extents: In order of their offsets.
        seal: The offset of the seal's header: where the content ends.
        volume: Which volume this is, from 1.
        volumes: How many there are.
        homes: For each of the catalog's blobs, the first and the last volume that holds some of
            it; empty in a bundle of one file.
    """

    bundle: Digest
    extents: tuple[Extent, ...]
    seal: int
    volume: int = 1
    volumes: int = 1
    homes: tuple[tuple[int, int], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The placement as a document."""
        return {
            "formatVersion": FORMAT_VERSION,
            "mediaType": MEDIA_TYPE,
            "bundle": str(self.bundle),
            "volume": self.volume,
            "volumes": self.volumes,
            "seal": self.seal,
            "blobs": [
                {"digest": str(e.digest), "offset": e.offset, "length": e.length}
                | ({} if e.start is None else {"start": e.start})
                for e in self.extents
            ],
        } | ({"homes": [list(home) for home in self.homes]} if self.volumes > 1 else {})

    def to_bytes(self) -> bytes:
        """The canonical bytes of the document."""
        return canonical_bytes(self.to_json())

    @classmethod
    def parse(cls, raw: bytes) -> Placement:
        """Read a placement that came from a bundle.

        Raises:
            BundleFormatError: It is damaged or needs a newer airgap.
        """
        try:
            return cls.from_json(parse_object(raw, what="the placement"))
        except InvalidContentError as error:
            raise BundleFormatError(f"the placement is damaged: {error.message}") from error

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Placement:
        """Read a parsed placement.

        Raises:
            BundleFormatError: It is damaged or needs a newer airgap.
            InvalidContentError: A digest in it is none.
        """
        check_version(value, what="placement")
        entries = value.get("blobs")
        if not isinstance(entries, list):
            raise BundleFormatError("the placement lists no blobs")
        placement = cls(
            Digest.parse(value.get("bundle")),
            tuple(_extent(entry) for entry in entries),
            _number(value, "seal"),
            _number(value, "volume"),
            _number(value, "volumes"),
            _homes(value),
        )
        if not 1 <= placement.volume <= placement.volumes <= MAX_VOLUMES:
            raise BundleFormatError(
                f"the placement is that of volume {placement.volume} of {placement.volumes}"
            )
        end = 0
        for extent in placement.extents:
            if extent.offset < end:
                raise BundleFormatError("the placement lets blobs lie over each other")
            end = extent.end
        if end > placement.seal:
            raise BundleFormatError("the placement lets a blob lie behind the seal")
        return placement


@dataclass(frozen=True, slots=True)
class Seal:
    """The last member of a volume: without it, the file is cut short.

    Attributes:
        placement: The final placement.
        uncovered: The digest of all bytes before the seal's header that belong to no blob: the
            headers, the front documents and what fills blocks, in the order of the file.
        uncovered_size: How many bytes these are.
        pieces: What each piece of a cut blob hashes to, in the order of the file: the digest of
            the blob cannot be checked in one volume alone.
    """

    placement: Placement
    uncovered: Digest
    uncovered_size: int
    pieces: tuple[Digest, ...] = ()

    def to_bytes(self) -> bytes:
        """The canonical bytes; `self` is the digest of the same document without that field."""
        value: dict[str, Any] = {
            "formatVersion": FORMAT_VERSION,
            "mediaType": SEAL_MEDIA_TYPE,
            "bundle": str(self.placement.bundle),
            "volume": self.placement.volume,
            "volumes": self.placement.volumes,
            "placement": self.placement.to_json(),
            "uncovered": {"digest": str(self.uncovered), "size": self.uncovered_size},
        } | ({"pieces": [str(piece) for piece in self.pieces]} if self.pieces else {})
        value["self"] = str(Digest.of(canonical_bytes(value)))
        return canonical_bytes(value)

    @classmethod
    def parse(cls, raw: bytes) -> Seal:
        """Read a seal that came from a bundle.

        Raises:
            BundleFormatError: It is damaged or needs a newer airgap.
        """
        try:
            value = parse_object(raw, what="the seal")
            check_version(value, what="seal")
            own = Digest.parse(value.pop("self", None))
            if Digest.of(canonical_bytes(value)) != own:
                raise BundleFormatError("the seal is damaged: it does not have its own digest")
            placement, uncovered = value.get("placement"), value.get("uncovered")
            pieces = value.get("pieces", [])
            if not isinstance(placement, dict) or not isinstance(uncovered, dict):
                raise BundleFormatError("the seal lacks its placement")
            if not isinstance(pieces, list):
                raise BundleFormatError("the pieces of the seal are not a list")
            seal = cls(
                Placement.from_json(placement),
                Digest.parse(uncovered.get("digest")),
                _number(uncovered, "size"),
                tuple(Digest.parse(piece) for piece in pieces),
            )
        except InvalidContentError as error:
            raise BundleFormatError(f"the seal is damaged: {error.message}") from error
        if value.get("bundle") != str(seal.placement.bundle):
            raise BundleFormatError("the seal contradicts its placement")
        if len(seal.pieces) != sum(e.start is not None for e in seal.placement.extents):
            raise BundleFormatError("the seal does not speak of every piece")
        return seal


def _extent(entry: object) -> Extent:
    if not isinstance(entry, Mapping):
        raise BundleFormatError("an entry of the placement is not an object")
    unknown = {"parts", "encoding"} & entry.keys()
    if unknown:
        raise BundleFormatError(
            f"the placement uses {', '.join(sorted(unknown))}, which this airgap does not know",
            hint="read it with the version of airgap that made it, or a newer one",
        )
    digest = Digest.parse(entry.get("digest"))
    start = _number(entry, "start") if "start" in entry else None
    return Extent(digest, _number(entry, "offset"), _number(entry, "length"), start)


def _homes(value: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    homes = value.get("homes", [])
    if not isinstance(homes, list) or not all(isinstance(h, list) and len(h) == 2 for h in homes):
        raise BundleFormatError("the homes of the placement are not a list of pairs")
    return tuple(
        (_number({"home": first}, "home"), _number({"home": last}, "home")) for first, last in homes
    )


def _number(value: Mapping[str, Any], key: str) -> int:
    number = value.get(key)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= _MAX_OFFSET:
        raise BundleFormatError(f"{key} must be a number")
    return number
