"""What an export signs, and which signatures stay."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airgap.errors import SignatureError
from airgap.transfer.signing import sign_catalog
from airgap.trust.keys import PrivateKey
from airgap.trust.signatures import KeySignature, Signatures
from tests.support.bundles import make_bundle, tiny_bundle

A, B = PrivateKey.generate("ed25519"), PrivateKey.generate("ecdsa-p256")
CATALOG = make_bundle().catalog
OTHER = tiny_bundle().catalog


def signers(catalog):
    return {s.key for s in Signatures.parse(catalog.signatures).by_key}


def test_a_catalog_is_signed_by_each_key():
    """And stays the same catalog."""
    found = sign_catalog(CATALOG, [A, B])

    assert (found.raw, found.id) == (CATALOG.raw, CATALOG.id)
    assert signers(found) == {A.id, B.id}
    assert sign_catalog(CATALOG, [B, A]) == found
    assert sign_catalog(CATALOG, []) == CATALOG


def test_the_signatures_of_the_same_catalog_stay():
    """A bundle that is split or merged needs no key for it; more can be added."""
    signed = sign_catalog(CATALOG, [A])

    assert sign_catalog(CATALOG, [], originals=[OTHER, signed]) == signed
    assert signers(sign_catalog(CATALOG, [B], originals=[signed])) == {A.id, B.id}
    both = [signed, sign_catalog(CATALOG, [B])]
    assert signers(sign_catalog(CATALOG, [], originals=both)) == {A.id, B.id}


def test_the_signatures_of_another_catalog_do_not_stay():
    """They would be wrong."""
    assert sign_catalog(CATALOG, [], originals=[sign_catalog(OTHER, [A])]).signatures == b""


def test_what_cannot_be_read_travels_on_but_is_not_added_to():
    """It may be of a newer airgap; a signature more would have to go into it."""
    strange = replace(CATALOG, signatures=b"{}")

    assert sign_catalog(CATALOG, [], originals=[strange]).signatures == b"{}"
    with pytest.raises(SignatureError):
        sign_catalog(CATALOG, [A], originals=[strange])


@pytest.mark.parametrize("value", [b"\x00", b"\xff"])
def test_a_new_signature_takes_the_place_of_a_wrong_one_of_its_key(value):
    """Each key stands once in the document."""
    wrong = Signatures((KeySignature(A.id, value * 64),)).to_bytes()
    found = sign_catalog(CATALOG, [A], originals=[replace(CATALOG, signatures=wrong)])
    [signature] = Signatures.parse(found.signatures).by_key

    assert A.public.verify(CATALOG.raw, signature.value)
