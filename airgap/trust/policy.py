"""Who is trusted, and the decision whether bytes are signed well enough. Pure.

Several policies may stand beside each other, such as the system's and the user's: all of them must
be satisfied, so one can tighten what another says and never loosen it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

from airgap.errors import SignatureError
from airgap.oci.digest import Digest
from airgap.trust.keys import PublicKey
from airgap.trust.revocations import RevocationList, Revocations
from airgap.trust.signatures import Signatures
from airgap.trust.signer import Signer
from airgap.trust.sigstore_bundle import key_signature

_SHOWN = 4


class TrustedIdentity(Protocol):
    """Somebody who signs without a key of their own (Sigstore)."""

    @property
    def name(self) -> str:
        """What they are called."""
        ...

    @property
    def person(self) -> tuple[str, str]:
        """Who they are and who vouches for that: whoever is named twice counts once."""
        ...

    def find_problem(self, data: bytes, bundle: bytes, now: datetime) -> str | None:
        """What is wrong with a sigstore bundle as their signature of data; None for nothing."""
        ...


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A key that is trusted.

    Attributes:
        name: What it is called.
        key: The key.
        not_before: When it begins to count.
        not_after: When it ceases to count.
        is_revoker: Whether it signs lists of revoked keys. Then it signs nothing else.
    """

    name: str
    key: PublicKey
    not_before: datetime | None = None
    not_after: datetime | None = None
    is_revoker: bool = False

    def find_problem(self, now: datetime) -> str | None:
        """Why it does not count at a time; None where it does."""
        if self.not_before is not None and now < self.not_before:
            return f"the key {self.name} is not valid before {_time(self.not_before)}"
        if self.not_after is not None and now > self.not_after:
            return f"the key {self.name} expired on {_time(self.not_after)}"
        return None


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """Whose signatures are wanted, and how many.

    Attributes:
        name: Where it stands, for messages.
        keys: The keys. One that is there twice counts once.
        require: How many of the keys and identities must have signed.
        identities: Those who sign without a key. One that is there twice counts once.
    """

    name: str
    keys: tuple[TrustedKey, ...] = ()
    require: int = 1
    identities: tuple[TrustedIdentity, ...] = ()

    @property
    def signer_count(self) -> int:
        """How many could sign at most."""
        signing = {trusted.key.id for trusted in self.keys if not trusted.is_revoker}
        return len(signing) + len({identity.person for identity in self.identities})


@dataclass(frozen=True, slots=True)
class Verdict:
    """That bytes are signed well enough, and by whom.

    Attributes:
        signers: Those who are trusted and have signed.
        notes: What is worth knowing: signatures that count for nothing.
    """

    signers: tuple[Signer, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trust:
    """All that decides whether something is trusted at one moment.

    Attributes:
        policies: All of them must be satisfied.
        revocations: What is known of keys that count no more.
        now: The verifier's time.
        kept_in: The file in which revocations are kept; None where they are not kept.
    """

    policies: tuple[TrustPolicy, ...]
    revocations: Revocations = field(default_factory=Revocations)
    now: datetime = field(kw_only=True)
    kept_in: Path | None = field(default=None, kw_only=True)

    def learn(self, document: bytes, *, was_kept: bool = False) -> Trust:
        """This with a list of revoked keys, as far as a revoker has signed it and it is newer.

        Args:
            document: The signed list; empty for none.
            was_kept: Whether it counted before: it does so still where its revoker has expired or
                was revoked since.

        Raises:
            SignatureError: It is damaged.
            BundleFormatError: It needs a newer airgap.
        """
        if not document:
            return self
        new = RevocationList.parse(document)
        revokers = self._revokers(was_kept=was_kept)
        return replace(self, revocations=self.revocations.learn(new, revokers))

    def check(self, data: bytes, signatures: Signatures, *, what: str = "the bundle") -> Verdict:
        """Decide whether bytes are signed as every policy demands.

        Args:
            data: What was signed.
            signatures: All the signatures that there are of it.
            what: What the bytes are called, for errors.

        Raises:
            SignatureError: They are not: the message says what is wrong with which signature.
            BundleFormatError: A list of revoked keys needs a newer airgap.
        """
        trust = self.learn(signatures.revocations)
        signed = _Signed(data, signatures)
        signers: dict[Signer, None] = {}
        notes: dict[str, None] = {}
        for policy in trust.policies:
            count = _Count(policy, trust, signed)
            if len(count.signers) < policy.require:
                raise count.error(what)
            signers |= dict.fromkeys(count.signers)
            notes |= dict.fromkeys(count.problems)
        if signatures.revocations and trust.revocations == self.revocations:
            new = RevocationList.parse(signatures.revocations)
            if all(new.signed != known.signed for _, known in self.revocations.lists):
                notes["the list of revoked keys is old, or by nobody who may revoke"] = None
        return Verdict(tuple(signers), tuple(notes))

    def _revokers(self, *, was_kept: bool) -> Iterator[PublicKey]:
        revokers = (t for policy in self.policies for t in policy.keys if t.is_revoker)
        for revoker in revokers:
            is_valid = revoker.find_problem(self.now) is None
            if was_kept or (is_valid and self.revocations.find(revoker.key.id) is None):
                yield revoker.key


class _Signed:
    """Bytes with their signatures; each signature is tried with each key only once."""

    def __init__(self, data: bytes, signatures: Signatures) -> None:
        self.data = data
        self.signatures = signatures
        by_key = {raw: key_signature(raw) for raw in signatures.sigstore}
        self.loose = (*signatures.loose, *(value for value in by_key.values() if value))
        self.keyless = tuple(raw for raw, value in by_key.items() if not value)
        self._tried: dict[Digest, bool | None] = {}

    def is_by(self, key: PublicKey) -> bool | None:
        """Whether the key has signed; None where nothing says that it has."""
        if key.id not in self._tried:
            self._tried[key.id] = self._try(key)
        return self._tried[key.id]

    def _try(self, key: PublicKey) -> bool | None:
        own = [s.value for s in self.signatures.by_key if s.key == key.id]
        if any(key.verify(self.data, value) for value in (*own, *self.loose)):
            return True
        return False if own else None


class _Count:
    """What the signatures are worth to one policy."""

    def __init__(self, policy: TrustPolicy, trust: Trust, signed: _Signed) -> None:
        self._policy = policy
        self._signed = signed
        self.signers: list[Signer] = []
        self.problems: list[str] = []
        by_id: dict[Digest, list[TrustedKey]] = {}
        for trusted in policy.keys:
            if not trusted.is_revoker:
                by_id.setdefault(trusted.key.id, []).append(trusted)
        for names in by_id.values():
            self._count_key(names, trust)
        counted: set[tuple[str, str]] = set()
        for identity in policy.identities:
            if identity.person not in counted and self._count_identity(identity, trust.now):
                counted.add(identity.person)
        self._unknown = [s.key for s in signed.signatures.by_key if s.key not in by_id]

    def _count_key(self, names: list[TrustedKey], trust: Trust) -> None:
        first = names[0]
        is_by = self._signed.is_by(first.key)
        if is_by is None:
            return
        if not is_by:
            self.problems.append(
                f"the signature by {first.name} is wrong: it is of something else, or what it signs"
                " was changed after signing"
            )
            return
        if (revoked := trust.revocations.find(first.key.id)) is not None:
            reason = f": {revoked.reason}" if revoked.reason else ""
            self.problems.append(f"the key {first.name} is revoked{reason}")
            return
        problems = [trusted.find_problem(trust.now) for trusted in names]
        if all(problems):
            self.problems.append(f"{problems[0]}, by the clock of this machine")
        else:
            self.signers.append(Signer(first.name, first.key.id))

    def _count_identity(self, identity: TrustedIdentity, now: datetime) -> bool:
        problem = None
        for bundle in self._signed.keyless:
            problem = identity.find_problem(self._signed.data, bundle, now)
            if problem is None:
                self.signers.append(Signer(identity.name))
                return True
        if problem is not None:
            self.problems.append(f"the signature of {identity.name}: {problem}")
        return False

    def error(self, what: str) -> SignatureError:
        """Why it is not enough."""
        policy, signatures = self._policy, self._signed.signatures
        trusted = _names(t.name for t in policy.keys if not t.is_revoker)
        wanted = f"trusted by {policy.name}: {trusted}" if trusted else f"asked by {policy.name}"
        if signatures.is_empty:
            return SignatureError(
                f"{what} is not signed, and only what is signed is taken",
                hint=f"ask for one that is signed, or for its signature file; {wanted}",
            )
        reasons = self.problems[:]
        if self._unknown:
            shown = _names(key.short for key in self._unknown)
            reasons.append(f"signed by a key that is not trusted: {shown}")
        if self._signed.loose and not self.signers and not self.problems:
            reasons.append("a signature is by no key that is trusted, or of something else")
        if self._signed.keyless and not policy.identities:
            reasons.append("no identity is trusted to sign it with Sigstore")
        if policy.require > 1 or not reasons:
            reasons.insert(0, f"{len(self.signers)} of {policy.require} signatures are there")
        rest = len(reasons) - _SHOWN
        more = f"; and {rest} more" if rest > 0 else ""
        return SignatureError(f"{what}: {'; '.join(reasons[:_SHOWN])}{more}", hint=wanted)


def _names(names: Iterable[str]) -> str:
    found = list(dict.fromkeys(names))
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more


def _time(when: datetime) -> str:
    return when.isoformat(sep=" ", timespec="minutes")
