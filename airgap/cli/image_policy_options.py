"""The option that demands signatures of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from airgap.cli.options import FILE, Command

if TYPE_CHECKING:
    from airgap.transfer.image_policy import RequiredKey


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
        SettingsError: A file cannot be read, holds no public key, or one that airgap does not take.
    """
    if not paths:
        return ()
    from airgap.transfer.image_policy import RequiredKey  # only where signatures are demanded
    from airgap.trust.key_files import read_public

    return tuple(RequiredKey(path.name, read_public(path)) for path in paths)
