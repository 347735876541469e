"""Parity and checksums that an export writes beside a bundle."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace

import pytest

from airgap.bundle.par2 import find_parity
from airgap.bundle.parity import ParityRequest
from airgap.errors import SettingsError, StorageFullError
from airgap.oci.digest import Md5
from airgap.oci.reference import Reference
from airgap.run import Run
from airgap.transfer.export import ExportOptions, export_images
from airgap.transfer.protect import ProtectOptions
from tests.support import builders
from tests.support.command_line import airgap
from tests.support.transfers import open_client

OPTIONS = ExportOptions(
    volume_size=1 << 20,
    protect=ProtectOptions(parity=ParityRequest.parse("1volume"), checksums=True),
)


@pytest.fixture
def name(outside):
    """An image of about three volumes."""
    image = builders.image(layers=(900_000, 900_000, 900_000), seed=3)
    builders.push(outside.repository("app"), image, tag="1")
    return f"{outside.host}/app:1"


def run_export(name, path, options=OPTIONS, run=None):
    with open_client() as client:
        return export_images(
            [Reference.parse(name)], path, client=client, options=options, run=run or Run()
        )


def test_parity_and_checksums_lie_beside_the_volumes(name, tmp_path):
    """The parity protects every volume, and sha256sum agrees with the checksums."""
    result = run_export(name, tmp_path / "release.tar")
    assert result.beside is not None
    assert result.beside.lost_volumes == 1
    (found,) = find_parity(tmp_path)
    assert {p.name for p in found.protected} == {f.rpartition("/")[2] for f in result.files}
    subprocess.run(["sha256sum", "-c", "--strict", "release.sha256"], cwd=tmp_path, check=True)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_a_plan_says_how_large_the_parity_gets(name, tmp_path):
    """A dry run tells, so that the medium can be chosen by it."""
    done = airgap(
        "export", "images", name, "-o", tmp_path / "release.tar", "--dry-run", "--json",
        "--volume-size", "1MiB", "--parity", "1volume",
    )  # fmt: skip
    planned = done.lines[-1]["parity_bytes"]
    run_export(name, tmp_path / "release.tar")
    written = sum(path.stat().st_size for path in tmp_path.glob("*.par2"))
    assert written == pytest.approx(planned, rel=0.1)
    shown = airgap(
        "export", "images", name, "-o", tmp_path / "new.tar", "--dry-run", "--parity", "10%"
    )
    assert "; parity: " in shown.out


def test_a_run_that_ended_before_the_parity_is_finished_by_the_next(name, outside, tmp_path):
    """The bundle is not fetched again, and what lies beside it is made."""
    run_export(name, tmp_path / "release.tar", replace(OPTIONS, protect=ProtectOptions()))
    outside.clear()
    result = run_export(name, tmp_path / "release.tar")
    assert result.fetched_bytes == 0
    assert not outside.matching("GET", "/blobs/")
    assert len(find_parity(tmp_path)) == 1


def test_parity_of_the_bundle_that_was_replaced_does_not_count(name, outside, tmp_path):
    """It has the same names and sizes: a run that ends before the new parity is finished."""
    run_export(name, tmp_path / "release.tar")
    old = [path.stat().st_size for path in sorted(tmp_path.glob("*.tar"))]
    image = builders.image(layers=(900_000, 900_000, 900_000), seed=4)
    builders.push(outside.repository("app"), image, tag="1")
    plain = replace(OPTIONS, overwrite=True, protect=ProtectOptions())
    run_export(name, tmp_path / "release.tar", plain)
    assert [path.stat().st_size for path in sorted(tmp_path.glob("*.tar"))] == old
    result = run_export(name, tmp_path / "release.tar")
    assert result.beside is not None
    (found,) = find_parity(tmp_path)
    contents = {path.read_bytes()[:16_384] for path in tmp_path.glob("*.tar")}
    assert {Md5.of(content) for content in contents} == {p.md5_16k for p in found.protected}


def test_an_export_that_is_there_with_its_parity_is_not_replaced(name, tmp_path):
    """What is complete is refused, as without parity."""
    run_export(name, tmp_path / "release.tar")
    with pytest.raises(Exception, match="exists") as caught:
        run_export(name, tmp_path / "release.tar")
    assert caught.value.exit_code == 40


def test_room_for_the_parity_is_asked_for_before_the_first_byte(name, tmp_path, monkeypatch):
    """Room for the bundle alone is not enough."""
    monkeypatch.setattr("airgap.bundle.bundle_files.free_bytes", lambda _folder: 3_000_000)
    with pytest.raises(StorageFullError):
        run_export(name, tmp_path / "release.tar")
    assert not list(tmp_path.glob("*.tar"))


def test_a_pipe_takes_no_parity(name, tmp_path):
    """There is nothing beside a pipe."""
    with (tmp_path / "out").open("wb") as stream, pytest.raises(SettingsError, match="pipe"):
        run_export(name, stream, replace(OPTIONS, volume_size=None))


def test_checksums_of_a_bundle_that_was_replaced_are_written_again(name, tmp_path):
    """They lie beside the volumes from before, and are older than these."""
    path = tmp_path / "release.tar"
    sums = ProtectOptions(checksums=True)
    run_export(name, path, replace(OPTIONS, protect=sums))
    old = tmp_path / "release.sha256"
    old.write_text(old.read_text().replace("a", "b"))
    os.utime(old, ns=(0, 0))
    run_export(name, path, replace(OPTIONS, protect=sums))
    subprocess.run(["sha256sum", "-c", "--strict", "release.sha256"], cwd=tmp_path, check=True)
