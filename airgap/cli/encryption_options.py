"""Options of what is encrypted, and where its keys and passphrases come from."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from airgap.cli.options import FILE, Command, all_of
from airgap.errors import SettingsError
from airgap.run import Run

if TYPE_CHECKING:  # loaded where something is encrypted
    from airgap.transfer.decrypted import EncryptedBundle
    from airgap.transfer.encrypted import Encryption

_PASSPHRASE = click.option(
    "--passphrase-file",
    type=FILE,
    metavar="FILE",
    help="The passphrase is the one line of this file.",
)


def encrypt_options(command: Command) -> Command:
    """Add `--encrypt-to`, `--passphrase` and `--passphrase-file`."""
    return all_of(
        click.option(
            "--encrypt-to",
            multiple=True,
            metavar="RECIPIENT|FILE",
            help="Encrypt (age) to age1…, to an SSH key or to each in a file (repeatable).",
        ),
        click.option(
            "--passphrase",
            is_flag=True,
            help="Encrypt with a key that a passphrase opens; it is asked for.",
        ),
        _PASSPHRASE,
    )(command)


def decrypt_options(command: Command) -> Command:
    """Add `--identity` and `--passphrase-file`."""
    identity = click.option(
        "--identity",
        type=FILE,
        multiple=True,
        metavar="FILE",
        help="A secret key that opens what is encrypted (age or SSH; repeatable).",
    )
    return identity(_PASSPHRASE(command))


def encryption(
    encrypt_to: tuple[str, ...], *, passphrase: bool, passphrase_file: Path | None
) -> Encryption | None:
    """How a bundle is to be encrypted; None where it is not.

    Raises:
        SettingsError: The options contradict each other, or what they name cannot be used.
    """
    if not (encrypt_to or passphrase or passphrase_file):
        return None
    from airgap.content.age import Recipients, read_passphrase
    from airgap.transfer.encrypted import Encryption

    if encrypt_to:
        if passphrase or passphrase_file:
            raise SettingsError(
                "a bundle is encrypted to recipients or with a passphrase, not both",
                hint="leave one of the options out",
            )
        return Encryption(Recipients.parse(encrypt_to))
    if passphrase_file is not None:
        return Encryption(passphrase=read_passphrase(passphrase_file))
    return Encryption(passphrase=_ask("Passphrase", is_new=True))


def encrypted_bundle(
    bundle: tuple[Path, ...] | BinaryIO, identity: tuple[Path, ...], word: Path | None, run: Run
) -> AbstractContextManager[EncryptedBundle | None]:
    """The encrypted bundle among files and folders; None where what they hold is plain.

    Args:
        bundle: The files and folders, or a pipe, which is plain.
        identity: The files of those who open it.
        word: The file of the passphrase that opens these.
        run: Cancellation.

    Raises:
        SettingsError: It takes an identity, or a file holds none.
        UnauthorizedError: The passphrase does not open one.
        ContentNotFoundError: A file is not there.
    """
    if not isinstance(bundle, tuple):
        return nullcontext()
    from airgap.bundle.envelope_file import encrypted_files

    if not encrypted_files(bundle):
        return nullcontext()
    from airgap.content.age import Identities, read_passphrase
    from airgap.transfer.decrypted import EncryptedBundle

    def passphrase(path: Path) -> str:
        return read_passphrase(word) if word else _ask(f"Passphrase of {path}", is_new=False)

    if identity:
        return EncryptedBundle(bundle, Identities.read(identity, passphrase), run=run)
    if any(path.is_dir() and list(path.glob("*.tar")) for path in bundle):
        return nullcontext()
    raise SettingsError(
        f"{bundle[0]} is encrypted", hint="--identity FILE names the secret key that opens it"
    )


def _ask(text: str, *, is_new: bool) -> str:
    if not sys.stdin.isatty():
        raise SettingsError(
            "there is no terminal to ask for a passphrase on", hint="--passphrase-file FILE"
        )
    # On standard error: standard output is for the result.
    found = click.prompt(text, type=str, hide_input=True, confirmation_prompt=is_new, err=True)
    assert isinstance(found, str)
    return found
