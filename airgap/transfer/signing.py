"""Signing what an export puts together. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from airgap.bundle.catalog import Catalog

if TYPE_CHECKING:  # who signs has loaded it
    from airgap.trust.keys import PrivateKey


def sign_catalog(
    catalog: Catalog,
    keys: Sequence[PrivateKey],
    revocations: bytes = b"",
    *,
    originals: Iterable[Catalog] = (),
) -> Catalog:
    """The same catalog with signatures; the same keys give the same bytes.

    Args:
        catalog: What is signed.
        keys: Those who sign.
        revocations: The signed list of revoked keys that travels with it; empty for none.
        originals: What it was taken from. Where that is the same, byte for byte, its signatures
            are right for this one, too, and stay.

    Raises:
        SignatureError: Those that stay are damaged, and others are to be added.
        BundleFormatError: Those that stay need a newer airgap, and others are to be added.
    """
    kept = dict.fromkeys(o.signatures for o in originals if o.raw == catalog.raw and o.signatures)
    if not keys and not revocations and len(kept) <= 1:
        return replace(catalog, signatures=next(iter(kept), b""))
    from airgap.trust.signatures import Signatures  # only where something is signed

    signatures = Signatures.sign(catalog.raw, keys, revocations=revocations)
    own = {signature.key for signature in signatures.by_key}
    for document in kept:
        other = Signatures.parse(document)
        others = tuple(signature for signature in other.by_key if signature.key not in own)
        signatures = signatures.merge(replace(other, by_key=others))
    return replace(catalog, signatures=signatures.to_bytes())
