"""Options that trust somebody who signs with Sigstore; they are called as cosign calls them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from airgap.cli.options import FILE, Command, all_of
from airgap.errors import SettingsError

if TYPE_CHECKING:
    from airgap.trust.policy import TrustedIdentity


class KeylessFlags(TypedDict):
    """What every command takes that verifies signatures."""

    certificate_identity: str | None
    certificate_oidc_issuer: str | None
    trusted_root: Path | None


def keyless_options(command: Command) -> Command:
    """Add `--certificate-identity`, `--certificate-oidc-issuer` and `--trusted-root`."""
    return all_of(
        click.option(
            "--certificate-identity",
            metavar="IDENTITY",
            help="Refuse what this e-mail address or url has not signed with Sigstore; needs"
            " --certificate-oidc-issuer and --trusted-root.",
        ),
        click.option(
            "--certificate-oidc-issuer",
            metavar="URL",
            help="Who must have vouched for this identity.",
        ),
        click.option(
            "--trusted-root",
            type=FILE,
            metavar="FILE",
            help="The trusted root of the Sigstore that signed (trusted_root.json).",
        ),
    )(command)


def identities_of(flags: KeylessFlags) -> tuple[TrustedIdentity, ...]:
    """Whom the options trust; nobody where none is given.

    Raises:
        SettingsError: Some of them are missing, or the trusted root cannot be used.
    """
    identity, issuer = flags["certificate_identity"], flags["certificate_oidc_issuer"]
    root = flags["trusted_root"]
    given = {
        "--certificate-identity": identity,
        "--certificate-oidc-issuer": issuer,
        "--trusted-root": root,
    }
    if not any(given.values()):
        return ()
    if not identity or not issuer or not root:
        missing = ", ".join(name for name, value in given.items() if not value)
        raise SettingsError(
            f"an identity is trusted by three options, and {missing} is missing",
            hint="anybody can sign with Sigstore: who signs, who vouches for them and by which"
            " root that is judged must all be given",
        )
    from airgap.trust.keyless import KeylessIdentity  # only where somebody is trusted so

    trusted = KeylessIdentity(identity, identity, issuer, root)
    trusted.verifier()  # a root that cannot be used is said before anything is read
    return (trusted,)
