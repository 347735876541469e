"""The cache of manifests keeps what hashes to its name, for its owner, and not too much of it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from airgap.oci.digest import Digest
from airgap.transfer.manifest_cache import ManifestCache, SeenRepository

ONE, TWO = Digest.of(b"one"), Digest.of(b"two")
SEEN = SeenRepository({"1.0": ONE, "latest": TWO}, frozenset({ONE, TWO}))


def test_what_is_kept_is_there_for_another_command(tmp_path: Path) -> None:
    """Manifests of both algorithms, and what was seen."""
    first, long = ManifestCache(tmp_path), Digest.of(b"one", "sha512")
    first.keep_manifest(ONE, b"one")
    first.keep_manifest(long, b"one")
    first.keep_seen("r:5000", "a/b", SEEN)
    second = ManifestCache(tmp_path)
    assert second.manifest(ONE) == second.manifest(long) == b"one"
    assert second.manifest(TWO) is None
    assert second.seen("r:5000", "a/b") == SEEN
    assert second.seen("r:5001", "a/b") == second.seen("r:5000", "a") == SeenRepository()


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    """Manifests of private repositories are in it."""
    folder = tmp_path / "cache"
    cache = ManifestCache(folder)
    cache.keep_manifest(ONE, b"one")
    cache.keep_seen("r", "a", SEEN)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 2
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
    assert all(path.parent.stat().st_mode & 0o077 == 0 for path in files)


def test_without_a_folder_nothing_is_kept() -> None:
    """Whoever wants no cache gets one that forgets."""
    cache = ManifestCache(None)
    cache.keep_manifest(ONE, b"one")
    cache.keep_seen("r", "a", SEEN)
    cache.prune()
    assert cache.manifest(ONE) is None
    assert cache.seen("r", "a") == SeenRepository()
    assert cache.problem is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"formatVersion":2,"repository":"r/a","tags":{},"manifests":[]}',
        b'{"formatVersion":1,"repository":"r/b","tags":{},"manifests":[]}',
        b'{"formatVersion":1,"repository":"r/a","tags":{"1":"md5:1"},"manifests":[]}',
        b'{"formatVersion":1,"repository":"r/a","tags":{"../1":"%s"},"manifests":[]}'
        % str(ONE).encode(),
        b'{"formatVersion":1,"repository":"r/a","tags":{},"manifests":[7]}',
    ],
)
def test_what_was_seen_is_dropped_where_it_makes_no_sense(tmp_path: Path, raw: bytes) -> None:
    """It is as if nothing had been seen, and the file is gone."""
    ManifestCache(tmp_path).keep_seen("r", "a", SEEN)
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    path.write_bytes(raw)
    assert ManifestCache(tmp_path).seen("r", "a") == SeenRepository()
    assert not path.exists()


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    """By the number of files and by their bytes; what was read counts as used."""
    contents = [str(number).encode() * 100 for number in range(8)]
    digests = [Digest.of(raw) for raw in contents]
    for limits in ({"max_files": 3}, {"max_bytes": 300}):
        cache = ManifestCache(tmp_path, **limits)
        for age, (digest, raw) in enumerate(zip(digests, contents, strict=True)):
            cache.keep_manifest(digest, raw)
            (path,) = tmp_path.rglob(f"*{digest.hex}")
            os.utime(path, (1000 + age, 1000 + age))
        assert cache.manifest(digests[0]) is not None  # used now
        cache.prune()
        left = [digest for digest in digests if cache.manifest(digest) is not None]
        assert left == [digests[0], digests[6], digests[7]]


def test_without_anything_new_nothing_is_let_go(tmp_path: Path) -> None:
    """Looking through the folder is saved where it cannot have grown."""
    ManifestCache(tmp_path).keep_manifest(ONE, b"one")
    reader = ManifestCache(tmp_path, max_files=0)
    reader.prune()
    assert reader.manifest(ONE) == b"one"
    reader.keep_manifest(TWO, b"two")
    reader.prune()
    assert reader.manifest(ONE) is None


def test_threads_may_keep_and_read_the_same(tmp_path: Path) -> None:
    """Nobody sees half a file."""
    cache = ManifestCache(tmp_path)
    raw = os.urandom(200_000)
    digest = Digest.of(raw)
    wrong = []

    def work() -> None:
        for _ in range(20):
            cache.keep_manifest(digest, raw)
            if cache.manifest(digest) != raw:
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert cache.problem is None


def test_only_what_was_kept_is_let_go(tmp_path: Path) -> None:
    """What else lies in the folder of caches is somebody else's."""
    other = tmp_path / "other" / "file"
    other.parent.mkdir()
    other.write_bytes(b"x" * 1000)
    cache = ManifestCache(tmp_path, max_files=0)
    cache.keep_manifest(ONE, b"one")
    cache.prune()
    assert cache.manifest(ONE) is None
    assert other.exists()
