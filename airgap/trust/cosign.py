"""Signatures of images as cosign makes them: what they claim, and whose they are. Pure.

Two forms are in use. The older one keeps a small document ("simple signing") as a layer, with the
signature in the layer's annotation; it lies under a tag `sha256-<hex>.sig`, or refers to the
image. The newer one (cosign 3) refers to the image and holds a Sigstore bundle: an envelope
(DSSE) around an in-toto statement, or a signature of the image's manifest itself.

Only signatures made with a key are judged here; certificates and logs say nothing to a key.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from airgap.errors import InvalidContentError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.document import parse_object
from airgap.oci.manifest import Document
from airgap.trust.keys import PublicKey

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
ANNOTATION = "dev.cosignproject.cosign/signature"
CLAIM_TYPE = "cosign container image signature"
PREDICATE = "https://sigstore.dev/cosign/sign/v1"
"""What a statement must be about: an SBOM or a provenance that is signed is no consent."""
STATEMENT = "application/vnd.in-toto+json"
MAX_PAYLOAD = 1 << 20
MAX_CLAIMS = 1000
"""How many signatures of one image are looked at; cosign adds one for each time of signing."""
MAX_SIGNERS = 16
"""How many signatures one envelope may have."""
_MAX_SIGNATURE = 4096
_STATEMENTS = ("https://in-toto.io/Statement/v0.1", "https://in-toto.io/Statement/v1")
_BUNDLES = ("application/vnd.dev.sigstore.bundle+json", "application/vnd.dev.sigstore.bundle.v0.")


class Problem(IntEnum):
    """Why an image does not count as signed by a key; what says more is larger."""

    UNSIGNED = 1
    UNREADABLE = 2
    OTHER_KEY = 3
    OTHER_IMAGE = 4


@dataclass(frozen=True, slots=True)
class Claim:
    """One signature that a manifest holds.

    Attributes:
        payload: The blob that is signed, or the Sigstore bundle.
        signature: The signature of the payload; None where the payload is a Sigstore bundle.
    """

    payload: Descriptor
    signature: bytes | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a claim comes to.

    Attributes:
        keys: The ids of the keys that signed the image with it.
        problem: Why there are none, or why not more.
    """

    keys: frozenset[Digest] = frozenset()
    problem: Problem = Problem.OTHER_KEY


@dataclass(frozen=True, slots=True)
class _Signed:
    """What is signed, with which signatures, and whether it speaks of the image."""

    data: bytes = field(repr=False)
    signatures: tuple[bytes, ...]
    is_of_image: bool


def claims(document: Document) -> tuple[Claim, ...]:
    """The signatures that a manifest holds; none where it holds something else."""
    found: list[Claim] = []
    for layer in document.blobs():
        if layer.size > MAX_PAYLOAD or len(found) >= MAX_CLAIMS:
            continue
        if layer.media_type == PAYLOAD:
            found.append(Claim(layer, _lenient(layer.annotations.get(ANNOTATION, ""))))
        elif layer.media_type.startswith(_BUNDLES):
            found.append(Claim(layer, None))
    return tuple(found)


def judge(claim: Claim, payload: bytes, image: Document, keys: Iterable[PublicKey]) -> Judgement:
    """Find which of some keys signed an image with this claim.

    Args:
        claim: The claim.
        payload: The bytes of its payload, which have its digest.
        image: The manifest or index that should be signed.
        keys: Whose signatures count.
    """
    try:
        signed = _signed(claim, payload, image)
    except InvalidContentError:
        return Judgement(problem=Problem.UNREADABLE)
    signers = frozenset(
        key.id for key in keys if any(key.verify(signed.data, s) for s in signed.signatures)
    )
    if signers and not signed.is_of_image:
        return Judgement(problem=Problem.OTHER_IMAGE)
    return Judgement(signers)


def envelope_bytes(payload_type: str, payload: bytes) -> bytes:
    """What is signed of an envelope (DSSE, "Pre-Authentication Encoding")."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _signed(claim: Claim, payload: bytes, image: Document) -> _Signed:
    """Read a payload.

    Raises:
        InvalidContentError: It is damaged, or none.
    """
    value = parse_object(payload, what="the payload of a signature")
    if claim.signature is not None:
        return _Signed(payload, (claim.signature,), _names_image(value, image))
    envelope = value.get("dsseEnvelope")
    if envelope is not None:
        return _read_envelope(_object(envelope), image)
    message = _object(value.get("messageSignature"))
    # What is signed is the manifest itself: no other image has it.
    return _Signed(image.raw, (_base64(message.get("signature")),), is_of_image=True)


def _names_image(value: Mapping[str, Any], image: Document) -> bool:
    critical = _object(value.get("critical"))
    named = _object(critical.get("image")).get("docker-manifest-digest")
    return critical.get("type") == CLAIM_TYPE and named == str(image.descriptor.digest)


def _read_envelope(envelope: Mapping[str, Any], image: Document) -> _Signed:
    payload, kind = _base64(envelope.get("payload"), limit=MAX_PAYLOAD), envelope.get("payloadType")
    listed = envelope.get("signatures")
    if kind != STATEMENT or not isinstance(listed, list) or len(listed) > MAX_SIGNERS:
        raise InvalidContentError("an envelope without a statement or signatures")
    signatures = tuple(_base64(_object(entry).get("sig")) for entry in listed)
    statement = parse_object(payload, what="a signed statement")
    return _Signed(envelope_bytes(kind, payload), signatures, _states_image(statement, image))


def _states_image(statement: Mapping[str, Any], image: Document) -> bool:
    digest, subjects = image.descriptor.digest, statement.get("subject")
    if statement.get("_type") not in _STATEMENTS or statement.get("predicateType") != PREDICATE:
        return False
    if not isinstance(subjects, list):
        raise InvalidContentError("a statement without subjects")
    named = [_object(_object(subject).get("digest")) for subject in subjects]
    return any(digests.get(digest.algorithm) == digest.hex for digests in named)


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidContentError("a part of a signature that is no object")
    return value


def _base64(value: object, *, limit: int = _MAX_SIGNATURE) -> bytes:
    if not isinstance(value, str) or len(value) > limit * 2:
        raise InvalidContentError("a part of a signature that is no text, or too long")
    try:
        return base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error) as error:
        raise InvalidContentError("a part of a signature that is not in base64") from error


def _lenient(text: str) -> bytes:
    """A signature; empty, which no key ever made, where there is none to be read."""
    try:
        return _base64(text)
    except InvalidContentError:
        return b""
