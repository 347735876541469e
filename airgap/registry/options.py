"""What a client is told about networks: plain values, whoever read them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from airgap.version import __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """How registries are reached.

    Attributes:
        plain_http: Hosts (`host` or `host:port`) that are spoken to without TLS.
        insecure: Hosts whose TLS certificate is not checked.
        ca_file: Certificates that are trusted beside the system's.
        cert: A client certificate, with its key in `key` or in the same file.
        key: The key of the client certificate.
        proxy: A proxy for every host; loopback hosts and those of `no_proxy` are reached directly.
        http_proxy: A proxy for http only, as environments name it. `proxy` wins.
        https_proxy: A proxy for https only.
        no_proxy: Hosts, domains (`.example.com`) or networks that are reached directly; `*` is all.
        retries: How often a request is repeated without any progress.
        timeout: Seconds without a byte after which a connection counts as broken.
        max_wait: The longest pause in seconds that a server may ask for.
        jobs: How many connections a registry gets at most, for each side of a transfer.
        allow_hosts: Hosts of layer urls that may lie in a private network.
        user_agent: What the client calls itself.
    """

    plain_http: frozenset[str] = frozenset()
    insecure: frozenset[str] = frozenset()
    ca_file: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    proxy: str | None = None
    http_proxy: str | None = None
    https_proxy: str | None = None
    no_proxy: tuple[str, ...] = ()
    retries: int = 5
    timeout: float = 60.0
    max_wait: float = 300.0
    jobs: int = 4
    allow_hosts: frozenset[str] = frozenset()
    user_agent: str = f"airgap/{__version__}"
