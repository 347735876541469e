"""`airgap verify bundle` of volumes, from end to end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.bundle import par2_tool
from airgap.bundle.par2 import parity_files
from airgap.errors import AirgapError
from tests.support import builders
from tests.support.bundles import make_bundle
from tests.support.command_line import airgap
from tests.support.embedded import EmbeddedRegistry
from tests.support.parity import create, flip
from tests.support.volume_sets import MadeVolumes, split

SIZE = "1MiB"


@pytest.fixture(scope="module")
def source() -> Iterator[EmbeddedRegistry]:
    """A registry with an image of some MiB."""
    with EmbeddedRegistry() as registry:
        app = registry.repository("team/app")
        builders.push(app, builders.image(layers=(2_500_000, 400_000)), tag="1.4")
        yield registry


@pytest.fixture
def folder(source: EmbeddedRegistry, tmp_path: Path) -> Path:
    """What an export wrote: several volumes."""
    medium = tmp_path / "usb"
    medium.mkdir()
    target = medium / "release.tar"
    image = f"{source.host}/team/app:1.4"
    done = airgap("export", "images", image, "-o", target, "--volume-size", SIZE)
    assert done.code == 0, done.err
    return medium


@pytest.fixture
def made(tmp_path: Path) -> MadeVolumes:
    """Small volumes in `tmp_path`."""
    volumes = split(make_bundle(layer_size=3000), 1500)
    volumes.write(tmp_path)
    return volumes


def test_what_was_exported_in_volumes_is_whole(folder: Path) -> None:
    """A folder, or its files in any order; each file gets a line."""
    done = airgap("verify", "bundle", folder)
    assert (done.code, done.err) == (0, "")
    count = len(list(folder.glob("release.*.tar")))
    assert count > 2
    for number in range(1, count + 1):
        name = folder / f"release.{number:03d}.tar"
        assert f"{name}: whole; volume {number} of {count}" in done.out
    files = sorted(folder.iterdir(), reverse=True)
    assert airgap("verify", "bundle", *files, "--read-back").code == 0


def test_a_missing_volume_of_an_export_is_told_with_its_image(folder: Path) -> None:
    """Exit 23; the warning comes first and the result lists the volume."""
    (folder / "release.002.tar").unlink()
    done = airgap("verify", "bundle", folder)
    assert done.code == 23
    assert done.err.startswith("warning: volume 2 of ")
    assert "missing-volume: volume 2 of " in done.out
    assert "needed by " in done.out
    lines = airgap("verify", "bundle", folder, "--json").lines
    assert [line["type"] for line in lines[:2]] == ["notice", "phase-started"]
    assert lines[-2]["missing_volumes"] == [2]


def test_damage_is_shown_with_file_place_and_length(made: MadeVolumes, tmp_path: Path) -> None:
    """So that somebody can look at these bytes, or copy that volume again."""
    index, extent = made.holders(made.cut[0])[1]
    path = tmp_path / f"bundle.{index + 1:03d}.tar"
    flip(path, extent.offset)
    done = airgap("verify", "bundle", tmp_path)
    assert done.code == 20
    assert f"({path}: at byte {extent.offset:,}, {extent.length:,} bytes)" in done.out
    assert f"{path}: 1 problem; volume {index + 1} of " in done.out
    (finding,) = airgap("verify", "bundle", tmp_path, "--json").lines[-2]["findings"]
    assert (finding["path"], finding["volume"]) == (str(path), index + 1)
    assert (finding["offset"], finding["length"]) == (extent.offset, extent.length)
    assert finding["images"]


def test_a_volume_of_another_bundle_is_refused_or_left_out(
    made: MadeVolumes, tmp_path: Path
) -> None:
    """Exit 22; with the id of another bundle it is that one which is asked for."""
    other = split(make_bundle(layer_size=2999), 1500)
    path = tmp_path / "stray.tar"
    path.write_bytes(other.data[0])
    done = airgap("verify", "bundle", tmp_path)
    assert done.code == 22
    assert f"other-bundle: {path} is volume 1 of " in done.out
    assert f"{path}: 1 problem; of another bundle" in done.out
    assert "the bundle is whole: take the files away" in done.err
    mine, theirs = made.made.catalog.id, other.made.catalog.id
    done = airgap("verify", "bundle", tmp_path, "--expect", theirs)
    assert done.out.count("missing-volume: ") == len(other.data) - 1
    done = airgap("verify", "bundle", path, "--expect", mine)
    assert (done.code, "expected" in done.err) == (20, True)


def test_an_export_that_did_not_end_is_called_unfinished(made: MadeVolumes, tmp_path: Path) -> None:
    """Its partial file is the volume, and is not said to be missing."""
    path = tmp_path / "bundle.002.tar"
    front = len(made.layouts[1].front)
    path.unlink()
    partial = tmp_path / "bundle.002.tar.partial"
    partial.write_bytes(made.data[1][:front].ljust(len(made.data[1]), b"\0"))
    done = airgap("verify", "bundle", tmp_path)
    assert "missing-volume" not in done.out
    assert done.out.startswith("unfinished: ")
    assert "was never finished" in done.err


def test_a_flipped_bit_in_parity_is_found(made: MadeVolumes, tmp_path: Path) -> None:
    """In any packet of any PAR2 file, with its place; the volumes themselves are whole."""
    try:
        par2_tool.find_tool()
    except AirgapError:
        pytest.skip("the PAR2 tool is not installed")
    create(sorted(tmp_path.glob("bundle.*.tar")))
    assert airgap("verify", "bundle", tmp_path).code == 0
    for path in parity_files(tmp_path):
        for offset in (3, 70, path.stat().st_size - 1):
            flip(path, offset)
            done = airgap("verify", "bundle", tmp_path, "--json")
            assert done.code == 20
            (finding,) = done.lines[-2]["findings"]
            assert (finding["kind"], finding["path"]) == ("parity", str(path))
            assert finding["offset"] <= offset < finding["offset"] + finding["length"]
            flip(path, offset)
