"""A bundle of one file on real media that are full, pulled, read-only, limited or forged.

A sample of the moments runs by default; `make soak` (AIRGAP_SOAK=1) takes every one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from airgap.bundle.check import check_bundle
from airgap.bundle.finding import EXITS
from airgap.bundle.reader import open_bundle
from airgap.content import filesystem, posix
from airgap.content.filesystem import drop_cache_file
from airgap.errors import AirgapError, ExitCode, StorageError, StorageFullError
from airgap.run import Event, Run
from airgap.run.events import BlobAdvanced, BlobFinished
from tests.support import builders, command_line
from tests.support.command_line import assert_refused
from tests.support.media import MIB, airgap_with_file_limit, fill, seen_as
from tests.support.transfers import Recorder, assert_holds, assert_sound, bring, export

IS_SOAK = bool(os.environ.get("AIRGAP_SOAK"))
MOMENTS = range(1, 14) if IS_SOAK else (1, 4, 9)
"""Which of the events of a transfer's blobs is the one at which something happens."""


def at(moment: int, do: Callable[[], object]) -> Run:
    """A run in which something happens at the n-th time that a blob moves or is done."""
    left = [moment]

    def look(_number: int, event: Event) -> None:
        if isinstance(event, BlobAdvanced | BlobFinished):
            left[0] -= 1
            if left[0] == 0:
                do()

    return Run(Recorder(look))


def verdicts_on(path: Path) -> set[ExitCode]:
    """The exit codes of what a check finds, also where it cannot even open the bundle."""
    try:
        return {EXITS[finding.kind] for finding in check_bundle(path, run=Run()).findings}
    except AirgapError as error:
        return {error.exit_code}


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "exfat"])
def test_a_bundle_is_the_same_on_every_medium(loop, kind, name, image, clean, inside):
    """It is exported to it, read past the cache and imported from it."""
    with loop(kind) as medium:
        path = medium.folder / "b.tar"
        export(name, path)
        drop_cache_file(path)
        assert path.read_bytes() == clean
        assert [found.name for found in medium.folder.iterdir() if found.is_file()] == ["b.tar"]
        bring(path, inside.host)
    assert_holds(inside, "app", image, "1")


def test_a_full_medium_is_refused_before_the_first_blob(stick, outside, name, clean):
    """Exit 30 and nothing left behind; once there is room the export goes well."""
    filler = fill(stick.folder, leave=3 * MIB)
    path = stick.folder / "b.tar"
    outside.clear()
    with pytest.raises(StorageFullError) as raised:
        export(name, path)
    assert raised.value.exit_code == ExitCode.STORAGE
    assert raised.value.hint
    assert outside.count("GET", "/blobs/") == 0
    assert not list(stick.folder.glob("b.tar*"))
    filler.unlink()
    export(name, path)
    assert path.read_bytes() == clean


def test_a_medium_that_fills_up_is_gone_on_with(stick, outside, name, clean, monkeypatch):
    """What got there before the room was gone is not fetched again once there is room."""
    # as on media that cannot reserve room
    monkeypatch.setattr(posix, "allocate", lambda *_args, **_options: False)
    path, full = stick.folder / "b.tar", []
    run = at(4, lambda: full.append(fill(stick.folder, leave=0)))
    with pytest.raises(StorageFullError) as raised:
        export(name, path, run=run, jobs=1)
    assert raised.value.exit_code == ExitCode.STORAGE
    assert not path.exists()
    full[0].unlink()
    outside.clear()
    result = export(name, path)
    assert path.read_bytes() == clean
    assert result.fetched_bytes < result.plan.blob_bytes
    assert not list(stick.folder.glob("b.tar.*"))


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_medium_pulled_while_writing_is_gone_on_with(loop, kind, moment, name, clean):
    """One line with what to do; put back, the same command makes the same bytes."""
    with loop(kind) as medium:
        path = medium.folder / "b.tar"
        with pytest.raises(StorageError) as raised:
            export(name, path, run=at(moment, medium.pull))
        assert raised.value.exit_code == ExitCode.STORAGE
        assert "\n" not in raised.value.message
        assert "put it back" in (raised.value.hint or "")
        medium.put_back()
        assert not path.exists()
        export(name, path)
        assert path.read_bytes() == clean
        medium.put_back()
        assert path.read_bytes() == clean


def test_a_bundle_that_is_done_survives_a_pulled_medium(stick, name, clean):
    """Once an export has said that it is done, nothing is only in memory."""
    path = stick.folder / "b.tar"
    export(name, path)
    stick.pull()
    stick.put_back()
    assert path.read_bytes() == clean
    assert [found.name for found in stick.folder.iterdir() if found.is_file()] == ["b.tar"]


@pytest.mark.parametrize("moment", MOMENTS[:9])
def test_a_medium_pulled_while_reading_is_gone_on_with(stick, moment, name, image, inside):
    """The import ends with one line that names the file; put back, it finishes."""
    path = stick.folder / "b.tar"
    export(name, path)
    stick.put_back()
    with pytest.raises(AirgapError) as raised:
        bring(path, inside.host, run=at(moment, stick.pull), jobs=1)
    assert raised.value.exit_code == ExitCode.STORAGE
    assert str(path) in raised.value.message
    assert "\n" not in raised.value.message
    assert inside.repository("app").resolve("1") is None
    stick.put_back()
    bring(path, inside.host)
    assert_holds(inside, "app", image, "1")


def test_a_read_only_medium_is_refused_in_one_line(stick, outside, name):
    """Exit 30 before the registry is asked for anything."""
    stick.put_back(read_only=True)
    outside.clear()
    done = command_line.airgap("export", "images", name, "-o", stick.folder / "b.tar")
    assert_refused(done, ExitCode.STORAGE, "storage", "Read-only file system", "hint: ")
    assert outside.seen == []


def test_a_read_only_medium_can_be_imported_from(stick, name, image, inside):
    """A stick with its switch on, or a disc, is verified and imported from as it is."""
    path = stick.folder / "b.tar"
    export(name, path)
    stick.put_back(read_only=True)
    assert_sound(path)
    bring(path, inside.host)
    assert_holds(inside, "app", image, "1")


def test_a_file_too_large_for_the_medium_is_refused_before_the_first_blob(
    outside, name, clean, tmp_path
):
    """Where files end before the bundle does, exit 30 says so, and nothing is left."""
    folder = tmp_path / "stick"
    folder.mkdir()
    path = folder / "b.tar"
    outside.clear()
    command = ("export", "images", name, "-o", path)
    done = airgap_with_file_limit(tmp_path, 4 * MIB).run(*command, code=ExitCode.STORAGE)
    assert "error[storage]: " in done.err
    assert "File too large" in done.err
    assert "does not take files of this size" in done.err
    assert outside.count("GET", "/blobs/") == 0
    assert list(folder.iterdir()) == []
    airgap_with_file_limit(tmp_path, 8 * MIB).run(*command)
    assert path.read_bytes() == clean


def test_fat32_is_known_before_the_first_blob_and_volumes_fit_on_it(
    outside, name, tmp_path, monkeypatch
):
    """Exit 30 names the limit and the option to add; with volumes below it the export goes well."""
    monkeypatch.setattr(filesystem, "FAT_FILE_LIMIT", 4 * MIB)
    folder = tmp_path / "stick"
    folder.mkdir()
    command = ("export", "images", name, "-o", folder / "b.tar")
    outside.clear()
    with seen_as(folder, "vfat", by=tmp_path):
        refused = command_line.airgap(*command)
        assert_refused(refused, ExitCode.STORAGE, "storage", "4,194,304", "--volume-size fat32")
        assert outside.count("GET", "/blobs/") == 0
        assert list(folder.iterdir()) == []
        done = command_line.airgap(*command, "--volume-size", "4MiB")
    assert done.code == ExitCode.OK, done.err
    sizes = sorted(path.stat().st_size for path in folder.iterdir())
    assert len(sizes) == 2
    assert sizes[-1] <= 4 * MIB


@pytest.mark.parametrize("wraps", [True, False])
def test_a_forged_medium_is_found_out_by_reading_it_back(forged, wraps, name, clean):
    """It takes the bundle without an error; what a check reads past the cache is damaged."""
    with forged(real=4 * MIB, claimed=64 * MIB, wraps=wraps) as folder:
        path = folder / "b.tar"
        export(name, path)
        drop_cache_file(path)
        assert path.read_bytes() != clean
        assert verdicts_on(path) & {ExitCode.BUNDLE_FORMAT, ExitCode.INTEGRITY}


# -- file systems that fill gaps ---------------------------------------------------------------


@pytest.mark.parametrize(("kind", "is_ordered"), [("exfat", True), ("nfs4", True), ("ext4", False)])
def test_blobs_come_in_file_order_where_gaps_are_filled(tmp_path, outside, kind, is_ordered):
    """Elsewhere the largest come first; the bytes are the same."""
    image = builders.image(layers=(40_000, 90_000, 20_000, 70_000, 60_000))
    builders.push(outside.repository("mixed"), image, tag="1")
    name = f"{outside.host}/mixed:1"
    export([name], tmp_path / "clean.tar")
    folder = tmp_path / "stick"
    folder.mkdir()
    out = folder / "release.tar"
    outside.clear()
    with seen_as(folder, kind, by=tmp_path):
        export([name], out, jobs=1)
    with open_bundle(out) as bundle:
        layers = [
            str(extent.digest)
            for extent in bundle.volumes[1].layout.blobs
            if extent.length > 10_000
        ]
        sizes = {str(digest): size for digest, size in bundle.catalog.blobs}
    asked = [seen.path.rpartition("/")[2] for seen in outside.matching("GET", "/blobs/")]
    fetched = [digest for digest in asked if digest in layers]
    assert out.read_bytes() == (tmp_path / "clean.tar").read_bytes()
    assert layers != sorted(layers, key=lambda d: (-sizes[d], d))
    assert fetched == (layers if is_ordered else sorted(layers, key=lambda d: (-sizes[d], d)))
