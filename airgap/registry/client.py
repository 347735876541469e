"""The client: opens repositories of registries, and holds what they share."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal, Self

from airgap.errors import Origin
from airgap.registry.auth import Authorizer
from airgap.registry.catalog import list_repositories
from airgap.registry.challenge import Access
from airgap.registry.channel import Channel, Network
from airgap.registry.credentials import Credential, CredentialStore
from airgap.registry.inventory import fetch_inventory
from airgap.registry.options import ClientOptions
from airgap.registry.repository import Repository
from airgap.registry.retry import Retrier, RetryPolicy
from airgap.registry.scheme import Schemes
from airgap.registry.tls import TlsContexts
from airgap.registry.transport import Request, Transport
from airgap.run import Run


class Client:
    """Talks to registries. Safe to be shared by threads; close it when done.

    Args:
        options: How registries are reached.
        credentials: Where credentials are found; by default there are none.
        run: Where facts are reported, and what ends waiting.
        clock: Gives seconds that only grow; for tests.
        jitter: Gives numbers from 0 to 1 that spread retries; for tests.
    """

    def __init__(
        self,
        options: ClientOptions | None = None,
        credentials: CredentialStore | None = None,
        *,
        run: Run | None = None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] | None = None,
    ) -> None:
        options, run = options or ClientOptions(), run or Run()
        self.options = options
        self._credentials = credentials
        self._transport = Transport(options, TlsContexts(options))
        policy = RetryPolicy(retries=options.retries, max_wait=options.max_wait)
        self.network = Network(
            self._transport, Schemes(options), Retrier(policy, run=run, jitter=jitter), run, clock
        )
        self._lock = threading.Lock()
        self._channels: dict[tuple[str, str], Channel] = {}
        self._authorizers: dict[str, Authorizer] = {}
        self._repositories: dict[tuple[str, str, str], Repository] = {}

    def within(self, run: Run) -> Self:
        """The same client, with its connections and tokens, for a part of the work.

        Args:
            run: Its cancellation ends the waits between retries, too.
        """
        other = copy.copy(self)
        other.network = replace(self.network, retrier=self.network.retrier.within(run), run=run)
        other._channels = {}
        other._repositories = {}
        return other

    def repository(
        self, registry: str, repository: str, *, origin: Literal["source", "destination"]
    ) -> Repository:
        """Open a repository. What is known about it is kept as long as the client.

        Args:
            registry: The registry, as in a `Reference`.
            repository: The name of the repository.
            origin: Which side of a transfer it is; each side has connections of its own.
        """
        with self._lock:
            key = (registry, repository, origin)
            if (known := self._repositories.get(key)) is None:
                channel = self._channel(registry, origin)
                known = self._repositories[key] = Repository(channel, repository)
            return known

    def inventory(self, registry: str) -> bytes | None:
        """What a registry holds, as one inventory; None from one that makes none.

        Args:
            registry: The registry, as in a `Reference`.

        Raises:
            RegistryProtocolError: The inventory is too large.
            UnavailableError: The registry cannot be reached.
        """
        with self._lock:
            channel = self._channel(registry, "source")
        return fetch_inventory(channel)

    def repositories(self, registry: str) -> Iterator[str]:
        """The repositories that a registry lists. Pages are got as they are needed.

        Args:
            registry: The registry, as in a `Reference`.

        Raises:
            UnauthorizedError: The list is closed to us.
            ContentNotFoundError: There is no list.
        """
        with self._lock:
            channel = self._channel(registry, "source")
        return list_repositories(channel)

    def check_login(self, registry: str, credential: Credential) -> None:
        """Find out whether a registry takes a credential (distribution-spec, endpoint 1).

        Raises:
            UnauthorizedError: It does not.
            UnavailableError: It cannot be reached.
        """
        authorizer = Authorizer(
            registry, lambda _: credential, self._transport, clock=self.network.clock
        )
        channel = Channel(registry, "destination", self.network, authorizer)
        what = "the login"

        def ask() -> None:
            with channel.ask(Request("GET"), "/v2/", access=Access(), what=what) as response:
                if response.status != 200:
                    raise channel.refused(response, what)

        channel.call(what, ask)
        if channel.current_header(Access()) is None:
            self.network.run.warn(
                "login-unchecked",
                f"{registry} did not ask who this is, so that the password could not be tried",
            )

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _channel(self, registry: str, origin: Origin) -> Channel:
        key = (registry, str(origin))
        if (known := self._channels.get(key)) is None:
            if (authorizer := self._authorizers.get(registry)) is None:

                def find(repository: str) -> Credential | None:
                    store = self._credentials
                    return store.find(registry, repository) if store is not None else None

                authorizer = self._authorizers[registry] = Authorizer(
                    registry, find, self._transport, clock=self.network.clock
                )
            known = Channel(registry, origin, self.network, authorizer)
            self._channels[key] = known
        return known
