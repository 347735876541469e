"""The calls that only POSIX has do what their names say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airgap.content import posix


@pytest.fixture
def fd(tmp_path):
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def test_bytes_are_written_and_read_at_an_offset(fd):
    """All bytes are written where they belong, and a read ends where the file does."""
    posix.write_at(fd, b"world", 6)
    posix.write_at(fd, memoryview(b"hello "), 0)
    assert posix.read_at(fd, 100, 2) == b"llo world"
    buffer = bytearray(4)
    assert posix.read_into(fd, [buffer], 9) == 2
    assert buffer[:2] == b"ld"


def test_short_writes_are_continued(fd, monkeypatch):
    """A system that takes a few bytes at a time gets all of them."""
    real = os.pwrite
    monkeypatch.setattr(posix.os, "pwrite", lambda fd, data, at: real(fd, bytes(data)[:3], at))
    posix.write_at(fd, b"0123456789", 5)
    assert posix.read_at(fd, 100, 5) == b"0123456789"


def test_a_lock_is_held_by_one(tmp_path):
    """A second holder of the same file is told that it is locked."""
    first, second = (os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT) for _ in range(2))
    assert posix.lock(first)
    assert not posix.lock(second)
    os.close(first)
    assert posix.lock(second)
    os.close(second)


def test_syncing_and_asking_for_room_work_here(fd, tmp_path):
    """Files and folders can be synced, and the file system says how much is free."""
    posix.write_at(fd, b"x", 0)
    posix.sync_data(fd)
    posix.sync_folder(tmp_path)
    assert posix.free_bytes(tmp_path) > 0


def test_room_is_reserved_where_that_is_possible(fd):
    """A reserved file has its size; where it cannot be reserved that is said."""
    assert posix.allocate(fd, 10_000) == (os.fstat(fd).st_size == 10_000)


@pytest.mark.parametrize(
    ("mounted", "folder", "expected"),
    [
        ("/media/me/STICK", "/media/me/STICK/a/b", True),
        ("/run/media/me/STICK", "/run/media/me/STICK", True),
        ("/mnt", "/mnt/images", True),
        ("/Volumes/STICK", "/Volumes/STICK", True),
        ("/", "/media/me/a-folder", False),
        ("/", "/", False),
        ("/run/user/1000", "/run/user/1000/a", False),
        ("/home", "/srv/me/media", False),
    ],
)
def test_a_medium_is_what_is_mounted_where_people_mount_things(
    monkeypatch, mounted, folder, expected
):
    """A folder of the system itself, or in its memory, is nothing to be taken out."""
    monkeypatch.setattr(posix.os.path, "ismount", lambda place: str(place) in ("/", mounted))
    monkeypatch.setattr(posix.Path, "resolve", lambda place: place)
    assert posix.is_medium(Path(folder)) is expected
