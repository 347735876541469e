"""The unfinished files of a bundle: their form, their names and the room for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from airgap.bundle.addresses import Addresses, address
from airgap.bundle.bundle_files import BundleFiles, holdings_left
from airgap.content.filesystem import FAT_FILE_LIMIT, FileSystem
from airgap.errors import ConflictError, StorageError, StorageFullError

FRONTS = (b"front 1", b"front 2", b"front 3")


@contextmanager
def opened(
    target: Path, count: int = 3, *, overwrite: bool = False, is_whole: bool = False
) -> Iterator[BundleFiles]:
    """The files of a bundle in volumes."""
    files = BundleFiles(target, overwrite=overwrite, is_split=True)
    try:
        files.adopt(count, Addresses(), FRONTS[:count], is_split=True, is_whole=is_whole)
        yield files
    finally:
        files.close()


def names(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def test_files_without_bytes_leave_no_trace(target: Path) -> None:
    """Neither volumes nor the file that stands for them."""
    with opened(target):
        assert len(names(target)) == 4
    assert names(target) == []


def test_what_is_written_at_an_address_is_read_there(target: Path) -> None:
    """Each volume has its own bytes."""
    with opened(target) as files:
        for number in range(3):
            files.write(b"volume %d" % number, address(number, 5))
        assert b"".join(files.chunks(address(1, 5), 100)) == b"volume 1"
        assert list(files.copy(address(0, 5), 8, address(2, 100))) == [8]
        assert b"".join(files.chunks(address(2, 100), 8)) == b"volume 0"
    assert names(target) == [f"release.00{n}.tar.partial" for n in (1, 2, 3)]


def test_volumes_beyond_the_planned_ones_are_dropped(target: Path) -> None:
    """But not before the others are cut to their sizes, since bytes may be moved out of them."""
    with opened(target) as files:
        for number in range(3):
            files.write(bytes(100), address(number, 0))
    with opened(target, 1) as files:
        assert b"".join(files.chunks(address(2, 0), 100)) == bytes(100)
        files.cut([60])
    assert names(target) == ["release.001.tar.partial"]
    assert target.with_name("release.001.tar.partial").stat().st_size == 60


def test_a_limit_on_the_size_of_files_is_known_before_the_first_byte(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAT32 takes just less than 4 GiB, and the way out is said."""
    stick = FileSystem("vfat", max_file=FAT_FILE_LIMIT)
    monkeypatch.setattr("airgap.bundle.bundle_files.file_system", lambda _: stick)
    with opened(target) as files:
        with pytest.raises(StorageError, match="no file of more than") as caught:
            files.reserve([10, FAT_FILE_LIMIT + 1, 10])
        assert caught.value.hint == "add --volume-size fat32"
        assert files.fills_gaps
    assert names(target) == []


@pytest.mark.parametrize(
    ("free", "beside", "fits"), [(300, 0, True), (299, 0, False), (300, 1, False)]
)
def test_room_is_counted_over_all_volumes(
    target: Path, monkeypatch: pytest.MonkeyPatch, free: int, beside: int, fits: bool
) -> None:
    """With what is written beside them."""
    monkeypatch.setattr("airgap.bundle.bundle_files.free_bytes", lambda _: free)
    with opened(target) as files:
        if fits:
            files.reserve([100, 100, 100], beside=beside)
        else:
            with pytest.raises(StorageFullError):
                files.reserve([100, 100, 100], beside=beside)
    assert bool(names(target)) == fits


def test_volumes_lie_where_a_link_points(target: Path, tmp_path: Path) -> None:
    """The link stays."""
    link = tmp_path / "link.tar"
    link.symlink_to(target)
    with opened(link, 1) as files:
        files.write(FRONTS[0], 0)
        assert files.publish() == (target.with_name("release.001.tar"),)
    assert link.is_symlink()
    assert names(target) == ["release.001.tar"]


@pytest.mark.parametrize("is_whole", [True, False])
def test_replaced_volumes_are_taken_back_only_by_a_run_that_has_all(
    target: Path, is_whole: bool
) -> None:
    """An unfinished run cannot tell what it finished from what it is to replace."""
    there = target.with_name("release.002.tar")
    there.write_bytes(FRONTS[1] + b" and more")
    with opened(target, overwrite=True, is_whole=is_whole):
        assert there.exists() != is_whole


def test_a_volume_that_begins_otherwise_is_in_the_way(target: Path) -> None:
    """It stays what it is."""
    target.with_name("release.002.tar").write_bytes(b"another bundle")
    with pytest.raises(ConflictError, match=r"release\.002\.tar exists"), opened(target):
        pass
    assert names(target) == ["release.002.tar"]


def test_one_file_that_was_begun_does_not_become_volumes(target: Path) -> None:
    """What was fetched would be lost; the way to go on is said."""
    target.with_name("release.tar.partial").write_bytes(b"begun")
    with pytest.raises(ConflictError, match="begun as one file"), opened(target):
        pass
    assert target.with_name("release.tar.partial").read_bytes() == b"begun"


def test_volumes_that_were_begun_do_not_become_one_file(target: Path) -> None:
    """Their journal tells."""
    target.with_name("release.tar.partial.volumes").write_bytes(b"")
    with pytest.raises(ConflictError, match="begun in volumes"):
        BundleFiles(target, overwrite=False, is_split=False)
    assert names(target) == ["release.tar.partial.volumes"]


def test_nothing_is_left_where_nothing_was_begun(target: Path) -> None:
    """Nor where a journal cannot be read."""
    assert not holdings_left(target, is_split=True).extents()
    target.with_name("release.tar.partial.volumes").write_bytes(b"no journal")
    assert not holdings_left(target, is_split=True).extents()
    assert not holdings_left(Path("/"), is_split=True).extents()


def test_volumes_of_another_bundle_are_not_removed_without_being_asked_to(target: Path) -> None:
    """What was begun as one file and fits one volume lies beside them, and replaces none."""
    begun = BundleFiles(target, overwrite=False, is_split=False)
    begun.write(b"begun", 0)
    begun.close()
    other = target.with_name("release.001.tar")
    other.write_bytes(b"another bundle")
    files = BundleFiles(target, overwrite=False, is_split=True)
    files.adopt(1, Addresses(), FRONTS[:1], is_split=False, is_whole=True)
    files.publish()
    files.close()
    assert names(target) == ["release.001.tar", "release.tar"]
    assert other.read_bytes() == b"another bundle"
