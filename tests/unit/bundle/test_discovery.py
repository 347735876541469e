"""Bundles are found by what their files say, whatever these are called."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from airgap.bundle import discovery
from airgap.bundle.check_encrypted import is_encrypted
from airgap.bundle.discovery import choose, discover, read_placement
from airgap.bundle.reader import open_bundle
from airgap.errors import (
    AirgapError,
    BundleFormatError,
    ConflictError,
    ContentNotFoundError,
    ExitCode,
    StorageError,
)
from tests.support.bundles import flip, make_bundle
from tests.support.volume_sets import MadeVolumes, split
from tests.support.writing import BIG, bundle_of


@pytest.fixture
def made() -> MadeVolumes:
    """Five volumes, with a layer that is cut into all of them."""
    return split(bundle_of([BIG, b"small" * 200]), 11_000)


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (3, 0, 4, 2, 1)])
def test_files_are_sorted_by_what_they_say(
    tmp_path: Path, made: MadeVolumes, order: tuple[int, ...]
) -> None:
    """Neither the order in which they are named nor their names count."""
    paths = made.write(tmp_path)
    renamed = [path.rename(tmp_path / f"{9 - n}.bin") for n, path in enumerate(paths)]
    for named in ([renamed[index] for index in order], [tmp_path]):
        (found,) = discover(named)
        assert found.id == made.made.catalog.id
        assert dict(found.files) == dict(enumerate(renamed, 1))
        assert list(found.files) == [1, 2, 3, 4, 5]
        assert (found.volumes, found.missing, dict(found.doubles)) == (5, (), {})


def test_missing_volumes_are_known_from_one_that_is_here(tmp_path: Path, made: MadeVolumes) -> None:
    """Each says how many there are."""
    made.write(tmp_path, [None, made.data[1], None, made.data[3], None])
    (found,) = discover([tmp_path])
    assert (found.volumes, found.missing) == (5, (1, 3, 5))


def test_a_file_of_its_own_is_one_volume_of_one(tmp_path: Path) -> None:
    """A plain bundle in a folder is found like volumes are."""
    path = make_bundle().write(tmp_path)
    (found,) = discover([tmp_path])
    assert (found.volumes, dict(found.files), found.missing) == (1, {1: path}, ())


def test_what_is_no_finished_bundle_is_passed_over_in_folders(
    tmp_path: Path, made: MadeVolumes
) -> None:
    """Notes, unfinished files, other archives, pipes, folders, and what lies deeper in them."""
    paths = made.write(tmp_path)
    (tmp_path / "README.txt").write_text("hello")
    (tmp_path / "empty.tar").touch()
    (tmp_path / "oci-layout").write_bytes(b"oci-layout\0")
    (tmp_path / "x.tar.partial").write_bytes(make_bundle().data)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "other.tar").write_bytes(make_bundle().data)
    (found,) = discover([tmp_path])
    assert list(found.files.values()) == paths


def test_a_file_that_is_named_must_be_a_bundle(tmp_path: Path, made: MadeVolumes) -> None:
    """Beside volumes, too."""
    (tmp_path / "a").mkdir()
    made.write(tmp_path / "a")
    text = tmp_path / "README.txt"
    text.write_text("hello")
    with pytest.raises(BundleFormatError, match=r"README\.txt"):
        discover([tmp_path / "a", text])
    with pytest.raises(ContentNotFoundError, match="no such file"):
        discover([tmp_path / "a", tmp_path / "gone.tar"])


def test_a_folder_without_bundles_is_an_error_with_a_hint(tmp_path: Path) -> None:
    """Exit code 10, as where a file is not there."""
    (tmp_path / "README.txt").write_text("hello")
    with pytest.raises(ContentNotFoundError, match="there is no bundle in it") as caught:
        discover([tmp_path])
    assert caught.value.exit_code == ExitCode.NOT_FOUND
    assert "folder" in (caught.value.hint or "")


def test_one_file_under_two_names_is_taken_once(tmp_path: Path, made: MadeVolumes) -> None:
    """Named twice, linked to, and found in the folder: it is no double."""
    paths = made.write(tmp_path)
    (tmp_path / "latest.tar").symlink_to(paths[0])
    (found,) = discover([paths[0], tmp_path, tmp_path, paths[0]])
    assert dict(found.files) == dict(enumerate(paths, 1))
    assert dict(found.doubles) == {}


def test_a_volume_that_is_there_twice_is_told(tmp_path: Path, made: MadeVolumes) -> None:
    """The first is used, the other stands beside it."""
    paths = made.write(tmp_path)
    copy = tmp_path / "copy of 2.tar"
    copy.write_bytes(made.data[1])
    (found,) = discover([*paths, copy])
    assert dict(found.files) == dict(enumerate(paths, 1))
    assert dict(found.doubles) == {2: (copy,)}


@pytest.mark.parametrize("is_first", [True, False])
def test_of_two_copies_of_a_volume_the_one_that_opens_is_read(
    tmp_path: Path, made: MadeVolumes, is_first: bool
) -> None:
    """One of them is cut short; which one was named first does not matter."""
    paths = made.write(tmp_path)
    short = tmp_path / "short.tar"
    short.write_bytes(made.data[1][:-700])
    named = [short, *paths] if is_first else [*paths, short]
    with open_bundle(named) as reader:
        assert reader.volumes[2].path == paths[1]
        for digest, content in made.made.contents.items():
            assert reader.read_blob(digest) == content


def test_where_no_copy_of_a_volume_opens_the_first_is_spoken_of(
    tmp_path: Path, made: MadeVolumes
) -> None:
    """Both are damaged, each in another way."""
    paths = made.write(tmp_path)
    paths[1].write_bytes(flip(made.data[1], made.layouts[1].placement.seal + 600))
    short = tmp_path / "short.tar"
    short.write_bytes(made.data[1][:-700])
    with pytest.raises(BundleFormatError, match="seal"):
        open_bundle([*paths, short])


def test_mixed_up_bundles_are_named_with_their_files(tmp_path: Path, made: MadeVolumes) -> None:
    """Exit code 40; a digest chooses between them."""
    made.write(tmp_path)
    other = make_bundle()
    (tmp_path / "other.tar").write_bytes(other.data)
    found = discover([tmp_path])
    assert len(found) == 2
    with pytest.raises(ConflictError) as caught:
        choose(found)
    error = caught.value
    assert error.exit_code == ExitCode.CONFLICT
    assert "--expect" in (error.hint or "")
    for text in (made.made.catalog.id.short, other.catalog.id.short, "bundle.003.tar", "other.tar"):
        assert text in error.message
    assert choose(found, other.catalog.id).files == {1: tmp_path / "other.tar"}
    assert choose(found, made.made.catalog.id).volumes == 5
    with pytest.raises(ConflictError):
        choose(found, made.made.catalog.manifests[0].digest)


@pytest.mark.parametrize("size", [2**33 - 1, 10**9])
def test_a_header_that_promises_much_is_not_read(
    tmp_path: Path, made: MadeVolumes, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member larger than the file or than any front is no front of a bundle."""
    data = bytearray(made.data[0])
    data[124:136] = b"%011o\0" % size
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    path = tmp_path / "huge.tar"
    path.write_bytes(data)
    monkeypatch.setattr(discovery.Placement, "parse", lambda raw: pytest.fail("was parsed"))
    with pytest.raises(BundleFormatError, match="no placement"):
        read_placement(path)


def test_a_flipped_bit_up_to_the_placement_is_an_error_of_airgap_or_harmless(
    tmp_path: Path, made: MadeVolumes
) -> None:
    """Nothing else comes out of reading it, and opening such a file always fails."""
    layout = made.layouts[0]
    path = tmp_path / "volume.tar"
    for offset in range(0, len(layout.front), 41):
        path.write_bytes(flip(made.data[0], offset, offset % 8))
        with suppress(BundleFormatError):
            discover([path])
        with pytest.raises(AirgapError):
            open_bundle([path], must_be_whole=False)


@pytest.mark.parametrize(
    "look", [open_bundle, lambda path: discover([path]), lambda path: is_encrypted([path])]
)
def test_a_path_that_cannot_be_looked_at_is_an_error_of_storage(tmp_path: Path, look) -> None:
    """The system says neither that there is a folder nor that there is none."""
    with pytest.raises(StorageError):
        look(tmp_path / ("x" * 300))


def test_a_link_to_itself_is_an_error_of_storage(tmp_path: Path) -> None:
    """It is no bug of airgap."""
    link = tmp_path / "release.tar"
    link.symlink_to(link)
    with pytest.raises(StorageError):
        discover([link])
