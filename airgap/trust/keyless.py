"""Signatures without a key of one's own (Sigstore), verified with a trusted root that is given.

A certificate that was valid for some minutes says who signed; an entry of a public log says when.
All that is needed to judge both lies in the bundle and in the trusted root: nothing here asks a
server, and no root is fetched or refreshed. `sigstore` is an extra and is loaded only here.
"""

from __future__ import annotations

import importlib
import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airgap.errors import SettingsError
from airgap.trust.key_files import read_limited
from airgap.wording import visible

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

MAX_ROOT = 4 << 20
_MAX_REASON = 300
_QUIET = logging.NullHandler()
"""Without a handler of its own, what sigstore logs would be written to standard error."""


@dataclass(frozen=True, slots=True)
class KeylessIdentity:
    """Somebody who signs with Sigstore.

    Attributes:
        name: What they are called.
        identity: What the certificate must say who they are: an e-mail address or a url.
        issuer: Who must have vouched for that (the issuer of the OpenID token).
        root: The file of the trusted root (`trusted_root.json`).
    """

    name: str
    identity: str
    issuer: str
    root: Path

    @property
    def person(self) -> tuple[str, str]:
        """Who they are and who vouches for that, by whatever root."""
        return self.identity, self.issuer

    def find_problem(self, data: bytes, bundle: bytes, now: datetime) -> str | None:
        """What is wrong with a Sigstore bundle as their signature of data; None for nothing.

        The verifier's clock does not count: the log says when was signed, and the certificate must
        have been valid then.

        Raises:
            SettingsError: The trusted root cannot be used, or sigstore is not installed.
        """
        del now
        verifier = self.verifier()
        try:
            read = _sigstore("sigstore.models").Bundle.from_json(bundle)
            verifier.verify_artifact(data, read, _Policy(self))
        except Exception as error:  # noqa: BLE001 - hostile bytes: whatever fails, they prove nothing
            return visible(" ".join(str(error).split())[:_MAX_REASON]) or type(error).__name__
        return None

    def verifier(self) -> Any:  # noqa: ANN401 - of an extra
        """What verifies with the trusted root.

        Raises:
            SettingsError: The root cannot be used, or sigstore is not installed.
        """
        models, verify = _sigstore("sigstore.models"), _sigstore("sigstore.verify.verifier")
        if len(read_limited(self.root, MAX_ROOT)) > MAX_ROOT:
            raise SettingsError(
                f"{visible(str(self.root))} has more than {MAX_ROOT} bytes",
                hint="a trusted root is smaller: name the trusted_root.json of the Sigstore",
            )
        try:
            root = models.TrustedRoot.from_file(str(self.root))
            return verify.Verifier(trusted_root=root)
        except Exception as error:  # whatever sigstore makes of a file that is none
            reason = visible(" ".join(str(error).split())[:_MAX_REASON])
            raise SettingsError(
                f"{visible(str(self.root))} is not a trusted root of Sigstore: {reason}",
                hint="give the trusted_root.json of the Sigstore that signed; `cosign trusted-root"
                " create` makes one of keys and certificates",
            ) from error

    def check_certificate(self, certificate: Certificate) -> None:
        """See that a certificate is theirs, as sigstore asks it of a policy.

        Raises:
            VerificationError: It is somebody else's, or another issuer vouches for them.
        """
        policy = _sigstore("sigstore.verify.policy")
        policy.Identity(identity=self.identity).verify(certificate)
        # The issuer stands in an older and a newer extension; Fulcio writes both.
        either = [policy.OIDCIssuerV2(self.issuer), policy.OIDCIssuer(self.issuer)]
        wrong = _sigstore("sigstore.errors").VerificationError
        try:
            policy.AnyOf(either).verify(certificate)
        except wrong as error:
            raise wrong(f"it is not {self.issuer} that vouches for {self.identity}") from error


@dataclass(frozen=True, slots=True)
class _Policy:
    """What sigstore wants to be given."""

    identity: KeylessIdentity

    def verify(self, cert: Certificate) -> None:
        self.identity.check_certificate(cert)


def _sigstore(module: str) -> Any:  # noqa: ANN401 - an extra
    try:
        logging.getLogger("sigstore").addHandler(_QUIET)
        return importlib.import_module(module)
    except ImportError as error:
        raise SettingsError(
            "signatures of identities need sigstore, which is not installed",
            hint="pip install 'airgap[sigstore]'",
        ) from error
