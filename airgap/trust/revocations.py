"""Lists of keys that count no more: signed by a revoker, with a serial that rises. Pure.

A list travels with the signatures of a bundle, as the text that was signed and who signed it. For
each revoker the receiver keeps the list with the highest serial, so that neither an old list nor
another revoker takes back what one has said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from airgap.errors import InvalidContentError, SettingsError, SignatureError
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes, parse_object
from airgap.trust.keys import PrivateKey, PublicKey
from airgap.trust.signatures import (
    FORMAT_VERSION,
    KeySignature,
    check_header,
    list_to_json,
    parse_list,
)
from airgap.trust.signed import MAX_SIZE
from airgap.wording import visible

MEDIA_TYPE = "application/vnd.airgap.revocations.v1+json"
STATE_MEDIA_TYPE = "application/vnd.airgap.known-revocations.v1+json"
MAX_REASON = 200
_MAX_SERIAL = 2**53 - 1
_HINT = "`airgap key revoke` makes such a list: copy it again from where it was made"


@dataclass(frozen=True, slots=True, order=True)
class RevokedKey:
    """A key that counts no more.

    Attributes:
        key: Its id.
        reason: Why, in a few words; may be empty.
    """

    key: Digest
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RevocationList:
    """All the keys that a revoker has taken back.

    Attributes:
        serial: Which of the revoker's lists it is; a later one has a higher one.
        revoked: The keys, sorted.
        signed: The text that was signed.
        signatures: Who signed it.
    """

    serial: int
    revoked: tuple[RevokedKey, ...]
    signed: bytes = field(repr=False)
    signatures: tuple[KeySignature, ...] = field(repr=False)

    @classmethod
    def build(cls, serial: int, revoked: Iterable[RevokedKey], revoker: PrivateKey) -> Self:
        """Make a list and sign it.

        Args:
            serial: Higher than that of the revoker's last list.
            revoked: All the keys; one that is named twice keeps its first reason.
            revoker: Who signs.

        Raises:
            SettingsError: A reason is too long, or would not be one line.
        """
        by_key: dict[Digest, RevokedKey] = {}
        for one in revoked:
            if len(one.reason) > MAX_REASON or not one.reason.isprintable():
                raise SettingsError(
                    f"a reason has at most {MAX_REASON} characters, in one line",
                    hint="say it shorter",
                )
            by_key.setdefault(one.key, one)
        entries = tuple(sorted(by_key.values()))
        signed = canonical_bytes(
            {
                "formatVersion": FORMAT_VERSION,
                "mediaType": MEDIA_TYPE,
                "requires": [],
                "serial": serial,
                "revoked": [{"key": str(e.key), "reason": e.reason} for e in entries],
            }
        )
        return cls(serial, entries, signed, (KeySignature(revoker.id, revoker.sign(signed)),))

    @classmethod
    def parse(cls, raw: bytes, *, what: str = "the list of revoked keys") -> Self:
        """Read a signed list; nothing is believed of it before its signature.

        Args:
            raw: The document.
            what: What it is called, for errors.

        Raises:
            SignatureError: It is damaged.
            BundleFormatError: It needs a newer airgap.
        """
        if len(raw) > MAX_SIZE:
            raise SignatureError(
                f"{what} has more than {MAX_SIZE} bytes",
                hint=_HINT,
            )
        try:
            return cls._of(parse_object(raw, what=what))
        except InvalidContentError as error:
            raise SignatureError(f"{what} is damaged: {error.message}", hint=_HINT) from error

    @classmethod
    def _of(cls, document: Mapping[str, Any]) -> Self:
        what, text = "the list of revoked keys", document.get("list")
        if not isinstance(text, str):
            raise InvalidContentError("there is no list in it")
        signed = text.encode()
        value = parse_object(signed, what=what)
        check_header(value, MEDIA_TYPE, what=what)
        serial, entries = value.get("serial"), value.get("revoked")
        if not isinstance(serial, int) or isinstance(serial, bool):
            raise InvalidContentError("it has no serial")
        if not 1 <= serial <= _MAX_SERIAL:
            raise InvalidContentError("its serial is out of bounds")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise InvalidContentError("revoked must be a list of objects")
        revoked = tuple(sorted(_revoked(entry) for entry in entries))
        return cls(serial, revoked, signed, parse_list(document.get("signatures")))

    def to_bytes(self) -> bytes:
        """The document that travels."""
        return canonical_bytes(
            {"list": self.signed.decode(), "signatures": list_to_json(self.signatures)}
        )

    def is_signed_by(self, revoker: PublicKey) -> bool:
        """Whether the revoker has signed it."""
        return any(
            signature.key == revoker.id and revoker.verify(self.signed, signature.value)
            for signature in self.signatures
        )


@dataclass(frozen=True, slots=True)
class Revocations:
    """The newest list of each revoker.

    Attributes:
        lists: Revoker and list, sorted by revoker.
    """

    lists: tuple[tuple[Digest, RevocationList], ...] = ()

    @property
    def keys(self) -> Mapping[Digest, RevokedKey]:
        """The keys that count no more, by their ids."""
        return {r.key: r for _, known in reversed(self.lists) for r in known.revoked}

    def find(self, key: Digest) -> RevokedKey | None:
        """What is said of a key that counts no more."""
        return self.keys.get(key)

    def learn(self, new: RevocationList, revokers: Iterable[PublicKey]) -> Revocations:
        """These with a new list, where one of the revokers has signed it and none that is newer.

        Nobody else's signature is kept with it.
        """
        known = dict(self.lists)
        for revoker in revokers:
            old = known.get(revoker.id)
            if (old is None or new.serial > old.serial) and new.is_signed_by(revoker):
                own = tuple(s for s in new.signatures if s.key == revoker.id)
                known[revoker.id] = replace(new, signatures=own)
        return Revocations(tuple(sorted(known.items(), key=lambda item: item[0])))

    def others(self, kept: Iterable[RevocationList]) -> tuple[RevocationList, ...]:
        """Of lists that were kept, those by revokers that are none of these."""
        own = {revoker for revoker, _ in self.lists}
        return tuple(known for known in kept if own.isdisjoint(s.key for s in known.signatures))

    def to_bytes(self, others: Iterable[RevocationList] = ()) -> bytes:
        """What the receiver keeps.

        Args:
            others: Lists by other revokers, which stay beside these.
        """
        lists = (*(known for _, known in self.lists), *others)
        documents = dict.fromkeys(known.to_bytes() for known in lists)
        return canonical_bytes(
            {
                "formatVersion": FORMAT_VERSION,
                "mediaType": STATE_MEDIA_TYPE,
                "requires": [],
                "lists": [parse_object(raw, what="a list") for raw in documents],
            }
        )


def parse_known(raw: bytes) -> tuple[RevocationList, ...]:
    """Read what a receiver has kept, to be learned again: it may trust other revokers by now.

    Raises:
        SignatureError: It is damaged.
        BundleFormatError: It needs a newer airgap.
    """
    what = "the file of known revocations"
    try:
        value = parse_object(raw, what=what)
        check_header(value, STATE_MEDIA_TYPE, what=what)
        entries = value.get("lists")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise InvalidContentError("lists must be a list of objects")
    except InvalidContentError as error:
        raise SignatureError(f"{what} is damaged: {error.message}", hint=_HINT) from error
    return tuple(RevocationList.parse(canonical_bytes(entry)) for entry in entries)


def _revoked(entry: Mapping[str, Any]) -> RevokedKey:
    reason = entry.get("reason", "")
    if not isinstance(reason, str) or len(reason) > MAX_REASON:
        raise InvalidContentError("a reason is no short text")
    return RevokedKey(Digest.parse(entry.get("key")), visible(reason))
