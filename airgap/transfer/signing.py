"""Signing what an export puts together. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from airgap.bundle.catalog import Catalog
from airgap.trust.keys import PrivateKey
from airgap.trust.signatures import Signatures


def sign_catalog(catalog: Catalog, keys: Sequence[PrivateKey], revocations: bytes = b"") -> Catalog:
    """The same catalog with signatures; the same keys give the same bytes.

    Args:
        catalog: What is signed.
        keys: Those who sign; none leaves the catalog without.
        revocations: The signed list of revoked keys that travels with it.
    """
    if not keys and not revocations:
        return catalog
    signatures = Signatures.sign(catalog.raw, keys, revocations=revocations)
    return replace(catalog, signatures=signatures.to_bytes())
