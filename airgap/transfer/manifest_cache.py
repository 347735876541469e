"""Manifests by digest in a folder of the user's cache, and what was seen in which repository.

All of it is only there to save requests: it is believed only where it hashes to what it is called,
and whatever is broken, or cannot be read or written, is as if it were not there.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from airgap.content.atomic import PRIVATE, make_folder, write_file
from airgap.errors import AirgapError, InvalidContentError, StorageError
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes, parse_object
from airgap.oci.manifest import MAX_MANIFEST_SIZE
from airgap.oci.reference import is_tag

MAX_FILES = 200_000
MAX_BYTES = 2 << 30
MAX_SEEN = 64 * 1024 * 1024
_VERSION = 1
_FILE_MODE = 0o600
_MANIFESTS, _SEEN = "manifests", "repositories"


@dataclass(frozen=True, slots=True)
class SeenRepository:
    """What a repository held when it was looked at last.

    Attributes:
        tags: What each tag stood for.
        manifests: All manifests and indexes that were there.
    """

    tags: Mapping[str, Digest] = field(default_factory=dict[str, Digest])
    manifests: frozenset[Digest] = frozenset()


class ManifestCache:
    """Manifests that were read before. Safe to be shared by threads and by commands.

    Args:
        folder: Where they are; None keeps nothing.
        max_files: How many files may stay.
        max_bytes: How many bytes they may have together.

    Attributes:
        problem: Why something could not be kept, once that was so.
    """

    def __init__(
        self, folder: Path | None, *, max_files: int = MAX_FILES, max_bytes: int = MAX_BYTES
    ) -> None:
        self._folder = folder
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._written = 0
        self.problem: StorageError | None = None

    def manifest(self, digest: Digest) -> bytes | None:
        """The bytes of a manifest, hashed; None where they are not here."""
        path = self._manifest_path(digest)
        raw = _read(path, MAX_MANIFEST_SIZE)
        if raw is None or path is None:
            return None
        if Digest.of(raw, digest.algorithm) != digest:
            _remove(path)
            return None
        _touch(path)
        return raw

    def keep_manifest(self, digest: Digest, raw: bytes) -> None:
        """Keep the bytes of a manifest that were hashed."""
        self._write(self._manifest_path(digest), raw)

    def seen(self, registry: str, repository: str) -> SeenRepository:
        """What was seen in a repository; nothing where that is not known."""
        path = self._seen_path(registry, repository)
        raw = _read(path, MAX_SEEN)
        if raw is None or path is None:
            return SeenRepository()
        try:
            found = _parse_seen(raw, f"{registry}/{repository}")
        except AirgapError:
            _remove(path)
            return SeenRepository()
        _touch(path)
        return found

    def keep_seen(self, registry: str, repository: str, seen: SeenRepository) -> None:
        """Keep what was seen in a repository."""
        value = {
            "formatVersion": _VERSION,
            "repository": f"{registry}/{repository}",
            "tags": {tag: str(digest) for tag, digest in seen.tags.items()},
            "manifests": sorted(map(str, seen.manifests)),
        }
        self._write(self._seen_path(registry, repository), canonical_bytes(value))

    def prune(self) -> None:
        """Let go of what was not used for longest, if something was added and it is too much."""
        if self._folder is None or not self._written:
            return
        files = sorted(_files(self._folder), reverse=True)
        size = 0
        for number, (_, file_size, path) in enumerate(files):
            size += file_size
            if number >= self._max_files or size > self._max_bytes:
                _remove(Path(path))

    def _manifest_path(self, digest: Digest) -> Path | None:
        if self._folder is None:
            return None
        return self._folder / _MANIFESTS / digest.hex[:2] / f"{digest.algorithm}-{digest.hex}"

    def _seen_path(self, registry: str, repository: str) -> Path | None:
        if self._folder is None:
            return None
        name = Digest.of(f"{registry}/{repository}".encode()).hex
        return self._folder / _SEEN / name[:2] / name

    def _write(self, path: Path | None, raw: bytes) -> None:
        if path is None or self.problem is not None:
            return
        try:
            make_folder(path.parent, durable=False, mode=PRIVATE)
            write_file(path, raw, durable=False, mode=_FILE_MODE)
        except StorageError as error:
            self.problem = error
            return
        with self._lock:
            self._written += 1


def _parse_seen(raw: bytes, name: str) -> SeenRepository:
    value = parse_object(raw, what="what was seen")
    tags, manifests = value.get("tags"), value.get("manifests")
    is_known = value.get("formatVersion") == _VERSION and value.get("repository") == name
    if not is_known or not isinstance(tags, dict) or not isinstance(manifests, list):
        raise InvalidContentError("it is something else")
    if not all(map(is_tag, tags)):
        raise InvalidContentError("a tag is none")
    return SeenRepository(
        {tag: Digest.parse(digest) for tag, digest in tags.items()},
        frozenset(map(Digest.parse, manifests)),
    )


def _read(path: Path | None, limit: int) -> bytes | None:
    if path is None:
        return None
    try:
        with path.open("rb", buffering=0) as file:
            raw = file.read(limit + 1)
    except OSError:
        return None
    if len(raw) > limit:
        _remove(path)
        return None
    return raw


def _touch(path: Path) -> None:
    try:
        os.utime(path)
    except OSError:
        return


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def _files(folder: Path) -> Iterator[tuple[float, int, str]]:
    """Each file that was kept: when it was used, its size and its path."""
    waiting = [str(folder / name) for name in (_MANIFESTS, _SEEN)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        status = entry.stat(follow_symlinks=False)
                        yield status.st_mtime, status.st_size, entry.path
        except OSError:  # another command removed it
            continue
