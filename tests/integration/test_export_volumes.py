"""Exporting in volumes: the same bytes however the work goes, each volume a bundle of its own."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from airgap.bundle.check import check_bundle
from airgap.errors import CancelledError
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.run import Run
from airgap.run.events import BlobAdvanced
from airgap.transfer.export import ExportOptions, export_images
from tests.support import builders
from tests.support.command_line import airgap
from tests.support.embedded import EmbeddedRegistry
from tests.support.transfers import cancelling, open_client

IS_SOAK = bool(os.environ.get("AIRGAP_SOAK"))
VOLUME = 1 << 20


class World:
    """Three images whose layers fill about six volumes, some of them cut."""

    def __init__(self, registry: EmbeddedRegistry, folder: Path) -> None:
        self.registry = registry
        self.names = []
        for number, layers in enumerate([(2_500_000, 300_000), (700_000, 200_000), (900_000,)]):
            image = builders.image(layers=layers, seed=number)
            builders.push(registry.repository(f"app{number}"), image, tag="1")
            self.names.append(f"{registry.host}/app{number}:1")
        folder.mkdir()
        self.export(folder / "release.tar")
        self.clean = state(folder)
        self.folder = folder

    def export(self, path: Path, *, jobs: int = 4, run: Run | None = None) -> None:
        options = ExportOptions(volume_size=VOLUME, jobs=jobs)
        with open_client(jobs=jobs) as client:
            export_images(
                [Reference.parse(name) for name in self.names],
                path,
                client=client,
                options=options,
                run=run or Run(),
            )


def state(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def halfway(event):
    """An event in the middle of the largest layer."""
    return isinstance(event, BlobAdvanced) and event.offset > 1_200_000


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with EmbeddedRegistry() as registry:
        yield World(registry, tmp_path_factory.mktemp("world") / "clean")


def test_the_same_images_make_the_same_volumes(world, tmp_path):
    """However many things go on at once."""
    for jobs in (1, 7):
        folder = tmp_path / str(jobs)
        folder.mkdir()
        world.export(folder / "release.tar", jobs=jobs)
        assert state(folder) == world.clean


def test_volumes_are_whole_and_none_is_too_large(world):
    """A check finds nothing wrong, and some blob is cut."""
    report = check_bundle([world.folder], run=Run())
    assert not report.findings
    assert max(map(len, world.clean.values())) <= VOLUME
    assert any(b"airgap/pieces/" in data for data in world.clean.values())


def test_an_export_cancelled_anywhere_goes_on(world, tmp_path):
    """Stopped at any event, the next run makes the same volumes and leaves nothing else."""
    run, recorder = cancelling(10**9)
    (tmp_path / "count").mkdir()
    world.export(tmp_path / "count" / "release.tar", run=run)
    every = range(1, len(recorder.events) + 1)
    points = every if IS_SOAK else sorted(random.Random(3).sample(every, 20))
    for point in points:
        folder = tmp_path / str(point)
        folder.mkdir()
        run, _ = cancelling(point)
        try:
            world.export(folder / "release.tar", jobs=2, run=run)
        except CancelledError:
            assert not list(folder.glob("*.tar"))
            world.export(folder / "release.tar")
        assert state(folder) == world.clean


def test_an_export_that_is_killed_goes_on(world, tmp_path):
    """Killed over and over, it ends with the same volumes."""
    command = [
        *(sys.executable, "-m", "airgap", "export", "images", *world.names),
        *("-o", str(tmp_path / "release.tar"), "--volume-size", str(VOLUME)),
    ]
    draw = random.Random(4)
    for _ in range(100 if IS_SOAK else 8):
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as child:
            try:
                child.wait(draw.uniform(0.15, 0.5))
            except subprocess.TimeoutExpired:
                child.kill()
        if state(tmp_path) == world.clean:
            for path in tmp_path.iterdir():
                path.unlink()
    if state(tmp_path) != world.clean:
        world.export(tmp_path / "release.tar")
    assert state(tmp_path) == world.clean


def test_each_volume_is_a_tar_and_an_image_layout(world, tmp_path):
    """tar lists it, every blob in it has its digest, and its index names only what is whole."""
    named = []
    for name in world.clean:
        volume = world.folder / name
        subprocess.run(["tar", "-tf", volume], check=True, stdout=subprocess.DEVNULL)
        out = tmp_path / name
        out.mkdir()
        subprocess.run(["tar", "-xf", volume, "-C", out], check=True)
        assert json.loads((out / "oci-layout").read_text())["imageLayoutVersion"] == "1.0.0"
        for path in (out / "blobs" / "sha256").iterdir():
            assert Digest.of(path.read_bytes()).hex == path.name
        for entry in json.loads((out / "index.json").read_text())["manifests"]:
            manifest = json.loads((out / "blobs" / entry["digest"].replace(":", "/")).read_text())
            for blob in [manifest["config"], *manifest["layers"]]:
                assert (out / "blobs" / blob["digest"].replace(":", "/")).exists()
            named.append(entry["digest"])
    assert len(named) == len(set(named))


def test_tar_and_cat_bring_a_cut_blob_back(world, tmp_path):
    """As docs/bundle-format.md says, without airgap."""
    for name in world.clean:
        subprocess.run(
            ["tar", "-xf", world.folder / name, "--wildcards", "airgap/pieces/*"],
            cwd=tmp_path,
            stderr=subprocess.DEVNULL,
        )
    cut = list((tmp_path / "airgap" / "pieces" / "sha256").iterdir())
    assert cut
    for blob in cut:
        pieces = sorted(blob.iterdir())
        assert len(pieces) > 1
        assert Digest.of(b"".join(piece.read_bytes() for piece in pieces)).hex == blob.name


def test_a_dry_run_names_the_volumes_and_fetches_no_blob(world, tmp_path):
    """How many there will be is known before anything is written."""
    world.registry.clear()
    out = tmp_path / "release.tar"
    done = airgap("export", "images", *world.names, "-o", out, "--volume-size", VOLUME, "--dry-run")
    assert done.code == 0, done.err
    assert f"in {len(world.clean)} volumes" in done.out
    assert not world.registry.matching("GET", "/blobs/")
    assert not list(tmp_path.iterdir())


def test_volumes_do_not_go_into_a_pipe(world):
    """A pipe has no place for a second file."""
    done = airgap("export", "images", *world.names, "-o", "-", "--volume-size", VOLUME)
    assert (done.code, done.stdout) == (2, b"")


def test_what_fits_into_one_volume_is_one_plain_file(world, tmp_path):
    """It has the name that was given, and can be continued as such."""
    out = tmp_path / "release.tar"
    done = airgap("export", "images", *world.names, "-o", out, "--volume-size", "100MB")
    assert done.code == 0, done.err
    assert [path.name for path in tmp_path.iterdir()] == ["release.tar"]


@pytest.mark.parametrize("first", ["file", "volumes"])
def test_a_bundle_that_was_begun_in_another_form_is_not_given_up(world, tmp_path, first):
    """What was fetched stays, and the way to go on with it is said."""
    out = tmp_path / "release.tar"
    run, _ = cancelling(1, halfway)
    with pytest.raises(CancelledError):
        if first == "volumes":
            world.export(out, jobs=1, run=run)
        else:
            with open_client() as client:
                names = [Reference.parse(name) for name in world.names]
                export_images(names, out, client=client, run=run)
    before = state(tmp_path)
    more = [] if first == "volumes" else ["--volume-size", VOLUME]
    done = airgap("export", "images", *world.names, "-o", out, *more)
    assert done.code == 40
    assert "begun" in done.err
    assert state(tmp_path) == before


def test_volumes_that_are_there_are_replaced_only_on_request(world, tmp_path):
    """And when they are, volumes of the old bundle do not stay beside the new."""
    out = tmp_path / "release.tar"
    arguments = ["export", "images", *world.names, "-o", out, "--volume-size"]
    assert airgap(*arguments, VOLUME).code == 0
    assert airgap(*arguments, 2 * VOLUME).code == 40
    assert state(tmp_path) == world.clean
    done = airgap(*arguments, 2 * VOLUME, "--overwrite")
    assert (done.code, "warning" in done.err) == (0, False)
    assert len(state(tmp_path)) < len(world.clean)
    assert not check_bundle([tmp_path], run=Run()).findings


def test_another_size_on_the_second_run_makes_the_volumes_of_that_size(world, tmp_path):
    """What was fetched is moved to where it belongs now, and nothing else is left."""
    out = tmp_path / "release.tar"
    options = ExportOptions(volume_size=2 * VOLUME)
    names = [Reference.parse(name) for name in world.names]
    run, _ = cancelling(1, halfway)
    with pytest.raises(CancelledError), open_client() as client:
        export_images(names, out, client=client, options=options, run=run)
    world.export(out)
    assert state(tmp_path) == world.clean
