"""A time stamping authority of our own (RFC 3161), in memory; the DER is written here by hand."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_SHA256 = bytes.fromhex("300d06096086480165030402010500")
_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_TST_INFO = bytes.fromhex("060b2a864886f70d0109100104")
_CONTENT_TYPE = bytes.fromhex("06092a864886f70d010903")
_MESSAGE_DIGEST = bytes.fromhex("06092a864886f70d010904")
_SIGNING_CERTIFICATE = bytes.fromhex("060b2a864886f70d010910022f")
_POLICY = bytes.fromhex("06032a0304")
_SINCE = datetime(2026, 1, 1, tzinfo=UTC)
_UNTIL = _SINCE + timedelta(days=3650)


def _tlv(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body)
    if size < 128:
        return bytes([tag, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def _sequence(*parts: bytes) -> bytes:
    return _tlv(0x30, *parts)


def _set(*parts: bytes) -> bytes:
    return _tlv(0x31, *sorted(parts))


def _integer(number: int) -> bytes:
    return _tlv(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class TimeAuthority:
    """Says that some bytes were there at a time.

    Attributes:
        root: The key of its root.
        signer: The key that signs times.
    """

    root: ec.EllipticCurvePrivateKey = field(default_factory=_key)
    signer: ec.EllipticCurvePrivateKey = field(default_factory=_key)

    @cached_property
    def chain(self) -> tuple[bytes, bytes]:
        """The certificates of the signer and of the root: made once, as each is another one."""
        root = (
            self._builder("time root", "time root", self.root)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self.root, hashes.SHA256())
        )
        stamping = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        signer = (
            self._builder("time", "time root", self.signer)
            .add_extension(stamping, critical=True)
            .sign(self.root, hashes.SHA256())
        )
        return signer.public_bytes(Encoding.DER), root.public_bytes(Encoding.DER)

    def stamp(self, data: bytes, when: datetime) -> bytes:
        """The answer to who asks for a time stamp of bytes."""
        certificate = self.chain[0]
        digest = hashlib.sha256(data).digest()
        info = _sequence(
            _integer(1),
            _POLICY,
            _sequence(_SHA256, _tlv(0x04, digest)),
            _integer(1),
            _tlv(0x18, when.strftime("%Y%m%d%H%M%SZ").encode()),
        )
        named = _sequence(_sequence(_sequence(_tlv(0x04, hashlib.sha256(certificate).digest()))))
        attributes = _set(
            _sequence(_CONTENT_TYPE, _set(_TST_INFO)),
            _sequence(_MESSAGE_DIGEST, _set(_tlv(0x04, hashlib.sha256(info).digest()))),
            _sequence(_SIGNING_CERTIFICATE, _set(named)),
        )
        parsed = x509.load_der_x509_certificate(certificate)
        signer = _sequence(
            _integer(1),
            _sequence(parsed.issuer.public_bytes(), _integer(parsed.serial_number)),
            _SHA256,
            b"\xa0" + attributes[1:],
            _ECDSA_SHA256,
            _tlv(0x04, self.signer.sign(attributes, ec.ECDSA(hashes.SHA256()))),
        )
        signed = _sequence(
            _integer(3),
            _set(_SHA256),
            _sequence(_TST_INFO, _tlv(0xA0, _tlv(0x04, info))),
            _tlv(0xA0, certificate),
            _set(signer),
        )
        token = _sequence(_SIGNED_DATA, _tlv(0xA0, signed))
        return _sequence(_sequence(_integer(0)), token)

    def _builder(
        self, common: str, issuer: str, key: ec.EllipticCurvePrivateKey
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(_name(common))
            .issuer_name(_name(issuer))
            .public_key(key.public_key())
            .serial_number(7 if key is self.root else 8)
            .not_valid_before(_SINCE)
            .not_valid_after(_UNTIL)
        )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
