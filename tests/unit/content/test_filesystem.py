"""The kernel's list of mounts tells what a folder is on, and what that takes."""

from __future__ import annotations

import sys

import pytest

from airgap.content import filesystem, posix
from airgap.content.filesystem import FileSystem, drop_cache_file, file_system
from airgap.errors import StorageError


def mount(point: object, kind: str, source: str = "/dev/sdb1", optional: str = "shared:7") -> str:
    """One line of the list."""
    options = f"{optional} " if optional else ""
    return f"42 27 8:17 / {point} rw,relatime {options}- {kind} {source} rw,errors=continue\n"


@pytest.mark.parametrize("kind", ["vfat", "msdos"])
def test_fat_ends_files_before_4_gib(tmp_path, kind):
    """FAT has a limit for files, and fills gaps with zeros."""
    found = file_system(tmp_path, mountinfo=mount(tmp_path, kind))
    assert found == FileSystem(kind, max_file=4_294_967_295, has_holes=False)


@pytest.mark.parametrize(
    "kind",
    ["exfat", "fuseblk", "ntfs", "ntfs3", "nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "udf",
     "iso9660", "9p"],
)  # fmt: skip
def test_some_file_systems_take_large_files_and_fill_gaps(tmp_path, kind):
    """Sticks with exFAT or NTFS, network shares and discs are written from front to back."""
    found = file_system(tmp_path, mountinfo=mount(tmp_path, kind))
    assert found == FileSystem(kind, max_file=None, has_holes=False)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "f2fs", "zfs"])
def test_file_systems_of_linux_have_holes(tmp_path, kind):
    """They take large files at any offset."""
    found = file_system(tmp_path, mountinfo=mount(tmp_path, kind))
    assert found == FileSystem(kind, max_file=None, has_holes=True)


def test_the_nearest_mount_above_counts(tmp_path):
    """A folder belongs to the deepest mount that holds it, wherever that stands in the list."""
    stick = tmp_path / "stick"
    mounts = mount(stick, "vfat") + mount("/", "ext4") + mount(tmp_path / "st", "xfs", optional="")
    assert file_system(stick / "a" / "b", mountinfo=mounts).kind == "vfat"
    assert file_system(stick, mountinfo=mounts).kind == "vfat"
    assert file_system(tmp_path, mountinfo=mounts).kind == "ext4"
    assert file_system(tmp_path / "sticks", mountinfo=mounts).kind == "ext4"


def test_a_mount_hides_one_at_the_same_place(tmp_path):
    """Of two at one place the later one counts."""
    mounts = mount(tmp_path, "ext4") + mount(tmp_path, "vfat")
    assert file_system(tmp_path, mountinfo=mounts).kind == "vfat"


def test_a_link_is_followed_to_its_medium(tmp_path):
    """What counts is where the bytes will lie."""
    (tmp_path / "stick").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "stick")
    mounts = mount("/", "ext4") + mount(tmp_path / "stick", "vfat")
    assert file_system(tmp_path / "link", mountinfo=mounts).kind == "vfat"


def test_names_with_spaces_are_read(tmp_path):
    """The kernel writes white space and backslashes of a mount point as octal numbers."""
    point = tmp_path / "MY STICK\\2"
    line = mount(str(point).replace("\\", "\\134").replace(" ", "\\040"), "vfat")
    assert file_system(point, mountinfo=line).kind == "vfat"


@pytest.mark.parametrize("text", ["", "nonsense\n", "1 2 3 / / rw\n", "1 2 3 / / rw - \n"])
def test_nothing_is_taken_for_granted_where_the_kernel_does_not_say(tmp_path, text):
    """A list that is empty or not understood gives an unknown kind without holes."""
    assert file_system(tmp_path, mountinfo=text) == FileSystem("unknown")


def test_a_system_without_a_list_is_unknown(tmp_path, monkeypatch):
    """Where /proc is not there, the answer is the same and not an error."""
    monkeypatch.setattr(filesystem, "MOUNTINFO", tmp_path / "nowhere")
    assert file_system(tmp_path) == FileSystem("unknown")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists mounts in /proc")
def test_the_own_list_is_read():
    """/proc is on the file system of that name."""
    assert file_system(filesystem.MOUNTINFO.parent).kind == "proc"


def test_a_file_is_synced_before_its_cache_is_dropped(tmp_path, monkeypatch):
    """Bytes that are not on the medium yet could not be dropped; all of the file is meant."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 5000)
    calls: list[object] = []
    monkeypatch.setattr(posix, "sync_data", lambda _fd: calls.append("sync"))
    monkeypatch.setattr(posix, "drop_cache", lambda _fd, at, length: calls.append((at, length)))
    drop_cache_file(path)
    assert calls == ["sync", (0, 5000)]


def test_a_file_that_is_not_there_has_no_cache(tmp_path):
    """The error names the file."""
    with pytest.raises(StorageError, match="nowhere"):
        drop_cache_file(tmp_path / "nowhere")
