"""Registries that have the blobs of a bundle: where it was imported to, or where it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from airgap.bundle.catalog import Catalog
from airgap.content.store import Chunks
from airgap.errors import AirgapError, CancelledError, ContentNotFoundError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document
from airgap.registry.client import Client
from airgap.registry.repository import Repository
from airgap.transfer.destination import Destination, plan_targets
from airgap.transfer.publication import plan_publications


class RegistryCopy:
    """A registry, in which images have the names that an import gave them.

    Args:
        client: Talks to it.
        destination: The registry, and the path below which the repositories lie.
        catalog: What the bundle carries.
        documents: Its manifests and indexes.
        keep_host: Whether the source registry's host is the first part of the path.
    """

    def __init__(
        self,
        client: Client,
        destination: Destination,
        catalog: Catalog,
        documents: Mapping[Digest, Document],
        *,
        keep_host: bool = False,
    ) -> None:
        self.name = str(destination)
        self._client = client
        self._registry = destination.registry
        self._homes: dict[Digest, list[str]] = {}
        self._found: dict[Digest, Repository] = {}
        targets = plan_targets(catalog.images, destination, keep_host=keep_host)
        for publication in plan_publications(targets, catalog, documents):
            for blob in publication.blobs:
                self._homes.setdefault(blob.digest, []).append(publication.target.repository)

    def has_blob(self, descriptor: Descriptor, /) -> bool:
        """Whether any of the repositories that would have it does."""
        failure: AirgapError | None = None
        for name in dict.fromkeys(self._homes.get(descriptor.digest, ())):
            repository = self._client.repository(self._registry, name, origin="source")
            try:
                if repository.has_blob(descriptor):
                    self._found[descriptor.digest] = repository
                    return True
            except CancelledError:
                raise
            except AirgapError as error:  # another repository may let us in
                failure = error
        if failure is not None:
            raise failure
        return False

    @contextmanager
    def open(self, descriptor: Descriptor, /, *, offset: int = 0) -> Iterator[Chunks]:
        """Read a blob from an offset on.

        Raises:
            ContentNotFoundError: It was not found here.
        """
        repository = self._found.get(descriptor.digest)
        if repository is None:
            raise ContentNotFoundError(f"{self.name} has no blob {descriptor.digest}")
        with repository.open(descriptor, offset=offset) as chunks:
            yield chunks
