"""Encrypted volumes on media that are full or pulled, and exports of them that are killed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyrage
import pytest

from airgap.bundle.check_encrypted import check_encrypted_bundle
from airgap.content import age_streams
from airgap.content.age import Identities, Recipients
from airgap.errors import ConflictError, LockedError, StorageError, StorageFullError
from airgap.oci.reference import Reference
from airgap.run import Run
from airgap.transfer import encrypted
from airgap.transfer.decrypted import EncryptedBundle
from airgap.transfer.destination import Destination
from airgap.transfer.encrypted import Encryption
from airgap.transfer.export import ExportOptions, export_images
from airgap.transfer.publish import import_bundle
from tests.support import builders
from tests.support.media import MIB, fill
from tests.support.transfers import open_client

KEY = pyrage.x25519.Identity.generate()
KEYS = Identities((str(KEY),))
OPTIONS = ExportOptions(
    encrypt=Encryption(Recipients((str(KEY.to_public()),))), volume_size=2_000_000
)
IMAGE = builders.image(layers=(5_500_000, 1_900_000), seed=3)


@pytest.fixture
def name(outside):
    """An image of about four volumes."""
    builders.push(outside.repository("app"), IMAGE, tag="1")
    return f"{outside.host}/app:1"


def run_export(name, path):
    with open_client() as client:
        return export_images([Reference.parse(name)], path, client=client, options=OPTIONS)


def assert_sound(folder, inside):
    """Every byte is right, and all of it arrives."""
    assert check_encrypted_bundle([folder], run=Run()).findings == ()
    assert not list(folder.glob("*.partial"))
    to = Destination.parse(inside.host)
    with open_client() as client, EncryptedBundle([folder], KEYS, run=Run()) as bundle:
        import_bundle(bundle, to, client=client)
    assert inside.repository("app").resolve("1").digest == IMAGE.digest


def test_a_medium_that_gets_full_ends_the_export_and_it_goes_on_with_room(
    stick, name, inside, monkeypatch
):
    """Somebody else wrote to it meanwhile: nothing looks finished that is not."""
    fillers = []
    real = age_streams.EncryptingStream.finish

    lock = threading.Lock()

    def finish(self):
        with lock:  # volumes are written at the same time
            if not fillers:
                fillers.append(fill(stick.folder, leave=MIB))
        return real(self)

    monkeypatch.setattr(age_streams.EncryptingStream, "finish", finish)
    with pytest.raises(StorageFullError):
        run_export(name, stick.folder / "r.tar")
    report = check_encrypted_bundle([stick.folder], run=Run())
    assert {finding.kind for finding in report.findings} == {"unfinished"}
    fillers[0].unlink()
    run_export(name, stick.folder / "r.tar")
    assert_sound(stick.folder, inside)


@pytest.mark.parametrize("at", [1, 3])
def test_a_medium_that_is_pulled_is_put_back_and_the_export_goes_on(
    stick, name, inside, monkeypatch, at
):
    """What was finished before is used again where it survived."""
    real = encrypted.EncryptingStream
    begun = []

    def start(fd, recipients, *, name):
        begun.append(name)
        if len(begun) == at:
            stick.pull()
        return real(fd, recipients, name=name)

    with monkeypatch.context() as patch:
        patch.setattr(encrypted, "EncryptingStream", start)
        with pytest.raises(StorageError):
            run_export(name, stick.folder / "r.tar")
    stick.put_back()
    run_export(name, stick.folder / "r.tar")
    assert_sound(stick.folder, inside)


@pytest.mark.parametrize("moment", range(4))
def test_an_export_that_is_killed_goes_on(tmp_path, name, inside, moment):
    """At a random time: no file is ever taken for finished that is not."""
    folder = tmp_path / "v"
    folder.mkdir()
    recipient = OPTIONS.encrypt.recipients.lines[0]
    command = [sys.executable, "-m", "airgap", "export", "images", name]
    command += ["-o", str(folder / "r.tar"), "--encrypt-to", recipient]
    command += ["--volume-size", str(OPTIONS.volume_size)]
    wait = random.Random(moment).uniform(0.3, 1.5)
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL) as run:
        time.sleep(wait)
        run.send_signal(signal.SIGKILL)
    if list(folder.glob("*.airgap.json")):
        kinds = {f.kind for f in check_encrypted_bundle([folder], run=Run()).findings}
        assert kinds <= {"unfinished", "missing-volume"}
    go_on(name, folder)
    assert_sound(folder, inside)


def go_on(name, folder):
    """Export again, once the children of the killed run have seen its end and unlocked files."""
    deadline = time.monotonic() + 20
    while True:
        try:
            run_export(name, folder / "r.tar")
            return
        except LockedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        except ConflictError:  # it had come to its end
            return
