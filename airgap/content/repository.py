"""Repositories over a pool of blobs and what is known of them, wherever both are kept."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

from airgap.content.depot import FileRegion, Upload
from airgap.content.ingest import PiecewiseUpload, PresentIngest, PulledIngest
from airgap.content.pool import EntryMemory, Metadata, Pool, refuse_missing
from airgap.content.recent import RecentBlobs
from airgap.content.sessions import Sessions, StoredUpload
from airgap.content.store import Chunks, Ingest
from airgap.errors import (
    ContentNotFoundError,
    InvalidContentError,
    InvalidReferenceError,
    SizeMismatchError,
)
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import ALGORITHMS, Digest, Verifier
from airgap.oci.manifest import Document, parse_manifest
from airgap.oci.mediatype import OCTET_STREAM, is_non_distributable
from airgap.oci.reference import is_repository, is_tag
from airgap.oci.referrers import referrer_descriptor


@dataclass(frozen=True, slots=True)
class _Memory:
    """What a depot has in memory: entries of manifests, if its metadata does that, and bytes."""

    entries: EntryMemory | None
    blobs: RecentBlobs = field(default_factory=RecentBlobs)


class StoredRepository:
    """One repository of a depot.

    It wants a manifest's config and layers to be there before the manifest, as registries do,
    but takes an index whose manifests are missing: what of a platform was left out of a transfer
    may come later.
    """

    def __init__(
        self,
        name: str,
        pool: Pool,
        metadata: Metadata,
        sessions: Sessions,
        memory: _Memory,
    ) -> None:
        self._name = name
        self._pool = pool
        self._metadata = metadata
        self._sessions = sessions
        self._memory = memory
        # an upload's id is only good in the repository where it began
        self._scope = _scope_of(name)

    @property
    def name(self) -> str:
        """The repository's name."""
        return self._name

    @property
    def exists(self) -> bool:
        """Whether anything was ever written here."""
        return self._metadata.has_repository(self._name)

    # -- manifests ---------------------------------------------------------------------------

    def resolve(self, reference: str, /) -> Descriptor | None:
        """Find what a tag or a digest names; None when there is no such manifest."""
        entry = self._entry(reference)
        return Descriptor(entry.media_type, entry.digest, entry.size) if entry else None

    def read_manifest(self, reference: str, /) -> tuple[Descriptor, bytes] | None:
        """The stored type, digest and exact bytes of a manifest; None when there is none."""
        found = self.resolve(reference)
        if found is None:
            return None
        if (raw := self._pool.read(found.digest)) is None:
            return None
        self._memory.blobs.keep(found.digest, raw)
        return found, raw

    def recall_manifest(self, reference: str, /) -> tuple[Descriptor, bytes] | None:
        """What `read_manifest` would give, if nobody has to wait for it; else None."""
        entries = self._memory.entries
        entry = entries.recall(self._name, reference) if entries is not None else None
        raw = self._memory.blobs.find(entry.digest) if entry is not None else None
        if entry is None or raw is None:
            return None
        return Descriptor(entry.media_type, entry.digest, entry.size), raw

    def manifest(self, reference: str, /, *, media_type: str = "") -> Document:
        """Get a manifest or index by tag or digest; the type is the stored one.

        Raises:
            ContentNotFoundError: There is none.
            DigestMismatchError: The stored bytes have changed.
        """
        found = self.read_manifest(reference)
        if found is None:
            raise ContentNotFoundError(f"{self._name} has no manifest {reference}")
        descriptor, raw = found
        verifier = Verifier(descriptor.digest, descriptor.size)
        verifier.update(raw)
        verifier.finish()
        return parse_manifest(raw, descriptor.media_type, algorithm=descriptor.digest.algorithm)

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
            InvalidReferenceError: The tag is none.
        """
        if tag is not None and not is_tag(tag):
            raise InvalidReferenceError(f"{tag[:200]!r} is not a tag")
        digest = document.descriptor.digest
        kept = [blob for blob in document.blobs() if not is_non_distributable(blob.media_type)]
        needs = dict.fromkeys(blob.digest for blob in kept)
        mentions = dict.fromkeys(child.digest for child in document.children())
        if is_sparse:
            needs, mentions = {}, mentions | needs
        # asked before anything is written, and once more in the step that notes the manifest
        refuse_missing(self._name, document.descriptor, needs, self._has)
        with self._sessions.holds.hold(digest):
            self._pool.write(digest, document.raw)
            self._metadata.put_manifest(
                self._name,
                referrer_descriptor(document),
                subject=document.subject.digest if document.subject else None,
                needs=needs,
                mentions=mentions,
                tag=tag,
            )

    def tags(self) -> Iterator[str]:
        """All tags in lexical order; none where the repository does not exist."""
        return iter(self._metadata.tags(self._name))

    def tags_page(self, *, last: str | None, limit: int) -> list[str]:
        """The first tags behind `last`, which need not exist, in lexical order of their bytes."""
        return self._metadata.tags(self._name, after=last or "", limit=limit)

    def referrers(self, subject: Digest, /) -> tuple[Descriptor, ...]:
        """What refers to the digest."""
        return self._metadata.referrers(self._name, subject)

    def delete_manifest(self, digest: Digest, /) -> bool:
        """Delete a manifest and the tags that name it; False when it was not there."""
        return self._metadata.delete_manifest(self._name, digest)

    def delete_tag(self, tag: str, /) -> bool:
        """Delete a tag; False when it was not there."""
        return is_tag(tag) and self._metadata.delete_tag(self._name, tag)

    def _entry(self, reference: str) -> Descriptor | None:
        if is_tag(reference):
            entry = self._metadata.tagged(self._name, reference)
            if entry is not None:
                self._metadata.touch(entry.digest)
            return entry
        try:
            digest = Digest.parse(reference)
        except InvalidContentError:
            return None
        with self._sessions.holds.hold(digest):
            entry = self._metadata.manifest(self._name, digest)
            if entry is not None:
                # whoever is told that it is here may go on to name it in an index
                self._metadata.touch(digest)
        return entry

    # -- blobs -------------------------------------------------------------------------------

    def find_blob(self, digest: Digest, /) -> Descriptor | None:
        """Describe a blob that is known by its digest alone; None when it is not here."""
        with self._sessions.holds.hold(digest):
            if not self._has(digest):
                return None
            # whoever is told that it is here may go on to name it in a manifest
            self._metadata.touch(digest)
            size = self._pool.size(digest)
        return None if size is None else Descriptor(OCTET_STREAM, digest, size)

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
        if not self._metadata.has_blob(self._name, descriptor.digest):
            raise ContentNotFoundError(f"{self._name} has no blob {descriptor.digest}")
        return self._pool.open(descriptor.digest, offset=offset)

    def locate(self, descriptor: Descriptor, /) -> FileRegion | None:
        """In which file the blob lies, if in one."""
        if not self._metadata.has_blob(self._name, descriptor.digest):
            return None
        return self._pool.locate(descriptor.digest)

    @contextmanager
    def ingest(self, descriptor: Descriptor, /) -> Iterator[Ingest]:
        """Begin or go on with writing a blob."""
        if self.has_blob(descriptor):
            yield PresentIngest(descriptor)
            return
        digest = descriptor.digest
        key = f"{self._scope}-{digest.algorithm}-{digest.hex}"
        with self._sessions.claim(key) as is_mine:
            # who comes second writes into a partial of its own, which nobody can go on with
            partial = self._pool.partial(key if is_mine else self._key(secrets.token_hex(16)))
            ingest = PulledIngest(partial, descriptor, self._link)
            try:
                with self._sessions.holds.hold(digest):
                    yield ingest
            finally:
                if is_mine:
                    partial.close()
                else:
                    ingest.abort()

    def mount(self, descriptor: Descriptor, /, *, from_repository: str) -> bool:
        """Link a blob of another repository; False where it must be sent instead."""
        return self.link_blob(descriptor.digest, from_repository=from_repository) is not None

    def link_blob(self, digest: Digest, /, *, from_repository: str | None) -> Descriptor | None:
        """Link a blob of another repository, or of any; None when it is not there."""
        with self._sessions.holds.hold(digest):
            if from_repository is None:
                is_there = next(self._metadata.holders(digest), None) is not None
            else:
                is_name = is_repository(from_repository)
                is_there = is_name and self._metadata.has_blob(from_repository, digest)
            size = self._pool.size(digest)
            if size is None or not is_there:
                return None
            self._metadata.link_blob(self._name, digest, size=size)
        return Descriptor(OCTET_STREAM, digest, size)

    def delete_blob(self, digest: Digest, /) -> bool:
        """Delete a blob from this repository; False when it was not there."""
        return self._metadata.unlink_blob(self._name, digest)

    def _has(self, digest: Digest) -> bool:
        return self._metadata.has_blob(self._name, digest)

    def _link(self, digest: Digest) -> None:
        self._metadata.link_blob(self._name, digest, size=self._pool.size(digest) or 0)

    # -- uploads -----------------------------------------------------------------------------

    def start_upload(self, *, algorithm: str = "sha256") -> Upload:
        """Begin an upload.

        Raises:
            InvalidContentError: The algorithm is not one that airgap handles.
        """
        if algorithm not in ALGORITHMS:
            raise InvalidContentError(f"{algorithm[:40]!r} is not an algorithm for digests")
        upload_id = secrets.token_hex(16)
        return self._upload(upload_id, algorithm)

    def find_upload(self, upload_id: str, /) -> Upload | None:
        """Find an upload of this repository that is not finished."""
        if not (len(upload_id) == 32 and upload_id.isalnum() and upload_id.isascii()):
            return None
        key = self._key(upload_id)
        if self._sessions.find(key) is None and self._pool.find_partial(key) is None:
            return None
        return self._upload(upload_id, "sha256")

    def _upload(self, upload_id: str, algorithm: str) -> StoredUpload:
        key = self._key(upload_id)
        upload = self._sessions.find(key)
        if upload is None:
            made = PiecewiseUpload(upload_id, self._pool.partial(key), algorithm, self._link)
            upload = self._sessions.add(key, made)
        return StoredUpload(upload, self._sessions, key)

    def _key(self, upload_id: str) -> str:
        return f"{self._scope}-{upload_id}"


@lru_cache(maxsize=4096)
def _scope_of(name: str) -> str:
    return Digest.of(name.encode()).hex[:32]


class StoredDepot:
    """A place with many repositories over a pool and what is known of it."""

    def __init__(self, pool: Pool, metadata: Metadata) -> None:
        self._pool = pool
        self._metadata = metadata
        self._sessions = Sessions()
        self._memory = _Memory(metadata if isinstance(metadata, EntryMemory) else None)

    def repository(self, name: str, /) -> StoredRepository:
        """Give a repository by name; it comes into being with the first write.

        Raises:
            InvalidReferenceError: The name is none.
        """
        if not is_repository(name):
            raise InvalidReferenceError(f"{name[:200]!r} is not the name of a repository")
        return StoredRepository(name, self._pool, self._metadata, self._sessions, self._memory)

    def repositories(self) -> Iterator[str]:
        """The names of all repositories in lexical order."""
        return self._metadata.repositories()

    def repositories_page(self, *, last: str | None, limit: int) -> list[str]:
        """The first names behind `last`, which need not exist, in lexical order."""
        return list(self._metadata.repositories(after=last or "", limit=limit))

    def holders(self, digest: Digest, /) -> Iterator[str]:
        """The names of the repositories through which a blob is reachable."""
        return self._metadata.holders(digest)

    def close(self) -> None:
        """Let go of files and locks."""
        try:
            self._metadata.close()
        finally:
            self._pool.close()
