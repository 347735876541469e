"""Where a bundle goes: files that are there, disks that fill up, and what a plan says."""

from __future__ import annotations

import errno
import os
import re
import resource
from dataclasses import replace
from pathlib import Path

import pytest

from airgap.bundle.writer import BundleWriter
from airgap.content import posix
from airgap.errors import (
    ConflictError,
    ContentNotFoundError,
    ExitCode,
    LockedError,
    SettingsError,
    StorageError,
    StorageFullError,
    UnavailableError,
)
from airgap.oci.reference import Reference
from airgap.run import Run
from airgap.transfer.export import plan_export
from tests.support import builders
from tests.support.embedded import CutAnswer, Drop
from tests.support.transfers import (
    Recorder,
    export,
    open_client,
)


def test_an_existing_file_is_not_replaced_unless_told(outside, name, clean, tmp_path):
    """It is refused before the registry is asked, and replaced with overwrite."""
    path = tmp_path / "b.tar"
    path.write_bytes(b"precious")
    outside.clear()
    with pytest.raises(ConflictError, match="exists"):
        export(name, path)
    assert outside.seen == []
    assert path.read_bytes() == b"precious"
    export(name, path, overwrite=True)
    assert path.read_bytes() == clean


def test_an_old_bundle_stays_until_the_new_one_is_whole(outside, name, layer, tmp_path):
    """A failed export with overwrite leaves what was there."""
    path = tmp_path / "b.tar"
    path.write_bytes(b"precious")
    outside.repository("app").delete_blob(layer.descriptor.digest)
    with pytest.raises(ContentNotFoundError):
        export(name, path, overwrite=True)
    assert path.read_bytes() == b"precious"


def test_a_folder_is_no_bundle(outside, name, tmp_path):
    """Exit 2: the command was wrong."""
    with pytest.raises(SettingsError):
        export(name, tmp_path)


def test_a_folder_that_is_not_there_is_named(outside, name, tmp_path):
    """Exit 30, with the path."""
    with pytest.raises(StorageError, match="nowhere"):
        export(name, tmp_path / "nowhere" / "b.tar")


def test_a_folder_that_is_not_writable_is_named(outside, name, tmp_path, monkeypatch):
    """Exit 30; the permission is refused by hand, since root may write everywhere."""
    real = os.open

    def refuse(path, *args, **options):
        if str(path).startswith(str(tmp_path)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageError, match=re.escape(str(tmp_path))):
        export(name, tmp_path / "b.tar")
    assert outside.seen == []


def test_a_second_run_on_one_bundle_is_refused(outside, name, tmp_path):
    """Exit 31, and the first one is not disturbed."""
    path = tmp_path / "b.tar"
    with BundleWriter.open(path, overwrite=False, run=Run()):
        outside.clear()
        with pytest.raises(LockedError) as raised:
            export(name, path)
        assert outside.seen == []
    assert raised.value.exit_code == ExitCode.LOCKED
    export(name, path)


def test_a_full_disk_is_seen_before_the_first_blob(outside, name, tmp_path, monkeypatch):
    """The free space is that of the folder that the bundle goes to."""
    asked: list[Path] = []

    def free(path):
        asked.append(path)
        return 1000

    monkeypatch.setattr(posix, "free_bytes", free)
    with pytest.raises(StorageFullError) as raised:
        export(name, tmp_path / "b.tar")
    assert raised.value.exit_code == ExitCode.STORAGE
    assert set(asked) == {tmp_path}
    assert outside.count("GET", "/blobs/") == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_target_that_fails_in_the_middle_is_gone_on_with(outside, tmp_path, monkeypatch, code):
    """A disk that fills up, or a stick that is pulled, leaves what was verified."""
    images = [builders.image(layers=(50_000,), seed=n) for n in range(4)]
    for number, made in enumerate(images):
        builders.push(outside.repository(f"r{number}"), made, tag="1")
    names = [f"{outside.host}/r{number}:1" for number in range(4)]
    export(names, tmp_path / "clean.tar")
    real, left = posix.write_at, [60_000]

    def write_at(fd, data, offset):
        left[0] -= len(data)
        if left[0] < 0:
            raise OSError(code, os.strerror(code))
        real(fd, data, offset)

    path = tmp_path / "b.tar"
    done: set = set()
    for room in (60_000, 70_000, 80_000):
        left[0] = room
        outside.clear()
        with monkeypatch.context() as patch:
            patch.setattr(posix, "write_at", write_at)
            with pytest.raises(StorageError) as raised:
                export(names, path, jobs=1, keep_going=True)
        assert raised.value.exit_code == ExitCode.STORAGE
        assert not path.exists()
        assert not done & {s.path for s in outside.matching("GET", "/blobs/")}
        held = BundleWriter.left_at(path).verified
        done = {f"/v2/r{n}/blobs/{d}" for n in range(4) for d in held}
    assert done
    export(names, path)
    assert path.read_bytes() == (tmp_path / "clean.tar").read_bytes()


def test_a_file_that_may_not_grow_is_a_storage_error(outside, name, clean, tmp_path):
    """A limit of the system on the size of files is said as such, and nothing is left."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(StorageError):
            export(name, tmp_path / "b.tar")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "b.tar").exists()
    export(name, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_bytes() == clean


def test_a_sync_that_fails_ends_the_run(outside, name, clean, tmp_path, monkeypatch):
    """What may not be durable is never called a bundle."""
    path = tmp_path / "b.tar"

    def sync_data(_fd):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(posix, "sync_data", sync_data)
        with pytest.raises(StorageError):
            export(name, path)
    assert not path.exists()
    export(name, path)
    assert path.read_bytes() == clean


def test_a_plan_writes_nothing_and_says_what_an_export_does(outside, name, tmp_path):
    """A dry run's numbers are those of the export that follows."""
    path = tmp_path / "b.tar"
    with open_client() as client:
        plan = plan_export([Reference.parse(name)], path, client=client)
    assert list(tmp_path.iterdir()) == []
    assert outside.count("GET", "/blobs/") == 0
    result = export(name, path)
    assert plan.bundle_id == result.plan.bundle_id
    assert plan.bundle_size == path.stat().st_size
    assert plan.fetch_bytes == plan.blob_bytes == result.fetched_bytes
    assert plan.free_bytes
    assert replace(result.plan, free_bytes=None) == replace(plan, free_bytes=None)


def test_a_plan_knows_what_an_interrupted_run_left(outside, name, image, layer, tmp_path):
    """What is there is not counted as to be fetched."""
    path = tmp_path / "b.tar"
    outside.fail(Drop(), path=layer.descriptor.digest.hex, times=100)
    with pytest.raises(UnavailableError):
        export(name, path, jobs=1)
    outside.fail(Drop(), path=image.blobs[0].descriptor.digest.hex, times=100)
    with pytest.raises(UnavailableError):
        export(name, path, jobs=1)
    outside.fault = None
    with open_client() as client:
        plan = plan_export([Reference.parse(name)], path, client=client)
    assert plan.held_bytes == layer.descriptor.size
    assert plan.fetch_count == 1


def test_a_plan_counts_what_is_left_of_a_begun_blob(outside, tmp_path):
    """Of a blob that broke off in the middle only the rest is to be fetched."""
    image = builders.push(outside.repository("big"), builders.image(layers=(9_000_000,)), tag="1")
    layer = image.blobs[1].descriptor
    name, path = f"{outside.host}/big:1", tmp_path / "b.tar"
    outside.fail(CutAnswer(5_000_000), Drop(), path=layer.digest.hex, times=100)
    with pytest.raises(UnavailableError):
        export(name, path, jobs=1)
    outside.fault = None
    with open_client() as client:
        plan = plan_export([Reference.parse(name)], path, client=client)
    result = export(name, path)
    assert 0 < plan.held_bytes < layer.size
    assert plan.fetch_bytes == plan.blob_bytes - plan.held_bytes == result.fetched_bytes
    assert plan.fetch_count == 2
    assert replace(result.plan, free_bytes=None) == replace(plan, free_bytes=None)


def test_every_fact_is_reported_with_absolute_offsets(outside, name, image, tmp_path):
    """Each blob begins, advances to its size and ends; phases begin before they end."""
    recorder = Recorder()
    export(name, tmp_path / "b.tar", run=Run(recorder))
    kinds = [(type(e).__name__, getattr(e, "phase", "")) for e in recorder.events]
    for phase in ("resolve", "fetch", "seal"):
        assert kinds.index(("PhaseStarted", phase)) < kinds.index(("PhaseFinished", phase))
    for blob in image.blobs:
        own = [e for e in recorder.events if getattr(e, "descriptor", None) == blob.descriptor]
        names = [type(e).__name__ for e in own]
        assert (names[0], names[-1]) == ("BlobStarted", "BlobFinished")
        assert own[-2].offset == blob.descriptor.size
