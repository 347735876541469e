"""A depot that takes writes, laid over others that do not: a data folder over bundles.

What is read comes from above where it is there, else from below; lists are both. What is written
goes to the upper depot, together with whatever it needs from below: so the upper one alone is
complete, also when it is served without the others later.

What lies below cannot be deleted. A tag can be given another meaning above; as long as a lower
depot has that tag, too, it cannot be deleted either, since the old meaning would come back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from heapq import merge
from itertools import groupby, islice

from airgap.content.depot import (
    BlobHolders,
    Depot,
    FileBacked,
    FileRegion,
    Repository,
    RepositoryPager,
    TagPager,
    Upload,
)
from airgap.content.holdings import Holdings, laid_over
from airgap.content.store import Chunks, Ingest
from airgap.errors import ContentNotFoundError, ReadOnlyError, SizeMismatchError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document
from airgap.oci.mediatype import is_non_distributable

MAX_MOUNT = 1 << 30
"""Larger blobs of a lower depot are not mounted but sent: a copy takes too long for a request."""


class OverlayRepository:
    """One repository, above and below.

    Args:
        upper: Where writes go.
        lowers: What lies below; the first that has something gives it.
        below: Finds the repositories of a name below, for mounts.
    """

    def __init__(
        self,
        upper: Repository,
        lowers: Sequence[Repository],
        below: Callable[[str], Sequence[Repository]],
    ) -> None:
        self._upper = upper
        self._lowers = lowers
        self._all = (upper, *lowers)
        self._below = below

    @property
    def name(self) -> str:
        """The repository's name."""
        return self._upper.name

    @property
    def exists(self) -> bool:
        """Whether it is there, above or below."""
        return any(repository.exists for repository in self._all)

    # -- reading -----------------------------------------------------------------------------

    def resolve(self, reference: str, /) -> Descriptor | None:
        """Find what a tag or a digest names; None when there is no such manifest."""
        found = (repository.resolve(reference) for repository in self._all)
        return next(filter(None, found), None)

    def read_manifest(self, reference: str, /) -> tuple[Descriptor, bytes] | None:
        """The stored type, digest and exact bytes of a manifest; None when there is none."""
        found = (repository.read_manifest(reference) for repository in self._all)
        return next(filter(None, found), None)

    def manifest(self, reference: str, /, *, media_type: str = "") -> Document:
        """Get a manifest or index by tag or digest.

        Raises:
            ContentNotFoundError: There is none.
        """
        for repository in self._lowers if self._upper.resolve(reference) is None else ():
            if repository.resolve(reference) is not None:
                return repository.manifest(reference, media_type=media_type)
        return self._upper.manifest(reference, media_type=media_type)

    def find_blob(self, digest: Digest, /) -> Descriptor | None:
        """Describe a blob that is known by its digest alone; None when it is not here."""
        found = (repository.find_blob(digest) for repository in self._all)
        return next(filter(None, found), None)

    def has_blob(self, descriptor: Descriptor, /) -> bool:
        """Whether the blob can be read here.

        Raises:
            SizeMismatchError: It is here, and its size is not the one that the descriptor says.
        """
        found = self.find_blob(descriptor.digest)
        if found is not None and found.size != descriptor.size:
            raise SizeMismatchError(
                f"{descriptor.digest} has {found.size} bytes and should have {descriptor.size}",
                expected=str(descriptor.size),
                actual=str(found.size),
            )
        return found is not None

    def open(self, descriptor: Descriptor, /, *, offset: int = 0) -> AbstractContextManager[Chunks]:
        """Read a blob from an offset on.

        Raises:
            ContentNotFoundError: There is no such blob.
        """
        holder = self._holder(descriptor.digest)
        if holder is None:
            raise ContentNotFoundError(f"{self.name} has no blob {descriptor.digest}")
        return holder.open(descriptor, offset=offset)

    def locate(self, descriptor: Descriptor, /) -> FileRegion | None:
        """In which file the blob lies, if in one."""
        holder = self._holder(descriptor.digest)
        if holder is None or not isinstance(holder, FileBacked):
            return None
        return holder.locate(descriptor)

    def tags(self) -> Iterator[str]:
        """All tags in lexical order."""
        return _merged(repository.tags() for repository in self._all)

    def tags_page(self, *, last: str | None, limit: int) -> list[str]:
        """The first tags behind `last`, which need not exist, in lexical order."""

        def page(repository: Repository) -> Iterable[str]:
            if isinstance(repository, TagPager):
                return repository.tags_page(last=last, limit=limit)
            return (tag for tag in repository.tags() if last is None or tag > last)

        return list(islice(_merged(map(page, self._all)), limit))

    def referrers(self, subject: Digest, /) -> tuple[Descriptor, ...]:
        """What refers to the digest, above and below."""
        found: dict[Digest, Descriptor] = {}
        for repository in self._all:
            for entry in repository.referrers(subject) or ():
                found.setdefault(entry.digest, entry)
        return tuple(found[digest] for digest in sorted(found))

    def _holder(self, digest: Digest) -> Repository | None:
        return next((r for r in self._all if r.find_blob(digest) is not None), None)

    # -- writing -----------------------------------------------------------------------------

    def put_manifest(
        self, document: Document, /, *, tag: str | None = None, is_sparse: bool = False
    ) -> None:
        """Write a manifest or index, and above also what it needs from below.

        Raises:
            ContentNotFoundError: A blob that it needs is not here.
        """
        self._raise(document)
        self._upper.put_manifest(document, tag=tag, is_sparse=is_sparse)

    def ingest(self, descriptor: Descriptor, /) -> AbstractContextManager[Ingest]:
        """Begin or go on with writing a blob."""
        return self._upper.ingest(descriptor)

    def mount(self, descriptor: Descriptor, /, *, from_repository: str) -> bool:
        """Link a blob of another repository; False where it must be sent instead."""
        return self.link_blob(descriptor.digest, from_repository=from_repository) is not None

    def link_blob(self, digest: Digest, /, *, from_repository: str | None) -> Descriptor | None:
        """Link a blob of another repository, or copy it from below.

        None when it is not there, or too large to be copied while somebody waits. Without a name
        only the repository itself and the upper depot are looked through.
        """
        found = self._upper.link_blob(digest, from_repository=from_repository)
        if found is not None:
            return found
        candidates = [*self._lowers, *(self._below(from_repository) if from_repository else ())]
        for repository in candidates:
            there = repository.find_blob(digest)
            if there is not None and there.size <= MAX_MOUNT:
                self._copy(there, repository)
                return there
        return None

    def start_upload(self, *, algorithm: str = "sha256") -> Upload:
        """Begin an upload."""
        return self._upper.start_upload(algorithm=algorithm)

    def find_upload(self, upload_id: str, /) -> Upload | None:
        """Find an upload of this repository that is not finished."""
        return self._upper.find_upload(upload_id)

    def delete_manifest(self, digest: Digest, /) -> bool:
        """Delete a manifest and the tags that name it; False when it was not there.

        Raises:
            ReadOnlyError: It, or another meaning of a tag that names it, lies below.
        """
        if any(repository.resolve(str(digest)) for repository in self._lowers):
            raise self._lies_below(str(digest))
        for tag in _merged(repository.tags() for repository in self._lowers):
            named = self._upper.resolve(tag)
            if named is not None and named.digest == digest:
                raise self._lies_below(tag)
        return self._upper.delete_manifest(digest)

    def delete_tag(self, tag: str, /) -> bool:
        """Delete a tag; False when it was not there.

        Raises:
            ReadOnlyError: It lies below.
        """
        if any(repository.resolve(tag) for repository in self._lowers):
            raise self._lies_below(tag)
        return self._upper.delete_tag(tag)

    def delete_blob(self, digest: Digest, /) -> bool:
        """Delete a blob; False when it was not there.

        Raises:
            ReadOnlyError: It lies below.
        """
        if any(repository.find_blob(digest) for repository in self._lowers):
            raise self._lies_below(str(digest))
        return self._upper.delete_blob(digest)

    def _lies_below(self, what: str) -> ReadOnlyError:
        return ReadOnlyError(
            f"{what} of {self.name} lies in a bundle and cannot be deleted",
            hint="end the server and start it without that bundle",
        )

    def _raise(self, document: Document) -> None:
        """Copy what a manifest needs from below to above."""
        for blob in document.blobs():
            if is_non_distributable(blob.media_type) or self._upper.find_blob(blob.digest):
                continue
            for repository in self._lowers:
                there = repository.find_blob(blob.digest)
                if there is not None:
                    self._copy(there, repository)
                    break
        for child in document.children():
            reference = str(child.digest)
            if self._upper.resolve(reference) is None and self.resolve(reference) is not None:
                # a bundle may leave out blobs on purpose, and then says so
                self.put_manifest(self.manifest(reference), is_sparse=True)

    def _copy(self, blob: Descriptor, repository: Repository) -> None:
        with self._upper.ingest(blob) as ingest:
            ingest.receive(lambda offset: repository.open(blob, offset=offset))
            ingest.commit()


class OverlayDepot:
    """A place with many repositories, laid over others.

    Args:
        upper: Where writes go.
        lowers: What lies below; of two that have something, the first gives it.
    """

    def __init__(self, upper: Depot, lowers: Iterable[Depot]) -> None:
        self.upper = upper
        self.lowers = tuple(lowers)
        self._all = (upper, *self.lowers)

    def repository(self, name: str, /) -> OverlayRepository:
        """Give a repository by name; it comes into being with the first write.

        Raises:
            InvalidReferenceError: The name is none.
        """
        return OverlayRepository(self.upper.repository(name), self._below(name), self._below)

    def repositories(self) -> Iterator[str]:
        """The names of all repositories in lexical order."""
        return _merged(depot.repositories() for depot in self._all)

    def repositories_page(self, *, last: str | None, limit: int) -> list[str]:
        """The first names behind `last`, which need not exist, in lexical order."""

        def page(depot: Depot) -> Iterable[str]:
            if isinstance(depot, RepositoryPager):
                return depot.repositories_page(last=last, limit=limit)
            return (name for name in depot.repositories() if last is None or name > last)

        return list(islice(_merged(map(page, self._all)), limit))

    def holders(self, digest: Digest, /) -> Iterator[str]:
        """The names of the repositories through which a blob is reachable, in lexical order."""

        def held(depot: Depot) -> Iterable[str]:
            if isinstance(depot, BlobHolders):
                return depot.holders(digest)
            names = depot.repositories()
            return (name for name in names if depot.repository(name).find_blob(digest))

        return _merged(map(held, self._all))

    def holdings(self, names: Sequence[str], /) -> AbstractContextManager[Holdings]:
        """What repositories hold, above and below."""
        return laid_over(self._all, names)

    def close(self) -> None:
        """Close all of them."""
        for depot in self._all:
            depot.close()

    def _below(self, name: str) -> tuple[Repository, ...]:
        return tuple(depot.repository(name) for depot in self.lowers)


def _merged(lists: Iterable[Iterable[str]]) -> Iterator[str]:
    """Sorted lists as one, each text once."""
    return (text for text, _ in groupby(merge(*lists)))
