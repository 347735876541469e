"""The server's TLS: a certificate that is read again when its files change.

Each handshake takes the newest certificate by way of OpenSSL's server-name callback, which is
called for clients that name no server as well; connections that are open stay as they are.
"""

from __future__ import annotations

import logging
import ssl
import time
from asyncio import sslproto
from collections.abc import Callable
from pathlib import Path

from airgap.errors import SettingsError

CHECK_SECONDS = 1.0
"""How often the files are looked at, at most."""

READ_BUFFER = 32 << 10
"""How much of what a client sends is decrypted at once. asyncio sets eight times that aside for
each connection, which is more than half of the memory of a server with many clients."""

_Stamp = tuple[tuple[int, int, int], ...]
_log = logging.getLogger(__name__)


class ServerTls:
    """The certificate of a server.

    Args:
        certificate: The file with the certificate and those between it and its authority.
        key: The file with its key; None where that is in the same file.
        now: The clock.

    Attributes:
        context: What the server's sockets use.

    Raises:
        SettingsError: The files cannot be read, or do not belong together.
    """

    def __init__(
        self, certificate: Path, key: Path | None = None, *, now: Callable[[], float] | None = None
    ) -> None:
        self._certificate = certificate
        self._key = key
        self._now = now or time.monotonic
        self._stamp = self._look()
        self.context = self._current = _load(certificate, key)
        self._checked = self._now()
        self.context.sni_callback = self._choose
        sslproto.SSLProtocol.max_size = READ_BUFFER

    def _choose(
        self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext
    ) -> int | None:
        if self._now() - self._checked >= CHECK_SECONDS:
            self._checked = self._now()
            self._reload()
        if self._current is not context:
            connection.context = self._current
        return None

    def _reload(self) -> None:
        """Take the files if they changed; what does not work is told of once, and not taken."""
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            self._current = _load(self._certificate, self._key)
        except SettingsError as error:
            _log.warning("the certificate is kept as it was: %s", error)
            return
        _log.info("the certificate %s was read again", self._certificate)

    def _look(self) -> _Stamp:
        found = []
        for path in (self._certificate, self._key):
            if path is None:
                continue
            try:
                status = path.stat()
            except OSError:
                found.append((0, 0, 0))  # also a file that went away has changed
            else:
                found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(found)


def _load(certificate: Path, key: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # renegotiation and compression are off by Python's own defaults
    for path in (certificate, key):
        if path is not None:
            _check_readable(path)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        what = f"{certificate} and {key}" if key else str(certificate)
        reason = (error.reason or "no certificate and key in PEM").lower().replace("_", " ")
        raise SettingsError(
            f"{what} cannot be used for TLS: {reason}",
            hint="the certificate comes first, then those that signed it; the key has no password",
        ) from error
    return context


def _no_password() -> str:
    raise SettingsError(
        "the key is encrypted, and a server has nobody to ask for its password",
        hint="openssl pkey -in KEY -out NEWKEY",
    )


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read: {error.strerror or error}",
            hint="check that the file is there and that you may read it",
        ) from error
