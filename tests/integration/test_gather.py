"""What an import from several media keeps, forgets and goes on from, whatever interrupts it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from airgap.content import posix
from airgap.errors import (
    CancelledError,
    ConflictError,
    IncompleteBundleError,
    LockedError,
)
from airgap.run import Run
from airgap.run.events import BlobAdvanced, BlobFinished, MediumWanted
from airgap.transfer import gather_state
from airgap.transfer.destination import Destination
from airgap.transfer.gather import Gathering, gather_bundle
from airgap.transfer.outcome import ImportResult
from airgap.transfer.publish import ImportOptions
from tests.support import builders, command_line
from tests.support.embedded import EmbeddedRegistry
from tests.support.transfers import (
    assert_holds,
    cancelling,
    export,
    open_client,
    sent,
)

IS_SOAK = bool(os.environ.get("AIRGAP_SOAK"))
VOLUME = 1 << 20
CONTENTS = {
    "app": builders.image(layers=(2_500_000, 300_000)),
    "tool": builders.image(layers=(700_000, 200_000), seed=1),
    "base": builders.image(layers=(900_000,), seed=2),
}


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """The files of a bundle of three images, some of whose layers are cut."""
    folder = tmp_path_factory.mktemp("volumes")
    with EmbeddedRegistry() as outside:
        for name, content in CONTENTS.items():
            builders.push(outside.repository(name), content, tag="1")
        names = [f"{outside.host}/{name}:1" for name in CONTENTS]
        export(names, folder / "release.tar", volume_size=VOLUME)
    found = sorted(folder.glob("release.*.tar"))
    assert len(found) >= 5
    return found


@pytest.fixture
def site(tmp_path):
    """The other side: a registry, a mount point and a folder for state."""
    with EmbeddedRegistry() as registry:
        usb = tmp_path / "usb"
        usb.mkdir()
        yield SimpleNamespace(registry=registry, usb=usb, state=tmp_path / "state")


def put_in(site, files: Sequence[Path]) -> None:
    """Change the medium."""
    for path in site.usb.iterdir():
        path.unlink()
    for path in files:
        shutil.copy(path, site.usb)


def gather(
    site,
    *,
    ask: Callable[[MediumWanted], bool] | None = None,
    run: Run | None = None,
    **options,
) -> ImportResult:
    """Run the import once, as the command does."""
    with open_client() as client:
        return gather_bundle(
            [site.usb],
            Destination.parse(site.registry.host),
            client=client,
            gathering=Gathering(site.state, ask),
            options=ImportOptions(**options),
            run=run,
        )


def kept_pieces(site) -> list[Path]:
    return sorted(site.state.rglob("*-" + "[0-9]" * 13))


def missing_of(error: IncompleteBundleError) -> set[int]:
    return {int(text.removeprefix("volume ")) for text in error.missing}


def assert_all_there(site) -> None:
    for name, content in CONTENTS.items():
        assert_holds(site.registry, name, content, "1")
    assert not [path for path in site.state.rglob("*") if path.is_file()], "nothing is kept"


def test_the_same_volume_twice_is_harmless(volumes, site):
    """It brings nothing new, and nothing is sent or kept again."""
    put_in(site, volumes[:1])
    for _ in range(2):
        with pytest.raises(IncompleteBundleError) as caught:
            gather(site)
        assert missing_of(caught.value) == set(range(2, len(volumes) + 1))
        pieces = kept_pieces(site)
    assert site.registry.count("PUT", r"/blobs/uploads/") <= 2
    assert len(pieces) == len(set(pieces))
    put_in(site, volumes[1:])
    gather(site)
    assert_all_there(site)


def test_only_pieces_of_cut_blobs_are_kept(volumes, site):
    """Whole blobs are in the registry; nothing of them stays here."""
    put_in(site, volumes[:1])
    with pytest.raises(IncompleteBundleError):
        gather(site)
    kept = kept_pieces(site)
    assert kept
    assert sum(path.stat().st_size for path in kept) < volumes[0].stat().st_size
    state = json.loads(next(site.state.rglob("state.json")).read_text())
    assert state["arrived"] == [1]
    assert len(state["pieces"]) == len(kept)


def test_all_volumes_at_once_need_no_state(volumes, site):
    """The folder is not even made."""
    put_in(site, volumes)
    gather(site)
    assert not site.state.exists()


def test_two_bundles_on_the_first_medium_are_not_guessed_between(volumes, site, tmp_path):
    """The files are named, and nothing is taken."""
    with EmbeddedRegistry() as outside:
        builders.push(outside.repository("other"), builders.image(seed=9), tag="1")
        export(f"{outside.host}/other:1", tmp_path / "other.tar")
    put_in(site, [volumes[0], tmp_path / "other.tar"])
    with pytest.raises(ConflictError, match="2 bundles"):
        gather(site)


def test_a_kept_piece_that_rots_is_asked_for_again(volumes, site):
    """It is hashed before it is used."""
    put_in(site, volumes[:1])
    with pytest.raises(IncompleteBundleError):
        gather(site)
    kept = kept_pieces(site)[0]
    kept.write_bytes(b"x" * kept.stat().st_size)
    put_in(site, volumes[1:])
    with pytest.raises(IncompleteBundleError) as caught:
        gather(site)
    assert missing_of(caught.value) == {1}
    put_in(site, volumes[:1])
    gather(site)
    assert_all_there(site)


@pytest.mark.parametrize("raw", [b"", b"{", b'{"formatVersion":9}', b"[]", b"\xff" * 9])
def test_a_state_that_makes_no_sense_is_begun_anew(volumes, site, raw):
    """What was kept is asked for again, and nothing wrong is believed."""
    put_in(site, volumes[:1])
    with pytest.raises(IncompleteBundleError):
        gather(site)
    next(site.state.rglob("state.json")).write_bytes(raw)
    put_in(site, volumes)
    gather(site)
    assert_all_there(site)


def test_two_imports_do_not_share_a_state(volumes, site):
    """The second one is told who works on it."""
    put_in(site, volumes[:1])

    with pytest.raises(IncompleteBundleError):
        gather(site)
    fd = os.open(next(site.state.rglob("lock")), os.O_RDWR)
    try:
        assert posix.lock(fd)
        with pytest.raises(LockedError):
            gather(site)
    finally:
        os.close(fd)


@pytest.mark.parametrize("moment", range(1, 40, 1 if IS_SOAK else 9))
def test_an_interrupted_import_goes_on_with_the_same_medium(volumes, site, moment):
    """Wherever it was interrupted, the same media bring the rest."""
    for files in (volumes[:2], volumes[2:]):
        put_in(site, files)
        run, _ = cancelling(moment, lambda event: isinstance(event, BlobAdvanced | BlobFinished))
        try:
            gather(site, run=run)
        except (CancelledError, IncompleteBundleError):
            try:
                gather(site)
            except IncompleteBundleError:
                assert files is not volumes[2:]
    for name, content in CONTENTS.items():
        assert_holds(site.registry, name, content, "1")


def test_a_run_that_is_killed_between_writes_goes_on(volumes, site, monkeypatch):
    """Whichever write to the state it died at, the next runs bring everything."""
    real = gather_state.write_file
    for death in range(1, 6):
        shutil.rmtree(site.state, ignore_errors=True)
        left = [death]

        def dying(*arguments, left=left, **more):
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
            real(*arguments, **more)

        monkeypatch.setattr(gather_state, "write_file", dying)
        put_in(site, volumes[:2])
        with pytest.raises((KeyboardInterrupt, IncompleteBundleError)):
            gather(site)
        monkeypatch.setattr(gather_state, "write_file", real)
        with EmbeddedRegistry() as fresh:
            one = SimpleNamespace(registry=fresh, usb=site.usb, state=site.state)
            for files in (volumes[2:], volumes[:2]):
                put_in(site, files)
                try:
                    gather(one)
                except IncompleteBundleError:
                    assert files == volumes[2:]
            for name, content in CONTENTS.items():
                assert_holds(fresh, name, content, "1")


@pytest.mark.parametrize("command", ["false", "true"])
def test_a_command_that_brings_no_medium_ends_the_import(volumes, site, command):
    """What is missing is said, with what to do."""
    put_in(site, volumes[:1])
    done = command_line.airgap(
        "import", "bundle", site.usb, "--to", site.registry.host, "--state", site.state,
        "--next-command", command,
    )  # fmt: skip
    assert done.code == 23
    assert "still to come" in done.err
    assert "put in the next medium" in done.err


def test_somebody_at_a_terminal_is_asked(volumes, site):
    """Who presses Enter without another medium is asked again; the end of input ends it."""
    put_in(site, volumes[:1])
    done = command_line.airgap(
        "import", "bundle", site.usb, "--to", site.registry.host, "--state", site.state,
        stdin=b"\n", terminal=True,
    )  # fmt: skip
    assert done.code == 23
    assert done.err.count("press Enter") == 2
    assert "brought nothing" in done.err


def test_a_volume_with_a_damaged_front_is_named_where_it_is_missing(volumes, site):
    """Nobody looks for a medium that is in the drive already."""
    put_in(site, volumes)
    path = site.usb / volumes[1].name
    path.write_bytes(b"X" + path.read_bytes()[1:])
    done = command_line.airgap(
        "import", "bundle", site.usb, "--to", site.registry.host, "--state", site.state,
    )  # fmt: skip
    assert done.code == 23
    assert "volume 2 of " in done.err
    (said,) = [line for line in done.err.splitlines() if "left aside" in line]
    assert str(path) in said
    assert "airgap repair bundle" in said


def test_a_dry_run_keeps_and_sends_nothing(volumes, site):
    """It says what would be pushed once all media came."""
    put_in(site, volumes[:1])
    result = gather(site, dry_run=True)
    assert {image.outcome for image in result.images} == {"planned"}
    assert not site.state.exists()
    assert not sent(site.registry)
