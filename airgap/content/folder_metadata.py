"""What is known in each repository, in small files: one for each link, manifest, tag, referrer.

    <name>/_blobs/<algorithm>/<hex>                             empty
    <name>/_manifests/<algorithm>/<hex>                         its entry, as a descriptor
    <name>/_tags/<tag>                                          a digest
    <name>/_referrers/<algorithm>/<hex>/<algorithm>-<hex>       empty

No part of a repository's name begins with an underscore, so nothing here meets another
repository. A file is written or removed in one step.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from airgap.content.atomic import make_folder, remove_file, write_file
from airgap.content.pool import refuse_missing
from airgap.content.storage import storage_errors
from airgap.errors import InvalidContentError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import ALGORITHMS, Digest
from airgap.oci.document import canonical_bytes, parse_object
from airgap.oci.reference import is_tag

_KINDS = ("_manifests", "_blobs")


class FolderMetadata:
    """What is known in each repository.

    Args:
        root: The folder of all repositories.
        durable: Whether what was noted must survive a power cut once a call returns.
    """

    def __init__(self, root: Path, *, durable: bool) -> None:
        self._root = root
        self._durable = durable
        # a tag must not be set while the manifest that it names is being deleted
        self._lock = threading.Lock()

    def repositories(self, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        """The names of repositories in lexical order."""
        with storage_errors(self._root):
            names = [
                Path(folder).relative_to(self._root).as_posix()
                for folder, children in _walk(self._root)
                if any(kind in children for kind in _KINDS)
            ]
        return iter(sorted(name for name in names if name > after)[:limit])

    def holders(self, digest: Digest, /) -> Iterator[str]:
        """The names of the repositories through which a blob is reachable, in lexical order."""
        return (name for name in self.repositories() if self.has_blob(name, digest))

    def has_repository(self, repository: str, /) -> bool:
        """Whether anything was ever written to a repository."""
        return any((self._root / repository / kind).is_dir() for kind in _KINDS)

    def touch(self, digest: Digest, /) -> None:
        """Nothing is ever removed here."""

    def link_blob(self, repository: str, digest: Digest, /, *, size: int) -> None:
        """Make a blob reachable through a repository."""
        path = self._blob(repository, digest)
        if not path.exists():
            self._write(path, b"")

    def has_blob(self, repository: str, digest: Digest, /) -> bool:
        """Whether a blob is reachable through a repository."""
        return self._blob(repository, digest).exists()

    def unlink_blob(self, repository: str, digest: Digest, /) -> bool:
        """Take a link back; False when there was none."""
        return self._remove(self._blob(repository, digest))

    def links(self, repository: str, /) -> Iterator[Digest]:
        """The digests of all blobs that are reachable through a repository."""
        for algorithm in ALGORITHMS:
            for name in _names(self._root / repository / "_blobs" / algorithm):
                yield Digest(algorithm, name)

    def manifests(self, repository: str, /) -> Iterator[Digest]:
        """The digests of all manifests of a repository."""
        for algorithm in ALGORITHMS:
            for name in _names(self._root / repository / "_manifests" / algorithm):
                yield Digest(algorithm, name)

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
        """Note a manifest, and that it refers to a subject."""
        refuse_missing(repository, entry, needs, lambda digest: self.has_blob(repository, digest))
        value = entry.to_json()
        if subject is not None:
            value["subject"] = str(subject)
            self._write(self._referrer(repository, subject, entry.digest), b"")
        self._write(self._manifest(repository, entry.digest), canonical_bytes(value))
        if tag is not None:
            with self._lock:
                self._write(self._tag(repository, tag), str(entry.digest).encode())

    def manifest(self, repository: str, digest: Digest, /) -> Descriptor | None:
        """The entry of a manifest."""
        raw = self._read(self._manifest(repository, digest))
        return (
            Descriptor.from_json(parse_object(raw, what=f"the entry of {digest}")) if raw else None
        )

    def delete_manifest(self, repository: str, digest: Digest, /) -> bool:
        """Forget a manifest and the tags that name it; False when it was not there."""
        path = self._manifest(repository, digest)
        with self._lock:
            raw = self._read(path)
            if raw is None:
                return False
            for tag in self.tags(repository):
                if self.tag(repository, tag) == digest:
                    self._remove(self._tag(repository, tag))
            subject = parse_object(raw, what=f"the entry of {digest}").get("subject")
            if subject is not None:
                self._remove(self._referrer(repository, Digest.parse(subject), digest))
            return self._remove(path)

    def tag(self, repository: str, tag: str, /) -> Digest | None:
        """What a tag names."""
        raw = self._read(self._tag(repository, tag))
        return Digest.parse(raw.decode()) if raw else None

    def tagged(self, repository: str, tag: str, /) -> Descriptor | None:
        """The entry of the manifest that a tag names."""
        digest = self.tag(repository, tag)
        return self.manifest(repository, digest) if digest else None

    def delete_tag(self, repository: str, tag: str, /) -> bool:
        """Forget a tag; False when it was not there."""
        with self._lock:
            return self._remove(self._tag(repository, tag))

    def tags(self, repository: str, /, *, after: str = "", limit: int | None = None) -> list[str]:
        """Tags in lexical order: those after one, which need not exist, and at most so many."""
        names = _names(self._root / repository / "_tags")
        return sorted(tag for tag in names if is_tag(tag) and tag > after)[:limit]

    def referrers(self, repository: str, subject: Digest, /) -> tuple[Descriptor, ...]:
        """The entries of all manifests that refer to a digest, in order of their digests."""
        found = []
        for name in _names(self._referrer(repository, subject, subject).parent):
            try:
                digest = Digest.parse(name.replace("-", ":", 1))
            except InvalidContentError:
                continue
            entry = self.manifest(repository, digest)
            if entry is not None:
                found.append(entry)
        return tuple(sorted(found, key=lambda entry: entry.digest))

    def close(self) -> None:
        """Nothing is open."""

    # -- paths -------------------------------------------------------------------------------

    def _blob(self, repository: str, digest: Digest) -> Path:
        return self._root / repository / "_blobs" / digest.algorithm / digest.hex

    def _manifest(self, repository: str, digest: Digest) -> Path:
        return self._root / repository / "_manifests" / digest.algorithm / digest.hex

    def _tag(self, repository: str, tag: str) -> Path:
        return self._root / repository / "_tags" / tag

    def _referrer(self, repository: str, subject: Digest, referrer: Digest) -> Path:
        folder = self._root / repository / "_referrers" / subject.algorithm / subject.hex
        return folder / f"{referrer.algorithm}-{referrer.hex}"

    def _write(self, path: Path, data: bytes) -> None:
        make_folder(path.parent, durable=self._durable)
        write_file(path, data, durable=self._durable)

    def _remove(self, path: Path) -> bool:
        return remove_file(path, durable=self._durable) if path.exists() else False

    def _read(self, path: Path) -> bytes | None:
        with storage_errors(path):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None


def _names(folder: Path) -> list[str]:
    with storage_errors(folder):
        try:
            return [path.name for path in folder.iterdir()]
        except FileNotFoundError:
            return []


def _walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    """The folders of repositories and the names in each, without what belongs to one of them."""
    for folder, children, _ in os.walk(root):
        yield folder, list(children)
        children[:] = [child for child in children if not child.startswith("_")]
