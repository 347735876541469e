"""Keys that sign and keys that verify: Ed25519 (RFC 8032) and ECDSA on P-256 (FIPS 186-5).

A key's id is the sha256 of its public key as SubjectPublicKeyInfo in DER (RFC 5280), whatever PEM
it came from: `openssl pkey -pubin -in release.pub -outform DER | sha256sum`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self, cast, get_args

from airgap.errors import SettingsError
from airgap.oci.digest import Digest
from airgap.trust.pem import key_block, unsupported

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

KeyAlgorithm = Literal["ed25519", "ecdsa-p256"]
ALGORITHMS: tuple[KeyAlgorithm, ...] = get_args(KeyAlgorithm)
MAX_SIGNATURE = 256
"""The most bytes of a signature; those of our algorithms have 64, and up to 72."""


@dataclass(frozen=True, slots=True, order=True)
class PublicKey:
    """A key that verifies signatures.

    Attributes:
        algorithm: What it is for.
        der: The one form in which airgap knows it (SubjectPublicKeyInfo).
    """

    algorithm: KeyAlgorithm
    der: bytes = field(repr=False)

    @property
    def id(self) -> Digest:
        """The digest by which signatures name it."""
        return Digest.of(self.der)

    @classmethod
    def parse(cls, raw: bytes, *, what: str = "the key") -> Self:
        """Read a public key in PEM.

        Args:
            raw: All of the file.
            what: Its name, for errors.

        Raises:
            SettingsError: It is another kind of key, none at all, or a private one.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        block = key_block(raw, what, private=False)
        try:
            key = load_pem_public_key(block.raw)
        except UnsupportedAlgorithm as error:
            raise unsupported("a key that airgap does not know", what) from error
        except ValueError as error:
            raise SettingsError(f"{what} is damaged", hint="copy the key file again") from error
        return cls._of(key, what)

    @classmethod
    def _of(cls, key: PublicKeyTypes, what: str) -> Self:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        algorithm = _algorithm(key, what)
        return cls(algorithm, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    def to_pem(self) -> bytes:
        """The file that others read: openssl and cosign, too."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        key = self._load()
        return bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    def verify(self, data: bytes, signature: bytes) -> bool:
        """Whether a signature is by this key and of these bytes."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.hashes import SHA256

        key = self._load()
        try:
            if isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature, data, ec.ECDSA(SHA256()))
            else:
                key.verify(signature, data)
        except InvalidSignature:
            return False
        return True

    def _load(self) -> EllipticCurvePublicKey | Ed25519PublicKey:
        from cryptography.hazmat.primitives.serialization import load_der_public_key

        return cast("EllipticCurvePublicKey | Ed25519PublicKey", load_der_public_key(self.der))


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that signs.

    Attributes:
        public: What verifies its signatures.
    """

    public: PublicKey
    _key: Any = field(repr=False, compare=False)

    @classmethod
    def parse(cls, raw: bytes, passphrase: str | None = None, *, what: str = "the key") -> Self:
        """Read a private key in PEM: PKCS#8, or SEC 1 as `openssl ecparam` writes it.

        Args:
            raw: All of the file.
            passphrase: What opens it, where it is encrypted.
            what: Its name, for errors; they never show what stands in it.

        Raises:
            SettingsError: It is another kind of key, none at all, or a public one; or the
                passphrase is missing or wrong.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        block = key_block(raw, what, private=True)
        if not block.is_encrypted:
            passphrase = None
        elif not passphrase:
            raise SettingsError(
                f"{what} is encrypted", hint="give its passphrase: --sign-passphrase-file FILE"
            )
        word = None if passphrase is None else passphrase.encode()
        try:
            key = load_pem_private_key(block.raw, word)
        except UnsupportedAlgorithm as error:
            raise unsupported("a key that airgap does not know", what) from error
        except (ValueError, TypeError) as error:
            if block.is_encrypted:
                raise SettingsError(
                    f"{what}: the passphrase does not open it", hint="give the right one"
                ) from error
            raise SettingsError(f"{what} is damaged", hint="copy the key file again") from error
        return cls._of(key, what)

    @classmethod
    def generate(cls, algorithm: KeyAlgorithm) -> Self:
        """Make a key out of the system's randomness."""
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519

        if algorithm == "ed25519":
            return cls._of(ed25519.Ed25519PrivateKey.generate(), "the new key")
        return cls._of(ec.generate_private_key(ec.SECP256R1()), "the new key")

    @classmethod
    def _of(cls, key: PrivateKeyTypes, what: str) -> Self:
        if not hasattr(key, "public_key"):
            raise unsupported("a key that airgap does not know", what)
        return cls(PublicKey._of(key.public_key(), what), key)

    @property
    def id(self) -> Digest:
        """The digest by which its signatures name it."""
        return self.public.id

    def sign(self, data: bytes) -> bytes:
        """Sign bytes; the same ones give the same signature.

        Ed25519 signs them as they are. ECDSA signs their sha256, with a nonce that is made from
        key and bytes (RFC 6979), and gives DER.

        Raises:
            SettingsError: The library under airgap is too old for RFC 6979.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.hashes import SHA256

        if self.public.algorithm == "ed25519":
            return bytes(self._key.sign(data))
        try:
            scheme = ec.ECDSA(SHA256(), deterministic_signing=True)
            return bytes(self._key.sign(data, scheme))
        except UnsupportedAlgorithm as error:
            raise SettingsError(
                "the OpenSSL under airgap cannot sign with ECDSA the same way twice (RFC 6979)",
                hint="install cryptography from its wheel, or sign with an Ed25519 key",
            ) from error

    def to_pem(self, passphrase: str | None = None) -> bytes:
        """The file that keeps it (PKCS#8), encrypted where there is a passphrase."""
        from cryptography.hazmat.primitives.serialization import (
            BestAvailableEncryption,
            Encoding,
            KeySerializationEncryption,
            NoEncryption,
            PrivateFormat,
        )

        encryption: KeySerializationEncryption = NoEncryption()
        if passphrase is not None:
            encryption = BestAvailableEncryption(passphrase.encode())
        return bytes(self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))


def is_encrypted(raw: bytes, *, what: str = "the key") -> bool:
    """Whether a private key needs a passphrase.

    Raises:
        SettingsError: It is no private key.
    """
    return key_block(raw, what, private=True).is_encrypted


def _algorithm(key: object, what: str) -> KeyAlgorithm:
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ed25519"
    if isinstance(key, ec.EllipticCurvePublicKey):
        if isinstance(key.curve, ec.SECP256R1):
            return "ecdsa-p256"
        raise unsupported(f"an ECDSA key on the curve {key.curve.name}", what)
    if isinstance(key, rsa.RSAPublicKey):
        raise unsupported("an RSA key", what)
    if isinstance(key, ed448.Ed448PublicKey):
        raise unsupported("an Ed448 key", what)
    raise unsupported("a key of another kind", what)
