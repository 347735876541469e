"""Encrypted files are repaired without a key, to the bytes that they had."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyrage
import pytest

from airgap.errors import ExitCode
from tests.support import builders
from tests.support.command_line import airgap
from tests.support.embedded import EmbeddedRegistry


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Encrypted volumes of an image, with parity for one."""
    folder = tmp_path_factory.mktemp("made")
    key = pyrage.x25519.Identity.generate()
    with EmbeddedRegistry() as registry:
        image = builders.image(layers=(1_500_000, 900_000), seed=5)
        builders.push(registry.repository("app"), image, tag="1")
        done = airgap(
            *("export", "images", f"{registry.host}/app:1", "-o", folder / "release.tar"),
            *("--volume-size", "1MiB", "--encrypt-to", str(key.to_public())),
            *("--parity", "1volume"),
        )
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def medium(made, tmp_path):
    """A copy of them, to be damaged."""
    return Path(shutil.copytree(made, tmp_path / "medium"))


def volumes(folder: Path) -> list[Path]:
    return sorted(folder.glob("release.0*.age"))


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def state(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_damaged_and_lost_files_are_rebuilt_from_parity(made, medium):
    """One after the other, with no key at hand."""
    for number, path in enumerate(volumes(medium)):
        if number:
            path.unlink()
        else:
            flip(path, 300_000)
        done = airgap("repair", "bundle", medium)
        assert done.code == 0, done.err
    assert state(medium) == state(made)


def test_two_copies_that_are_damaged_in_different_files_make_a_whole_one(made, medium, tmp_path):
    """Block by block, where there is no parity."""
    other = Path(shutil.copytree(medium, tmp_path / "other"))
    for folder in (medium, other):
        for path in folder.glob("*.par2"):
            path.unlink()
    flip(volumes(medium)[1], 5000)
    volumes(other)[0].unlink()
    before = state(medium)
    assert airgap("repair", "bundle", medium).code == ExitCode.INCOMPLETE
    assert state(medium) == before
    done = airgap("repair", "bundle", medium, "--from", other)
    assert done.code == 0, done.err
    assert {path.name: path.read_bytes() for path in volumes(medium)} == {
        path.name: path.read_bytes() for path in volumes(made)
    }


def test_wrong_bytes_of_a_copy_are_not_taken(medium, tmp_path):
    """Damaged in the same block, it gives nothing, and nothing is changed."""
    for path in medium.glob("*.par2"):
        path.unlink()
    flip(volumes(medium)[1], 5000)
    other = Path(shutil.copytree(medium, tmp_path / "other"))
    before = state(medium)
    done = airgap("repair", "bundle", medium, "--from", other)
    assert done.code == ExitCode.INCOMPLETE
    assert state(medium) == before


def test_a_whole_file_that_has_the_name_of_a_lost_one_gets_its_own_back(made, medium):
    """It is not written over: with the parity that is there, it could not be made again as well."""
    lost, other = volumes(medium)[:2]
    other.replace(lost)
    done = airgap("repair", "bundle", medium)
    assert done.code == 0, done.err
    assert state(medium) == state(made)
