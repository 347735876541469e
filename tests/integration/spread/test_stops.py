"""Exports to several media that are interrupted, killed, lied to or find something damaged."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys

import pytest

from airgap.content import posix
from airgap.errors import (
    CancelledError,
    DigestMismatchError,
    IncompleteBundleError,
    LockedError,
    StorageError,
)
from airgap.run import Run
from airgap.run.events import BlobAdvanced, BlobFinished, Notice
from airgap.transfer import spread, spread_check
from airgap.transfer.bundle_source import Holdings
from airgap.transfer.spread_state import SpreadFolder
from tests.support import command_line
from tests.support.embedded import CutAnswer, Status
from tests.support.parity import contents, flip
from tests.support.spreading import (
    CONTENTS,
    assert_all_written,
    change,
    changing,
    spread_out,
    to_the_end,
)
from tests.support.transfers import (
    Recorder,
    cancelling,
    export,
)

IS_SOAK = bool(os.environ.get("AIRGAP_SOAK"))


def test_a_volume_that_the_medium_did_not_keep_goes_to_the_next(site, clean, monkeypatch):
    """It is found by reading back, removed, and written again."""
    real = spread_check.check_bundle
    broken = []

    def damaging(path, **more):
        if path.name == "r.002.tar" and not broken:
            broken.append(path)
            flip(path, 500_000)
        return real(path, **more)

    monkeypatch.setattr(spread_check, "check_bundle", damaging)
    result = spread_out(site, ask=changing(site))
    assert result.media == ((1,), (2, 3), (4, 5))
    assert "r.002.tar" not in contents(site.shelf[0])
    assert_all_written(site, clean)


@pytest.mark.parametrize("moment", range(1, 30, 1 if IS_SOAK else 7))
def test_an_interrupted_export_goes_on_with_the_same_medium(site, clean, moment):
    """Nothing unfinished stays, and what was proved counts."""
    run, _ = cancelling(moment, lambda event: isinstance(event, BlobAdvanced | BlobFinished))
    with pytest.raises((CancelledError, IncompleteBundleError)):
        spread_out(site, run=run)
    assert not [path for path in site.usb.iterdir() if "partial" in path.name]
    to_the_end(site)
    assert_all_written(site, clean)


@pytest.mark.parametrize("seed", range(30 if IS_SOAK else 3))
def test_a_killed_export_goes_on(site, clean, seed):
    """kill -9 at a random moment, then the same command again on the same medium."""
    random_source = random.Random(seed)
    command = ["export", "images", *(f"{site.source.host}/{name}:1" for name in CONTENTS)]
    command += ["-o", str(site.usb / "r.tar"), "--volume-size", "1MiB", "--spread"]
    command += ["--state", str(site.state)]
    process = subprocess.Popen(
        [sys.executable, "-m", "airgap", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(random_source.uniform(0.3, 1.2))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    site.size = 50_000_000
    if process.returncode:
        done = command_line.airgap(*command)
        assert done.code == 0, done.err
    assert_all_written(site, clean)


def test_volumes_that_a_killed_run_finished_are_proved_and_not_written_again(
    site, clean, monkeypatch, source
):
    """The run died before it noted them."""

    real = SpreadFolder.save
    saved = []

    def save(folder, state):
        if saved:
            raise KeyboardInterrupt
        saved.append(state)
        real(folder, state)

    with monkeypatch.context() as patch:
        patch.setattr(SpreadFolder, "save", save)
        with pytest.raises(KeyboardInterrupt):
            spread_out(site)
    assert sorted(contents(site.usb)) == ["r.001.tar", "r.002.tar"]
    source.clear()
    with pytest.raises(IncompleteBundleError, match="3, 4, 5 of 5"):
        spread_out(site)
    assert source.count("GET", "/blobs/") == 0
    change(site)
    to_the_end(site)
    assert_all_written(site, clean)


def test_a_source_that_gives_wrong_bytes_ends_the_run_and_spoils_nothing(site, clean, source):
    """No volume has its name, and the same command goes on."""
    large = CONTENTS["app"].blobs[1].descriptor
    source.fail(Status(200, body=b"x" * large.size), method="GET", path=f"/blobs/{large.digest}")
    with pytest.raises(DigestMismatchError):
        spread_out(site)
    assert contents(site.usb) == {}
    to_the_end(site)
    assert_all_written(site, clean)


def test_a_broken_connection_is_taken_up_where_it_broke(site, clean, source):
    """The export goes on as any other does."""
    large = CONTENTS["app"].blobs[1].descriptor
    source.fail(CutAnswer(after=700_000), method="GET", path=f"/blobs/{large.digest}")
    spread_out(site, ask=changing(site))
    assert_all_written(site, clean)


def test_what_could_not_be_had_is_told_by_the_last_run_too(site, source):
    """The exit code of the run that finishes the bundle is 3, whichever run found it out."""
    names = [f"{source.host}/{name}:1" for name in (*CONTENTS, "nothing")]
    arguments = ["export", "images", *names, "-o", site.usb / "r.tar", "--spread", "--keep-going"]
    arguments += ["--volume-size", "1MiB", "--state", site.state]
    codes = []
    while not codes or codes[-1] == 23:
        done = command_line.airgap(*arguments)
        codes.append(done.code)
        change(site)
    assert codes == [23, 23, 3]
    assert "nothing:1" in done.out


def test_two_exports_do_not_share_a_state(site):
    """The second one is told who works on it."""
    with pytest.raises(IncompleteBundleError):
        spread_out(site)
    fd = os.open(next(site.state.rglob("lock")), os.O_RDWR)
    try:
        assert posix.lock(fd)
        with pytest.raises(LockedError):
            spread_out(site)
    finally:
        os.close(fd)


@pytest.mark.parametrize("name", ["state.json", "front"])
def test_a_damaged_state_is_said_and_not_guessed_at(site, name):
    """The volumes that are on media would not fit a new plan."""
    with pytest.raises(IncompleteBundleError):
        spread_out(site)
    path = next(site.state.rglob(name))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(Exception, match="cannot go on") as caught:
        spread_out(site)
    assert "begin again" in caught.value.hint


def test_a_medium_that_is_not_mounted_is_not_written_to(site, monkeypatch):
    """The disk below its mount point stays as it is."""
    with monkeypatch.context() as patch:
        for module in (spread, spread_check):
            patch.setattr(module, "mount_point", lambda folder: site.usb)
        with pytest.raises(IncompleteBundleError):
            spread_out(site)
    change(site)
    recorder = Recorder()
    with pytest.raises(IncompleteBundleError):
        spread_out(site, run=Run(recorder))
    assert "nothing is mounted" in recorder.of(Notice)[0].message
    assert contents(site.usb) == {}


def test_a_source_that_cannot_be_read_is_not_taken_for_a_bad_medium(site, tmp_path, monkeypatch):
    """No other medium is asked for, since none would help."""
    whole = tmp_path / "whole.tar"
    export([f"{site.source.host}/{name}:1" for name in CONTENTS], whole)
    asked = []

    def ask(wanted):
        asked.append(wanted)
        change(site)

        def unreadable(*_):
            raise OSError(errno.EIO, "bad sector")

        monkeypatch.setattr("airgap.bundle.volume_file.read_at", unreadable)
        return True

    with Holdings([whole]) as held, pytest.raises(StorageError) as caught:
        spread_out(site, ask=ask, client=held)
    assert caught.value.origin == "source"
    assert len(asked) == 1
