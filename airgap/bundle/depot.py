"""Bundles as a registry's content: read in place, never unpacked, never changed.

Names come from the caller, who knows what an import would call the images. Everything else is in
the fronts of the bundles, so that a depot is ready as soon as these are read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import NoReturn

from airgap.bundle.opened import BundleState, OpenedBundle
from airgap.bundle.patrol import REST, Patrol
from airgap.bundle.reader import BundleReader
from airgap.bundle.served import Naming, ServedImage, Shelf, check_held, foundations
from airgap.content.depot import FileRegion, Upload
from airgap.content.holdings import HeldContent, Holdings
from airgap.content.store import Chunks, Ingest
from airgap.errors import (
    AirgapError,
    ContentNotFoundError,
    InvalidContentError,
    InvalidReferenceError,
    ReadOnlyError,
    SizeMismatchError,
)
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document
from airgap.oci.reference import is_repository, is_tag


class BundleRepository:
    """One repository of bundles: reads like any other and takes no writes."""

    def __init__(self, name: str, shelf: Shelf, find: Callable[[Digest], OpenedBundle]) -> None:
        self._name = name
        self._shelf = shelf
        self._find = find

    @property
    def name(self) -> str:
        """The repository's name."""
        return self._name

    @property
    def exists(self) -> bool:
        """Whether any bundle has images of this name."""
        return bool(self._shelf.manifests)

    # -- manifests ---------------------------------------------------------------------------

    def resolve(self, reference: str, /) -> Descriptor | None:
        """Find what a tag or a digest names; None when there is no such manifest."""
        document = self._document(reference)
        return _bare(document.descriptor) if document else None

    def read_manifest(self, reference: str, /) -> tuple[Descriptor, bytes] | None:
        """The type, digest and exact bytes of a manifest; None when there is none."""
        document = self._document(reference)
        return (_bare(document.descriptor), document.raw) if document else None

    def manifest(self, reference: str, /, *, media_type: str = "") -> Document:
        """Get a manifest or index by tag or digest.

        Raises:
            ContentNotFoundError: There is none.
        """
        document = self._document(reference)
        if document is None:
            raise ContentNotFoundError(f"{self._name} has no manifest {reference[:200]}")
        return document

    def tags(self) -> Iterator[str]:
        """All tags in lexical order."""
        return iter(self._shelf.names)

    def tags_page(self, *, last: str | None, limit: int) -> list[str]:
        """The first tags behind `last`, which need not exist, in lexical order."""
        start = bisect_right(self._shelf.names, last) if last is not None else 0
        return self._shelf.names[start : start + limit]

    def referrers(self, subject: Digest, /) -> tuple[Descriptor, ...]:
        """What refers to the digest."""
        entries = self._shelf.referrers.get(subject, {})
        return tuple(entries[digest] for digest in sorted(entries))

    def _document(self, reference: str) -> Document | None:
        if is_tag(reference):
            named = self._shelf.tags.get(reference)
            return self._shelf.manifests.get(named.digest) if named else None
        try:
            return self._shelf.manifests.get(Digest.parse(reference))
        except InvalidContentError:
            return None

    # -- blobs -------------------------------------------------------------------------------

    def find_blob(self, digest: Digest, /) -> Descriptor | None:
        """Describe a blob that is known by its digest alone; None when it is not here.

        Raises:
            StorageError: The bundle was changed or replaced, or cannot be read.
            DigestMismatchError: The blob is damaged.
        """
        if digest not in self._shelf.blobs:
            return None
        try:
            holder = self._find(digest)
        except ContentNotFoundError:  # an image wants it, and its volume is not here
            return None
        return Descriptor(mediatype.OCTET_STREAM, digest, holder.size_of(digest))

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
        if descriptor.digest not in self._shelf.blobs:
            raise ContentNotFoundError(f"{self._name} has no blob {descriptor.digest}")
        return self._find(descriptor.digest).open(descriptor, offset=offset)

    def locate(self, descriptor: Descriptor, /) -> FileRegion | None:
        """In which bundle the blob lies, and where."""
        digest = descriptor.digest
        return self._find(digest).locate(digest) if digest in self._shelf.blobs else None

    # -- writes ------------------------------------------------------------------------------

    def put_manifest(
        self, document: Document, /, *, tag: str | None = None, is_sparse: bool = False
    ) -> None:
        """Refuse: a bundle is never changed."""
        self._refuse()

    def ingest(self, descriptor: Descriptor, /) -> AbstractContextManager[Ingest]:
        """Refuse: a bundle is never changed."""
        self._refuse()

    def mount(self, descriptor: Descriptor, /, *, from_repository: str) -> bool:
        """Refuse: a bundle is never changed."""
        self._refuse()

    def link_blob(self, digest: Digest, /, *, from_repository: str | None) -> Descriptor | None:
        """Refuse: a bundle is never changed."""
        self._refuse()

    def start_upload(self, *, algorithm: str = "sha256") -> Upload:
        """Refuse: a bundle is never changed."""
        self._refuse()

    def find_upload(self, upload_id: str, /) -> Upload | None:
        """There are none."""
        return None

    def delete_manifest(self, digest: Digest, /) -> bool:
        """Refuse: a bundle is never changed."""
        self._refuse()

    def delete_tag(self, tag: str, /) -> bool:
        """Refuse: a bundle is never changed."""
        self._refuse()

    def delete_blob(self, digest: Digest, /) -> bool:
        """Refuse: a bundle is never changed."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ReadOnlyError(
            f"{self._name} is served from a bundle and cannot be changed",
            hint="serve it with --data DIR, which takes what is pushed",
        )


class BundleDepot:
    """The images of open bundles as the repositories of a registry, read-only.

    Args:
        readers: The bundles; they are closed with this.
        naming: Says under which names their images are served.
        rest: How long hashing in the background rests for each second of work.

    Raises:
        ConflictError: Two images would have the same name, and neither bundle builds on the other.
        IncompleteBundleError: A bundle leaves blobs to its receiver that none of the others holds.
        StorageError: A bundle was replaced while it was opened.
    """

    is_read_only = True

    def __init__(
        self, readers: Iterable[BundleReader], naming: Naming, *, rest: float = REST
    ) -> None:
        self._bundles = [OpenedBundle(reader) for reader in readers]
        check_held([bundle.reader for bundle in self._bundles])
        self._shelves: dict[str, Shelf] = {}
        below = foundations(bundle.reader for bundle in self._bundles)
        # what a bundle builds on comes before it
        for bundle in sorted(self._bundles, key=lambda bundle: len(below[bundle.reader.id])):
            images: dict[str, list[ServedImage]] = {}
            for image in naming(bundle.reader):
                images.setdefault(image.repository, []).append(image)
            for name, found in images.items():
                self._shelves.setdefault(name, Shelf()).add(
                    found, bundle, over=below[bundle.reader.id]
                )
        self._names = sorted(self._shelves)
        self._patrol = Patrol(self._bundles, rest=rest)

    def start_checking(self) -> None:
        """Begin to hash all blobs in the background; one that is wrong is not given out again."""
        self._patrol.start()

    def finish_checking(self) -> None:
        """Wait until everything is hashed."""
        self._patrol.wait()

    @property
    def states(self) -> tuple[BundleState, ...]:
        """How the bundles are."""
        return tuple(bundle.state() for bundle in self._bundles)

    def repository(self, name: str, /) -> BundleRepository:
        """Give a repository by name, whether any bundle has images of it or not.

        Raises:
            InvalidReferenceError: The name is none.
        """
        if not is_repository(name):
            raise InvalidReferenceError(f"{name[:200]!r} is not the name of a repository")
        return BundleRepository(name, self._shelves.get(name) or Shelf(), self._find)

    def repositories(self) -> Iterator[str]:
        """The names of all repositories in lexical order."""
        return iter(self._names)

    def repositories_page(self, *, last: str | None, limit: int) -> list[str]:
        """The first names behind `last`, which need not exist, in lexical order."""
        start = bisect_right(self._names, last) if last is not None else 0
        return self._names[start : start + limit]

    def holders(self, digest: Digest, /) -> Iterator[str]:
        """The names of the repositories through which a blob is reachable, in lexical order."""
        return (name for name in self._names if digest in self._shelves[name].blobs)

    @contextmanager
    def holdings(self, names: Sequence[str], /) -> Iterator[Holdings]:
        """What repositories hold; no content that lies in no file or is known as damaged.

        Raises:
            StorageError: A bundle was changed or replaced, or cannot be read.
        """
        for bundle in self._bundles:
            bundle.check()
        shelves = [(name, self._shelves[name]) for name in names if name in self._shelves]
        yield Holdings(
            (
                (name, tag, str(served.digest))
                for name, shelf in shelves
                for tag, served in shelf.tags.items()
            ),
            (row for name, shelf in shelves for row in self._held(name, shelf)),
        )

    def _held(self, name: str, shelf: Shelf) -> Iterator[HeldContent]:
        for digest, document in shelf.manifests.items():
            yield str(digest), document.descriptor.size, name
        for digest in shelf.blobs:
            lengths = (bundle.sound_length(digest) for bundle in self._bundles)
            size = next((length for length in lengths if length is not None), None)
            if size is not None:
                yield str(digest), size, name

    def close(self) -> None:
        """Close the bundles."""
        self._patrol.stop()
        for bundle in self._bundles:
            bundle.close()

    def _find(self, digest: Digest) -> OpenedBundle:
        """A bundle that has some content, and has it undamaged where any does.

        Raises:
            ContentNotFoundError: None of them has it.
            StorageError: The last one that has it was changed or replaced.
            DigestMismatchError: It is damaged there.
        """
        holders = [bundle for bundle in self._bundles if bundle.holds(digest)]
        for bundle in holders[:-1]:
            try:
                bundle.locate(digest)
            except AirgapError:
                continue
            return bundle
        if not holders:
            raise ContentNotFoundError(f"no bundle has {digest}", origin="bundle")
        return holders[-1]


def _bare(descriptor: Descriptor) -> Descriptor:
    return Descriptor(descriptor.media_type, descriptor.digest, descriptor.size)
