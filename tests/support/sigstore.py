"""A Sigstore of our own, in memory: a certificate authority that vouches for identities, its log
of certificates, a log of signatures with proofs of inclusion, and the trusted root of them all.

It makes what the public one makes, in the same forms (RFC 6962 trees and timestamps, signed notes,
hashedrekord entries), so that a verifier that knows nothing of us takes it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from tests.support.timestamps import TimeAuthority

IDENTITY = "release@example.com"
ISSUER = "https://accounts.example.com"
SIGNED_AT = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_ROOT = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
_SCT_LIST = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_ISSUER_V1 = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_ISSUER_V2 = ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_ORIGIN = "log.example.com - 1"
_SINCE = datetime(2026, 1, 1, tzinfo=UTC)


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _key_id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_der(key)).digest()


def _sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@dataclass
class Sigstore:
    """One instance, with keys of its own.

    Attributes:
        authority: The key of the certificate authority.
        certificates: The key of the log of certificates.
        log: The key of the log of signatures.
        time: Says when something was signed, for bundles of the newer kind.
        has_new_issuer_only: Whether certificates name the issuer in the newer extension alone.
    """

    authority: ec.EllipticCurvePrivateKey = field(default_factory=_key)
    certificates: ec.EllipticCurvePrivateKey = field(default_factory=_key)
    log: ec.EllipticCurvePrivateKey = field(default_factory=_key)
    time: TimeAuthority = field(default_factory=TimeAuthority)
    has_new_issuer_only: bool = False

    def sign(
        self,
        data: bytes,
        *,
        identity: str = IDENTITY,
        issuer: str = ISSUER,
        valid_from: datetime = SIGNED_AT - timedelta(minutes=1),
        logged_at: datetime = SIGNED_AT,
        is_stamped: bool = False,
    ) -> dict[str, Any]:
        """Sign as somebody, and give the bundle.

        Args:
            data: What is signed.
            identity: Who signs: an e-mail address, or a url.
            issuer: Who vouches for that.
            valid_from: When the certificate begins to be valid, for ten minutes.
            logged_at: When the log says that it took the entry in, or the time authority that the
                signature was there.
            is_stamped: Whether it is of the newer kind: the log keeps no time (Rekor 2).
        """
        key = _key()
        certificate = self._certificate(key, identity, issuer, valid_from)
        signature = _sign(key, data)
        digest = hashlib.sha256(data).digest()
        material: dict[str, Any] = {
            "certificate": {"rawBytes": _b64(certificate.public_bytes(Encoding.DER))}
        }
        if is_stamped:
            entry = self._entry(_record2(certificate, signature, digest), None)
            stamp = {"signedTimestamp": _b64(self.time.stamp(signature, logged_at))}
            material["timestampVerificationData"] = {"rfc3161Timestamps": [stamp]}
        else:
            record = _record(certificate, signature, digest)
            entry = self._entry(record, int(logged_at.timestamp()))
        return {
            "mediaType": _BUNDLE,
            "verificationMaterial": material | {"tlogEntries": [entry]},
            "messageSignature": {
                "messageDigest": {"algorithm": "SHA2_256", "digest": _b64(digest)},
                "signature": _b64(signature),
            },
        }

    def root(self) -> bytes:
        """The trusted root: what everybody may know, and must get on a way that is trusted."""
        since = {"start": _SINCE.isoformat().replace("+00:00", "Z")}
        authority = {
            "subject": {"organization": "example.com", "commonName": "authority"},
            "uri": "https://ca.example.com",
            "certChain": {"certificates": [{"rawBytes": _b64(self._authority_certificate())}]},
            "validFor": since,
        }
        stamping = authority | {
            "uri": "https://time.example.com",
            "certChain": {"certificates": [{"rawBytes": _b64(c)} for c in self.time.chain]},
        }
        value = {
            "mediaType": _ROOT,
            "tlogs": [_instance("https://log.example.com", self.log, since)],
            "certificateAuthorities": [authority],
            "ctlogs": [_instance("https://ct.example.com", self.certificates, since)],
            "timestampAuthorities": [stamping],
        }
        return json.dumps(value, indent=2).encode()

    def _authority_certificate(self) -> bytes:
        return self._authority().public_bytes(Encoding.DER)

    def _authority(self) -> x509.Certificate:
        name = _name("authority")
        usage = _usage(key_cert_sign=True, crl_sign=True)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.authority.public_key())
            .serial_number(1)
            .not_valid_before(_SINCE)
            .not_valid_after(_SINCE + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self.authority.public_key()),
                critical=False,
            )
            .sign(self.authority, hashes.SHA256())
        )

    def _certificate(
        self, key: ec.EllipticCurvePrivateKey, identity: str, issuer: str, start: datetime
    ) -> x509.Certificate:
        who: x509.GeneralName = (
            x509.UniformResourceIdentifier(identity)
            if "://" in identity
            else x509.RFC822Name(identity)
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(_name("authority"))
            .public_key(key.public_key())
            .serial_number(int.from_bytes(_key_id(key)[:8], "big") | 1)
            .not_valid_before(start)
            .not_valid_after(start + timedelta(minutes=10))
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority.public_key()),
                critical=False,
            )
            .add_extension(x509.SubjectAlternativeName([who]), critical=True)
        )
        if not self.has_new_issuer_only:
            old = x509.UnrecognizedExtension(_ISSUER_V1, issuer.encode())
            builder = builder.add_extension(old, critical=False)
        text = issuer.encode()
        new = x509.UnrecognizedExtension(_ISSUER_V2, bytes([0x0C, len(text)]) + text)
        builder = builder.add_extension(new, critical=False)
        before = builder.sign(self.authority, hashes.SHA256())
        promise = self._promise(before.tbs_certificate_bytes, start)
        listed = x509.UnrecognizedExtension(_SCT_LIST, promise)
        return builder.add_extension(listed, critical=False).sign(self.authority, hashes.SHA256())

    def _promise(self, certificate: bytes, when: datetime) -> bytes:
        """What the log of certificates says: a list with one timestamp (RFC 6962, section 3.3)."""
        millis = int(when.timestamp() * 1000)
        issuer = _key_id(self.authority)
        length = len(certificate).to_bytes(3, "big")
        head = struct.pack("!BBQH", 0, 0, millis, 1)
        signature = _sign(
            self.certificates, head + issuer + length + certificate + struct.pack("!H", 0)
        )
        timestamp = struct.pack("!B32sQH", 0, _key_id(self.certificates), millis, 0)
        timestamp += struct.pack("!BBH", 4, 3, len(signature)) + signature
        listed = struct.pack("!H", len(timestamp)) + timestamp
        body = struct.pack("!H", len(listed)) + listed
        return bytes([0x04, 0x81, len(body)] if len(body) > 127 else [0x04, len(body)]) + body

    def _entry(self, body: bytes, when: int | None) -> dict[str, Any]:
        """An entry of the log of signatures, the second of three, with its proof.

        Args:
            body: What the log keeps.
            when: The time that it promises; None for a log that promises none.
        """
        index, others = 1, (b"before", b"after")
        leaf = _leaf(body)
        left, right = _leaf(others[0]), _leaf(others[1])
        root = _node(_node(left, leaf), right)
        log_id = _key_id(self.log)
        promised = {
            "body": _b64(body),
            "integratedTime": when,
            "logID": log_id.hex(),
            "logIndex": index,
        }
        note = f"{_ORIGIN}\n3\n{_b64(root)}\n"
        kind = {"kind": "hashedrekord", "version": "0.0.2" if when is None else "0.0.1"}
        promise = {"signedEntryTimestamp": _b64(_sign(self.log, _canonical(promised)))}
        timed = {"integratedTime": str(when), "inclusionPromise": promise}
        seal = _b64(log_id[:4] + _sign(self.log, note.encode()))
        return {
            "logIndex": str(index),
            "logId": {"keyId": _b64(log_id)},
            "kindVersion": kind,
            "inclusionProof": {
                "logIndex": str(index),
                "rootHash": _b64(root),
                "treeSize": "3",
                "hashes": [_b64(left), _b64(right)],
                "checkpoint": {"envelope": f"{note}\n\u2014 log.example.com {seal}\n"},
            },
            "canonicalizedBody": _b64(body),
        } | (timed if when is not None else {})


def _record(certificate: x509.Certificate, signature: bytes, digest: bytes) -> bytes:
    """What the log keeps of a signature (hashedrekord 0.0.1)."""
    pem = certificate.public_bytes(Encoding.PEM)
    return _canonical(
        {
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": digest.hex()}},
                "signature": {"content": _b64(signature), "publicKey": {"content": _b64(pem)}},
            },
        }
    )


def _record2(certificate: x509.Certificate, signature: bytes, digest: bytes) -> bytes:
    """What the newer log keeps of a signature (hashedrekord 0.0.2)."""
    verifier = {
        "keyDetails": "PKIX_ECDSA_P256_SHA_256",
        "x509Certificate": {"rawBytes": _b64(certificate.public_bytes(Encoding.DER))},
    }
    record = {
        "data": {"algorithm": "SHA2_256", "digest": _b64(digest)},
        "signature": {"content": _b64(signature), "verifier": verifier},
    }
    return _canonical(
        {"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": record}}
    )


def _instance(url: str, key: ec.EllipticCurvePrivateKey, since: dict[str, str]) -> dict[str, Any]:
    public = {
        "rawBytes": _b64(_der(key)),
        "keyDetails": "PKIX_ECDSA_P256_SHA_256",
        "validFor": since,
    }
    return {
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": public,
        "logId": {"keyId": _b64(_key_id(key))},
    }


def _leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "example.com"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _usage(**wanted: bool) -> x509.KeyUsage:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: wanted.get(name, False) for name in every})
