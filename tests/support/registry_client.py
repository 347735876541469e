"""Clients for tests: they wait for nobody, and note what they would have waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from airgap.registry.client import Client
from airgap.registry.credentials import Credential, CredentialStore
from airgap.registry.options import ClientOptions
from airgap.run import CancelToken, Event, Run

NOWHERE = Path("/nonexistent/airgap-tests")


class ImpatientToken(CancelToken):
    """A token whose waits end at once."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Note the wait."""
        self.check()
        self.waits.append(seconds)


class FixedCredentials(CredentialStore):
    """Gives one credential for everything."""

    def __init__(self, credential: Credential | None = None) -> None:
        super().__init__(NOWHERE)
        self.credential = credential

    def find(self, registry: str, repository: str = "") -> Credential | None:
        """Give it."""
        return self.credential


@dataclass
class Lab:
    """A client and what it said.

    Attributes:
        token: The cancel token.
        events: What was reported.
        now: What the clock says.
        credentials: What the client finds, unless it has a store of its own.
        client: The client.
    """

    token: ImpatientToken = field(default_factory=ImpatientToken)
    events: list[Event] = field(default_factory=list)
    now: float = 0.0
    credentials: FixedCredentials = field(default_factory=FixedCredentials)
    client: Client = field(init=False)

    def emit(self, event: Event) -> None:
        """Note an event."""
        self.events.append(event)

    @property
    def waits(self) -> list[float]:
        """The pauses between retries."""
        return self.token.waits


@contextmanager
def open_lab(
    options: ClientOptions | None = None,
    *,
    credentials: CredentialStore | None = None,
    jitter: Callable[[], float] = lambda: 0.0,
) -> Iterator[Lab]:
    """Open a client whose time stands still and whose retries come at once."""
    lab = Lab()
    lab.client = Client(
        options or ClientOptions(timeout=5.0),
        credentials or lab.credentials,
        run=Run(lab, lab.token),
        clock=lambda: lab.now,
        jitter=jitter,
    )
    with lab.client:
        yield lab
