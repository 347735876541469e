"""Media types by their standard names, and what kind of content each is.

Sources: image-spec v1.1.1 media-types.md; Docker's image manifest V2 schema 2.
"""

from __future__ import annotations

import re

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCTET_STREAM = "application/octet-stream"

INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST, OCI_ARTIFACT})
IMAGE_CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})
SCHEMA1 = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    }
)
ACCEPT = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST, OCI_ARTIFACT, "*/*;q=0.1")
"""What a client sends as Accept for manifests: a registry may hide types that are not named."""

_FORM = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")
_TAR_LAYERS = (
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
)
_NON_DISTRIBUTABLE = (_TAR_LAYERS[1], _TAR_LAYERS[3])


def is_media_type(text: str) -> bool:
    """Whether a text can stand as a media type in a header: short, printable, ASCII.

    Laxer than RFC 6838 section 4.2 on purpose: unknown types are carried, not judged.
    """
    return _FORM.fullmatch(text) is not None


def is_index(media_type: str) -> bool:
    """Whether the type is an image index or Docker's manifest list."""
    return media_type in INDEXES


def is_manifest(media_type: str) -> bool:
    """Whether content of this type is served by the manifests endpoint: an index or a manifest."""
    return media_type in INDEXES or media_type in MANIFESTS


def is_tar_layer(media_type: str) -> bool:
    """Whether an engine can unpack a layer of this type, in whatever compression."""
    return media_type.startswith(_TAR_LAYERS)


def is_non_distributable(media_type: str) -> bool:
    """Whether a layer may only be fetched from the urls that its descriptor names.

    Deprecated and still around (image-spec layer.md, "Non-Distributable Layers").
    """
    return media_type.startswith(_NON_DISTRIBUTABLE)
