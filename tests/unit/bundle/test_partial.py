"""The unfinished file, its syncs, and what one crash-safe step of it relies on."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from airgap.bundle.journal import Holdings, Journal
from airgap.bundle.partial import PartialFile
from airgap.bundle.placement import Extent
from airgap.bundle.sync import Syncer
from airgap.errors import ConflictError, SettingsError, StorageError, StorageFullError
from airgap.oci.digest import Digest


@pytest.fixture
def file(tmp_path: Path):
    """An open partial file."""
    made = PartialFile(tmp_path / "x.tar", overwrite=False)
    yield made
    made.close()


def extent(text: bytes, offset: int) -> Extent:
    return Extent(Digest.of(text), offset, len(text))


@pytest.mark.parametrize("target", [0, 3, 7, 10, 13, 17, 40])
def test_copy_onto_itself(file: PartialFile, monkeypatch, target: int) -> None:
    """Bytes that move by less than their length arrive unharmed in either direction."""
    monkeypatch.setattr("airgap.bundle.partial.CHUNK_SIZE", 4)
    text = b"abcdefghijklmnopqrstuvwxy"
    file.write(text, 10)
    assert list(file.copy(10, len(text), target)) == [4, 8, 12, 16, 20, 24, 25]
    assert b"".join(file.chunks(target, len(text))) == text


def test_copy_of_what_is_not_there(file: PartialFile) -> None:
    """Reading behind the end gives less than was asked for."""
    file.write(b"abc", 0)
    assert b"".join(file.chunks(1, 100)) == b"bc"


def test_without_locks(tmp_path: Path, monkeypatch) -> None:
    """On a file system without locks the file opens all the same and says that it has none."""

    def cannot(_: int) -> bool:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr("airgap.content.posix.lock", cannot)
    file = PartialFile(tmp_path / "x.tar", overwrite=False)
    assert not file.is_locked
    file.close()


def test_renamed_while_waiting(tmp_path: Path, monkeypatch) -> None:
    """A lock on a file that was finished meanwhile is not a lock on the bundle."""
    target = tmp_path / "x.tar"

    def finished(_: int) -> bool:
        monkeypatch.undo()
        target.with_name("x.tar.partial").rename(target)
        return True

    monkeypatch.setattr("airgap.content.posix.lock", finished)
    with pytest.raises(ConflictError):
        PartialFile(target, overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar"]


def test_name_taken_meanwhile(file: PartialFile) -> None:
    """A file that appears under the final name in the meantime is not replaced."""
    file.write(b"bundle", 0)
    file.target.write_bytes(b"other")
    with pytest.raises(ConflictError):
        file.publish()
    assert file.target.read_bytes() == b"other"


def test_folder_appears_meanwhile(file: PartialFile) -> None:
    """A folder that appears under the final name is not replaced either."""
    file.target.mkdir()
    with pytest.raises(SettingsError):
        file.publish()


def test_link_in_the_way(tmp_path: Path) -> None:
    """A partial name that is a link is not followed: it could lead to any file."""
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "x.tar.partial").symlink_to(tmp_path / "precious")
    with pytest.raises(StorageError):
        PartialFile(tmp_path / "x.tar", overwrite=False)
    assert (tmp_path / "precious").read_bytes() == b"precious"


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EFBIG, errno.EOVERFLOW])
def test_larger_than_the_file_system_takes(file: PartialFile, monkeypatch, code: int) -> None:
    """Where files end at 4 GiB (FAT), a larger bundle is refused before its first byte."""
    real = os.lseek

    def seek(fd: int, offset: int, how: int) -> int:
        if offset >= 1 << 32:
            raise OSError(code, "too large")
        return real(fd, offset, how)

    monkeypatch.setattr("airgap.content.posix.os.lseek", seek)
    monkeypatch.setattr("airgap.content.posix.free_bytes", lambda _: 1 << 40)
    with pytest.raises(StorageError) as caught:
        file.reserve(1 << 32)
    assert caught.value.exit_code == 30
    assert caught.value.hint == "the file system does not take files of this size"
    assert file.size == 0


@pytest.mark.parametrize(("free", "fits"), [(9_999, False), (10_000, True)])
def test_room_for_what_is_missing(file: PartialFile, monkeypatch, free: int, fits: bool) -> None:
    """What the file takes already needs no room again; one byte too little is refused."""
    file.write(os.urandom(8192), 0)
    file.sync()
    taken = file.path.stat().st_blocks * 512
    monkeypatch.setattr("airgap.content.posix.free_bytes", lambda _: free)
    if fits:
        file.reserve(taken + 10_000)
        return
    with pytest.raises(StorageFullError, match=r"10\.0 kB more, and 10\.0 kB are free"):
        file.reserve(taken + 10_000)
    assert file.size == 8192


def test_slow_reservation_is_given_up(file: PartialFile, monkeypatch) -> None:
    """Where reserving takes long, as when it fills with zeros, only two slices of it are done."""
    done: list[int] = []
    monkeypatch.setattr(os, "posix_fallocate", lambda _, offset, size: done.append(offset + size))
    monkeypatch.setattr("airgap.bundle.partial._SLICE", 1000)
    monkeypatch.setattr("airgap.bundle.partial._QUICK", -1.0)
    file.reserve(10_000)
    assert done == [1000, 2000]
    monkeypatch.setattr("airgap.bundle.partial._QUICK", 60.0)
    file.reserve(9_999)
    assert done[-1] == 9_999


def test_commit_during_a_sync_is_not_durable(file: PartialFile) -> None:
    """A blob that is committed while a sync runs counts as durable after the next one only."""
    journal = Journal(file.journal, file.inode, Holdings())
    syncer = Syncer(file, journal, clock=lambda: 0.0)
    before, during = extent(b"before", 0), extent(b"during", 10)
    real, durable = file.sync, []

    def sync() -> None:
        if not durable:
            syncer.commit(during)
        real()
        durable.append(set(journal.holdings.durable))

    file.sync = sync  # type: ignore[method-assign]  # the file itself is real
    syncer.commit(before)
    syncer._sync()
    assert journal.holdings.durable == {before.digest}
    syncer.close()
    assert journal.holdings.durable == {before.digest, during.digest}
    journal.close()


def test_an_end_does_not_wait_for_the_record_of_a_sync(file: PartialFile) -> None:
    """A sync that is under way when a bundle ends is waited for, and not written down."""
    journal = Journal(file.journal, file.inode, Holdings())
    syncer = Syncer(file, journal, clock=lambda: 0.0)
    real, began, ends = file.sync, threading.Event(), threading.Thread(target=syncer.stop)

    def sync() -> None:
        ends.start()
        began.set()
        assert syncer._asked.get(timeout=5) is False  # the end is asked for
        syncer._asked.put(False)
        real()

    file.sync = sync  # type: ignore[method-assign]  # the file itself is real
    syncer.commit(extent(b"before", 0))
    syncer.note(64 * 1024 * 1024)
    assert began.wait(10)
    ends.join(10)
    assert not ends.is_alive()
    assert journal.holdings.durable == set()
    journal.close()


def test_taken_back_during_a_sync(file: PartialFile) -> None:
    """A beginning that is thrown away while a sync runs is not recorded after it."""
    journal = Journal(file.journal, file.inode, Holdings())
    syncer = Syncer(file, journal, clock=lambda: 0.0)
    begun = extent(b"begun", 0)
    real = file.sync

    def sync() -> None:
        syncer.forget(begun.digest)
        real()

    file.sync = sync  # type: ignore[method-assign]  # the file itself is real
    syncer.advance(begun)
    syncer.close()
    assert journal.holdings.begun == {}
    journal.close()


@pytest.mark.parametrize(("size", "seconds"), [(64 * 1024 * 1024, 0.0), (1, 1.0)])
def test_synced_in_time(file: PartialFile, size: int, seconds: float) -> None:
    """The file is synced in the background after 64 MiB or a second, and not before."""
    now = [0.0]
    journal = Journal(file.journal, file.inode, Holdings())
    syncer = Syncer(file, journal, clock=lambda: now[0])
    synced = threading.Event()
    real = file.sync

    def sync() -> None:
        real()
        synced.set()

    file.sync = sync  # type: ignore[method-assign]  # the file itself is real
    syncer.note(size - 1)
    now[0] = seconds
    assert not synced.is_set()
    syncer.note(1)
    assert synced.wait(10)
    syncer.close()
    journal.close()


def test_a_name_that_the_file_system_refuses_is_an_error_of_storage(tmp_path: Path) -> None:
    """A name that is too long is said to be, and is no bug."""
    with pytest.raises(StorageError, match="name too long"):
        PartialFile(tmp_path / ("n" * 300), overwrite=False)


def test_only_new_bytes_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier run left, what is written or cut off, and always what was lent."""
    synced: list[int] = []
    monkeypatch.setattr("airgap.bundle.partial.posix.sync_data", synced.append)
    file = PartialFile(tmp_path / "release.tar", overwrite=False)
    counts = []
    for change in (
        lambda: None,
        lambda: None,
        lambda: file.write(b"bytes", 0),
        lambda: file.cut(9),
        lambda: file.cut(2),
        lambda: file.reserve(10_000),
        lambda: None,
        file.fileno,
        lambda: file.write(b"bytes", 0),
        lambda: None,
    ):
        change()
        file.sync()
        counts.append(len(synced))
    file.close()
    assert counts == [1, 1, 2, 2, 3, 4, 4, 4, 5, 6]


def test_a_file_that_got_its_name_is_not_cut_where_that_could_not_be_made_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was there before is replaced by then: tidying up must not empty the only one left."""
    target = tmp_path / "x.tar"
    target.write_bytes(b"old")

    def fail(_: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("airgap.content.posix.sync_folder", fail)
    file = PartialFile(target, overwrite=True)
    file.write(b"new and whole", 0)
    with pytest.raises(StorageError):
        file.publish()
    file.cut(0)
    file.close()
    assert target.read_bytes() == b"new and whole"
