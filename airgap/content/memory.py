"""A depot in memory: for tests, and wherever nothing needs to stay."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from airgap.content.depot import FileRegion
from airgap.content.pool import refuse_missing
from airgap.content.repository import StoredDepot
from airgap.content.store import CHUNK_SIZE, Chunks
from airgap.errors import ContentNotFoundError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest


def _chunks(data: bytes | bytearray, offset: int) -> Iterator[bytes]:
    for start in range(offset, len(data), CHUNK_SIZE):
        yield bytes(data[start : start + CHUNK_SIZE])


class MemoryPartial:
    """The bytes of a blob that is not whole yet."""

    def __init__(self, pool: MemoryPool, key: str) -> None:
        self._pool = pool
        self._key = key
        self._data = bytearray()

    @property
    def offset(self) -> int:
        """How many bytes are there."""
        return len(self._data)

    def append(self, chunk: bytes | memoryview, /) -> None:
        """Write the next bytes."""
        self._data += chunk

    @contextmanager
    def read(self) -> Iterator[Chunks]:
        """Read what is there from the start."""
        yield _chunks(self._data, 0)

    def publish(self, digest: Digest, /) -> None:
        """Keep the bytes under a digest."""
        self._pool.write(digest, bytes(self._data))
        self.discard()

    def discard(self) -> None:
        """Remove what is there."""
        self._data = bytearray()
        self._pool.forget(self._key)

    def close(self) -> None:
        """Nothing is open."""


class MemoryPool:
    """Blobs by digest in a dictionary."""

    def __init__(self) -> None:
        self._blobs: dict[Digest, bytes] = {}
        self._partials: dict[str, MemoryPartial] = {}

    def size(self, digest: Digest, /) -> int | None:
        """How many bytes a blob has; None when it is not here."""
        data = self._blobs.get(digest)
        return None if data is None else len(data)

    @contextmanager
    def open(self, digest: Digest, /, *, offset: int) -> Iterator[Chunks]:
        """Read a blob from an offset on.

        Raises:
            ContentNotFoundError: It is not here.
        """
        data = self._blobs.get(digest)
        if data is None:
            raise ContentNotFoundError(f"there is no blob {digest}")
        yield _chunks(data, offset)

    def read(self, digest: Digest, /) -> bytes | None:
        """All of a small blob; None when it is not here."""
        return self._blobs.get(digest)

    def locate(self, digest: Digest, /) -> FileRegion | None:
        """It lies in no file."""
        return None

    def write(self, digest: Digest, raw: bytes, /) -> None:
        """Keep a blob whose digest the caller has checked."""
        self._blobs[digest] = raw

    def partial(self, key: str, /) -> MemoryPartial:
        """Begin a partial blob, or go on with one."""
        return self._partials.setdefault(key, MemoryPartial(self, key))

    def find_partial(self, key: str, /) -> MemoryPartial | None:
        """Find a partial blob that was begun."""
        return self._partials.get(key)

    def forget(self, key: str) -> None:
        """Drop a partial blob that is finished."""
        self._partials.pop(key, None)

    def close(self) -> None:
        """Nothing is open."""


class _Records:
    """What is known of one repository."""

    def __init__(self) -> None:
        self.blobs: set[Digest] = set()
        self.manifests: dict[Digest, Descriptor] = {}
        self.tags: dict[str, Digest] = {}
        self.referrers: dict[Digest, dict[Digest, Descriptor]] = {}


class MemoryMetadata:
    """What is known in each repository, in dictionaries."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[str, _Records] = {}

    def _of(self, repository: str) -> _Records:
        """What is known of a repository, without bringing it into being by asking."""
        return self._records.get(repository) or _Records()

    def repositories(self, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        """The names of repositories in lexical order."""
        with self._lock:
            return iter(sorted(name for name in self._records if name > after)[:limit])

    def holders(self, digest: Digest, /) -> Iterator[str]:
        """The names of the repositories through which a blob is reachable, in lexical order."""
        with self._lock:
            found = [name for name, records in self._records.items() if digest in records.blobs]
            return iter(sorted(found))

    def has_repository(self, repository: str, /) -> bool:
        """Whether anything was ever written to a repository."""
        return repository in self._records

    def touch(self, digest: Digest, /) -> None:
        """Nothing is ever removed here."""

    def link_blob(self, repository: str, digest: Digest, /, *, size: int) -> None:
        """Make a blob reachable through a repository."""
        with self._lock:
            self._records.setdefault(repository, _Records()).blobs.add(digest)

    def has_blob(self, repository: str, digest: Digest, /) -> bool:
        """Whether a blob is reachable through a repository."""
        return digest in self._of(repository).blobs

    def unlink_blob(self, repository: str, digest: Digest, /) -> bool:
        """Take a link back; False when there was none."""
        with self._lock:
            blobs = self._of(repository).blobs
            was_there = digest in blobs
            blobs.discard(digest)
            return was_there

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
        """Note a manifest, what it refers to, and a tag that names it from now on."""
        with self._lock:
            refuse_missing(repository, entry, needs, self._of(repository).blobs.__contains__)
            records = self._records.setdefault(repository, _Records())
            records.manifests[entry.digest] = entry
            if subject is not None:
                records.referrers.setdefault(subject, {})[entry.digest] = entry
            if tag is not None:
                records.tags[tag] = entry.digest

    def manifest(self, repository: str, digest: Digest, /) -> Descriptor | None:
        """The entry of a manifest."""
        return self._of(repository).manifests.get(digest)

    def delete_manifest(self, repository: str, digest: Digest, /) -> bool:
        """Forget a manifest and the tags that name it; False when it was not there."""
        with self._lock:
            records = self._of(repository)
            if records.manifests.pop(digest, None) is None:
                return False
            records.tags = {tag: named for tag, named in records.tags.items() if named != digest}
            for entries in records.referrers.values():
                entries.pop(digest, None)
            return True

    def tagged(self, repository: str, tag: str, /) -> Descriptor | None:
        """The entry of the manifest that a tag names."""
        with self._lock:
            records = self._of(repository)
            digest = records.tags.get(tag)
            return records.manifests.get(digest) if digest else None

    def delete_tag(self, repository: str, tag: str, /) -> bool:
        """Forget a tag; False when it was not there."""
        with self._lock:
            return self._of(repository).tags.pop(tag, None) is not None

    def tags(self, repository: str, /, *, after: str = "", limit: int | None = None) -> list[str]:
        """Tags in lexical order: those after one, which need not exist, and at most so many."""
        with self._lock:
            return sorted(tag for tag in self._of(repository).tags if tag > after)[:limit]

    def referrers(self, repository: str, subject: Digest, /) -> tuple[Descriptor, ...]:
        """The entries of all manifests that refer to a digest, in order of their digests."""
        with self._lock:
            entries = self._of(repository).referrers.get(subject, {})
            return tuple(entries[digest] for digest in sorted(entries))

    def close(self) -> None:
        """Nothing is open."""


class MemoryDepot(StoredDepot):
    """A place with many repositories that lasts as long as the process."""

    def __init__(self) -> None:
        super().__init__(MemoryPool(), MemoryMetadata())
