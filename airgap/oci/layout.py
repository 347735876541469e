"""The OCI image layout (image-spec image-layout.md): names and fixed documents."""

from __future__ import annotations

import re

from airgap.oci.digest import ALGORITHMS, Digest

LAYOUT_FILE = "oci-layout"
INDEX_FILE = "index.json"
BLOBS = "blobs"
LAYOUT_BYTES = b'{"imageLayoutVersion":"1.0.0"}'
REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"
"""containerd and docker read the full name here, where ref.name is only a tag to them."""

_BLOB = re.compile(r"blobs/(sha256|sha512)/([0-9a-f]+)")


def blob_path(digest: Digest) -> str:
    """Where a layout keeps a blob, with forward slashes."""
    return f"{BLOBS}/{digest.algorithm}/{digest.hex}"


def blob_digest(path: str) -> Digest | None:
    """The digest of the blob that a path of a layout names, or None where it names none."""
    found = _BLOB.fullmatch(path)
    if found is None or len(found[2]) != ALGORITHMS[found[1]]:
        return None
    return Digest(found[1], found[2])
