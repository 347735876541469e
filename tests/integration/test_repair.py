"""Repairing a bundle: identical bytes where that can be, and nothing made worse where not."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airgap.bundle.check import check_bundle
from airgap.bundle.parity import ParityRequest
from airgap.bundle.partial import PartialFile
from airgap.bundle.reader import open_bundle
from airgap.errors import ExitCode, SettingsError, StorageFullError
from airgap.oci.reference import Reference
from airgap.run import Run
from airgap.transfer.export import ExportOptions, export_images
from airgap.transfer.protect import ProtectOptions, protect_bundle
from airgap.transfer.repair import repair_bundle
from tests.support import builders
from tests.support.command_line import airgap
from tests.support.transfers import open_client

VOLUME = 1 << 20


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Volumes of three images with parity for one, and the registry that they came from."""
    from tests.support.embedded import EmbeddedRegistry

    folder = tmp_path_factory.mktemp("made")
    with EmbeddedRegistry() as registry:
        names = []
        for number, layers in enumerate([(1_500_000, 300_000), (700_000, 200_000), (900_000,)]):
            image = builders.image(layers=layers, seed=number)
            builders.push(registry.repository(f"app{number}"), image, tag="1")
            names.append(Reference.parse(f"{registry.host}/app{number}:1"))
        options = ExportOptions(
            volume_size=VOLUME, protect=ProtectOptions(parity=ParityRequest.parse("1volume"))
        )
        with open_client() as client:
            export_images(names, folder / "release.tar", client=client, options=options)
        yield folder, registry


@pytest.fixture
def medium(made, tmp_path):
    """A copy of the volumes and their parity, to be damaged."""
    folder = tmp_path / "medium"
    folder.mkdir()
    for path in made[0].glob("release*"):
        shutil.copy(path, folder)
    return folder


def without_parity(folder: Path) -> None:
    for path in folder.glob("*.par2"):
        path.unlink()


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


def state(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_same(folder: Path, made: Path) -> None:
    """Every volume has the bytes that it was exported with, and nothing else lies there."""
    assert not [p.name for p in folder.iterdir() if not p.name.startswith("release")]
    for path in made.glob("release.*.tar"):
        assert (folder / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_lost_volume_is_rebuilt_from_parity(made, medium):
    """Whichever it is, with the bytes that it had."""
    for path in sorted(medium.glob("*.tar")):
        path.unlink()
        done = airgap("repair", "bundle", medium)
        assert done.code == 0, done.err
        assert "rebuilt from parity" in done.out
    assert_same(medium, made[0])


@pytest.mark.parametrize("where", ["header", "catalog", "blob", "seal"])
def test_a_flipped_bit_is_repaired_from_parity(made, medium, where):
    """Wherever it lies in a volume."""
    path = sorted(medium.glob("*.tar"))[1]
    data = path.read_bytes()
    offset = {
        "header": 10,
        "catalog": data.index(b'{"blobs"') + 40,
        "blob": len(data) // 2,
        "seal": data.rindex(b'"uncovered"'),
    }[where]
    flip(path, offset)
    assert airgap("verify", "bundle", medium).code != 0
    assert airgap("repair", "bundle", medium).code == 0
    assert_same(medium, made[0])


def test_what_is_whole_is_left_alone(made, medium):
    """Nothing is written."""
    before = {path: path.stat().st_mtime_ns for path in medium.iterdir()}
    done = airgap("repair", "bundle", medium)
    assert (done.code, "nothing to repair" in done.out) == (0, True)
    assert {path: path.stat().st_mtime_ns for path in medium.iterdir()} == before


def test_more_damage_than_the_parity_covers_is_said_and_made_no_worse(medium):
    """Two of four volumes are gone, and parity is for one."""
    volumes = sorted(medium.glob("*.tar"))
    volumes[0].unlink()
    volumes[2].unlink()
    before = state(medium)
    done = airgap("repair", "bundle", medium)
    assert done.code == ExitCode.INCOMPLETE
    assert "1, 3 are not here" in done.err
    assert state(medium) == before


def test_a_registry_gives_blobs_where_there_is_no_parity(made, medium):
    """A damaged volume has its bytes again; a lost one holds the same."""
    without_parity(medium)
    volumes = sorted(medium.glob("*.tar"))
    flip(volumes[0], VOLUME // 2)
    assert airgap("repair", "bundle", medium).code == ExitCode.INCOMPLETE
    assert airgap("repair", "bundle", medium, "--from", made[1].host).code == 0
    assert_same(medium, made[0])
    volumes[1].unlink()
    assert airgap("repair", "bundle", medium, "--from", made[1].host).code == 0
    assert not check_bundle([medium], run=Run()).findings


def test_a_registry_that_cannot_be_reached_is_named_once(medium):
    """That its blobs are nowhere to be had is not all that is said."""
    without_parity(medium)
    sorted(medium.glob("*.tar"))[1].unlink()
    done = airgap("repair", "bundle", medium, "--from", "127.0.0.1:1", "--retries", "0")
    assert done.code == ExitCode.INCOMPLETE
    (said,) = [line for line in done.err.splitlines() if "gives nothing" in line]
    assert "127.0.0.1:1 cannot be reached" in said


def test_another_copy_gives_what_is_good_in_it(made, medium, tmp_path):
    """Two copies that are damaged in different places make one that is whole."""
    other = tmp_path / "other"
    shutil.copytree(medium, other)
    for folder in (medium, other):
        without_parity(folder)
    volumes = sorted(path.name for path in medium.glob("*.tar"))
    flip(medium / volumes[1], 500_000)
    (other / volumes[3]).unlink()
    done = airgap("repair", "bundle", medium, "--from", other)
    assert done.code == 0, done.err
    assert_same(medium, made[0])


def test_volumes_that_share_a_cut_blob_are_rebuilt_as_they_were(made, medium, tmp_path):
    """Where a blob was cut is known from the copy, when no volume beside tells."""
    other = tmp_path / "other"
    shutil.copytree(medium, other)
    without_parity(medium)
    for path in sorted(medium.glob("*.tar"))[:3]:
        path.unlink()
    done = airgap("repair", "bundle", medium, "--from", other)
    assert done.code == 0, done.err
    assert_same(medium, made[0])


def test_what_is_rebuilt_can_be_put_elsewhere(made, medium, tmp_path):
    """The damaged file stays as it is, and both folders together are whole."""
    path = sorted(medium.glob("*.tar"))[1]
    flip(path, 500_000)
    before, out = state(medium), tmp_path / "out"
    done = airgap("repair", "bundle", medium, "-o", out)
    assert done.code == 0, done.err
    assert state(medium) == before
    assert (out / path.name).read_bytes() == (made[0] / path.name).read_bytes()


def test_wrong_content_of_a_copy_is_not_taken(made, medium, tmp_path):
    """A copy that is damaged in the same place gives nothing, and nothing is changed."""
    path = sorted(medium.glob("*.tar"))[1]
    flip(path, 500_000)
    other = tmp_path / "other"
    shutil.copytree(medium, other)
    for folder in (medium, other):
        without_parity(folder)
    before = state(medium)
    done = airgap("repair", "bundle", medium, "--from", other)
    assert done.code == ExitCode.INCOMPLETE
    assert state(medium) == before


@pytest.mark.parametrize("source", ["parity", "copy"])
def test_a_repair_that_is_killed_is_finished_by_the_next(made, medium, source):
    """Killed at any moment, the damaged file is there as it was, or the repaired one is."""
    path = sorted(medium.glob("*.tar"))[1]
    good = (made[0] / path.name).read_bytes()
    flip(path, 500_000)
    damaged = path.read_bytes()
    more = []
    if source == "copy":
        without_parity(medium)
        more = ["--from", made[1].host]
    command = [sys.executable, "-m", "airgap", "repair", "bundle", str(medium), *more]
    draw = random.Random(source)
    for _ in range(int(os.environ.get("AIRGAP_KILLS", "6"))):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(draw.uniform(0.05, 0.9))
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert path.read_bytes() in (damaged, good)
    done = airgap("repair", "bundle", medium, *more)
    assert done.code == 0, done.err
    assert_same(medium, made[0])


def test_a_full_medium_is_not_taken_for_a_blob_that_is_nowhere(medium, monkeypatch):
    """What is good in the damaged volume is there: the error is that it cannot be written."""
    without_parity(medium)
    path = medium / "release.001.tar"
    flip(path, path.stat().st_size // 2)
    before = state(medium)

    real = PartialFile.write

    def write(file: PartialFile, data: bytes | memoryview, offset: int) -> None:
        if len(data) > 65_536:
            raise StorageFullError("no space left", origin="local")
        real(file, data, offset)

    monkeypatch.setattr(PartialFile, "write", write)
    with pytest.raises(StorageFullError):
        repair_bundle([medium], copies=lambda *_: ())
    assert state(medium) == before


def test_a_sound_volume_that_has_the_name_of_a_lost_one_is_not_overwritten(made, medium):
    """Names say nothing: what is rebuilt gets another one."""
    lost, other = sorted(medium.glob("*.tar"))[1:3]
    content, kept = lost.read_bytes(), other.read_bytes()
    other.replace(lost)
    done = airgap("repair", "bundle", medium)
    assert done.code == 0, done.err
    assert {content, kept} <= {path.read_bytes() for path in medium.glob("*.tar")}
    assert airgap("verify", "bundle", medium).code == 0


def test_a_copy_does_not_overwrite_a_sound_volume_of_the_name_either(made, medium):
    """The same, with the lost volume taken from another copy."""
    without_parity(medium)
    lost, other = sorted(medium.glob("*.tar"))[1:3]
    content, kept = lost.read_bytes(), other.read_bytes()
    other.replace(lost)
    done = airgap("repair", "bundle", medium, "--from", made[0])
    assert done.code == 0, done.err
    assert {content, kept} <= {path.read_bytes() for path in medium.glob("*.tar")}


@pytest.mark.parametrize("number", [0, 1])
def test_a_damaged_volume_is_replaced_where_it_lies_under_the_name_of_another(medium, number):
    """Of two that were swapped by name; then nothing is wrong with the medium any more."""
    pair = sorted(medium.glob("*.tar"))[:2]
    data = [path.read_bytes() for path in pair]
    for path, content in zip(pair, reversed(data), strict=True):
        path.write_bytes(content)
    flip(pair[number], 500_000)
    done = airgap("repair", "bundle", medium)
    assert done.code == 0, done.err
    assert [path.read_bytes() for path in pair] == data[::-1]
    assert len(list(medium.glob("*.tar"))) == 4


def test_parity_of_an_earlier_bundle_does_not_bring_that_back(made, medium, tmp_path):
    """It lies there under the same names, and could rebuild all of a volume that is whole in it."""
    name = f"{made[1].host}/app2:1"
    single = tmp_path / "single"
    single.mkdir()
    old = airgap("export", "images", name, "-o", single / "x.tar", "--parity", "1volume")
    assert old.code == 0, old.err
    other = f"{made[1].host}/app1:1"
    new = airgap("export", "images", other, "-o", single / "x.tar", "--overwrite")
    assert new.code == 0, new.err
    flip(single / "x.tar", (single / "x.tar").stat().st_size // 2)
    damaged = (single / "x.tar").read_bytes()
    done = airgap("repair", "bundle", single / "x.tar")
    assert done.code != 0
    assert (single / "x.tar").read_bytes() == damaged


def test_parity_that_was_made_of_a_damaged_volume_does_not_bring_it_back(made, medium):
    """What it rebuilds is checked and not taken; a good copy still mends the medium."""
    without_parity(medium)
    volumes = sorted(medium.glob("*.tar"))
    flip(volumes[1], 500_000)
    options = ProtectOptions(parity=ParityRequest.parse("1volume"))
    protect_bundle(volumes, medium / "release.tar", options, jobs=1, run=Run())
    volumes[1].unlink()
    before = state(medium)
    done = airgap("repair", "bundle", medium)
    assert done.code == ExitCode.INCOMPLETE
    assert "is not taken" in done.err
    assert state(medium) == before
    done = airgap("repair", "bundle", medium, "--from", made[0])
    assert done.code == 0, done.err
    assert_same(medium, made[0])


def test_an_image_layout_gives_its_blobs(made, medium, tmp_path):
    """A folder with an index of full names, such as a volume that was unpacked."""
    without_parity(medium)
    layout = tmp_path / "layout"
    layout.mkdir()
    for path in medium.glob("*.tar"):
        subprocess.run(["tar", "-xf", path, "-C", layout, "oci-layout", "blobs"], check=True)
    names = [entry for path in medium.glob("*.tar") for entry in _entries(path)]
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": names}))
    with open_bundle(medium) as bundle:
        homes = dict(
            zip(bundle.catalog.blobs, bundle.volumes[1].layout.placement.homes, strict=True)
        )
        whole = [first for (_, size), (first, last) in homes.items() if first == last]
    path = medium / f"release.{max(whole):03d}.tar"
    path.unlink()
    done = airgap("repair", "bundle", medium, "--from", layout)
    assert done.code == 0, done.err
    assert not check_bundle([medium], run=Run()).findings


def _entries(path: Path) -> list[dict]:
    out = subprocess.run(["tar", "-xOf", path, "index.json"], check=True, capture_output=True)
    return json.loads(out.stdout)["manifests"]


def test_a_copy_serves_where_the_parity_tool_is_not_installed(made, medium, monkeypatch):
    """Without a copy, the tool is asked for."""

    def nothing() -> Path:
        raise SettingsError("parity needs the PAR2 tool", hint="pip install it")

    monkeypatch.setattr("airgap.bundle.par2_repair.find_tool", nothing)
    flip(sorted(medium.glob("*.tar"))[1], 500_000)
    assert airgap("repair", "bundle", medium).code == ExitCode.USAGE
    done = airgap("repair", "bundle", medium, "--from", made[1].host)
    assert done.code == 0, done.err
    assert_same(medium, made[0])
