"""Signatures as cosign writes them, made with our own keys: what cosign 3.1 pushes, byte by byte
in its form, so that tests need no cosign to sign.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from airgap.oci import mediatype
from airgap.trust.cosign import ANNOTATION, PAYLOAD, PREDICATE, STATEMENT, envelope_bytes
from airgap.trust.keys import PrivateKey, PublicKey
from tests.support.builders import Blob, Content, artifact, blob, manifest

SIGSTORE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def key(algorithm: str = "ecdsa-p256") -> PrivateKey:
    """A new key."""
    return PrivateKey.generate("ed25519" if algorithm == "ed25519" else "ecdsa-p256")


def payload(subject: Content, /, **critical: Any) -> bytes:
    """The document of simple signing about an image; `critical` replaces parts of it."""
    value = {
        "identity": {"docker-reference": "registry.example/team/app"},
        "image": {"docker-manifest-digest": str(subject.digest)},
        "type": "cosign container image signature",
    }
    return _compact({"critical": value | critical, "optional": None})


def payload_layer(data: bytes, signature: bytes | str | None) -> Blob:
    """A layer of simple signing; None leaves the annotation away."""
    made = blob(data, PAYLOAD)
    if signature is None:
        return made
    text = signature if isinstance(signature, str) else _base64(signature)
    return Blob(replace(made.descriptor, annotations={ANNOTATION: text}), data)


def signed_layer(subject: Content, signer: PrivateKey) -> Blob:
    """A layer with a right signature of an image."""
    data = payload(subject)
    return payload_layer(data, signer.sign(data))


def signature_manifest(layers: Iterable[Blob], subject: Content | None = None) -> Content:
    """What lies under a tag of cosign's, or what refers to the image where a subject is given."""
    layers = list(layers)
    rootfs = {"type": "layers", "diff_ids": [str(found.descriptor.digest) for found in layers]}
    config = {"architecture": "", "os": "", "config": {}, "rootfs": rootfs}
    made = blob(_compact(config), mediatype.OCI_CONFIG)
    return manifest(made, layers, subject=subject.descriptor if subject else None)


def signature_tag(subject: Content) -> str:
    """The tag under which cosign keeps signatures of an image."""
    return f"{subject.digest.algorithm}-{subject.digest.hex}.sig"


def tag_signature(subject: Content, *signers: PrivateKey) -> tuple[str, Content]:
    """The tag and the manifest of the older form, with a signature by each key."""
    return signature_tag(subject), signature_manifest([signed_layer(subject, s) for s in signers])


def statement(subject: Content, /, **more: Any) -> bytes:
    """An in-toto statement that says that an image is signed; `more` replaces parts of it."""
    value = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {subject.digest.algorithm: subject.digest.hex}, "annotations": {}}],
        "predicateType": PREDICATE,
        "predicate": {},
    }
    return _compact(value | more)


def envelope(data: bytes, *signers: PrivateKey, kind: str = STATEMENT) -> dict[str, Any]:
    """An envelope (DSSE) around a statement."""
    signatures = [{"sig": _base64(s.sign(envelope_bytes(kind, data)))} for s in signers]
    return {"payload": _base64(data), "payloadType": kind, "signatures": signatures}


def message(data: bytes, signer: PrivateKey) -> dict[str, Any]:
    """A signature of some bytes in a Sigstore bundle."""
    return {"messageDigest": {}, "signature": _base64(signer.sign(data))}


def sigstore_bundle(signer: PublicKey, **content: Any) -> bytes:
    """A Sigstore bundle of a key: `dsseEnvelope=` or `messageSignature=` is what it holds."""
    material = {"publicKey": {"hint": base64.b64encode(bytes.fromhex(signer.id.hex)).decode()}}
    return _compact({"mediaType": SIGSTORE, "verificationMaterial": material} | content)


def bundle_referrer(subject: Content, data: bytes) -> Content:
    """What refers to an image and holds a Sigstore bundle."""
    annotations = {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": PREDICATE,
    }
    layer = blob(data, SIGSTORE)
    return artifact(SIGSTORE, [layer], subject=subject.descriptor, annotations=annotations)


def referrer_signature(subject: Content, signer: PrivateKey) -> Content:
    """The newer form: what refers to an image, with a signature by a key."""
    made = envelope(statement(subject), signer)
    return bundle_referrer(subject, sigstore_bundle(signer.public, dsseEnvelope=made))


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
