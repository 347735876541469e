"""How TLS is spoken: trust, client certificates, and hosts that are not checked."""

from __future__ import annotations

import ssl
from functools import cached_property
from pathlib import Path

import urllib3

from airgap.errors import SettingsError
from airgap.registry.options import ClientOptions


class TlsContexts:
    """Makes the contexts, each once and only when a connection needs it: that takes a while."""

    def __init__(self, options: ClientOptions) -> None:
        self._options = options

    @cached_property
    def trusted(self) -> ssl.SSLContext:
        """Checks certificates by the system's trust and the CA file.

        Raises:
            SettingsError: A file cannot be read or holds no certificate.
        """
        context = ssl.create_default_context()
        if (path := self._options.ca_file) is not None:
            _load(path, "--ca-file", lambda: context.load_verify_locations(cafile=path))
        self._add_certificate(context)
        return context

    @cached_property
    def public(self) -> ssl.SSLContext:
        """Like `trusted`, without the client certificate: for hosts that are no registry of ours.

        Raises:
            SettingsError: The CA file cannot be read or holds no certificate.
        """
        context = ssl.create_default_context()
        if (path := self._options.ca_file) is not None:
            _load(path, "--ca-file", lambda: context.load_verify_locations(cafile=path))
        return context

    @cached_property
    def unchecked(self) -> ssl.SSLContext:
        """Takes any certificate, where the user said so for a host."""
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        context = unchecked_context()
        self._add_certificate(context)
        return context

    def _add_certificate(self, context: ssl.SSLContext) -> None:
        if (cert := self._options.cert) is not None:
            key = self._options.key
            _load(cert, "--cert or --key", lambda: context.load_cert_chain(cert, key))


def unchecked_context() -> ssl.SSLContext:
    """A context that finds out whether TLS is spoken at all; it trusts everybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _load(path: Path, option: str, load: object) -> None:
    assert callable(load)
    try:
        load()
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{option}: {path} cannot be used: {error.__class__.__name__}",
            hint="it must be readable and hold PEM",
        ) from error
