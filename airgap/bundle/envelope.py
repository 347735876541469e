"""What lies beside encrypted volumes, for whoever cannot read them: `release.airgap.json`. Pure.

It says how many volumes there are and what their encrypted bytes hash to, block by block, so that
damage and loss are found without a key. It names no image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airgap.bundle.catalog import FORMAT_VERSION
from airgap.bundle.placement import MAX_VOLUMES
from airgap.errors import BundleFormatError, InvalidContentError
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes, parse_object
from airgap.record.format_version import check_version

MEDIA_TYPE = "application/vnd.airgap.envelope.v1+json"
SUFFIX = ".airgap.json"
MAX_SIZE = 256 << 20
"""The most bytes of an envelope: blocks of 16 MiB of some 50 TiB."""
_MAX_NUMBER = 1 << 60
_MIN_BLOCK = 1 << 16
_MAX_BLOCK = 1 << 26
"""Who rebuilds a file has so many bytes of it in memory."""


@dataclass(frozen=True, slots=True)
class EnvelopeEntry:
    """One encrypted file.

    Attributes:
        volume: Which volume it is, from 1.
        name: What the file was called when it was written.
        size: Its bytes.
        content: The bytes of the volume in it.
        blocks: What each block of it hashes to, in order; the last may be shorter.
    """

    volume: int
    name: str
    size: int
    content: int
    blocks: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is known of encrypted volumes from outside.

    Attributes:
        bundle: The bundle id.
        volumes: How many volumes there are.
        block: How many bytes each checksum covers.
        entries: The volumes that were finished, by their number: all, unless an export goes on.
        keys: While an export is not finished, what tells whether it goes on for the same readers.
    """

    bundle: Digest
    volumes: int
    block: int
    entries: tuple[EnvelopeEntry, ...]
    keys: Digest | None = None

    @property
    def is_complete(self) -> bool:
        """Whether all volumes were written."""
        return len(self.entries) == self.volumes

    def entry(self, volume: int) -> EnvelopeEntry | None:
        """The file of a volume; None where it was not finished."""
        return next((found for found in self.entries if found.volume == volume), None)

    def to_bytes(self) -> bytes:
        """The canonical bytes; `self` is the digest of the same document without that field."""
        value: dict[str, Any] = {
            "formatVersion": FORMAT_VERSION,
            "mediaType": MEDIA_TYPE,
            "bundle": str(self.bundle),
            "volumes": self.volumes,
            "block": self.block,
            "files": [
                {
                    "volume": entry.volume,
                    "name": entry.name,
                    "size": entry.size,
                    "content": entry.content,
                    "blocks": [str(block) for block in entry.blocks],
                }
                for entry in self.entries
            ],
        } | ({} if self.keys is None else {"keys": str(self.keys)})
        value["self"] = str(Digest.of(canonical_bytes(value)))
        return canonical_bytes(value)

    @classmethod
    def parse(cls, raw: bytes) -> Envelope:
        """Read an envelope that lay on a medium.

        Raises:
            BundleFormatError: It is none, is damaged, or needs a newer airgap.
        """
        if len(raw) > MAX_SIZE:
            raise BundleFormatError("the envelope is too large")
        try:
            value = parse_object(raw, what="the envelope")
            check_version(value, what="envelope")
            own = Digest.parse(value.pop("self", None))
            if Digest.of(canonical_bytes(value)) != own:
                raise BundleFormatError("the envelope is damaged: it does not have its own digest")
            return _envelope(value)
        except InvalidContentError as error:
            raise BundleFormatError(f"the envelope is damaged: {error.message}") from error


def _envelope(value: Mapping[str, Any]) -> Envelope:
    if value.get("mediaType") != MEDIA_TYPE:
        raise BundleFormatError("this is not an envelope of airgap")
    files, keys = value.get("files"), value.get("keys")
    if not isinstance(files, list):
        raise BundleFormatError("the envelope lists no files")
    block = _number(value, "block")
    if not _MIN_BLOCK <= block <= _MAX_BLOCK:
        raise BundleFormatError("the blocks of the envelope are too small, or too large")
    envelope = Envelope(
        Digest.parse(value.get("bundle")),
        _number(value, "volumes"),
        block,
        tuple(_entry(file, block) for file in files),
        None if keys is None else Digest.parse(keys),
    )
    numbers = [entry.volume for entry in envelope.entries]
    if not 1 <= envelope.volumes <= MAX_VOLUMES:
        raise BundleFormatError(f"the envelope speaks of {envelope.volumes} volumes")
    if numbers != sorted(set(numbers)) or not all(1 <= n <= envelope.volumes for n in numbers):
        raise BundleFormatError("the volumes of the envelope are not in order")
    if len({entry.name for entry in envelope.entries}) != len(envelope.entries):
        raise BundleFormatError("the envelope gives two volumes the same name")
    return envelope


def _entry(value: object, block: int) -> EnvelopeEntry:
    if not isinstance(value, Mapping):
        raise BundleFormatError("a file of the envelope is not an object")
    name, blocks = value.get("name"), value.get("blocks")
    if not isinstance(name, str) or not name.endswith(".age") or "/" in name or "\0" in name:
        raise BundleFormatError("a file of the envelope has no name of an encrypted one")
    if not isinstance(blocks, list):
        raise BundleFormatError("a file of the envelope has no blocks")
    size = _number(value, "size")
    if len(blocks) != -(-size // block):
        raise BundleFormatError("a file of the envelope has other blocks than its size")
    return EnvelopeEntry(
        _number(value, "volume"),
        name,
        size,
        _number(value, "content"),
        tuple(Digest.parse(found) for found in blocks),
    )


def _number(value: Mapping[str, Any], key: str) -> int:
    number = value.get(key)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= _MAX_NUMBER:
        raise BundleFormatError(f"{key} must be a number")
    return number
