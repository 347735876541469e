"""Signatures by a key that come in a bundle of JSON, as cosign writes it."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest

from airgap.errors import SignatureError
from airgap.trust.policy import Trust, TrustedKey, TrustPolicy
from airgap.trust.signatures import parse_detached
from airgap.trust.sigstore_bundle import key_signature
from tests.support import cosign
from tests.support.sigstore import Sigstore

DATA = b'{"what":"a catalog"}'
KEY = cosign.key()


def bundle(form: str, key=KEY, data: bytes = DATA) -> bytes:
    """A file that cosign would write."""
    if form == "older":
        text = base64.b64encode(key.sign(data)).decode()
        return json.dumps({"base64Signature": text}).encode()
    return cosign.sigstore_bundle(key.public, messageSignature=cosign.message(data, key))


def check(raw: bytes, data: bytes = DATA):
    """What the bundle is worth as a file beside what it signs."""
    policy = TrustPolicy("here", (TrustedKey("release", KEY.public),))
    trust = Trust((policy,), now=datetime(2026, 1, 1, tzinfo=UTC))
    return trust.check(data, parse_detached(raw, what="b.sigstore.json"))


@pytest.mark.parametrize("form", ["newer", "older"])
def test_a_bundle_by_a_trusted_key_counts(form):
    """It counts like the bare signature that is in it."""
    assert [signer.key for signer in check(bundle(form)).signers] == [KEY.id]


@pytest.mark.parametrize("form", ["newer", "older"])
def test_a_bundle_by_another_key_or_of_other_bytes_does_not_count(form):
    """The key that it hints at is nobody's word; the signature must be right."""
    with pytest.raises(SignatureError, match="by no key that is trusted"):
        check(bundle(form, cosign.key()))
    with pytest.raises(SignatureError, match="by no key that is trusted"):
        check(bundle(form), DATA + b" ")


def test_a_bundle_with_a_certificate_is_no_signature_by_a_key():
    """What an identity signed is judged by its certificate and its log alone."""
    raw = json.dumps(Sigstore().sign(DATA)).encode()
    assert key_signature(raw) is None
    with pytest.raises(SignatureError, match="no identity is trusted"):
        check(raw)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"base64Signature": 7},
        {"base64Signature": ""},
        {"base64Signature": "%%%"},
        {"base64Signature": "A" * 4000},
        {"messageSignature": []},
        {"messageSignature": {}},
        {"messageSignature": {"signature": None}},
        {"verificationMaterial": [], "messageSignature": {"signature": "AAA"}},
    ],
)
def test_what_holds_no_signature_gives_none(value):
    """Whatever stands in such a file, it is looked at and does not break the run."""
    assert key_signature(json.dumps(value).encode()) is None


@pytest.mark.parametrize("raw", [b"", b"[]", b"{" * 5000, b'{"a":1,"a":2}'])
def test_what_is_no_document_gives_none(raw):
    """A damaged file is no signature."""
    assert key_signature(raw) is None
