"""A repository that only pretends to take manifests: how a dry run learns what would be sent."""

from __future__ import annotations

from contextlib import AbstractContextManager

from airgap.content.store import Chunks, Ingest
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document
from airgap.transfer.receiver import ReceivingRepository


class RehearsedRepository:
    """Answers as a repository would after what it was given; the repository itself is only read.

    Args:
        real: The repository.
    """

    def __init__(self, real: ReceivingRepository) -> None:
        self._real = real
        self._taken: dict[str, Document] = {}

    @property
    def repository(self) -> str:
        """Its name within its registry."""
        return self._real.repository

    @property
    def name(self) -> str:
        """Registry and repository."""
        return self._real.name

    @property
    def has_referrers_api(self) -> bool | None:
        """Whether referrers are listed without our doing; None while that is not known."""
        return self._real.has_referrers_api

    def resolve(self, reference: str, /) -> Descriptor | None:
        """Find what a tag or a digest names, or would name."""
        taken = self._taken.get(reference)
        return self._real.resolve(reference) if taken is None else taken.descriptor

    def manifest(self, reference: str, /, *, media_type: str = "") -> Document:
        """Get a manifest or index by tag or digest."""
        taken = self._taken.get(reference)
        return self._real.manifest(reference, media_type=media_type) if taken is None else taken

    def has_blob(self, descriptor: Descriptor, /) -> bool:
        """Whether the blob is there."""
        return self._real.has_blob(descriptor)

    def open(self, descriptor: Descriptor, /, *, offset: int = 0) -> AbstractContextManager[Chunks]:
        """Never called: a dry run reads no blob."""
        raise AssertionError(f"a dry run would read {descriptor.digest} from {offset} on")

    def ingest(
        self, descriptor: Descriptor, /, *, mount_from: str | None = None
    ) -> AbstractContextManager[Ingest]:
        """Never called: a dry run opens no blob."""
        raise AssertionError(f"a dry run would write {descriptor.digest} to {self.name}")

    def mount(self, descriptor: Descriptor, /, *, from_repository: str) -> bool:
        """Never called: a dry run mounts no blob."""
        raise AssertionError(f"a dry run would mount {descriptor.digest} in {self.name}")

    def put_manifest(self, document: Document, /, *, tag: str | None = None) -> None:
        """Remember what would be there."""
        self._taken[str(document.descriptor.digest)] = document
        if tag is not None:
            self._taken[tag] = document

    def referrers(self, subject: Digest, /) -> tuple[Descriptor, ...] | None:
        """What refers to the digest; None where the place cannot tell."""
        return self._real.referrers(subject)
