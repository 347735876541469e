"""Volumes that all go to one medium, which is pulled, fills up or lies about its size."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from airgap.bundle.check import check_bundle
from airgap.content import posix
from airgap.errors import ExitCode, StorageError, StorageFullError
from airgap.run import Run
from airgap.run.events import BlobAdvanced, BlobFinished
from tests.support.command_line import airgap
from tests.support.media import MIB, fill
from tests.support.parity import contents
from tests.support.transfers import Recorder, export

IS_SOAK = bool(os.environ.get("AIRGAP_SOAK"))
MOMENTS = range(1, 14) if IS_SOAK else (1, 5, 9)


@pytest.fixture
def whole(name, tmp_path):
    """The volumes that an export makes which nothing disturbs."""
    folder = tmp_path / "whole"
    folder.mkdir()
    export(name, folder / "r.tar", volume_size=MIB)
    volumes = contents(folder)
    assert len(volumes) > 3
    return volumes


def at(moment, do):
    """A run in which something happens at the n-th time that a blob moves or is done."""
    left = [moment]

    def look(_number, event):
        if isinstance(event, BlobAdvanced | BlobFinished):
            left[0] -= 1
            if left[0] == 0:
                do()

    return Run(Recorder(look))


def volumes_on(folder):
    return {name: data for name, data in contents(folder).items() if name.endswith(".tar")}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_medium_pulled_while_volumes_are_written_is_gone_on_with(stick, moment, name, whole):
    """No volume has its name by then; put back, the same command makes the same bytes."""
    with pytest.raises(StorageError) as raised:
        export(name, stick.folder / "r.tar", run=at(moment, stick.pull), volume_size=MIB)
    assert "put it back" in (raised.value.hint or "")
    stick.put_back()
    assert not volumes_on(stick.folder)
    export(name, stick.folder / "r.tar", volume_size=MIB)
    stick.pull()
    stick.put_back()
    assert volumes_on(stick.folder) == whole


def test_a_medium_that_fills_up_under_volumes_is_gone_on_with(
    stick, outside, name, whole, monkeypatch
):
    """What got there before is not fetched again once there is room."""
    # as on media that cannot reserve room
    monkeypatch.setattr(posix, "allocate", lambda *_args, **_options: False)
    full = []
    run = at(4, lambda: full.append(fill(stick.folder, leave=0)))
    with pytest.raises(StorageFullError):
        export(name, stick.folder / "r.tar", run=run, jobs=1, volume_size=MIB)
    assert not volumes_on(stick.folder)
    full[0].unlink()
    result = export(name, stick.folder / "r.tar", volume_size=MIB)
    assert volumes_on(stick.folder) == whole
    assert result.fetched_bytes < result.plan.blob_bytes


@pytest.mark.parametrize("wraps", [True, False])
def test_a_medium_that_lies_is_found_out_with_the_volumes_it_spoiled(forged, name, whole, wraps):
    """The export ends well; a check that reads back names every volume that is not as it was."""
    with forged(real=2 * MIB, claimed=64 * MIB, wraps=wraps) as folder:
        export(name, folder / "r.tar", volume_size=MIB)
        report = check_bundle(folder, run=Run(), read_back=True)
        spoiled = {n for n, data in whole.items() if (folder / n).read_bytes() != data}
        assert spoiled
        assert {Path(f.path).name for f in report.findings if f.path} == spoiled
        done = airgap("verify", "bundle", folder, "--read-back")
        assert done.code in (ExitCode.BUNDLE_FORMAT, ExitCode.INTEGRITY, ExitCode.INCOMPLETE)


def test_a_read_only_medium_takes_no_repair_and_says_so(stick, whole, tmp_path):
    """What is on it is read all the same, and can be rebuilt elsewhere."""
    folder = stick.folder
    for file, data in whole.items():
        (folder / file).write_bytes(data)
    damaged = sorted(whole)[random.Random(1).randrange(len(whole))]
    data = bytearray(whole[damaged])
    data[len(data) // 2] ^= 4
    (folder / damaged).write_bytes(data)
    copy = tmp_path / "copy"
    copy.mkdir()
    for file, good in whole.items():
        (copy / file).write_bytes(good)
    stick.put_back(read_only=True)
    before = volumes_on(folder)
    done = airgap("repair", "bundle", folder, "--from", copy)
    assert done.code == ExitCode.STORAGE
    assert "Traceback" not in done.err
    out = tmp_path / "out"
    out.mkdir()
    done = airgap("repair", "bundle", folder, "--from", copy, "-o", out)
    assert done.code == 0, done.err
    assert (out / damaged).read_bytes() == whole[damaged]
    assert volumes_on(folder) == before
