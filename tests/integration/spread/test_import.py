"""Importing volumes that come on one medium after the other, in any order."""

from __future__ import annotations

import itertools
import os
import random
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from airgap.errors import IncompleteBundleError, IntegrityError, StorageFullError
from airgap.run import Run
from airgap.run.events import MediumWanted
from airgap.transfer import gather_state
from airgap.transfer.destination import Destination
from airgap.transfer.gather import Gathering, gather_bundle
from tests.support import builders
from tests.support.command_line import airgap
from tests.support.embedded import EmbeddedRegistry
from tests.support.transfers import Recorder, assert_holds, export, open_client

IS_SOAK = bool(os.environ.get("AIRGAP_SOAK"))
VOLUME = 1 << 20
LAYERS = [(2_500_000, 300_000), (700_000, 200_000), (900_000,)]


class Carried:
    """Three images in volumes, each of them on a medium of its own."""

    def __init__(self, folder: Path) -> None:
        self.images = {}
        with EmbeddedRegistry() as outside:
            for number, layers in enumerate(LAYERS):
                image = builders.image(layers=layers, seed=number)
                builders.push(outside.repository(f"app{number}"), image, tag="1")
                self.images[f"app{number}"] = image
            names = [f"{outside.host}/{name}:1" for name in self.images]
            export(names, folder / "release.tar", volume_size=VOLUME)
        self.volumes = sorted(folder.glob("*.tar"))


@pytest.fixture(scope="module")
def carried(tmp_path_factory):
    return Carried(tmp_path_factory.mktemp("carried"))


@pytest.fixture
def usb(tmp_path):
    """A mount point."""
    folder = tmp_path / "usb"
    folder.mkdir()
    return folder


def put_in(usb: Path, *volumes: Path) -> None:
    """Change the medium."""
    for path in usb.iterdir():
        path.unlink()
    for volume in volumes:
        shutil.copy(volume, usb)


def gather(usb, inside, prompt=None, run=None):
    gathering = Gathering(usb.parent / "state", prompt)
    to = Destination.parse(inside.host)
    with open_client() as client:
        return gather_bundle([usb], to, client=client, gathering=gathering, run=run)


def assert_all_there(carried, inside):
    for name, image in carried.images.items():
        assert_holds(inside, name, image, "1")


@pytest.mark.parametrize("seed", range(4))
def test_volumes_come_in_any_order_by_one_run_each(carried, usb, inside, seed):
    """Each run takes one medium; the last one finishes and leaves nothing behind."""
    order = random.Random(seed).sample(carried.volumes, len(carried.volumes))
    for volume in order[:-1]:
        put_in(usb, volume)
        with pytest.raises(IncompleteBundleError) as error:
            gather(usb, inside)
        assert error.value.missing
    put_in(usb, order[-1])
    result = gather(usb, inside)
    assert {image.outcome for image in result.images} <= {"pushed", "present"}
    assert_all_there(carried, inside)
    assert not [path for path in (usb.parent / "state").rglob("*") if path.is_file()]


def test_images_that_are_complete_do_not_wait(carried, usb, inside):
    """With the first volumes away, the images of the others have their tags."""
    put_in(usb, *carried.volumes[-2:])
    with pytest.raises(IncompleteBundleError) as error:
        gather(usb, inside)
    there = [n for n in carried.images if inside.repository(n).resolve("1") is not None]
    assert 0 < len(there) < len(carried.images)
    for name in there:
        assert_holds(inside, name, carried.images[name], "1")
    gone = len(carried.volumes) - 2
    assert error.value.missing == tuple(f"volume {n}" for n in range(1, gone + 1))


def test_one_run_asks_until_the_last_volume_came(carried, usb, inside):
    """The same medium twice does no harm, and what is missing is said each time."""
    put_in(usb, carried.volumes[1])
    waiting = itertools.chain([carried.volumes[1]], reversed(carried.volumes))
    recorder = Recorder()

    def prompt(wanted):
        put_in(usb, next(waiting))
        return True

    result = gather(usb, inside, prompt, Run(recorder))
    assert_all_there(carried, inside)
    assert {image.outcome for image in result.images} == {"pushed"}
    asked = [event.missing for event in recorder.of(MediumWanted)]
    assert asked[0] == asked[1]
    assert [set(a) >= set(b) for a, b in itertools.pairwise(asked)] == [True] * (len(asked) - 1)


def test_a_medium_of_another_bundle_is_told_apart(carried, usb, inside, tmp_path):
    """It is not taken, and the right one is asked for again."""
    other = tmp_path / "other"
    other.mkdir()
    with EmbeddedRegistry() as outside:
        builders.push(outside.repository("x"), builders.image(seed=9), tag="1")
        export(f"{outside.host}/x:1", other / "other.tar")
    media = iter([[other / "other.tar"], [], carried.volumes])
    put_in(usb, carried.volumes[0])
    recorder = Recorder()

    def prompt(wanted):
        put_in(usb, *next(media))
        return True

    gather(usb, inside, prompt, Run(recorder))
    assert_all_there(carried, inside)
    assert inside.repository("x").resolve("1") is None
    assert len(recorder.of(MediumWanted)) == 3


def test_who_never_changes_the_medium_is_not_asked_forever(carried, usb, inside):
    """After some media in a row that bring nothing, the run ends with what is missing."""
    put_in(usb, carried.volumes[0])
    asked = []
    with pytest.raises(IncompleteBundleError):
        gather(usb, inside, lambda wanted: asked.append(wanted) or True)
    assert len(asked) == 3


def test_pieces_are_kept_only_where_there_is_room(carried, usb, inside, monkeypatch):
    """It is said before one is written, and the same command goes on once there is room."""
    put_in(usb, carried.volumes[0])
    with monkeypatch.context() as patched:
        patched.setattr(gather_state, "free_bytes", lambda _: 1000)
        with pytest.raises(StorageFullError):
            gather(usb, inside)
    assert not list((usb.parent / "state").rglob("*-0*"))
    with pytest.raises(IncompleteBundleError):
        gather(usb, inside)
    put_in(usb, *carried.volumes[1:])
    gather(usb, inside)
    assert_all_there(carried, inside)


def test_a_damaged_piece_is_not_believed(carried, usb, inside):
    """Neither one on a medium nor one that was damaged while it was kept."""
    put_in(usb, carried.volumes[0])
    path = usb / carried.volumes[0].name
    data = bytearray(path.read_bytes())
    at = data.index(b"airgap/pieces/") + 200_000
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError):
        gather(usb, inside)
    put_in(usb, carried.volumes[0])
    with pytest.raises(IncompleteBundleError):
        gather(usb, inside)
    kept = next((usb.parent / "state").rglob("*-0*"))
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    put_in(usb, *carried.volumes[1:])
    with pytest.raises(IncompleteBundleError) as error:
        gather(usb, inside)
    assert error.value.missing == ("volume 1",)
    put_in(usb, carried.volumes[0])
    gather(usb, inside)
    assert_all_there(carried, inside)


@pytest.mark.parametrize("seed", range(5, 55 if IS_SOAK else 6))
def test_a_killed_import_goes_on(carried, usb, inside, seed):
    """Killed at any time between and within media, it ends with all images."""
    draw = random.Random(seed)
    command = [
        *(sys.executable, "-m", "airgap", "import", "bundle", str(usb), "--to", inside.host),
        *("--state", str(usb.parent / "state"), "--plain-http", inside.host),
    ]
    code = 23
    for volume in [*carried.volumes, *carried.volumes]:
        put_in(usb, volume)
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as child:
            try:
                child.wait(draw.uniform(0.2, 0.9))
            except subprocess.TimeoutExpired:
                child.kill()
        code = subprocess.run(command, check=False, capture_output=True).returncode
        if code == 0:
            break
        assert code == 23
    assert code == 0
    assert_all_there(carried, inside)


def test_a_command_brings_the_next_medium(carried, usb, inside, tmp_path):
    """The shell runs it with the numbers of what is missing, and exit 23 tells when it gives up."""
    put_in(usb, carried.volumes[0])
    source = shlex.quote(str(carried.volumes[0].parent))
    target = shlex.quote(str(usb))
    line = f"set -- $AIRGAP_MISSING_VOLUMES; rm {target}/*; cp {source}/release.00$1.tar {target}/"
    base = ["import", "bundle", usb, "--to", inside.host, "--plain-http", inside.host]
    base += ["--state", tmp_path / "state"]
    assert airgap(*base, "--next-command", "exit 1").code == 23
    done = airgap(*base, "--next-command", line)
    assert done.code == 0, done.err
    assert_all_there(carried, inside)


def test_json_says_which_medium_is_wanted(carried, usb, inside, tmp_path):
    """With nobody to answer, the error names what is missing."""
    put_in(usb, carried.volumes[0])
    base = ["import", "bundle", usb, "--to", inside.host, "--plain-http", inside.host]
    done = airgap(*base, "--state", tmp_path / "state", "--json")
    assert done.code == 23
    wanted = [line for line in done.lines if line["type"] == "medium-wanted"]
    assert wanted[0]["volumes"] == len(carried.volumes)
    assert done.lines[-1]["code"] == "incomplete"
