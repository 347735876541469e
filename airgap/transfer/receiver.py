"""Where publications are put: a registry over the network, or a depot of this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from airgap.content.depot import Depot
from airgap.content.depot import Repository as StoredRepository
from airgap.content.ingest import PresentIngest
from airgap.content.store import Chunks, Ingest
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document
from airgap.registry.client import Client
from airgap.run import Run


class ReceivingRepository(Protocol):
    """One repository that content is put into."""

    @property
    def repository(self) -> str:
        """Its name within its registry."""
        ...

    @property
    def name(self) -> str:
        """Registry and repository."""
        ...

    @property
    def has_referrers_api(self) -> bool | None:
        """Whether referrers are listed without our doing; None while that is not known."""
        ...

    def resolve(self, reference: str, /) -> Descriptor | None:
        """Find what a tag or a digest names; None when there is no such manifest."""
        ...

    def manifest(self, reference: str, /, *, media_type: str = "") -> Document:
        """Get a manifest or index by tag or digest."""
        ...

    def has_blob(self, descriptor: Descriptor, /) -> bool:
        """Whether the blob is there."""
        ...

    def open(self, descriptor: Descriptor, /, *, offset: int = 0) -> AbstractContextManager[Chunks]:
        """Read a blob from an offset on, where it is to come into another repository."""
        ...

    def ingest(
        self, descriptor: Descriptor, /, *, mount_from: str | None = None
    ) -> AbstractContextManager[Ingest]:
        """Begin or go on with writing a blob, or take it over from another repository."""
        ...

    def mount(self, descriptor: Descriptor, /, *, from_repository: str) -> bool:
        """Link a blob of another repository; False where it must be sent instead."""
        ...

    def put_manifest(self, document: Document, /, *, tag: str | None = None) -> None:
        """Write a manifest or index with its exact bytes."""
        ...

    def referrers(self, subject: Digest, /) -> tuple[Descriptor, ...] | None:
        """What refers to the digest; None where the place cannot tell."""
        ...


class Receiver(Protocol):
    """A place with repositories that content is put into."""

    @property
    def registry(self) -> str:
        """What it is called in names of images."""
        ...

    @property
    def width(self) -> int:
        """How many things it takes at a time."""
        ...

    def within(self, run: Run) -> Receiver:
        """The same place, whose waits end with a run."""
        ...

    def repository(self, name: str, /) -> ReceivingRepository:
        """One of its repositories."""
        ...


class RegistryReceiver:
    """A registry over the network.

    Args:
        client: Talks to it.
        registry: Its host.
    """

    def __init__(self, client: Client, registry: str) -> None:
        self._client = client
        self.registry = registry

    @property
    def width(self) -> int:
        """How many connections there may be."""
        return self._client.options.jobs

    def within(self, run: Run) -> RegistryReceiver:
        """The same registry, whose waits end with a run."""
        return RegistryReceiver(self._client.within(run), self.registry)

    def repository(self, name: str, /) -> ReceivingRepository:
        """One of its repositories."""
        return self._client.repository(self.registry, name, origin="destination")


class DepotReceiver:
    """A depot of this process.

    Args:
        depot: Where content is put.
        registry: What it is called in names of images.
        width: How many things at a time.
    """

    def __init__(self, depot: Depot, registry: str, *, width: int = 1) -> None:
        self._depot = depot
        self.registry = registry
        self.width = width

    def within(self, run: Run) -> DepotReceiver:
        """The same: it never waits."""
        del run
        return self

    def repository(self, name: str, /) -> ReceivingRepository:
        """One of its repositories."""
        return _DepotRepository(self._depot.repository(name), self.registry, name)


class _DepotRepository:
    """A repository of a depot."""

    has_referrers_api = True

    def __init__(self, stored: StoredRepository, registry: str, name: str) -> None:
        self._stored = stored
        self.repository = name
        self.name = f"{registry}/{name}"

    def resolve(self, reference: str, /) -> Descriptor | None:
        return self._stored.resolve(reference)

    def manifest(self, reference: str, /, *, media_type: str = "") -> Document:
        return self._stored.manifest(reference, media_type=media_type)

    def has_blob(self, descriptor: Descriptor, /) -> bool:
        return self._stored.has_blob(descriptor)

    def open(self, descriptor: Descriptor, /, *, offset: int = 0) -> AbstractContextManager[Chunks]:
        return self._stored.open(descriptor, offset=offset)

    @contextmanager
    def ingest(
        self, descriptor: Descriptor, /, *, mount_from: str | None = None
    ) -> Iterator[Ingest]:
        if mount_from and self._stored.mount(descriptor, from_repository=mount_from):
            yield PresentIngest(descriptor)
            return
        with self._stored.ingest(descriptor) as ingest:
            yield ingest

    def mount(self, descriptor: Descriptor, /, *, from_repository: str) -> bool:
        return self._stored.mount(descriptor, from_repository=from_repository)

    def put_manifest(self, document: Document, /, *, tag: str | None = None) -> None:
        self._stored.put_manifest(document, tag=tag)

    def referrers(self, subject: Digest, /) -> tuple[Descriptor, ...] | None:
        return self._stored.referrers(subject)
