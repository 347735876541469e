"""Whether a registry is spoken to with TLS: always, but where the user or loopback says else."""

from __future__ import annotations

import socket
import ssl
import threading

from airgap.errors import Origin, UnavailableError
from airgap.registry.endpoint import Endpoint, registry_endpoint
from airgap.registry.failure import is_not_tls
from airgap.registry.options import ClientOptions
from airgap.registry.retry import TransientError
from airgap.registry.tls import unchecked_context

_PROBE_TIMEOUT = 10.0


class Schemes:
    """Finds the endpoint of each registry, and remembers it.

    A registry on loopback may speak plain HTTP without being named. Whether it speaks TLS is
    found out by a handshake that sends no request: nothing can leak to the wrong kind of server.
    """

    def __init__(self, options: ClientOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._known: dict[str, Endpoint] = {}

    def endpoint(self, registry: str, *, origin: Origin | None = None) -> Endpoint:
        """The endpoint of a registry.

        Raises:
            TransientError: It is on loopback and cannot be reached.
            SettingsError: It is not the name of a registry.
        """
        with self._lock:
            if (known := self._known.get(registry)) is None:
                known = self._known[registry] = self._find(registry, origin)
        return known

    def _find(self, registry: str, origin: Origin | None) -> Endpoint:
        plain = registry_endpoint(registry, "http")
        secure = registry_endpoint(registry, "https")
        hosts = self._options.plain_http
        if plain.is_named_in(hosts) or secure.is_named_in(hosts):
            return plain
        if not secure.is_loopback:
            return secure
        explicit = registry.rpartition(":")[2].rstrip("]").isdecimal() and ":" in registry
        if _speaks_tls(secure, min(self._options.timeout, _PROBE_TIMEOUT), explicit, origin):
            return secure
        return plain


def _speaks_tls(endpoint: Endpoint, timeout: float, has_port: bool, origin: Origin | None) -> bool:
    """Try a handshake.

    Without a port of its own, a refused connection at 443 means that 80 is meant.
    """
    try:
        sock = socket.create_connection((endpoint.host, endpoint.port), timeout)
    except OSError as error:
        if not has_port:
            return False
        reason = (error.strerror or "no connection").lower()
        raise TransientError(
            UnavailableError(
                f"{endpoint.netloc} cannot be reached: {reason}",
                hint="check that the registry runs and listens at that port",
                origin=origin,
            )
        ) from error
    with sock:
        try:
            unchecked_context().wrap_socket(sock, server_hostname=endpoint.host).close()
        except ssl.SSLError as error:
            # A server that speaks TLS and refuses ours answers with an alert; others do not.
            return "ALERT" in str(error).upper() and not is_not_tls(str(error))
        except TimeoutError as error:
            raise TransientError(
                UnavailableError(
                    f"{endpoint.netloc} says nothing to a TLS handshake",
                    hint="check that the registry runs there; if it speaks no TLS: --plain-http "
                    f"{endpoint.netloc}",
                    origin=origin,
                )
            ) from error
        except OSError:
            return False
    return True
