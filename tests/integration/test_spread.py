"""Exports whose volumes go to several media, which folders with a size stand for."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from airgap.bundle.parity import ParityRequest
from airgap.content import posix
from airgap.errors import (
    CancelledError,
    ConflictError,
    DigestMismatchError,
    IncompleteBundleError,
    LockedError,
    SettingsError,
)
from airgap.oci.reference import Reference
from airgap.run import Run
from airgap.run.events import BlobAdvanced, BlobFinished, MediumWanted, Notice
from airgap.transfer import spread, spread_check
from airgap.transfer.export import ExportOptions
from airgap.transfer.protect import ProtectOptions
from airgap.transfer.spread import Spreading, spread_images
from airgap.transfer.spread_outcome import SpreadResult
from airgap.transfer.spread_state import SpreadFolder
from tests.support import builders, command_line
from tests.support.embedded import CutAnswer, EmbeddedRegistry, Status
from tests.support.parity import contents, flip
from tests.support.transfers import (
    Recorder,
    assert_holds,
    cancelling,
    export,
    open_client,
)

IS_SOAK = bool(os.environ.get("AIRGAP_SOAK"))
VOLUME = 1 << 20
MEDIUM = 2_300_000
CONTENTS = {
    "app": builders.image(layers=(2_500_000, 300_000)),
    "tool": builders.image(layers=(700_000, 200_000), seed=1),
    "base": builders.image(layers=(900_000,), seed=2),
}


@pytest.fixture(scope="module")
def source():
    """The registry on the connected side."""
    with EmbeddedRegistry() as registry:
        for name, content in CONTENTS.items():
            builders.push(registry.repository(name), content, tag="1")
        yield registry


@pytest.fixture(scope="module")
def clean(source, tmp_path_factory):
    """What an export in volumes writes to one large medium."""
    folder = tmp_path_factory.mktemp("clean")
    export([f"{source.host}/{name}:1" for name in CONTENTS], folder / "r.tar", volume_size=VOLUME)
    return contents(folder)


@pytest.fixture
def site(source, tmp_path, monkeypatch):
    """A mount point with media of a size, and a shelf for those that are full."""
    usb = tmp_path / "usb"
    usb.mkdir()
    made = SimpleNamespace(
        source=source, usb=usb, shelf=[], state=tmp_path / "state", size=MEDIUM, folder=tmp_path
    )

    def free(folder: Path) -> int:
        if folder != usb:
            return posix.free_bytes(folder)
        return max(0, made.size - sum(path.stat().st_size for path in folder.iterdir()))

    monkeypatch.setattr(spread, "free_bytes", free)
    return made


def change(site) -> None:
    """Put what is on the medium on the shelf, and an empty one in."""
    place = site.folder / f"medium{len(site.shelf)}"
    shutil.copytree(site.usb, place)
    site.shelf.append(place)
    for path in site.usb.iterdir():
        path.unlink()


def changing(site) -> Callable[[MediumWanted], bool]:
    def ask(_: MediumWanted) -> bool:
        change(site)
        return True

    return ask


def spread_out(
    site, *, ask: Callable[[MediumWanted], bool] | None = None, run: Run | None = None, **options
) -> SpreadResult:
    """Run the export once, as the command does."""
    references = [Reference.parse(f"{site.source.host}/{name}:1") for name in CONTENTS]
    made = ExportOptions(volume_size=VOLUME, **options)
    with open_client() as client:
        return spread_images(
            references,
            site.usb / "r.tar",
            client=client,
            spreading=Spreading(site.state, ask),
            options=made,
            run=run,
        )


def volumes_of(site) -> dict[str, bytes]:
    """The volumes on all media, those on the shelf first."""
    found = {}
    for place in [*site.shelf, site.usb]:
        found.update({k: v for k, v in contents(place).items() if k.endswith(".tar")})
    return found


def to_the_end(site, **options) -> None:
    """Change media and run the command again until all is written."""
    for _ in range(20):
        try:
            spread_out(site, **options)
        except IncompleteBundleError:
            change(site)
        else:
            return
    raise AssertionError("it never ends")


def assert_all_written(site, clean) -> None:
    assert volumes_of(site) == clean
    assert not [path for path in site.state.rglob("*") if path.is_file()], "no state is left"
    assert not [path for path in site.usb.iterdir() if "partial" in path.name]


def test_volumes_on_several_media_are_those_of_one_export(site, clean):
    """Each medium is filled, read back, and the next is asked for with what is still to come."""
    asked = []

    def ask(wanted):
        asked.append(wanted.missing)
        change(site)
        return True

    recorder = Recorder()
    result = spread_out(site, ask=ask, run=Run(recorder))
    assert result.media == ((1, 2), (3, 4), (5,))
    assert asked == [(3, 4, 5), (5,)]
    told = [event.message for event in recorder.of(Notice) if event.code == "medium"]
    assert told[0] == "volumes 1, 2 of 5 on this medium: synced, read back and whole"
    assert not [event for event in recorder.of(Notice) if event.code == "missing-volume"]
    assert_all_written(site, clean)


def test_a_run_of_its_own_for_each_medium_writes_the_same(site, clean):
    """Each says what is still to be written, and the last one ends well."""
    with pytest.raises(IncompleteBundleError, match="3, 4, 5 of 5 are on no medium"):
        spread_out(site)
    change(site)
    to_the_end(site)
    assert_all_written(site, clean)


def test_what_was_spread_is_imported_medium_by_medium(site, inside):
    """The whole way, in another order."""
    spread_out(site, ask=changing(site))
    change(site)
    media = list(site.shelf)
    random.Random(2).shuffle(media)
    for number, place in enumerate(media):
        done = command_line.airgap(
            "import", "bundle", place, "--to", inside.host, "--state", site.folder / "arriving"
        )
        assert done.code == (23 if number < len(media) - 1 else 0), done.err
    for name, content in CONTENTS.items():
        assert_holds(inside, name, content, "1")


def test_a_blob_is_fetched_once_for_each_medium_that_holds_some_of_it(site, clean, source):
    """However many volumes of the medium it is cut across; nothing is kept between media."""
    large = CONTENTS["app"].blobs[1].descriptor
    assert large.size == max(b.descriptor.size for b in CONTENTS["app"].blobs)
    source.clear()
    result = spread_out(site, ask=changing(site))
    holders = {
        number
        for number, numbers in enumerate(result.media)
        for n in numbers
        if large.digest.hex.encode() in clean[f"r.{n:03d}.tar"][-20_000:]
        or b"airgap/pieces/sha256/" + large.digest.hex.encode() in clean[f"r.{n:03d}.tar"]
    }
    assert source.count("GET", f"/blobs/{large.digest}") == len(holders)
    assert sum(p.stat().st_size for p in site.state.rglob("*") if p.is_file()) < 100_000


def test_a_tag_that_moves_between_media_changes_nothing(site, clean, source):
    """The digests of the first run are fetched, also by a later one."""
    with pytest.raises(IncompleteBundleError):
        spread_out(site)
    change(site)
    repository = source.repository("app")
    builders.push(repository, builders.image(seed=77), tag="1")
    try:
        to_the_end(site)
    finally:
        builders.push(repository, CONTENTS["app"], tag="1")
    assert_all_written(site, clean)


def test_another_export_to_the_same_place_is_told_apart(site):
    """It neither mixes with the one that is not done nor throws it away."""
    with pytest.raises(IncompleteBundleError):
        spread_out(site)
    change(site)
    with pytest.raises(ConflictError, match="another export"):
        spread_out(site, referrers=False)
    to_the_end(site)


def test_a_bundle_that_fits_one_medium_asks_for_none(site, clean):
    """And leaves no state."""
    site.size = 100_000_000
    result = spread_out(site)
    assert result.media == ((1, 2, 3, 4, 5),)
    assert_all_written(site, clean)


def test_a_full_medium_is_not_written_to(site, clean):
    """The next one takes what it had no room for."""
    (site.usb / "filler").write_bytes(b"x" * 2_000_000)
    asked = []

    def ask(wanted):
        asked.append(wanted.missing)
        for path in site.usb.iterdir():
            if path.name == "filler":
                path.unlink()
                return True
        change(site)
        return True

    recorder = Recorder()
    spread_out(site, ask=ask, run=Run(recorder))
    assert asked[0] == (1, 2, 3, 4, 5)
    assert "has no room for volume 1" in recorder.of(Notice)[0].message
    assert_all_written(site, clean)


def test_who_never_changes_the_medium_is_not_asked_forever(site):
    """After some media that take nothing, the run ends and says what is left."""
    asked = []

    def ask(wanted):
        asked.append(wanted)
        return len(asked) < 20

    with pytest.raises(IncompleteBundleError):
        spread_out(site, ask=ask)
    assert len(asked) == 3


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


def test_parity_lies_on_each_medium_and_covers_it(site, clean):
    """A volume that is lost on one medium is rebuilt there, from that medium alone."""
    site.size = 3_700_000
    protect = ProtectOptions(parity=ParityRequest.parse("1volume"))
    result = spread_out(site, ask=changing(site), protect=protect)
    change(site)
    assert len(result.media) == 3
    for medium in result.written:
        assert medium.beside is not None
        assert medium.beside.files
    for place in site.shelf:
        assert sum(path.stat().st_size for path in place.iterdir()) <= site.size
    lost = site.shelf[0] / "r.001.tar"
    lost.unlink()
    done = command_line.airgap("repair", "bundle", site.shelf[0])
    assert lost.exists(), done.err
    assert lost.read_bytes() == clean["r.001.tar"]


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
        patch.setattr(spread, "mount_point", lambda folder: site.usb)
        with pytest.raises(IncompleteBundleError):
            spread_out(site)
    change(site)
    recorder = Recorder()
    with pytest.raises(IncompleteBundleError):
        spread_out(site, run=Run(recorder))
    assert "nothing is mounted" in recorder.of(Notice)[0].message
    assert contents(site.usb) == {}


def test_the_command_goes_on_from_medium_to_medium(site, clean, tmp_path):
    """The command for the next medium is told what is to be written, and the result says where."""
    script = tmp_path / "next.sh"
    script.write_text(
        f'echo "$AIRGAP_MISSING_VOLUMES" >> {tmp_path}/asked\n'
        f"mkdir -p {tmp_path}/shelf && mv {site.usb}/* {tmp_path}/shelf\n"
    )
    names = [f"{site.source.host}/{name}:1" for name in CONTENTS]
    arguments = ["export", "images", *names, "-o", site.usb / "r.tar", "--spread"]
    arguments += ["--volume-size", "1MiB", "--state", site.state, "--next-command", f"sh {script}"]
    done = command_line.airgap(*arguments)
    assert done.code == 0, done.err
    assert "medium 2: volumes 3, 4" in done.out
    assert "in 5 volumes on 3 media" in done.out
    assert (tmp_path / "asked").read_text() == "3 4 5\n5\n"
    assert contents(tmp_path / "shelf") | contents(site.usb) == clean


def test_json_names_the_medium_that_is_wanted(site):
    """Whoever reads the events changes the medium and answers with a line; its end ends the run."""
    names = [f"{site.source.host}/{name}:1" for name in CONTENTS]
    arguments = ["export", "images", *names, "-o", site.usb / "r.tar", "--spread", "--json"]
    done = command_line.airgap(*arguments, "--volume-size", "1MiB", "--state", site.state)
    assert done.code == 23
    wanted = [line for line in done.lines if line["type"] == "medium-wanted"]
    assert [line["missing"] for line in wanted] == [[3, 4, 5]]
    assert done.lines[-1]["missing"] == ["volume 3", "volume 4", "volume 5"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("-o", "r.tar", "--spread"),
        ("-o", "-", "--spread", "--volume-size", "1MiB"),
        ("-o", "r.tar", "--next-command", "true"),
        ("-o", "r.tar", "--state", "x"),
        ("-o", "r.tar", "--spread", "--volume-size", "1MiB", "--next-command", " "),
    ],
)
def test_options_that_make_no_sense_together_are_refused(site, arguments):
    """Before anything is asked of a registry."""
    site.source.clear()
    done = command_line.airgap("export", "images", f"{site.source.host}/app:1", *arguments)
    assert done.code == 2
    assert not site.source.seen


def test_spreading_needs_a_volume_size(site):
    """One file cannot be shared out."""
    with pytest.raises(SettingsError, match="--volume-size"), open_client() as client:
        spread_images(
            [Reference.parse(f"{site.source.host}/app:1")],
            site.usb / "r.tar",
            client=client,
            spreading=Spreading(site.state),
            options=ExportOptions(),
        )


@pytest.fixture
def inside():
    """The registry on the other side."""
    with EmbeddedRegistry() as registry:
        yield registry
