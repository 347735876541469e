"""Options of who signs and who is trusted, and where keys and their passphrases come from."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from airgap.cli.keyless_options import KeylessFlags, keyless_options
from airgap.cli.options import FILE, Command, all_of
from airgap.cli.session import Session
from airgap.cli.settings import Settings
from airgap.errors import AirgapError, SettingsError
from airgap.run import Run

if TYPE_CHECKING:  # who signs and trusts nobody starts without all of this
    from airgap.trust.keys import PrivateKey
    from airgap.trust.policy import Trust, TrustedIdentity
    from airgap.trust.signatures import Signatures

REVOCATIONS = "revocations.json"
"""The file in the user's folder of states that keeps what is known of revoked keys."""


class SignFlags(TypedDict):
    """What every command that signs takes."""

    sign: tuple[Path, ...]
    sign_passphrase_file: Path | None


class TrustFlags(KeylessFlags):
    """What every command that verifies signatures takes."""

    trust: tuple[Path, ...]
    require: str | None


class SignatureFlags(TrustFlags):
    """What every command that verifies signatures takes, where they may come beside the thing."""

    signature: tuple[Path, ...]


_KEY_HELP = "Sign with this private key (PEM: Ed25519 or ECDSA P-256; repeatable)."
_SIGN_PASSPHRASE = click.option(
    "--sign-passphrase-file",
    type=FILE,
    metavar="FILE",
    help="The passphrase of the keys that sign is the one line of this file.",
)


def sign_options(command: Command) -> Command:
    """Add `--sign` and `--sign-passphrase-file`."""
    return all_of(
        click.option("--sign", type=FILE, multiple=True, metavar="KEY", help=_KEY_HELP),
        _SIGN_PASSPHRASE,
    )(command)


def signing_keys_options(command: Command) -> Command:
    """Add `--key` and `--sign-passphrase-file`, for commands that do nothing but sign."""
    return all_of(
        click.option(
            "--key",
            "keys",
            type=FILE,
            multiple=True,
            required=True,
            metavar="KEY",
            help=_KEY_HELP,
        ),
        _SIGN_PASSPHRASE,
    )(command)


def revocations_option(command: Command) -> Command:
    """Add `--revocations`."""
    return click.option(
        "--revocations",
        type=FILE,
        metavar="FILE",
        help="Let this list of revoked keys travel with the signatures.",
    )(command)


def trust_options(command: Command) -> Command:
    """Add `--trust`, `--require` and what trusts an identity of Sigstore."""
    return all_of(
        click.option(
            "--trust",
            type=FILE,
            multiple=True,
            metavar="KEY|trust.toml",
            help="Refuse what is not signed by this public key, or by those of a trust file"
            " (repeatable).",
        ),
        click.option(
            "--require",
            metavar="N",
            help="So many of the trusted keys must have signed (default 1).",
        ),
        keyless_options,
    )(command)


def signature_option(command: Command) -> Command:
    """Add `--signature`."""
    return click.option(
        "--signature",
        type=FILE,
        multiple=True,
        metavar="FILE",
        help="A signature that lies in a file of its own (repeatable).",
    )(command)


def signers(flags: SignFlags, session: Session) -> tuple[PrivateKey, ...]:
    """The keys that sign; a key that is given twice is there once.

    Raises:
        SettingsError: A file holds no key that airgap takes, or its passphrase is wrong.
        StorageError: The file of the passphrase cannot be read.
    """
    keys = (
        read_key(path, session, passphrase_file=flags["sign_passphrase_file"])
        for path in flags["sign"]
    )
    return tuple({key.id: key for key in keys}.values())


def read_key(path: Path, session: Session, *, passphrase_file: Path | None) -> PrivateKey:
    """Read a key that signs. Its passphrase is that of the file, the environment or the terminal.

    Raises:
        SettingsError: The file holds no key that airgap takes, or its passphrase is wrong.
        StorageError: The file of the passphrase cannot be read.
    """
    from airgap.trust.key_files import read_private

    def passphrase(key: Path) -> str:
        from airgap.content.age import read_passphrase

        given = session.settings.environment.key_passphrase
        if passphrase_file is not None:
            return read_passphrase(passphrase_file)
        return given or ask_passphrase(f"Passphrase of {key}", is_new=False)

    return read_private(path, passphrase)


def ask_passphrase(text: str, *, is_new: bool) -> str:
    """Ask for the passphrase of a key on the terminal, twice where it is new.

    Raises:
        SettingsError: There is no terminal.
    """
    if not sys.stdin.isatty():
        raise SettingsError(
            "there is no terminal to ask for the passphrase of a key on",
            hint="give it in a file (--sign-passphrase-file, or --passphrase-file for `airgap key`)"
            " or in AIRGAP_KEY_PASSPHRASE",
        )
    # On standard error: standard output is for the result.
    found = click.prompt(text, type=str, hide_input=True, confirmation_prompt=is_new, err=True)
    assert isinstance(found, str)
    return found


def read_revocations(path: Path | None) -> bytes:
    """The list of revoked keys that is to travel; empty for none.

    Raises:
        SettingsError: It cannot be read.
        SignatureError: It is damaged.
        BundleFormatError: It needs a newer airgap.
    """
    if path is None:
        return b""
    from airgap.trust.key_files import read_limited
    from airgap.trust.revocations import RevocationList
    from airgap.trust.signed import MAX_SIZE

    raw = read_limited(path, MAX_SIZE).strip()
    return RevocationList.parse(raw, what=f"the list of revoked keys {path}").to_bytes()


def trust_of(
    session: Session,
    identities: Sequence[TrustedIdentity] = (),
    *,
    kept_in: Path | None = None,
) -> Trust | None:
    """Who must have signed, by the system's and the user's word; None where nobody must.

    Args:
        session: Knows the settings, with the flags `--trust` and `--require` over them.
        identities: Those whom options trust to sign without a key.
        kept_in: Where what is known of revoked keys is kept, if not in the user's folder of states.

    Raises:
        SettingsError: A file of trust cannot be read or is wrong.
        SignatureError: A list of revoked keys is damaged.
    """
    policies = _policies(session.settings, identities)
    if not policies:
        return None
    from airgap.trust.policy import Trust
    from airgap.trust.trust_files import PolicySource, load_policy, with_revocations

    loaded = [load_policy(PolicySource(*policy)) for policy in policies]
    trust = Trust(
        tuple(one.policy for one in loaded),
        now=datetime.now(UTC),
        kept_in=kept_in or session.settings.environment.state_folder / REVOCATIONS,
    )
    return with_revocations(trust, loaded)


def signatures_of(
    named: Sequence[Path], trust: Trust | None, bundle: Iterable[Path], *, run: Run
) -> Signatures:
    """The signatures in files of their own: those that are named, and those beside a bundle.

    Args:
        named: The files of `--signature`.
        trust: Who is trusted; nothing is read where nobody is.
        bundle: The files and folders of the bundle.
        run: Told of files beside the bundle that are no signatures.

    Raises:
        SettingsError: One is named and nobody is trusted, or it cannot be read.
        SignatureError: One that is named is no signature.
    """
    from airgap.trust.signatures import Signatures

    if trust is None:
        if named:
            raise SettingsError(
                "--signature is given, and nobody is trusted to have signed",
                hint="--trust KEY names the public key that must have signed",
            )
        return Signatures()
    from airgap.trust.key_files import find_detached, read_detached

    found = read_detached(named)
    for path in find_detached(bundle):
        try:
            found = found.merge(read_detached((path,)))
        except AirgapError as error:  # anybody can put a file beside a bundle
            run.warn("signature", f"{path} beside the bundle is left aside: {error.message}")
    return found


_Policy = tuple[str, tuple[Path, ...], int | None, Sequence["TrustedIdentity"]]


def _policies(settings: Settings, identities: Sequence[TrustedIdentity]) -> list[_Policy]:
    """The system's policy and the user's. Asking for more signatures makes one, too.

    So does naming an identity: it must have signed, whatever keys are trusted beside it.
    """
    system = settings.system_trust
    found: list[_Policy] = []
    if system.paths or system.require:
        found.append(("the system's settings", system.paths, system.require, ()))
    paths = settings.trust or (system.paths if settings.require else ())
    if paths or settings.require:
        found.append(("your settings and options", paths, settings.require, ()))
    if identities:
        found.append(("--certificate-identity", (), None, identities))
    return found
