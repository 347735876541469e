"""The option that demands signatures of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from airgap.cli.options import FILE, Command
from airgap.content.storage import storage_errors
from airgap.errors import SettingsError
from airgap.transfer.image_policy import RequiredKey
from airgap.trust.keys import PublicKey
from airgap.trust.pem import MAX_PEM


def image_policy_options(command: Command) -> Command:
    """Add `--require-signature`."""
    return click.option(
        "--require-signature",
        type=FILE,
        multiple=True,
        metavar="KEY",
        help="Refuse all unless every image has a cosign signature by this public key (repeatable:"
        " by each of them).",
    )(command)


def required_keys(paths: Sequence[Path]) -> tuple[RequiredKey, ...]:
    """The keys that must have signed every image.

    Raises:
        SettingsError: A file holds no public key, or one of a kind that airgap does not take.
        StorageError: A file cannot be read.
    """
    return tuple(RequiredKey(path.name, _read(path)) for path in paths)


def _read(path: Path) -> PublicKey:
    with storage_errors(path):
        if not path.exists():
            raise SettingsError(
                f"--require-signature {path}: there is no such file",
                hint="name the public key in PEM, such as cosign.pub",
            )
        with path.open("rb") as file:
            raw = file.read(MAX_PEM + 1)
    return PublicKey.parse(raw, what=str(path))
