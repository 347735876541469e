"""Exports to several media with parity over all volumes, which is made in a folder before."""

from __future__ import annotations

import shutil

import pytest

from airgap.bundle.parity import ParityRequest
from airgap.errors import (
    CancelledError,
    ConflictError,
    ExitCode,
    IncompleteBundleError,
    SettingsError,
    StorageFullError,
)
from airgap.oci.reference import Reference
from airgap.run import CancelToken, Run
from airgap.transfer import scratch, spread
from airgap.transfer.export import ExportOptions
from airgap.transfer.protect import ProtectOptions
from airgap.transfer.scratch import spread_from_scratch
from airgap.transfer.spread import Spreading
from tests.support import builders, command_line
from tests.support.parity import contents
from tests.support.spreading import (
    CONTENTS,
    VOLUME,
    assert_all_written,
    by_command,
    change,
    changing,
    volumes_of,
)
from tests.support.transfers import Recorder, open_client

TWO_VOLUMES = ProtectOptions(parity=ParityRequest.parse("2volumes"))


@pytest.fixture
def site(site, tmp_path, monkeypatch):
    """A mount point for media, and a disk."""
    monkeypatch.setattr(scratch, "free_bytes", spread.free_bytes)
    site.disk = tmp_path / "disk"
    return site


def spread_out(site, *, ask=None, protect=TWO_VOLUMES, run=None):
    """Run the export once, as the command does."""
    references = [Reference.parse(f"{site.source.host}/{name}:1") for name in CONTENTS]
    with open_client() as client:
        return spread_from_scratch(
            references,
            site.usb / "r.tar",
            client=client,
            spreading=Spreading(site.state, ask),
            scratch=site.disk,
            options=ExportOptions(volume_size=VOLUME, protect=protect),
            run=run,
        )


def to_the_end(site):
    """Change media and run the command again until all is written; gives the last result."""
    for _ in range(20):
        try:
            return spread_out(site)
        except IncompleteBundleError:
            change(site)
    raise AssertionError("it never ends")


def carried(site):
    """The PAR2 files on all media."""
    found = {}
    for place in [*site.shelf, site.usb]:
        here = {k: v for k, v in contents(place).items() if k.endswith(".par2")}
        assert not found.keys() & here.keys(), "each is on one medium"
        found |= here
    return found


def parity_of(site):
    """The PAR2 files on the disk."""
    return {k: v for k, v in contents(site.disk).items() if k.endswith(".par2")}


def assert_rebuilt(site, clean, lost):
    """All media but one make up the bundle again."""
    together = site.folder / f"without{lost}"
    together.mkdir()
    for number, place in enumerate([*site.shelf, site.usb]):
        if number != lost:
            for path in place.iterdir():
                shutil.copy(path, together)
    done = command_line.airgap("repair", "bundle", together)
    assert done.code == 0, done.err
    assert {k: v for k, v in contents(together).items() if k.endswith(".tar")} == clean


def test_every_single_medium_may_be_lost(site, clean):
    """What lies on the others rebuilds its volumes, and each medium keeps to its room."""
    result = spread_out(site, ask=changing(site))
    assert result.media[:3] == ((1, 2), (3, 4), (5,))
    assert len(result.media) == 4
    assert_all_written(site, clean)
    assert carried(site) == parity_of(site)
    assert len(parity_of(site)) > 1
    for lost, place in enumerate([*site.shelf, site.usb]):
        assert sum(path.stat().st_size for path in place.iterdir()) <= site.size
        assert_rebuilt(site, clean, lost)
    assert result.scratch == str(site.disk)
    assert {k: v for k, v in contents(site.disk).items() if k.endswith(".tar")} == clean


def test_a_run_for_each_medium_goes_on_with_volumes_and_with_parity(site, clean, source):
    """Nothing is resolved or fetched again, wherever a tag points meanwhile."""
    with pytest.raises(IncompleteBundleError, match="3, 4, 5 of 5 are on no medium"):
        spread_out(site)
    change(site)
    repository = source.repository("app")
    builders.push(repository, builders.image(seed=77), tag="1")
    source.clear()
    try:
        result = to_the_end(site)
    finally:
        builders.push(repository, CONTENTS["app"], tag="1")
    assert not source.seen
    assert len(result.media) == 4
    assert result.media[3] == ()
    assert_all_written(site, clean)
    assert carried(site) == parity_of(site)
    assert_rebuilt(site, clean, 0)


def test_parity_that_is_left_is_asked_for(site):
    """The end comes only with the last PAR2 file."""
    for _ in range(2):
        with pytest.raises(IncompleteBundleError):
            spread_out(site)
        change(site)
    with pytest.raises(IncompleteBundleError, match="parity is on no medium yet") as caught:
        spread_out(site)
    assert set(caught.value.missing) == parity_of(site).keys() - carried(site).keys()


def test_what_was_written_to_the_disk_before_is_used(site, clean, source):
    """A run that ended between the disk and the first medium costs no second fetch."""
    names = [f"{source.host}/{name}:1" for name in CONTENTS]
    site.disk.mkdir()
    arguments = ["export", "images", *names, "-o", site.disk / "r.tar", "--volume-size", "1MiB"]
    assert command_line.airgap(*arguments, "--parity", "2volumes").code == 0
    source.clear()
    result = spread_out(site, ask=changing(site))
    assert result.fetched_bytes == 0
    assert not source.count("GET", f"/blobs/{CONTENTS['app'].blobs[1].descriptor.digest}")
    assert_all_written(site, clean)


def test_another_bundle_on_the_disk_is_left_alone(site, source):
    """It is neither taken for the one that is wanted nor replaced."""
    site.disk.mkdir()
    arguments = ["-o", site.disk / "r.tar", "--volume-size", "1MiB", "--parity", "2volumes"]
    assert command_line.airgap("export", "images", f"{source.host}/app:1", *arguments).code == 0
    before = contents(site.disk)
    with pytest.raises(ConflictError, match="exists"):
        spread_out(site)
    assert contents(site.disk) == before
    assert not list(site.usb.iterdir())


def test_a_disk_that_lost_something_between_media_is_told(site, clean):
    """Other parity would not fit what is on media already; with the file back it goes on."""
    with pytest.raises(IncompleteBundleError):
        spread_out(site)
    change(site)
    (site.disk / "r.004.tar").unlink()
    with pytest.raises(ConflictError, match="does not hold"):
        spread_out(site)
    (site.disk / "r.004.tar").write_bytes(clean["r.004.tar"])
    to_the_end(site)
    assert_all_written(site, clean)


def test_a_medium_that_damages_parity_does_not_count(site, clean, monkeypatch):
    """It is read back and compared; the next medium gets the file."""
    site.size = 100_000_000
    damaged = []
    drop = scratch.drop_cache_file

    def hurt(path):
        drop(path)
        if not damaged:
            damaged.append(path)
            path.write_bytes(path.read_bytes()[:-1] + b"?")

    monkeypatch.setattr(scratch, "drop_cache_file", hurt)
    protect = ProtectOptions(parity=ParityRequest.parse("1volume"))
    result = spread_out(site, ask=changing(site), protect=protect)
    assert damaged
    assert len(site.shelf) == 1
    assert result.media == ((1, 2, 3, 4, 5),)
    assert {k: v for k, v in contents(site.usb).items() if k.endswith(".par2")} == parity_of(site)
    assert volumes_of(site) == clean


def test_room_on_the_disk_is_asked_for_before_the_first_byte(site, monkeypatch):
    """For the volumes and for the parity."""
    monkeypatch.setattr("airgap.bundle.bundle_files.free_bytes", lambda _folder: 6_000_000)
    site.source.clear()
    with pytest.raises(StorageFullError) as caught:
        spread_out(site)
    assert caught.value.exit_code == ExitCode.STORAGE == 30
    assert not list(site.disk.glob("*.tar"))
    assert not list(site.usb.iterdir())
    assert not site.source.count("GET", f"/blobs/{CONTENTS['app'].blobs[1].descriptor.digest}")


def test_the_command_says_that_the_disk_may_be_cleared(site, clean):
    """And which medium has parity alone."""
    script = (
        f'echo "[$AIRGAP_MISSING_VOLUMES]" >> {site.folder}/asked\n'
        f"mkdir -p {site.folder}/all && mv {site.usb}/* {site.folder}/all\n"
    )
    done = by_command(site, script, "--parity", "2volumes", "--scratch", site.disk)
    assert done.code == 0, done.err
    assert "medium 4: parity alone" in done.out
    assert f"{site.disk} holds all of it as well" in done.out
    assert (site.folder / "asked").read_text() == "[3 4 5]\n[5]\n[]\n"
    written = contents(site.folder / "all") | contents(site.usb)
    assert written == clean | parity_of(site)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--scratch", "x"),
        ("--scratch", "x", "--parity", "1volume"),
        ("--scratch", "x", "--spread"),
    ],
)
def test_a_disk_is_for_parity_of_several_media(site, arguments):
    """Anything else is refused before a registry is asked, and says what to add."""
    site.source.clear()
    name, target = f"{site.source.host}/app:1", ("-o", site.usb / "r.tar")
    done = command_line.airgap(
        "export", "images", name, *target, "--volume-size", "1MiB", *arguments
    )
    assert done.code == 2
    assert "add --spread and --parity" in done.err
    assert not site.source.seen


def test_the_medium_is_no_disk(site):
    """All of it in one place would survive nothing."""
    site.disk = site.usb
    with pytest.raises(SettingsError, match="is where the medium is"):
        spread_out(site)


def test_a_bundle_of_one_volume_is_carried_as_well(site, source):
    """With what failed told at the end, whichever run found it out, and with checksums."""
    names = [f"{source.host}/tool:1", f"{source.host}/none:1"]
    arguments = ["export", "images", *names, "-o", site.usb / "r.tar", "--spread", "--keep-going"]
    arguments += ["--volume-size", "100MiB", "--state", site.state, "--scratch", site.disk]
    done = command_line.airgap(*arguments, "--parity", "10%", "--checksums")
    assert done.code == ExitCode.PARTIAL == 3, done.err
    assert "none:1" in done.out
    assert contents(site.usb) == contents(site.disk)
    assert {"r.sha256", "r.par2"} <= contents(site.usb).keys()


def test_a_run_that_is_stopped_while_parity_is_copied_goes_on(site, clean, monkeypatch):
    """Neither what is whole on the medium is written again nor does a half file stay."""
    site.size = 100_000_000
    stop, told = CancelToken(), []

    def halt(path):
        told.append(path.name)
        if len(told) == 2:
            stop.cancel()

    monkeypatch.setattr(scratch, "drop_cache_file", halt)
    with pytest.raises(CancelledError):
        spread_out(site, run=Run(Recorder(), stop))
    there = {path: path.stat().st_ino for path in site.usb.iterdir()}
    assert len(there) >= len(clean)
    assert spread_out(site).media == ((1, 2, 3, 4, 5),)
    assert {path: path.stat().st_ino for path in there} == there
    assert carried(site) == parity_of(site)
    assert_all_written(site, clean)
