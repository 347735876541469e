"""The media of these tests do what they are there for: hold, fill up, vanish and lie."""

from __future__ import annotations

import errno
import os

import pytest

from airgap.content.filesystem import drop_cache_file, file_system
from tests.compat.software import airgap
from tests.support.media import MIB, SMALLEST, airgap_with_file_limit, attempt, fill, seen_as

KINDS = {"ext4": "ext4", "xfs": "xfs", "btrfs": "btrfs", "exfat": "fuseblk"}


def write(path, data):
    """Write and sync."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@pytest.mark.parametrize("kind", KINDS)
def test_a_loop_device_holds_a_file_system_of_its_kind(loop, kind):
    """The kernel says the type, and what was written is there when it is mounted again."""
    with loop(kind, SMALLEST[kind]) as medium:
        assert file_system(medium.folder).kind == KINDS[kind]
        assert file_system(medium.folder).has_holes == (kind != "exfat")
        write(medium.folder / "a", b"kept")
        medium.put_back()
        assert (medium.folder / "a").read_bytes() == b"kept"


@pytest.mark.parametrize("kind", KINDS)
def test_gaps_cost_nothing_only_where_there_are_holes(loop, kind):
    """One byte far behind the beginning takes all of the room before it on exFAT alone."""
    with loop(kind, SMALLEST[kind]) as medium:
        with (medium.folder / "gap").open("wb") as file:
            os.pwrite(file.fileno(), b"x", MIB - 1)
            os.fsync(file.fileno())
        used = (medium.folder / "gap").stat().st_blocks * 512
        assert (used >= MIB) == (not file_system(medium.folder).has_holes)


def test_a_medium_is_small(stick):
    """It takes what it has room for and then says that it is full."""
    fill(stick.folder, leave=0)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        write(stick.folder / "more", b"x" * MIB)


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_pulled_medium_fails_and_keeps_what_was_synced(loop, kind):
    """Every call fails until it is put back; what was only in memory is gone."""
    with loop(kind) as medium:
        write(medium.folder / "synced", b"s" * 5000)
        os.sync()
        (medium.folder / "lost").write_bytes(b"l" * 5000)
        medium.pull()
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            (medium.folder / "more").write_bytes(b"x")
        medium.put_back()
        assert (medium.folder / "synced").read_bytes() == b"s" * 5000
        lost = medium.folder / "lost"
        assert not lost.exists() or lost.read_bytes() != b"l" * 5000


def test_a_read_only_medium_takes_nothing(stick):
    """It can be read and not written."""
    write(stick.folder / "a", b"kept")
    stick.put_back(read_only=True)
    assert (stick.folder / "a").read_bytes() == b"kept"
    with pytest.raises(OSError, match=os.strerror(errno.EROFS)):
        (stick.folder / "b").write_bytes(b"x")


def test_nothing_stays_behind_when_a_test_fails(loop, tmp_path):
    """The device is detached and the folder is unmounted, also with a file still open."""
    with pytest.raises(ZeroDivisionError), loop("ext4") as medium:
        kept_open = (medium.folder / "a").open("wb")
        raise ZeroDivisionError
    assert not os.path.ismount(medium.folder)
    kept_open.close()
    assert str(tmp_path) not in attempt(["losetup", "--list"]).out


@pytest.mark.parametrize("wraps", [True, False])
def test_a_lying_medium_shows_only_when_it_is_read_back(forged, wraps):
    """It takes more than it has; the cache hides that, and reading past the cache shows it."""
    with forged(real=MIB, claimed=8 * MIB, wraps=wraps) as folder:
        assert os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize == 8 * MIB
        first, second = os.urandom(MIB), os.urandom(MIB)
        write(folder / "first", first)
        write(folder / "second", second)
        drop_cache_file(folder / "first")
        drop_cache_file(folder / "second")
        assert ((folder / "first").read_bytes() == first) == (not wraps)
        assert ((folder / "second").read_bytes() == second) == wraps


def test_a_lying_medium_is_honest_within_its_real_size(forged):
    """What fits is there, under the name that it was moved to, and cut where it was cut."""
    with forged(real=2 * MIB, claimed=8 * MIB) as folder:
        data = os.urandom(100_000)
        write(folder / "a", data)
        (folder / "a").rename(folder / "b")
        os.truncate(folder / "b", 60_000)
        drop_cache_file(folder / "b")
        assert (folder / "b").read_bytes() == data[:60_000]
        assert [path.name for path in folder.iterdir()] == ["b"]
        (folder / "b").unlink()
        assert list(folder.iterdir()) == []


def test_a_limit_of_files_reaches_the_command(tmp_path):
    """The command runs as without the limit where it writes little."""
    limited = airgap_with_file_limit(tmp_path, MIB).run("--version")
    assert limited.out == airgap(tmp_path).run("--version").out


def test_a_folder_can_stand_in_for_a_stick_with_fat32(tmp_path):
    """For as long as the context lasts, and with all that is below it."""
    with seen_as(tmp_path, "vfat", by=tmp_path):
        assert file_system(tmp_path / "below").max_file == 4_294_967_295
        assert file_system(tmp_path.parent).kind != "vfat"
    assert file_system(tmp_path).kind != "vfat"
