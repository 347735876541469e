"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os

import pytest

from airgap.content import atomic
from airgap.content.atomic import make_folder, move_file, remove_file, write_file
from airgap.content.storage import storage_error
from airgap.errors import StorageError, StorageFullError


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_written_and_replaced(tmp_path, durable):
    """The new content takes the old one's place, and nothing else is left in the folder."""
    path = tmp_path / "x"
    write_file(path, b"old", durable=durable)
    write_file(path, b"new", durable=durable, mode=0o600)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["write_at", "sync_data"])
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, step):
    """Whatever fails before the rename, what was there stays, and no temporary file does."""
    path = tmp_path / "x"
    write_file(path, b"old")

    def fails(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic, step, fails)
    with pytest.raises(StorageFullError):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_folders_are_made_with_those_above(tmp_path):
    """Making a folder twice is making it once."""
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b", durable=False)
    assert (tmp_path / "a" / "b").is_dir()


def test_a_file_in_the_way_of_a_folder_is_a_storage_error(tmp_path):
    """What cannot be made is named."""
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(StorageError, match="/a"):
        make_folder(tmp_path / "a" / "b")


def test_a_file_is_moved_and_removed(tmp_path):
    """Removing says whether there was something to remove."""
    write_file(tmp_path / "a", b"x")
    move_file(tmp_path / "a", tmp_path / "b")
    assert not (tmp_path / "a").exists()
    assert remove_file(tmp_path / "b")
    assert not remove_file(tmp_path / "b")
    with pytest.raises(StorageError):
        move_file(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize(
    ("number", "kind", "hint"),
    [
        (errno.ENOSPC, StorageFullError, "make room"),
        (errno.EDQUOT, StorageFullError, "make room"),
        (errno.EACCES, StorageError, "permissions"),
        (errno.EROFS, StorageError, "permissions"),
        (errno.EIO, StorageError, "put it back"),
        (errno.ENODEV, StorageError, "put it back"),
        (errno.EFBIG, StorageError, "of this size"),
        (errno.ENAMETOOLONG, StorageError, "shorter name"),
        (errno.ENOENT, StorageError, "check the path"),
        (errno.EISDIR, StorageError, "name a file"),
    ],
)
def test_errors_of_the_system_are_translated(number, kind, hint):
    """The kind of error and its hint follow from the number, and the message names the file."""
    error = storage_error(OSError(number, os.strerror(number)), "/x/y")
    assert type(error) is kind
    assert hint in error.hint
    assert error.message == f"/x/y: {os.strerror(number)}"
