"""The places that an export reads from: repositories of registries, or what stands in for them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from airgap.bundle.catalog import Omission
from airgap.content.store import Chunks
from airgap.errors import IntegrityError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document
from airgap.oci.reference import Reference
from airgap.registry.client import Client
from airgap.registry.foreign import open_foreign
from airgap.registry.repository import Repository
from airgap.run import Run
from airgap.transfer.known import Witness
from airgap.transfer.referrers import ReferrerFinder
from airgap.transfer.resolution import FoundReferrer

MAX_THREADS = 32
"""However many registries there are; what one of them gets is not cut by this."""


class SourceRepository(Protocol):
    """The part of a `content.store.Source` that an export needs."""

    def resolve(self, reference: str, /) -> Descriptor | None:
        """What a tag or digest stands for; None where there is no such manifest."""
        ...

    def manifest(self, reference: str, /, *, media_type: str = "") -> Document:
        """Get a manifest or index by tag or digest."""
        ...

    def has_blob(self, descriptor: Descriptor, /) -> bool:
        """Whether the blob can be read here."""
        ...

    def open(self, descriptor: Descriptor, /, *, offset: int = 0) -> AbstractContextManager[Chunks]:
        """Read a blob from an offset on."""
        ...


class Sources(Protocol):
    """Repositories by their full names, and what is known of all of them."""

    @property
    def width(self) -> int:
        """How many threads all of them are worth."""
        ...

    @property
    def scope(self) -> Run:
        """What ends the waits of this transfer; cancelled when the transfer fails."""
        ...

    @property
    def left_out(self) -> Mapping[Digest, Omission]:
        """What the sources left out on purpose themselves and none of them has."""
        ...

    @property
    def loads(self) -> Mapping[Reference, Digest]:
        """What engines without indexes get of an image, where a source says so."""
        ...

    @property
    def held(self) -> tuple[Witness, ...]:
        """What the sources left to the receiver themselves and none of them has."""
        ...

    def open(self, name: str) -> SourceRepository:
        """Open `registry/repository`."""
        ...

    def referrers(
        self, name: str, digest: Digest
    ) -> tuple[tuple[FoundReferrer, ...], tuple[Document, ...]]:
        """Find what refers to a digest, and the manifests of it that were read for that."""
        ...

    def open_foreign(
        self, descriptor: Descriptor, *, offset: int = 0
    ) -> AbstractContextManager[Chunks]:
        """Read a layer from the urls that it names."""
        ...

    def accuse(
        self, error: IntegrityError, descriptor: Descriptor, repositories: tuple[str, ...]
    ) -> None:
        """Let an error say which source gave wrong bytes, and what to do."""
        ...


class RegistrySources:
    """Opens repositories of registries by their full names, each once.

    Args:
        client: Talks to registries.
        registries: How many different ones there are.
        jobs: How many requests one of them gets at a time.
        run: The run of the whole transfer.

    Attributes:
        width: How many threads all of them are worth.
        scope: Ends the waits of this transfer's requests; cancelled when the transfer fails.
        left_out: Nothing: a registry does not say what it lacks.
        loads: Nothing: a registry leaves that to who exports.
        held: Nothing: a registry leaves nothing to anybody.
    """

    def __init__(self, client: Client, *, registries: int, jobs: int, run: Run) -> None:
        self.scope = run.scoped()
        self.left_out: Mapping[Digest, Omission] = {}
        self.loads: Mapping[Reference, Digest] = {}
        self.held: tuple[Witness, ...] = ()
        self._client = client.within(self.scope)
        self._finder = ReferrerFinder(self.open)
        self._lock = threading.Lock()
        self._open: dict[str, Repository] = {}
        self.width = max(jobs, min(MAX_THREADS, registries * jobs))

    def open(self, name: str) -> Repository:
        """Open `registry/repository`."""
        with self._lock:
            repository = self._open.get(name)
            if repository is None:
                registry, _, path = name.partition("/")
                repository = self._client.repository(registry, path, origin="source")
                self._open[name] = repository
            return repository

    def referrers(
        self, name: str, digest: Digest
    ) -> tuple[tuple[FoundReferrer, ...], tuple[Document, ...]]:
        """Find what refers to a digest, and the manifests of it that were read for that.

        Raises:
            AirgapError: The registry could not tell: this is never taken for "none".
        """
        return self._finder.find(name, digest)

    def open_foreign(
        self, descriptor: Descriptor, *, offset: int = 0
    ) -> AbstractContextManager[Chunks]:
        """Read a layer from the urls that it names."""
        return open_foreign(self._client, descriptor, offset=offset)

    def accuse(
        self, error: IntegrityError, descriptor: Descriptor, repositories: tuple[str, ...]
    ) -> None:
        """Let an error say which registry gave wrong bytes, and what to do."""
        del descriptor
        names = " or ".join(repositories)
        error.hint = error.hint or f"it came from {names}: ask who runs the registry"
