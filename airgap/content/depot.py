"""The protocols of places with many repositories: what the embedded registry serves.

A depot keeps each blob once. A blob is reachable only through a repository that links it, and
mounting a blob into another repository is making one more link.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

from airgap.content.store import Deleter, Mounter, ReferrerLister, Store, TagLister
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document


@dataclass(frozen=True, slots=True)
class FileStamp:
    """Which file it is and when it was changed: equal as long as nobody touched it."""

    device: int
    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, file: int | Path) -> Self:
        """Look at a file, by its path or by the descriptor under which it is open.

        Raises:
            OSError: It is not there.
        """
        found = os.fstat(file) if isinstance(file, int) else file.stat()
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class FileRegion:
    """Content that lies in a file as it is, so that the system can send it by itself.

    Attributes:
        path: The file.
        offset: Where in it the content begins.
        size: How many bytes it has.
        stamp: The state of the file in which that is so; None where a file never changes.
    """

    path: Path
    offset: int
    size: int
    stamp: FileStamp | None = None


@runtime_checkable
class FileBacked(Protocol):
    """Can say in which file the bytes of a blob lie."""

    def locate(self, descriptor: Descriptor, /) -> FileRegion | None:
        """Where the whole blob lies in one piece; None where it does not."""
        ...


@runtime_checkable
class TagPager(Protocol):
    """A repository that can list some of its tags with less work than all of them."""

    def tags_page(self, *, last: str | None, limit: int) -> list[str]:
        """The first tags behind `last`, which need not exist, in lexical order of their bytes."""
        ...


@runtime_checkable
class RepositoryPager(Protocol):
    """A depot that can list some of its repositories with less work than all of them."""

    def repositories_page(self, *, last: str | None, limit: int) -> list[str]:
        """The first names behind `last`, which need not exist, in lexical order."""
        ...


@runtime_checkable
class BlobHolders(Protocol):
    """A depot that can tell which repositories link a blob with less work than asking each."""

    def holders(self, digest: Digest, /) -> Iterator[str]:
        """The names of the repositories through which a blob is reachable."""
        ...


@runtime_checkable
class ManifestMemory(Protocol):
    """A repository that has manifests in memory which are asked for often."""

    def recall_manifest(self, reference: str, /) -> tuple[Descriptor, bytes] | None:
        """What `read_manifest` would give, if nobody has to wait for it; else None."""
        ...


@runtime_checkable
class ReadOnly(Protocol):
    """A depot that may take no writes."""

    @property
    def is_read_only(self) -> bool:
        """Whether every write raises `ReadOnlyError`."""
        ...


class Upload(Protocol):
    """A blob that arrives in pieces, known by an id until it is committed.

    Pieces come from one thread at a time. What was appended is kept when the connection breaks.
    """

    @property
    def id(self) -> str:
        """The name by which it can be found again in its repository."""
        ...

    @property
    def offset(self) -> int:
        """How many bytes are there."""
        ...

    def append(self, chunk: bytes | memoryview, /) -> None:
        """Take the next bytes."""
        ...

    def commit(self, digest: Digest, /) -> Descriptor:
        """Make the blob visible in the repository, durably.

        Raises:
            DigestMismatchError: The bytes hash to something else; the upload is gone.
        """
        ...

    def abort(self) -> None:
        """Throw away what is there."""
        ...

    def close(self) -> None:
        """Let go of open files; the upload can go on later."""
        ...


class Repository(Store, TagLister, ReferrerLister, Mounter, Deleter, Protocol):
    """One repository of a depot, with what a server needs beside a Store."""

    @property
    def exists(self) -> bool:
        """Whether anything was ever written here."""
        ...

    def find_blob(self, digest: Digest, /) -> Descriptor | None:
        """Describe a blob that is known by its digest alone; None when it is not here."""
        ...

    def read_manifest(self, reference: str, /) -> tuple[Descriptor, bytes] | None:
        """The stored type, digest and exact bytes of a manifest; None when there is none."""
        ...

    def put_manifest(
        self, document: Document, /, *, tag: str | None = None, is_sparse: bool = False
    ) -> None:
        """Write a manifest or index with its exact bytes, by digest and under a tag if given.

        Args:
            document: The manifest or index.
            tag: What names it from now on.
            is_sparse: Whether blobs that are not here may come later.

        Raises:
            ContentNotFoundError: A blob that it needs is not here.
        """
        ...

    def link_blob(self, digest: Digest, /, *, from_repository: str | None) -> Descriptor | None:
        """Link a blob of another repository, or of any; None when it is not there."""
        ...

    def start_upload(self, *, algorithm: str = "sha256") -> Upload:
        """Begin an upload; the algorithm is the one that its digest will probably be of."""
        ...

    def find_upload(self, upload_id: str, /) -> Upload | None:
        """Find an upload of this repository that is not finished."""
        ...


class Depot(Protocol):
    """A place with many repositories. Safe to use from several threads.

    What cannot be written raises `ReadOnlyError`.
    """

    def repository(self, name: str, /) -> Repository:
        """Give a repository by name; it comes into being with the first write.

        Raises:
            InvalidReferenceError: The name is none.
        """
        ...

    def repositories(self) -> Iterator[str]:
        """The names of all repositories in lexical order."""
        ...

    def close(self) -> None:
        """Let go of files and locks."""
        ...
