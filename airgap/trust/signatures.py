"""Signatures of a catalog or a record, as a value and as the document that travels. Pure.

What is signed are the bytes themselves, with nothing before them, so that openssl and cosign verify
the same signature. A document that says of itself what it is (its media type) cannot be taken for
another kind.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Self

from airgap.errors import BundleFormatError, InvalidContentError, SignatureError
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes, parse_object
from airgap.trust.keys import MAX_SIGNATURE, PrivateKey
from airgap.trust.signed import MAX_SIZE

FORMAT_VERSION = 1
_AGAIN = "they were damaged or changed: copy them again from where they were made"
MEDIA_TYPE = "application/vnd.airgap.signatures.v1+json"
MAX_SIGSTORE = 64
"""The most sigstore bundles of one document; each costs a chain of certificates to check."""


@dataclass(frozen=True, slots=True, order=True)
class KeySignature:
    """A signature that names its key.

    Attributes:
        key: The id of the key.
        value: The signature.
    """

    key: Digest
    value: bytes


@dataclass(frozen=True, slots=True)
class Signatures:
    """Everything that signs the same bytes.

    Attributes:
        by_key: Signatures that name their key, sorted.
        loose: Signatures out of files of their own, which name no key.
        sigstore: Sigstore bundles, each as canonical JSON.
        revocations: The signed list of revoked keys that travels with them; empty for none.
    """

    by_key: tuple[KeySignature, ...] = ()
    loose: tuple[bytes, ...] = ()
    sigstore: tuple[bytes, ...] = ()
    revocations: bytes = b""

    @property
    def is_empty(self) -> bool:
        """Whether nobody signed."""
        return not (self.by_key or self.loose or self.sigstore)

    @classmethod
    def sign(cls, data: bytes, keys: Iterable[PrivateKey], *, revocations: bytes = b"") -> Self:
        """Sign bytes with each key, with a key that is given twice only once.

        Args:
            data: What is signed.
            keys: Those who sign.
            revocations: The signed list of revoked keys that travels with the signatures.
        """
        by_id = {key.id: key for key in keys}
        signed = (KeySignature(name, key.sign(data)) for name, key in by_id.items())
        return cls(tuple(sorted(signed)), revocations=revocations)

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read the document; empty bytes are no signatures.

        Raises:
            SignatureError: It is damaged, or not in its one form.
            BundleFormatError: It needs a newer airgap.
        """
        if not raw:
            return cls()
        what = "the document of signatures"
        if len(raw) > MAX_SIZE:
            raise SignatureError(f"{what} has {len(raw)} bytes; more than {MAX_SIZE}", hint=_AGAIN)
        try:
            value = parse_object(raw, what=what)
            check_header(value, MEDIA_TYPE, what=what)
            found = cls(
                parse_list(value.get("signatures")),
                (),
                _sigstore(value.get("sigstore", [])),
                _revocations(value.get("revocations")),
            )
        except InvalidContentError as error:
            raise SignatureError(
                f"the signatures are damaged: {error.message}", hint=_AGAIN
            ) from error
        if canonical_bytes(value) != raw:
            raise SignatureError("the signatures are not in their canonical form", hint=_AGAIN)
        return found

    def to_bytes(self) -> bytes:
        """The document; empty where there is nothing to say. What names no key is not in it."""
        if not (self.by_key or self.sigstore or self.revocations):
            return b""
        value: dict[str, Any] = {
            "formatVersion": FORMAT_VERSION,
            "mediaType": MEDIA_TYPE,
            "requires": [],
            "signatures": list_to_json(self.by_key),
        }
        if self.sigstore:
            value["sigstore"] = [parse_object(raw, what="a bundle") for raw in self.sigstore]
        if self.revocations:
            value["revocations"] = parse_object(self.revocations, what="the revocations")
        return canonical_bytes(value)

    def merge(self, other: Signatures) -> Signatures:
        """These and those. The list of revoked keys is the own one where there is one."""
        return Signatures(
            tuple(sorted({*self.by_key, *other.by_key})),
            tuple(dict.fromkeys((*self.loose, *other.loose))),
            tuple(dict.fromkeys((*self.sigstore, *other.sigstore))),
            self.revocations or other.revocations,
        )

    def with_revocations(self, revocations: bytes) -> Signatures:
        """These with another list of revoked keys."""
        return replace(self, revocations=revocations)


def parse_detached(raw: bytes, *, what: str) -> Signatures:
    """Read a signature out of a file of its own.

    That is base64 as `cosign sign-blob` and `airgap sign` print it, the bytes themselves as
    `openssl` writes them, a sigstore bundle, or a document of signatures.

    Args:
        raw: All of the file.
        what: Its name, for errors.

    Raises:
        SignatureError: It is none of these.
        BundleFormatError: It needs a newer airgap.
    """
    if len(raw) > MAX_SIZE:
        raise SignatureError(
            f"{what} has more than {MAX_SIZE} bytes; a signature is smaller",
            hint="name a file that `airgap sign bundle` or `cosign sign-blob` wrote",
        )
    if raw.lstrip()[:1] == b"{":
        return _detached_json(raw, what)
    text = b"".join(raw.split())
    try:
        return Signatures(loose=(_decode(text.decode("ascii")),))
    except (UnicodeDecodeError, InvalidContentError):
        pass
    is_der = raw[:1] == b"\x30" and len(raw) <= MAX_SIGNATURE
    if is_der or len(raw) == 64:  # ECDSA's, or Ed25519's
        return Signatures(loose=(raw,))
    raise SignatureError(
        f"{what} is not a signature",
        hint="`airgap sign bundle`, `cosign sign-blob` and `openssl` write signatures",
    )


def check_header(value: Mapping[str, Any], media_type: str, *, what: str) -> None:
    """Refuse a document of another kind, or one that only a newer airgap understands.

    Raises:
        BundleFormatError: It is of a newer format, or requires what is unknown.
        InvalidContentError: It is another kind of document.
    """
    version, requires = value.get("formatVersion"), value.get("requires", [])
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InvalidContentError(f"{what} has no format version")
    if version > FORMAT_VERSION or requires != []:
        raise BundleFormatError(
            f"{what} is of a newer format than this airgap reads",
            hint="read it with the version of airgap that made it, or a newer one",
        )
    if value.get("mediaType") != media_type:
        raise InvalidContentError(f"{what} is of another kind than {media_type}")


def parse_list(entries: object) -> tuple[KeySignature, ...]:
    """Read signatures that name their keys.

    Raises:
        InvalidContentError: They are damaged, or not each key once, sorted: so a trusted key is
            never tried more than once for a document.
    """
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidContentError("signatures must be a list of objects")
    found = tuple(
        KeySignature(Digest.parse(entry.get("key")), _decode(entry.get("signature")))
        for entry in entries
    )
    if any(left.key >= right.key for left, right in pairwise(found)):
        raise InvalidContentError("signatures must be sorted by key, each key once")
    return found


def list_to_json(signatures: Iterable[KeySignature]) -> list[dict[str, str]]:
    """Write signatures that name their keys, the first one of each key."""
    first: dict[Digest, bytes] = {}
    for signature in sorted(signatures):
        first.setdefault(signature.key, signature.value)
    return [
        {"key": str(key), "signature": base64.b64encode(value).decode()}
        for key, value in first.items()
    ]


def _decode(text: object) -> bytes:
    try:
        value = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        value = b""
    if not value or len(value) > MAX_SIGNATURE:
        raise InvalidContentError("a signature must be base64")
    return value


def _sigstore(entries: object) -> tuple[bytes, ...]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidContentError("sigstore must be a list of objects")
    if len(entries) > MAX_SIGSTORE:
        raise InvalidContentError(f"there are more than {MAX_SIGSTORE} sigstore bundles")
    return tuple(canonical_bytes(entry) for entry in entries)


def _revocations(value: object) -> bytes:
    if value is None:
        return b""
    if not isinstance(value, dict):
        raise InvalidContentError("revocations must be an object")
    return canonical_bytes(value)


def _detached_json(raw: bytes, what: str) -> Signatures:
    try:
        value = parse_object(raw, what=what)
        if value.get("mediaType") == MEDIA_TYPE:
            return Signatures.parse(raw.strip())
    except InvalidContentError as error:
        raise SignatureError(error.message, hint=_AGAIN) from error
    return Signatures(sigstore=(canonical_bytes(value),))
