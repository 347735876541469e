"""A small certificate authority for a registry that has no certificate from elsewhere.

The authority is what clients trust; it signs the certificate of the server, which is made anew
before it expires or when the server gets another name, without any client noticing.
Sources: RFC 5280; the lifetimes are what browsers and Apple's systems take.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from airgap.content.atomic import make_folder, write_file
from airgap.content.storage import storage_errors
from airgap.errors import SettingsError

AUTHORITY = "ca.crt"
AUTHORITY_KEY = "ca.key"
SERVER = "server.pem"

_AUTHORITY_DAYS = 3650
_SERVER_DAYS = 397
_RENEW_DAYS = 60
_CLOCK_SKEW = timedelta(hours=24)
_SECRET = 0o600
_MAX_NAME = 64


@dataclass(frozen=True, slots=True)
class SelfSigned:
    """What a server with an authority of its own has.

    Attributes:
        authority: The file of the certificate that clients trust.
        server: The file with the key and the certificate of the server.
        fingerprint: The SHA-256 of the authority's certificate, in hex with colons.
        expires: When the authority ends, and clients need another one.
    """

    authority: Path
    server: Path
    fingerprint: str
    expires: datetime


def self_signed(folder: Path, names: Iterable[str], *, now: datetime | None = None) -> SelfSigned:
    """Make what is missing, expires soon or lacks a name, and keep all else.

    Args:
        folder: Where the files lie.
        names: Host names and addresses of the server; the first one is its common name.
        now: The time.

    Raises:
        StorageError: A file cannot be read or written.
        SettingsError: A name cannot stand in a certificate.
    """
    now = now or datetime.now(UTC)
    wanted = _general_names(names)
    make_folder(folder)
    certificate, key = _authority(folder, now)
    if not _is_good(folder / SERVER, certificate, wanted, now):
        write_file(folder / SERVER, _issue(certificate, key, wanted, now), mode=_SECRET)
    digest = certificate.fingerprint(hashes.SHA256())
    return SelfSigned(
        folder / AUTHORITY,
        folder / SERVER,
        digest.hex(":").upper(),
        certificate.not_valid_after_utc,
    )


def certificate_names(path: Path) -> tuple[str, ...]:
    """The host names and addresses in a certificate, as they stand there.

    Raises:
        StorageError: The file cannot be read.
        SettingsError: There is no certificate in it.
    """
    certificate = _certificate(path)
    if certificate is None:
        raise SettingsError(f"{path} holds no certificate in PEM")
    return tuple(str(name.value) for name in _alternatives(certificate))


def _authority(folder: Path, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    certificate, key = _certificate(folder / AUTHORITY), _key(folder / AUTHORITY_KEY)
    if (
        certificate is not None
        and key is not None
        and certificate.public_key() == key.public_key()
        and now < certificate.not_valid_after_utc
    ):
        return certificate, key
    key = ec.generate_private_key(ec.SECP256R1())
    # the name has a part of its own: clients that trust two of them must tell them apart
    mark = x509.random_serial_number().to_bytes(20, "big")[:4].hex()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"airgap authority {mark}")])
    public = key.public_key()
    certificate = (
        _builder(name, name, public, now, now + timedelta(days=_AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    # the certificate comes last: without it the key counts for nothing
    write_file(folder / AUTHORITY_KEY, _key_bytes(key), mode=_SECRET)
    write_file(folder / AUTHORITY, certificate.public_bytes(serialization.Encoding.PEM))
    return certificate, key


def _issue(
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    names: tuple[x509.GeneralName, ...],
    now: datetime,
) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    common = str(names[0].value)[:_MAX_NAME]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    until = min(now + timedelta(days=_SERVER_DAYS), authority.not_valid_after_utc)
    certificate = (
        _builder(subject, authority.subject, public, now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    return _key_bytes(key) + certificate.public_bytes(serialization.Encoding.PEM)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    until: datetime,
) -> x509.CertificateBuilder:
    # clocks on an isolated side are often wrong: it counts from the day before
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(until)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _is_good(
    path: Path, authority: x509.Certificate, names: tuple[x509.GeneralName, ...], now: datetime
) -> bool:
    certificate, key = _certificate(path), _key(path)
    if certificate is None or key is None or certificate.public_key() != key.public_key():
        return False
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    left = certificate.not_valid_after_utc - now
    # it cannot live longer than its authority: no use in making it again every hour then
    is_long = left > timedelta(days=_RENEW_DAYS) or (
        certificate.not_valid_after_utc == authority.not_valid_after_utc and left > timedelta(0)
    )
    return is_long and set(names) <= set(_alternatives(certificate))


def _alternatives(certificate: x509.Certificate) -> tuple[x509.GeneralName, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return ()
    kinds = (x509.DNSName, x509.IPAddress)
    return tuple(name for name in found.value if isinstance(name, kinds))


def _general_names(names: Iterable[str]) -> tuple[x509.GeneralName, ...]:
    found: dict[x509.GeneralName, None] = {}
    for name in names:
        try:
            found[x509.IPAddress(ip_address(name))] = None
            continue
        except ValueError:
            pass
        try:
            found[x509.DNSName(name.rstrip(".").lower().encode("idna").decode())] = None
        except (UnicodeError, ValueError) as error:
            raise SettingsError(f"{name[:100]!r} is not the name of a host") from error
    return tuple(found)


def _certificate(path: Path) -> x509.Certificate | None:
    raw = _read(path)
    try:
        return x509.load_pem_x509_certificate(raw) if raw else None
    except (ValueError, UnsupportedAlgorithm):
        return None


def _key(path: Path) -> ec.EllipticCurvePrivateKey | None:
    raw = _read(path)
    try:
        key = serialization.load_pem_private_key(raw, None) if raw else None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _read(path: Path) -> bytes:
    with storage_errors(path):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return b""
