"""Policies as they lie on disk: public keys in PEM, trust files, and lists of revoked keys."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from airgap.content.atomic import PRIVATE, make_folder, write_file
from airgap.content.posix import wait_for_lock
from airgap.content.storage import storage_errors
from airgap.errors import SettingsError, SignatureError
from airgap.trust.key_files import read_limited, read_public
from airgap.trust.keyless import KeylessIdentity
from airgap.trust.keys import PublicKey
from airgap.trust.pem import MAX_PEM
from airgap.trust.policy import Trust, TrustedIdentity, TrustedKey, TrustPolicy
from airgap.trust.revocations import RevocationList, parse_known
from airgap.trust.signed import MAX_SIZE
from airgap.trust.trust_file import MAX_FILE, IdentityEntry, KeyEntry, TrustFile, is_name
from airgap.wording import visible

_MAX_KNOWN = 16 * MAX_SIZE


@dataclass(frozen=True, slots=True)
class PolicySource:
    """Where a policy stands.

    Attributes:
        name: What messages call it.
        paths: Public keys in PEM, and trust files, which end in `.toml`.
        require: How many must sign, over what the trust files say; None leaves it to them.
        identities: Those who sign without a key and stand in no file.
    """

    name: str
    paths: Sequence[Path]
    require: int | None = None
    identities: Sequence[TrustedIdentity] = ()


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy, and the lists of revoked keys that always count beside it.

    Attributes:
        policy: Who is trusted.
        revocations: Signed lists with the names of their files.
    """

    policy: TrustPolicy
    revocations: tuple[tuple[str, bytes], ...] = ()


def load_policy(source: PolicySource) -> LoadedPolicy:
    """Read a policy.

    Raises:
        SettingsError: A file cannot be read or is wrong; a revoker is to sign bundles, too; or more
            signatures are asked for than there are keys.
    """
    keys: list[TrustedKey] = []
    identities = list(source.identities)
    lists: list[tuple[str, bytes]] = []
    required = [1]
    for path in source.paths:
        if path.suffix != ".toml":
            keys.append(_plain_key(path))
            continue
        file = TrustFile.parse(read_limited(path, MAX_FILE), what=str(path))
        keys += [_key(entry, path) for entry in file.keys]
        identities += [_identity(entry, path) for entry in file.identities]
        required += [file.require] if file.require else []
        if file.revocations:
            listed = _beside(path, file.revocations)
            lists.append((str(listed), read_limited(listed, MAX_SIZE)))
    _check_revokers(source.name, keys)
    require = source.require or max(required)
    policy = TrustPolicy(source.name, tuple(keys), require, tuple(identities))
    if policy.signer_count < require:
        asked = "1 signature is" if require == 1 else f"{require} signatures are"
        signers = f"only {policy.signer_count}" if policy.signer_count else "nobody"
        raise SettingsError(
            f"{source.name}: {asked} asked for, and {signers} could sign",
            hint="trust more keys, or ask for fewer signatures; a key that is given twice is one,"
            " and a revoker signs no bundles",
        )
    return LoadedPolicy(policy, tuple(lists))


def with_revocations(trust: Trust, loaded: Sequence[LoadedPolicy]) -> Trust:
    """Trust that knows the lists that policies name and what was kept of earlier ones.

    Raises:
        SettingsError: A list is by nobody who may revoke.
        SignatureError: One is damaged.
        BundleFormatError: One needs a newer airgap.
    """
    revokers = [t.key for policy in trust.policies for t in policy.keys if t.is_revoker]
    for name, raw in (listed for policy in loaded for listed in policy.revocations):
        new = RevocationList.parse(raw.strip(), what=f"the list of revoked keys {name}")
        if not any(new.is_signed_by(key) for key in revokers):
            raise SettingsError(
                f"{name} is a list of revoked keys by nobody who may revoke",
                hint="mark its key in trust.toml: revoker = true",
            )
        trust = trust.learn(new.to_bytes(), was_kept=True)
    return recall(trust)


def recall(trust: Trust) -> Trust:
    """Trust that knows what was kept of lists of revoked keys.

    Raises:
        SettingsError: The file cannot be read.
        SignatureError: It is damaged.
    """
    return trust if trust.kept_in is None else _learn_all(trust, _kept(trust.kept_in))


def keep(trust: Trust) -> Trust:
    """Keep what is known of revoked keys for the next time; gives what is known with all of it.

    Another run may have kept more meanwhile. What revokers have said whom nobody trusts at the
    moment stays: it counts again as soon as they are trusted again.

    Raises:
        SettingsError: What was kept before cannot be read.
        SignatureError: It is damaged.
        StorageError: It cannot be written.
    """
    path = trust.kept_in
    if path is None:
        return trust
    make_folder(path.parent, mode=PRIVATE)
    with _alone_in(path.parent):
        kept = _kept(path)
        trust = _learn_all(trust, kept)
        write_file(path, trust.revocations.to_bytes(trust.revocations.others(kept)))
    return trust


def _kept(path: Path) -> tuple[RevocationList, ...]:
    with storage_errors(path):
        if not path.exists():
            return ()
    try:
        return parse_known(read_limited(path, _MAX_KNOWN))
    except SignatureError as error:
        raise SignatureError(
            f"{path}: {error.message}",
            hint="restore it from a backup, or remove it; then bring the newest lists of revoked "
            "keys again, for what it knew is forgotten",
        ) from error


def _learn_all(trust: Trust, kept: Sequence[RevocationList]) -> Trust:
    for known in kept:
        trust = trust.learn(known.to_bytes(), was_kept=True)
    return trust


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Let nobody else write into a folder for a moment."""
    with storage_errors(folder):
        fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            wait_for_lock(fd)
        except BaseException:
            os.close(fd)
            raise
    try:
        yield
    finally:
        os.close(fd)


def _check_revokers(name: str, keys: Sequence[TrustedKey]) -> None:
    """Refuse a key that would both sign and revoke: its thief could do both."""
    signing = {trusted.key.id for trusted in keys if not trusted.is_revoker}
    both = next((t for t in keys if t.is_revoker and t.key.id in signing), None)
    if both is not None:
        raise SettingsError(
            f"{name}: the key {both.name} is a revoker, and is to sign bundles, too",
            hint="a revoker signs nothing else: take another key for bundles",
        )


def _plain_key(path: Path) -> TrustedKey:
    key = read_public(path)
    return TrustedKey(path.stem if is_name(path.stem) else key.id.short, key)


def _key(entry: KeyEntry, path: Path) -> TrustedKey:
    if entry.pem:
        key = PublicKey.parse(entry.pem.encode(), what=f"{path}: the key {entry.name}")
    else:
        file = _beside(path, entry.file)
        key = PublicKey.parse(read_limited(file, MAX_PEM), what=visible(str(file)))
    return TrustedKey(entry.name, key, entry.not_before, entry.not_after, entry.is_revoker)


def _identity(entry: IdentityEntry, path: Path) -> TrustedIdentity:
    root = _beside(path, entry.root)
    return KeylessIdentity(entry.name, entry.identity, entry.issuer, root)


def _beside(path: Path, name: str) -> Path:
    """A path in a trust file counts from that file, never from the current folder."""
    return path.absolute().parent / Path(name).expanduser()
