"""The protocols of places: a repository of a registry, a bundle, a layout folder, memory.

Content is pulled: whoever moves a blob hands the receiving side a function that opens the source
at an offset, so that the receiver can start where it already is and can ask again from another
offset when a connection breaks. Powers that only some places have are small protocols of their
own, found with `isinstance`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document

CHUNK_SIZE = 1 << 20
"""How many bytes are read, hashed and written at once. Larger did not measure faster."""

Chunks = Iterator[bytes]


class Opener(Protocol):
    """Opens the content of one blob at an offset, as often as it is asked to."""

    def __call__(self, offset: int, /) -> AbstractContextManager[Chunks]:
        """Give chunks from the offset to the end.

        Raises:
            UnavailableError: The source cannot go back that far (a pipe), or cannot be reached.
        """
        ...


class Source(Protocol):
    """A place to read from. `name` says which, for people."""

    @property
    def name(self) -> str:
        """What this place is called in messages."""
        ...

    def resolve(self, reference: str, /) -> Descriptor | None:
        """Find what a tag or a digest names; None when there is no such manifest."""
        ...

    def manifest(self, reference: str, /, *, media_type: str = "") -> Document:
        """Get a manifest or index by tag or digest, verified if by digest.

        Args:
            reference: A tag, or a digest with its algorithm.
            media_type: What a descriptor says it is: used where the place does not keep types.

        Raises:
            ContentNotFoundError: There is none.
        """
        ...

    def has_blob(self, descriptor: Descriptor, /) -> bool:
        """Whether the blob can be read here."""
        ...

    def open(self, descriptor: Descriptor, /, *, offset: int = 0) -> AbstractContextManager[Chunks]:
        """Read a blob from an offset on, in chunks of at most `CHUNK_SIZE` bytes.

        The bytes are not verified here: who receives them does that. A source that breaks off
        goes on by itself where it can; what it gives is exactly the bytes from the offset on.

        Raises:
            ContentNotFoundError: There is no such blob.
            UnavailableError: It broke off for good.
        """
        ...


class Ingest(Protocol):
    """A blob that is being written: invisible until it is committed.

    A context that ends without `commit` leaves what is durable to be continued.
    """

    @property
    def offset(self) -> int:
        """How many bytes from the start are there and will be kept."""
        ...

    def receive(self, open_at: Opener, /) -> None:
        """Pull the rest, verifying as it comes; may open the source more than once.

        Raises:
            SizeMismatchError: There were more or fewer bytes than the descriptor says.
            DigestMismatchError: The bytes hash to something else; nothing of them is kept.
        """
        ...

    def commit(self) -> None:
        """Make the verified blob visible. A second commit does nothing.

        Raises:
            SizeMismatchError: It is not whole yet.
        """
        ...

    def abort(self) -> None:
        """Throw away what is there."""
        ...


class Sink(Protocol):
    """A place to write to."""

    @property
    def name(self) -> str:
        """What this place is called in messages."""
        ...

    def has_blob(self, descriptor: Descriptor, /) -> bool:
        """Whether the blob is there, whole."""
        ...

    def ingest(self, descriptor: Descriptor, /) -> AbstractContextManager[Ingest]:
        """Begin or go on with writing a blob."""
        ...

    def put_manifest(self, document: Document, /, *, tag: str | None = None) -> None:
        """Write a manifest or index with its exact bytes, by digest and under a tag if given.

        Raises:
            ContentNotFoundError: The place wants what it points at to be there first, and it
                is not.
        """
        ...


class Store(Source, Sink, Protocol):
    """A place to read from and write to: one repository."""


@runtime_checkable
class Placer(Protocol):
    """A sink in which every blob has a place, where the order of writing may matter."""

    @property
    def wants_order(self) -> bool:
        """Whether blobs should come in the order of their places."""
        ...

    def position(self, descriptor: Descriptor, /) -> int:
        """What to sort blobs by for that."""
        ...


@runtime_checkable
class TagLister(Protocol):
    """Can list its tags."""

    def tags(self) -> Iterator[str]:
        """All tags in lexical order; none where the repository does not exist."""
        ...


@runtime_checkable
class ReferrerLister(Protocol):
    """Can list what refers to a digest."""

    def referrers(self, subject: Digest, /) -> tuple[Descriptor, ...] | None:
        """What refers to the digest; None where the place cannot tell (no referrers API)."""
        ...


@runtime_checkable
class Mounter(Protocol):
    """Can take a blob over from another repository of the same place."""

    def mount(self, descriptor: Descriptor, /, *, from_repository: str) -> bool:
        """Link a blob of another repository; False where it must be sent instead."""
        ...


@runtime_checkable
class Deleter(Protocol):
    """Can delete what it holds."""

    def delete_manifest(self, digest: Digest, /) -> bool:
        """Delete a manifest and the tags that name it; False when it was not there."""
        ...

    def delete_tag(self, tag: str, /) -> bool:
        """Delete a tag; False when it was not there."""
        ...

    def delete_blob(self, digest: Digest, /) -> bool:
        """Delete a blob; False when it was not there."""
        ...
