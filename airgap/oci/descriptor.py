"""Descriptors (image-spec descriptor.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from airgap.errors import InvalidContentError
from airgap.oci import mediatype
from airgap.oci.digest import Digest
from airgap.oci.platform import Platform

MAX_SIZE = 1 << 53
"""No blob is larger: sizes beyond are an attack or a mistake (and JSON numbers end there)."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What points at content: its media type, digest and size, and what is said about it.

    Two descriptors are equal when type, digest, size, platform and artifact type are; annotations
    and urls do not take part.
    """

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    artifact_type: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict[str, str], compare=False)
    urls: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def of(cls, raw: bytes, media_type: str, algorithm: str = "sha256") -> Self:
        """Describe bytes that are in memory."""
        return cls(media_type, Digest.of(raw, algorithm), len(raw))

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a descriptor out of a parsed document.

        Raises:
            InvalidContentError: A required field is missing or of the wrong type.
        """
        if not isinstance(value, Mapping):
            raise InvalidContentError("a descriptor must be a JSON object")
        digest, size = content_from_json(value)
        media_type = media_type_from_json(value.get("mediaType"), f"the mediaType of {digest}")
        if not media_type:
            raise InvalidContentError(f"the descriptor of {digest} must have a mediaType")
        urls = value.get("urls") or ()
        if not isinstance(urls, list | tuple) or not all(_is_plain(url) for url in urls):
            raise InvalidContentError(f"the urls of {digest} must be printable strings")
        return cls(
            media_type,
            digest,
            size,
            Platform.from_json(value.get("platform")),
            media_type_from_json(value.get("artifactType"), f"the artifactType of {digest}"),
            annotations_from_json(value.get("annotations")),
            tuple(urls),
        )

    def to_json(self) -> dict[str, Any]:
        """The descriptor as a document holds it, without empty fields."""
        value: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
        }
        if self.platform is not None:
            value["platform"] = self.platform.to_json()
        if self.artifact_type:
            value["artifactType"] = self.artifact_type
        if self.annotations:
            value["annotations"] = dict(sorted(self.annotations.items()))
        if self.urls:
            value["urls"] = list(self.urls)
        return value


def content_from_json(value: Mapping[str, Any]) -> tuple[Digest, int]:
    """Read the digest and the size of some content, which is all that a list of blobs has.

    Raises:
        InvalidContentError: They are missing or of the wrong type.
    """
    digest, size = Digest.parse(value.get("digest")), value.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_SIZE:
        raise InvalidContentError(f"the descriptor of {digest} must have a size")
    return digest, size


def media_type_from_json(value: object, what: str) -> str | None:
    """Read a media type that may be missing or empty.

    Raises:
        InvalidContentError: It is no text, or none that can stand in a header.
    """
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not mediatype.is_media_type(value):
        raise InvalidContentError(f"{what} is not a media type")
    return value


def annotations_from_json(value: object) -> dict[str, str]:
    """Read annotations (image-spec annotations.md: a map of strings to strings).

    Raises:
        InvalidContentError: They are something else.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidContentError("annotations must be a JSON object")
    if not all(isinstance(k, str) and isinstance(v, str) for k, v in value.items()):
        raise InvalidContentError("annotations must be strings")
    return dict(value)


def _is_plain(value: object) -> bool:
    return isinstance(value, str) and value.isprintable()
