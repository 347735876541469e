"""What volumes are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.bundle.volume_names import beside, unfinished_volumes, volume_path, volumes_there
from airgap.errors import SettingsError


@pytest.mark.parametrize(
    ("name", "number", "wanted"),
    [
        ("release.tar", 1, "release.001.tar"),
        ("release.tar", 1000, "release.1000.tar"),
        ("release", 2, "release.002.tar"),
        ("v1.2.tar", 3, "v1.2.003.tar"),
        (".tar", 1, ".tar.001.tar"),
    ],
)
def test_the_number_stands_before_the_ending(name: str, number: int, wanted: str) -> None:
    """Three digits, so that they sort; more where there are more."""
    assert volume_path(Path(name), number).name == wanted


def test_volumes_are_found_by_their_names_alone(tmp_path: Path) -> None:
    """Neither other bundles nor names that are never given."""
    others = ["release.tar", "release.0001.tar", "release.01.tar", "releaseX001.tar", "x.001.tar"]
    for name in ["release.010.tar", "release.002.tar", "release.1000.tar", *others]:
        (tmp_path / name).touch()
    (tmp_path / "release.003.tar.partial").touch()
    target = tmp_path / "release.tar"
    assert list(volumes_there(target)) == [2, 10, 1000]
    assert list(unfinished_volumes(target)) == [3]


def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    """It is said elsewhere that it is missing."""
    assert volumes_there(tmp_path / "none" / "release.tar") == {}


def test_a_link_is_followed(tmp_path: Path) -> None:
    """The volumes lie where the link points, as one file does."""
    (tmp_path / "stick").mkdir()
    link = tmp_path / "release.tar"
    link.symlink_to(tmp_path / "stick" / "real.tar")
    assert volume_path(link, 1) == tmp_path / "stick" / "real.001.tar"
    assert beside(link, ".sha256") == tmp_path / "stick" / "real.sha256"


@pytest.mark.parametrize("name", [".", "/"])
def test_a_folder_is_no_name(name: str) -> None:
    """There would be nothing to put the number into."""
    with pytest.raises(SettingsError, match="folder"):
        volume_path(Path(name), 1)
