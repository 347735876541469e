"""Whether a medium gives back what was written: read from the medium, and all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.bundle import check_files
from airgap.run import Run
from airgap.transfer import spread_check
from airgap.transfer.spread_check import drop_files, is_parity_whole, is_whole
from tests.support.bundles import make_bundle
from tests.support.parity import create, flip, write_volumes
from tests.support.volume_sets import split

SET = split(make_bundle(), 1500)


def test_one_volume_of_several_is_whole_by_itself(tmp_path: Path) -> None:
    """Others lie on other media, which is not wrong; a bit that changed is."""
    path = SET.write(tmp_path)[1]
    assert is_whole(path, jobs=1, run=Run())
    flip(path, path.stat().st_size // 2)
    assert not is_whole(path, jobs=1, run=Run())


def test_a_volume_is_read_from_the_medium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory would tell what was written, and not what the medium kept."""
    dropped: list[Path] = []
    monkeypatch.setattr(check_files, "drop_cache_file", dropped.append)
    path = SET.write(tmp_path)[0]
    assert is_whole(path, jobs=1, run=Run())
    assert dropped == [path]


def test_parity_is_whole_only_while_every_file_of_it_is(tmp_path: Path) -> None:
    """One bit of one of them, or its end, is enough."""
    files = [str(path) for path in create(write_volumes(tmp_path / "medium"))]
    assert is_parity_whole(files, run=Run())
    for name in files:
        path = Path(name)
        good = path.read_bytes()
        flip(path, len(good) // 2)
        assert not is_parity_whole(files, run=Run()), name
        path.write_bytes(good[:-1])
        assert not is_parity_whole(files, run=Run()), name
        path.write_bytes(good)
    assert is_parity_whole(files, run=Run())
    Path(files[-1]).unlink()
    assert not is_parity_whole(files, run=Run())


def test_parity_is_read_from_the_medium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file of it is dropped from memory first."""
    files = create(write_volumes(tmp_path / "medium"))
    dropped: list[Path] = []
    monkeypatch.setattr(spread_check, "drop_cache_file", dropped.append)
    assert is_parity_whole([str(path) for path in files], run=Run())
    assert dropped == list(files)


def test_what_cannot_be_removed_is_left(tmp_path: Path) -> None:
    """A medium that lies may be read-only by now; that is no news."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "bad.tar").write_bytes(b"x")
    drop_files([tmp_path / "folder", tmp_path / "gone.tar", tmp_path / "bad.tar"])
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
