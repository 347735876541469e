"""Manifests and indexes: a typed view beside the exact bytes that were digested.

The bytes are what is stored and sent on; nothing here writes a manifest again.
Sources: image-spec manifest.md and image-index.md; Docker's image manifest V2 schema 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airgap.errors import InvalidContentError
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor, annotations_from_json, media_type_from_json
from airgap.oci.digest import Digest
from airgap.oci.document import parse_object

MAX_MANIFEST_SIZE = 4 * 1024 * 1024
"""The size of manifest that every registry takes (distribution-spec, "Pushing Manifests")."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image manifest, or another document that names a config and layers.

    Attributes:
        descriptor: Media type, digest and size of `raw`, and the artifact type if there is one.
        raw: What was digested, and what is sent on.
        config: The config; None only for the old artifact manifest and for opaque documents.
        layers: The layers, in order. A blob may stand here twice.
        subject: What this refers to, if it is a referrer.
        annotations: What is said about it.
    """

    descriptor: Descriptor
    raw: bytes = field(repr=False)
    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    subject: Descriptor | None = None
    annotations: Mapping[str, str] = field(default_factory=dict[str, str], compare=False)

    @property
    def artifact_type(self) -> str | None:
        """What a referrers list says of it (distribution-spec, "Listing Referrers")."""
        if self.descriptor.artifact_type:
            return self.descriptor.artifact_type
        return self.config.media_type if self.config else None

    @property
    def is_runnable(self) -> bool:
        """Whether a container engine can run it: an image config and tar layers."""
        return (
            self.config is not None
            and self.config.media_type in mediatype.IMAGE_CONFIGS
            and all(mediatype.is_tar_layer(layer.media_type) for layer in self.layers)
        )

    def blobs(self) -> tuple[Descriptor, ...]:
        """The config and the layers: each is content of the blobs endpoint."""
        return ((self.config,) if self.config else ()) + self.layers

    def children(self) -> tuple[Descriptor, ...]:
        """A manifest has none; there so that both kinds can be walked alike."""
        return ()


@dataclass(frozen=True, slots=True)
class Index:
    """An image index or Docker's manifest list.

    Attributes:
        descriptor: Media type, digest and size of `raw`, and the artifact type if there is one.
        raw: What was digested, and what is sent on.
        manifests: The entries, in order.
        subject: What this refers to, if it is a referrer.
        annotations: What is said about it.
    """

    descriptor: Descriptor
    raw: bytes = field(repr=False)
    manifests: tuple[Descriptor, ...]
    subject: Descriptor | None = None
    annotations: Mapping[str, str] = field(default_factory=dict[str, str], compare=False)

    @property
    def artifact_type(self) -> str | None:
        """What a referrers list says of it (distribution-spec, "Listing Referrers")."""
        return self.descriptor.artifact_type

    def blobs(self) -> tuple[Descriptor, ...]:
        """An index names no blobs; there so that both kinds can be walked alike."""
        return ()

    def children(self) -> tuple[Descriptor, ...]:
        """The manifests and indexes that must be there before this can be pushed."""
        return self.manifests


Document = Manifest | Index


def parse_manifest(raw: bytes, media_type: str, *, algorithm: str = "sha256") -> Document:
    """Read a manifest or an index.

    Args:
        raw: The exact bytes.
        media_type: What the server or the descriptor says it is; may be empty.
        algorithm: By which the digest is made.

    Raises:
        InvalidContentError: Too large, not JSON, of a type that is refused (schema 1), or its
            fields do not fit the type.
    """
    if len(raw) > MAX_MANIFEST_SIZE:
        raise InvalidContentError(
            f"a manifest has {len(raw)} bytes; more than {MAX_MANIFEST_SIZE} are refused"
        )
    digest = Digest.of(raw, algorithm)
    what = f"the manifest {digest.short}"
    value = parse_object(raw, what=what)
    kind = _kind(value, media_type, what)
    artifact_type = media_type_from_json(value.get("artifactType"), f"{what}: artifactType")
    descriptor = Descriptor(kind, digest, len(raw), None, artifact_type)
    if value.get("manifests") and (value.get("config") or value.get("layers")):
        raise InvalidContentError(
            f"{what} reads as an index and as an image",
            hint="what it names depends on who reads it, so it is not carried",
        )
    subject = value.get("subject")
    common: dict[str, Any] = {
        "subject": None if subject is None else Descriptor.from_json(subject),
        "annotations": annotations_from_json(value.get("annotations")),
    }
    if mediatype.is_index(kind) or (not mediatype.is_manifest(kind) and "manifests" in value):
        return Index(descriptor, raw, _descriptors(value, "manifests", what), **common)
    if kind == mediatype.OCI_ARTIFACT:
        return Manifest(descriptor, raw, None, _descriptors(value, "blobs", what), **common)
    config = value.get("config")
    if config is None and mediatype.is_manifest(kind):
        raise InvalidContentError(f"{what} has no config")
    return Manifest(
        descriptor,
        raw,
        None if config is None else Descriptor.from_json(config),
        _descriptors(value, "layers", what),
        **common,
    )


def _kind(value: Mapping[str, Any], declared: str, what: str) -> str:
    """Settle the media type from what was declared, what the document says and its fields."""
    declared = declared.partition(";")[0].strip().lower()
    inner = media_type_from_json(value.get("mediaType"), f"{what}: mediaType")
    if declared and not mediatype.is_media_type(declared):
        raise InvalidContentError(f"{what} came with a Content-Type that is not a media type")
    if (
        declared in mediatype.SCHEMA1
        or inner in mediatype.SCHEMA1
        or value.get("schemaVersion") == 1
    ):
        raise InvalidContentError(
            f"{what} is of Docker's schema 1, which airgap does not carry",
            hint="push the image again with a current tool, which makes schema 2 or OCI of it",
        )
    if declared == "text/html":
        raise InvalidContentError(
            f"{what} came as HTML instead of a manifest",
            hint="a proxy or a login page may have answered",
        )
    vague = declared in ("", "application/json", "text/plain", mediatype.OCTET_STREAM)
    if inner and not vague and inner.lower() != declared:
        raise InvalidContentError(f"{what} came as {declared} and says it is {inner}")
    if inner or not vague:
        return inner or declared
    if "manifests" in value:
        return mediatype.OCI_INDEX
    if "config" in value:
        return mediatype.OCI_MANIFEST
    raise InvalidContentError(f"{what} came without a media type, and its form tells none")


def _descriptors(value: Mapping[str, Any], key: str, what: str) -> tuple[Descriptor, ...]:
    entries = value.get(key)
    if entries is None:
        return ()
    if not isinstance(entries, list):
        raise InvalidContentError(f"{what}: {key} must be a list")
    return tuple(Descriptor.from_json(entry) for entry in entries)
