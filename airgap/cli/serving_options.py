"""What `airgap serve` was asked for: what goes together, and what would let in whoever comes."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from airgap.content.posix import interface_addresses
from airgap.errors import SettingsError
from airgap.server.access import is_loopback
from airgap.server.certificates import AUTHORITY, SelfSigned, self_signed
from airgap.server.limits import Limits
from airgap.server.run import Listen
from airgap.server.settings import RegistrySettings
from airgap.trust.policy import Trust

TLS_FOLDER = "tls"


def _nobody() -> None:
    """Nobody must have signed anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingOptions:
    """What was asked for; the fields are named as the options are.

    Raises:
        SettingsError: Two options do not go together.
    """

    bundles: tuple[Path, ...]
    data: Path | None
    users: Path | None
    listen: Listen
    tls_cert: Path | None
    tls_key: Path | None
    tls_self_signed: bool
    plain_http: bool
    names: tuple[str, ...]
    external_url: str
    anonymous_pull: bool
    keep_host: bool
    database: str | None
    sync: bool
    limits: Limits = field(default_factory=Limits)
    settings: RegistrySettings = field(default_factory=RegistrySettings)
    notify_socket: str | None = None
    trust: Callable[[], Trust | None] = _nobody
    signature: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.tls_self_signed and self.tls_cert:
            raise SettingsError("--tls-self-signed and --tls-cert conflict", hint="choose one")
        if self.tls_key and not self.tls_cert:
            raise SettingsError("--tls-key is given without --tls-cert", hint="name both")
        if self.plain_http and self.has_tls:
            raise SettingsError("--plain-http conflicts with a certificate", hint="choose one")
        if self.database and self.data is None:
            raise SettingsError("--database needs --data", hint="--data DIR holds the content")
        if self.tls_self_signed and self.state_folder is None:
            raise SettingsError(
                "--tls-self-signed needs a folder to keep its authority in",
                hint="--data DIR or --users DIR; or --tls-cert FILE",
            )
        if not (self.is_loopback or self.has_tls or self.plain_http):
            raise SettingsError(
                f"listening on {self.listen.host} needs TLS",
                hint="--tls-cert FILE, --tls-self-signed, or --plain-http to do without",
            )

    @property
    def has_tls(self) -> bool:
        """Whether the server speaks TLS."""
        return self.tls_self_signed or self.tls_cert is not None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return all(is_loopback(address[0]) for _, address in self.listen.addresses)

    @property
    def is_exposed(self) -> bool:
        """Whether others can reach the server, straight or through a proxy."""
        return bool(self.external_url) or not self.is_loopback

    @property
    def state_folder(self) -> Path | None:
        """Where users and secrets lie."""
        return self.users or self.data

    def url(self, port: int) -> str:
        """How clients reach the server."""
        if self.external_url:
            return self.external_url.rstrip("/")
        return f"{'https' if self.has_tls else 'http'}://{self.host(port)}"

    def host(self, port: int) -> str:
        """How references name the server."""
        if self.external_url:
            return self.external_url.partition("://")[2].rstrip("/")
        name = self.names[0] if self.names else self.listen.host
        if name in ("0.0.0.0", "::"):  # noqa: S104 (it is not listened on here, but replaced)
            name = socket.gethostname().lower()
        return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"

    def own_names(self) -> tuple[str, ...]:
        """Names and addresses of the server, those that were asked for first."""
        external = urlsplit(self.external_url).hostname
        given = [*self.names, *([external] if external else [])]
        if not self.is_loopback:
            given.append(socket.gethostname())
        given += ["localhost", "127.0.0.1", "::1"]
        if not self.is_loopback:
            given += interface_addresses()
        return tuple(dict.fromkeys(given))

    def trusted(self) -> tuple[str, SelfSigned]:
        """The host and the authority that clients have to trust.

        Raises:
            SettingsError: There is none yet.
        """
        folder = self.state_folder
        if folder is None or not (folder / TLS_FOLDER / AUTHORITY).exists():
            raise SettingsError(
                "there is no authority to trust yet", hint="airgap serve --tls-self-signed makes it"
            )
        return self.host(self.listen.port), self_signed(folder / TLS_FOLDER, self.own_names())
