"""What refers to an image: the fallback tag of the specification and cosign's tags.

Sources: distribution-spec "Referrers Tag Schema"; cosign's signature specification
(`sha256-<hex>.sig`, `.att`, `.sbom`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import ALGORITHMS, Digest
from airgap.oci.document import canonical_bytes
from airgap.oci.manifest import Document

COSIGN_SUFFIXES = ("sig", "att", "sbom")
_COSIGN = re.compile(r"(sha256|sha512)-([0-9a-f]+)\.(sig|att|sbom)")
_FALLBACK = re.compile(r"(sha256|sha512)-([0-9a-f]+)")


def fallback_tag(digest: Digest) -> str:
    """The tag under which a registry without the referrers API keeps the list.

    The algorithm is cut at 32 and the encoded part at 64 characters.
    """
    return f"{digest.algorithm[:32]}-{digest.hex[:64]}"


def cosign_tags(digest: Digest) -> tuple[str, ...]:
    """The tags under which cosign keeps signatures, attestations and SBOMs of a digest."""
    return tuple(f"{digest.algorithm}-{digest.hex}.{suffix}" for suffix in COSIGN_SUFFIXES)


def cosign_subject(tag: str) -> tuple[Digest, str] | None:
    """The digest that a cosign tag speaks of and its kind (sig, att, sbom), or None."""
    found = _COSIGN.fullmatch(tag)
    if found is None or len(found[2]) != ALGORITHMS[found[1]]:
        return None
    return Digest(found[1], found[2]), found[3]


def is_fallback_tag(tag: str) -> bool:
    """Whether a tag has the form of the referrers tag schema."""
    found = _FALLBACK.fullmatch(tag)
    return found is not None and len(found[2]) == 64


def referrer_descriptor(document: Document) -> Descriptor:
    """The entry that a referrers list holds for a manifest (distribution-spec, endpoint 12).

    The artifact type is the manifest's own, else its config's media type; annotations are pulled
    up from the manifest.
    """
    own = document.descriptor
    return Descriptor(
        own.media_type,
        own.digest,
        own.size,
        artifact_type=document.artifact_type,
        annotations=document.annotations,
    )


def referrers_index(entries: Iterable[Descriptor]) -> bytes:
    """The bytes of an index that lists referrers, in order of their digests."""
    listed: dict[Digest, dict[str, Any]] = {e.digest: e.to_json() for e in entries}
    return canonical_bytes(
        {
            "schemaVersion": 2,
            "mediaType": mediatype.OCI_INDEX,
            "manifests": [listed[digest] for digest in sorted(listed)],
        }
    )
