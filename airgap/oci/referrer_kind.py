"""What a referrer is for, as far as its types and its tag tell. Pure."""

from __future__ import annotations

from typing import Literal

from airgap.oci.manifest import Document
from airgap.oci.referrers import cosign_subject

ReferrerKind = Literal["signature", "attestation", "sbom", "artifact"]

_SIGSTORE_CONTENT = "dev.sigstore.bundle.content"
_COSIGN_KINDS: dict[str, ReferrerKind] = {"sig": "signature", "att": "attestation", "sbom": "sbom"}
_MARKS: tuple[tuple[str, ReferrerKind], ...] = (
    ("spdx", "sbom"),
    ("cyclonedx", "sbom"),
    ("syft", "sbom"),
    ("in-toto", "attestation"),
    ("dsse", "attestation"),
    ("attestation", "attestation"),
    ("simplesigning", "signature"),
    ("signature", "signature"),
    ("cosign", "signature"),
    ("sigstore.bundle", "signature"),
)


def referrer_kind(document: Document, *, tag: str = "") -> ReferrerKind:
    """What a referrer is for, by its tag, its types and those of its layers."""
    cosign = cosign_subject(tag)
    if cosign is not None:
        return _COSIGN_KINDS[cosign[1]]
    if document.annotations.get(_SIGSTORE_CONTENT) == "dsse-envelope":
        return "attestation"
    types = [document.descriptor.artifact_type, document.artifact_type]
    types += [blob.media_type for blob in document.blobs()]
    for media_type in types:
        for mark, kind in _MARKS:
            if media_type and mark in media_type.lower():
                return kind
    return "artifact"
