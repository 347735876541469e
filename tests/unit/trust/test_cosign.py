"""What counts as a cosign signature of an image, and what does not."""

from __future__ import annotations

import base64
import json

import pytest

from airgap.trust.cosign import (
    MAX_CLAIMS,
    MAX_PAYLOAD,
    MAX_SIGNERS,
    Judgement,
    Problem,
    claims,
    judge,
)
from tests.support import builders, cosign
from tests.support.builders import Content
from tests.support.cosign import SIGSTORE

IMAGE = builders.image(seed=1)
OTHER = builders.image(seed=2)
KEYS = {name: cosign.key(name) for name in ("ecdsa-p256", "ed25519")}
KEY = KEYS["ecdsa-p256"]


def judged(signature: Content, image: Content = IMAGE, keys=(KEY,)) -> Judgement:
    """What the first claim of a manifest comes to."""
    claim = claims(signature.document)[0]
    data = next(b.data for b in signature.blobs if b.descriptor.digest == claim.payload.digest)
    return judge(claim, data, image.document, [key.public for key in keys])


def simple(data: bytes, signature: bytes | str | None) -> Content:
    return cosign.signature_manifest([cosign.payload_layer(data, signature)])


def sigstore(**content) -> Content:
    return cosign.bundle_referrer(IMAGE, cosign.sigstore_bundle(KEY.public, **content))


def enveloped(data: bytes, **options) -> Content:
    return sigstore(dsseEnvelope=cosign.envelope(data, KEY, **options))


@pytest.mark.parametrize("algorithm", KEYS)
@pytest.mark.parametrize("form", ["tag", "referrer"])
def test_right_signatures_count(algorithm, form):
    """Both forms and both kinds of key count for the image and the key that they are of."""
    signer = KEYS[algorithm]
    made = {
        "tag": lambda: cosign.tag_signature(IMAGE, signer)[1],
        "referrer": lambda: cosign.referrer_signature(IMAGE, signer),
    }[form]()
    assert judged(made, keys=KEYS.values()) == Judgement(frozenset({signer.id}))


def test_a_signature_of_the_manifest_itself_counts():
    """A Sigstore bundle may hold a signature of the bytes that the digest is of."""
    assert judged(sigstore(messageSignature=cosign.message(IMAGE.raw, KEY))).keys == {KEY.id}
    other = judged(sigstore(messageSignature=cosign.message(OTHER.raw, KEY)))
    assert other == Judgement(problem=Problem.OTHER_KEY)


@pytest.mark.parametrize("form", ["tag", "referrer"])
def test_a_signature_by_another_key_does_not_count(form):
    """What another key signed says nothing about this one."""
    other = cosign.key()
    made = (
        cosign.tag_signature(IMAGE, other)[1]
        if form == "tag"
        else cosign.referrer_signature(IMAGE, other)
    )
    assert judged(made) == Judgement(problem=Problem.OTHER_KEY)


@pytest.mark.parametrize("form", ["tag", "referrer"])
def test_a_signature_of_another_image_does_not_count(form):
    """A right signature that was moved to another image is found out by the digest it names."""
    made = (
        cosign.tag_signature(OTHER, KEY)[1]
        if form == "tag"
        else cosign.referrer_signature(OTHER, KEY)
    )
    assert judged(made) == Judgement(problem=Problem.OTHER_IMAGE)


def test_a_payload_changed_after_signing_does_not_count():
    """The signature is of every byte of the payload."""
    signature = KEY.sign(cosign.payload(OTHER))
    assert judged(simple(cosign.payload(IMAGE), signature)).problem is Problem.OTHER_KEY


def test_a_statement_changed_after_signing_does_not_count():
    """The signature of an envelope is of its type and its payload."""
    made = cosign.envelope(cosign.statement(OTHER), KEY)
    made["payload"] = base64.b64encode(cosign.statement(IMAGE)).decode()
    assert judged(sigstore(dsseEnvelope=made)).problem is Problem.OTHER_KEY


def test_the_type_of_a_payload_counts():
    """A document that is signed for another purpose is no signature of an image."""
    data = cosign.payload(IMAGE, type="something else")
    assert judged(simple(data, KEY.sign(data))).problem is Problem.OTHER_IMAGE


@pytest.mark.parametrize(
    "more",
    [
        {"predicateType": "https://spdx.dev/Document"},
        {"predicateType": None},
        {"_type": "https://example.com/Statement"},
        {"subject": []},
        {"subject": [{"digest": {"sha512": IMAGE.digest.hex}}]},
        {"subject": [{"digest": {"sha256": IMAGE.digest.hex.upper()}}]},
    ],
)
def test_only_a_statement_that_the_image_is_signed_counts(more):
    """An SBOM that is signed with the key is no consent to the image."""
    assert judged(enveloped(cosign.statement(IMAGE, **more))).problem is Problem.OTHER_IMAGE


def test_one_right_subject_among_several_is_enough():
    """A statement may be about several images at once."""
    subjects = [{"digest": {"sha256": found.digest.hex}} for found in (OTHER, IMAGE)]
    assert judged(enveloped(cosign.statement(IMAGE, subject=subjects))).keys == {KEY.id}


def test_one_right_signature_of_an_envelope_is_enough():
    """An envelope may be signed by several keys, and each that did counts."""
    signers = (cosign.key(), *KEYS.values())
    made = cosign.envelope(cosign.statement(IMAGE), *signers)
    assert judged(sigstore(dsseEnvelope=made), keys=KEYS.values()).keys == {
        key.id for key in KEYS.values()
    }


@pytest.mark.parametrize("signature", [None, "", "not base64!", "AAAA", "A" * 10_000])
def test_an_annotation_that_is_no_signature_does_not_count(signature):
    """Without a signature that can be read, no key has signed."""
    data = cosign.payload(IMAGE)
    assert judged(simple(data, signature)) == Judgement(problem=Problem.OTHER_KEY)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"critical":null}',
        b'{"critical":{"image":[],"type":"cosign container image signature"}}',
        b'{"critical":' * 2000,
        b'{"critical":{},"critical":{}}',
        b"\xff\xfe",
        b"<html>",
    ],
)
def test_hostile_payloads_are_refused_quietly(data):
    """Whatever a payload holds, it is judged and does not break the run."""
    assert not judged(simple(data, KEY.sign(data))).keys


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"dsseEnvelope": []},
        {"dsseEnvelope": {"payload": "e30=", "payloadType": "text/plain", "signatures": []}},
        {"dsseEnvelope": {"payload": "%", "payloadType": cosign.STATEMENT, "signatures": []}},
        {"dsseEnvelope": {"payload": "e30=", "payloadType": cosign.STATEMENT, "signatures": {}}},
        {"dsseEnvelope": {"payload": "e30=", "payloadType": cosign.STATEMENT, "signatures": [1]}},
        {
            "dsseEnvelope": {
                "payload": "e30=",
                "payloadType": cosign.STATEMENT,
                "signatures": [{"sig": "AAAA"}] * (MAX_SIGNERS + 1),
            }
        },
        {"messageSignature": {"signature": 7}},
        {"messageSignature": {"signature": "A" * 100_000}},
        {"messageSignature": None},
    ],
)
def test_hostile_bundles_are_refused_quietly(content):
    """A Sigstore bundle without what it should hold cannot be read."""
    assert judged(sigstore(**content)) == Judgement(problem=Problem.UNREADABLE)


def test_a_statement_that_is_no_document_is_unreadable():
    """What is signed must be a statement; bytes of another kind are none."""
    assert judged(enveloped(b"\x00")).problem is Problem.UNREADABLE
    assert judged(enveloped(json.dumps({"subject": {}}).encode())).keys == frozenset()


def test_only_signatures_are_claims():
    """SBOMs, attestations in the older form, images and indexes hold no signatures."""
    dsse = builders.blob(b"{}", "application/vnd.dsse.envelope.v1+json")
    for content in (
        IMAGE,
        builders.index([IMAGE]),
        builders.sbom(IMAGE.descriptor),
        builders.artifact("application/vnd.example", [dsse], subject=IMAGE.descriptor),
    ):
        assert claims(content.document) == ()


def test_each_layer_is_a_claim():
    """Who signs again adds a layer to the manifest that is there."""
    _, made = cosign.tag_signature(IMAGE, *KEYS.values())
    assert len(claims(made.document)) == 2


def test_payloads_and_claims_have_limits():
    """Nobody can make airgap read without end: what is too large is passed over."""
    large = builders.blob(b" " * (MAX_PAYLOAD + 1), SIGSTORE)
    assert claims(builders.artifact(SIGSTORE, [large], subject=IMAGE.descriptor).document) == ()
    many = [cosign.payload_layer(b"%d" % n, "AAAA") for n in range(MAX_CLAIMS + 10)]
    assert len(claims(cosign.signature_manifest(many).document)) == MAX_CLAIMS
