"""Connections: exactly one request on one of them. No retry, no credentials, no redirect."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn, cast

import urllib3
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, ProxyManager
from urllib3.exceptions import HTTPError, LocationParseError

from airgap.errors import Origin, SettingsError
from airgap.registry.endpoint import Endpoint, Url, is_reached_directly
from airgap.registry.failure import network_failure
from airgap.registry.options import ClientOptions
from airgap.registry.response import Response
from airgap.registry.tls import TlsContexts

_BLOCK = 1 << 20
Body = bytes | Iterator[bytes | memoryview]


Pool = HTTPConnectionPool | ProxyManager


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked.

    Attributes:
        method: The method.
        headers: Headers beside those that every request has.
        body: What is sent; an iterator can be sent only once.
    """

    method: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Body | None = field(default=None, repr=False)

    @property
    def is_replayable(self) -> bool:
        """Whether it can be sent a second time."""
        return self.body is None or isinstance(self.body, bytes)


class Transport:
    """Holds the connections of a client, by endpoint and lane.

    Each lane has connections of its own: one thread may hold a download on one lane while it
    sends on another, so that a limit on both together could wait for itself.
    """

    def __init__(self, options: ClientOptions, contexts: TlsContexts) -> None:
        self._options = options
        self._contexts = contexts
        self._lock = threading.Lock()
        self._pools: dict[tuple[Endpoint, str, str], tuple[Pool, bool]] = {}
        self._closers: list[Pool] = []
        self._headers = {"User-Agent": options.user_agent, "Accept-Encoding": "identity"}

    def send(
        self,
        request: Request,
        url: Url,
        *,
        lane: str,
        origin: Origin | None = None,
        address: str = "",
    ) -> Response:
        """Send one request and give its answer, whatever its status.

        Args:
            request: What to send.
            url: Where to.
            lane: Whose connections are used.
            origin: Which side failed if it fails.
            address: The address to connect to, where it was settled before.

        Raises:
            TransientError: The network failed in a way that may go away.
            AirgapError: It failed for good.
        """

        def fail(error: Exception) -> NoReturn:
            raise network_failure(error, url.endpoint, origin=origin) from error

        headers = {**self._headers, **request.headers}
        if address:
            headers["Host"] = url.endpoint.netloc
        pool, is_proxied = self._pool(url.endpoint, lane, address)
        try:
            raw = pool.urlopen(
                request.method,
                str(url) if is_proxied else url.target,
                # What the annotation does not say: any buffer may be sent.
                body=cast("Iterable[bytes]", request.body),
                headers=headers,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except (HTTPError, OSError, ValueError) as error:
            fail(error)
        return Response(raw, url, fail)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for closer in self._closers:
                if isinstance(closer, ProxyManager):
                    closer.clear()
                else:
                    closer.close()
            self._closers.clear()
            self._pools.clear()

    def is_proxied(self, endpoint: Endpoint) -> bool:
        """Whether an endpoint is reached through a proxy."""
        return self._proxy(endpoint) is not None

    def _proxy(self, endpoint: Endpoint) -> str | None:
        options = self._options
        by_scheme = options.https_proxy if endpoint.scheme == "https" else options.http_proxy
        proxy = options.proxy or by_scheme
        if not proxy or is_reached_directly(endpoint.host, endpoint.port, options.no_proxy):
            return None
        return proxy if "://" in proxy else f"http://{proxy}"

    def _pool(self, endpoint: Endpoint, lane: str, address: str) -> tuple[Pool, bool]:
        key = (endpoint, lane, address)
        with self._lock:
            if (known := self._pools.get(key)) is None:
                proxy = None if address else self._proxy(endpoint)
                made: Pool = (
                    self._direct(endpoint, lane, address)
                    if proxy is None
                    else self._through(proxy, endpoint, lane)
                )
                self._closers.append(made)
                known = self._pools[key] = (made, proxy is not None)
        return known

    def _direct(self, endpoint: Endpoint, lane: str, address: str) -> HTTPConnectionPool:
        options = self._options
        timeout = urllib3.Timeout(connect=options.timeout, read=options.timeout)
        host = address or endpoint.host
        size = max(1, options.jobs)
        if endpoint.scheme == "http":
            return HTTPConnectionPool(
                host, endpoint.port, timeout=timeout, maxsize=size, block=True, blocksize=_BLOCK
            )
        return HTTPSConnectionPool(
            host,
            endpoint.port,
            timeout=timeout,
            maxsize=size,
            block=True,
            blocksize=_BLOCK,
            ssl_context=self._context(endpoint, lane),
            server_hostname=endpoint.host if address else None,
        )

    def _through(self, proxy: str, endpoint: Endpoint, lane: str) -> ProxyManager:
        options = self._options
        try:
            parsed = urllib3.util.parse_url(proxy)
            auth = urllib3.make_headers(proxy_basic_auth=parsed.auth) if parsed.auth else None
            return ProxyManager(
                parsed._replace(auth=None).url,
                proxy_headers=auth,
                proxy_ssl_context=None if parsed.scheme == "http" else self._contexts.public,
                timeout=urllib3.Timeout(connect=options.timeout, read=options.timeout),
                maxsize=max(1, options.jobs),
                block=True,
                blocksize=_BLOCK,
                ssl_context=self._context(endpoint, lane) if endpoint.scheme == "https" else None,
            )
        except (LocationParseError, urllib3.exceptions.ProxySchemeUnknown) as error:
            raise SettingsError(
                "the proxy's address makes no sense", hint="write http://host:port"
            ) from error

    def _context(self, endpoint: Endpoint, lane: str) -> object:
        if endpoint.is_named_in(self._options.insecure) and lane != FOREIGN:
            return self._contexts.unchecked
        if lane == FOREIGN or lane.startswith(ELSEWHERE):
            return self._contexts.public
        return self._contexts.trusted


TOKENS = "tokens"
"""The lane of token servers, which may be the registry itself."""

ELSEWHERE = "elsewhere-"
"""How the lanes of hosts begin that a registry redirects to: no client certificate for them."""

FOREIGN = "foreign"
"""The lane of hosts that layer urls name."""
