"""One repository of a registry, as a place like any other (`content.store.Store`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from airgap.content.store import Chunks
from airgap.errors import CancelledError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document
from airgap.registry.blobs import Blobs
from airgap.registry.challenge import Access
from airgap.registry.channel import Channel
from airgap.registry.manifests import Manifests
from airgap.registry.mounts import UploadHabits, mount
from airgap.registry.referrers import ReferrersSupport, list_referrers
from airgap.registry.tags import list_tags
from airgap.registry.uploads import Upload


class Repository:
    """A repository that is read from or written to. Safe to be shared by threads.

    Args:
        channel: The registry, as one side of a transfer.
        repository: The name of the repository.
    """

    def __init__(self, channel: Channel, repository: str) -> None:
        self.registry = channel.registry
        self.repository = repository
        self._channel = channel
        # A destination asks with the token that it writes with: one token instead of two.
        self._access = Access(repository, write=channel.origin == "destination")
        self._blobs = Blobs(channel, repository)
        self._manifests = Manifests(channel, repository)
        self._support = ReferrersSupport()
        self._habits = UploadHabits()

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}"

    @property
    def has_referrers_api(self) -> bool | None:
        """Whether the registry lists referrers; None while that is not known.

        False after a referrer was pushed and no OCI-Subject came back: then the fallback tag has
        to be kept.
        """
        return self._support.has_api

    def resolve(self, reference: str, /) -> Descriptor | None:
        """Find what a tag or a digest names; None when there is no such manifest."""
        return self._manifests.resolve(reference, access=self._access)

    def manifest(self, reference: str, /, *, media_type: str = "") -> Document:
        """Get a manifest or index with one request, verified if by digest.

        Raises:
            ContentNotFoundError: There is none.
        """
        return self._manifests.get(reference, media_type=media_type)

    def has_blob(self, descriptor: Descriptor, /) -> bool:
        """Whether the blob is there.

        Raises:
            SizeMismatchError: It is there and has another size.
        """
        return self._blobs.has(descriptor, access=self._access)

    def open(self, descriptor: Descriptor, /, *, offset: int = 0) -> AbstractContextManager[Chunks]:
        """Read a blob from an offset on; where the connection breaks it goes on by itself."""
        return self._blobs.open(descriptor, offset=offset)

    @contextmanager
    def ingest(
        self, descriptor: Descriptor, /, *, mount_from: str | None = None
    ) -> Iterator[Upload]:
        """Send a blob, or have it mounted where the registry has it already.

        Args:
            descriptor: The blob.
            mount_from: A repository of the same registry that is known to have it.
        """
        upload = Upload(
            self._channel,
            self.repository,
            descriptor,
            mount_from=mount_from,
            habits=self._habits,
            has_blob=lambda: self._blobs.has_once(descriptor, access=self._access),
        )
        try:
            yield upload
        except CancelledError:
            # After a cancellation nothing more is said to the destination.
            raise
        except BaseException:
            upload.abort()
            raise
        upload.abort()

    def mount(self, descriptor: Descriptor, /, *, from_repository: str) -> bool:
        """Link a blob of another repository; False where it must be sent instead."""
        return self._channel.call(
            f"a mount in {self.repository}",
            lambda: mount(
                self._channel, self.repository, descriptor.digest, from_repository=from_repository
            ),
        )

    def put_manifest(self, document: Document, /, *, tag: str | None = None) -> None:
        """Push a manifest or index with its exact bytes, by digest or under a tag.

        Raises:
            MissingSuccessorError: The registry wants what it points at to be there first.
        """
        told = self._manifests.put(document, tag=tag)
        if document.subject is not None:
            self._support.accepts = told == str(document.subject.digest)

    def tags(self) -> Iterator[str]:
        """All tags; none where the repository does not exist. Pages are got as they are needed."""
        return list_tags(self._channel, self.repository, access=self._access)

    def referrers(self, subject: Digest, /) -> tuple[Descriptor, ...] | None:
        """What refers to the digest; None where the registry cannot tell."""
        return list_referrers(self._channel, self.repository, subject, support=self._support)
