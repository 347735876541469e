"""The two halves of a depot that differ by where it is kept: bytes, and what is known of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from airgap.content.depot import FileRegion
from airgap.content.store import Chunks
from airgap.errors import ContentNotFoundError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest


class Partial(Protocol):
    """The bytes of a blob that is not whole yet. It does not hash."""

    @property
    def offset(self) -> int:
        """How many bytes are there."""
        ...

    def append(self, chunk: bytes | memoryview, /) -> None:
        """Write the next bytes."""
        ...

    def read(self) -> AbstractContextManager[Chunks]:
        """Read what is there from the start."""
        ...

    def publish(self, digest: Digest, /) -> None:
        """Make the bytes durable and keep them under a digest that the caller has checked."""
        ...

    def discard(self) -> None:
        """Remove what is there."""
        ...

    def close(self) -> None:
        """Let go of open files and keep the bytes."""
        ...


class Pool(Protocol):
    """Blobs by digest, each kept once, and the partial ones by key.

    A key consists of letters, digits and hyphens.
    """

    def size(self, digest: Digest, /) -> int | None:
        """How many bytes a blob has; None when it is not here."""
        ...

    def open(self, digest: Digest, /, *, offset: int) -> AbstractContextManager[Chunks]:
        """Read a blob from an offset on.

        Raises:
            ContentNotFoundError: It is not here.
        """
        ...

    def read(self, digest: Digest, /) -> bytes | None:
        """All of a small blob; None when it is not here."""
        ...

    def locate(self, digest: Digest, /) -> FileRegion | None:
        """In which file a blob lies, if in one."""
        ...

    def write(self, digest: Digest, raw: bytes, /) -> None:
        """Keep a small blob whose digest the caller has checked."""
        ...

    def partial(self, key: str, /) -> Partial:
        """Begin a partial blob, or go on with one."""
        ...

    def find_partial(self, key: str, /) -> Partial | None:
        """Find a partial blob that was begun."""
        ...

    def close(self) -> None:
        """Let go of files and locks."""
        ...


@runtime_checkable
class EntryMemory(Protocol):
    """Metadata that has answers in memory."""

    def recall(self, repository: str, reference: str, /) -> Descriptor | None:
        """The entry of a manifest by tag or digest, if nobody has to wait for it.

        Only of one that garbage collection keeps because it was asked for lately, so that nobody
        has to hold it.
        """
        ...


class Metadata(Protocol):
    """What is known in each repository: links to blobs, manifests, tags and referrers.

    Every name and digest was checked by the caller. Each call is atomic by itself.
    """

    def repositories(self, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        """The names of repositories in lexical order.

        Args:
            after: Only names that come after this one, which need not exist.
            limit: At most so many.
        """
        ...

    def holders(self, digest: Digest, /) -> Iterator[str]:
        """The names of the repositories through which a blob is reachable, in lexical order."""
        ...

    def has_repository(self, repository: str, /) -> bool:
        """Whether anything was ever written to a repository."""
        ...

    def touch(self, digest: Digest, /) -> None:
        """Note that somebody asks for a blob or manifest, who may go on to use it."""
        ...

    def link_blob(self, repository: str, digest: Digest, /, *, size: int) -> None:
        """Make a blob reachable through a repository."""
        ...

    def has_blob(self, repository: str, digest: Digest, /) -> bool:
        """Whether a blob is reachable through a repository."""
        ...

    def unlink_blob(self, repository: str, digest: Digest, /) -> bool:
        """Take a link back; False when there was none."""
        ...

    def put_manifest(
        self,
        repository: str,
        entry: Descriptor,
        /,
        *,
        subject: Digest | None,
        needs: Iterable[Digest] = (),
        mentions: Iterable[Digest] = (),
        tag: str | None = None,
    ) -> None:
        """Note a manifest, what it refers to, and a tag that names it from now on: all or nothing.

        Args:
            repository: Where.
            entry: What a list of referrers says of it: with artifact type and annotations.
            subject: What it refers to.
            needs: The blobs that must be reachable through the repository.
            mentions: What else it lists; it is kept where it is there.
            tag: Its tag.

        Raises:
            ContentNotFoundError: A blob that it needs is not reachable.
        """
        ...

    def manifest(self, repository: str, digest: Digest, /) -> Descriptor | None:
        """The entry of a manifest."""
        ...

    def tagged(self, repository: str, tag: str, /) -> Descriptor | None:
        """The entry of the manifest that a tag names."""
        ...

    def delete_manifest(self, repository: str, digest: Digest, /) -> bool:
        """Forget a manifest and the tags that name it; False when it was not there."""
        ...

    def delete_tag(self, repository: str, tag: str, /) -> bool:
        """Forget a tag; False when it was not there."""
        ...

    def tags(self, repository: str, /, *, after: str = "", limit: int | None = None) -> list[str]:
        """Tags in lexical order: those after one, which need not exist, and at most so many."""
        ...

    def referrers(self, repository: str, subject: Digest, /) -> tuple[Descriptor, ...]:
        """The entries of all manifests that refer to a digest, in order of their digests."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


def refuse_missing(
    repository: str,
    entry: Descriptor,
    needs: Iterable[Digest],
    is_reachable: Callable[[Digest], bool],
) -> None:
    """Refuse a manifest that needs a blob which is not reachable through its repository.

    Raises:
        ContentNotFoundError: Names the first such blob.
    """
    for digest in needs:
        if not is_reachable(digest):
            raise ContentNotFoundError(
                f"{repository} has no blob {digest}, which the manifest {entry.digest} needs"
            )
