"""Volumes that are spread over four real sticks: filled, pulled, lying, and one volume lost."""

from __future__ import annotations

import random
from contextlib import ExitStack

import pytest

from airgap.bundle.check import check_bundle
from airgap.bundle.parity import ParityRequest
from airgap.content.filesystem import drop_cache_file
from airgap.errors import IncompleteBundleError
from airgap.oci.reference import Reference
from airgap.run import Run
from airgap.run.events import BlobAdvanced, Notice
from airgap.transfer.export import ExportOptions
from airgap.transfer.protect import ProtectOptions
from airgap.transfer.spread import Spreading, spread_images
from tests.support import builders, command_line
from tests.support.media import MIB, fill
from tests.support.parity import contents
from tests.support.transfers import Recorder, assert_holds, export, open_client


@pytest.fixture
def image(outside):
    """An image whose layers are cut."""
    made = builders.image(layers=(300_000, 3_600_000, 900_000, 2_500_000))
    return builders.push(outside.repository("app"), made, tag="1")


class Desk:
    """One port for sticks."""

    def __init__(self, folder, name):
        self.folder = folder
        self.name = name
        self.port = folder / "usb"
        self.state = folder / "state"

    def put_in(self, place):
        """Have another stick where the one before was."""
        self.port.unlink(missing_ok=True)
        self.port.symlink_to(place)

    def spread(self, prompt=None, run=None, **options):
        """Export to the stick, and to what comes behind it."""
        with open_client() as client:
            return spread_images(
                [Reference.parse(self.name)],
                self.port / "r.tar",
                client=client,
                spreading=Spreading(self.state, prompt),
                options=ExportOptions(volume_size=MIB, **options),
                run=run,
            )


@pytest.fixture
def desk(tmp_path, name):
    """Where the sticks are written."""
    return Desk(tmp_path, name)


def volumes_on(folders):
    found = {}
    for folder in folders:
        for path in folder.glob("*.tar"):
            drop_cache_file(path)
            found[path.name] = path.read_bytes()
    return found


@pytest.fixture
def whole(name, tmp_path):
    """The volumes of an export to one large medium."""
    folder = tmp_path / "whole"
    folder.mkdir()
    export(name, folder / "r.tar", volume_size=MIB)
    return contents(folder)


def test_four_sticks_carry_a_bundle_and_lose_a_volume(loop, desk, whole, image, inside):
    """Spread with parity, imported in random order, with a lost volume rebuilt on its stick."""
    protect = ProtectOptions(parity=ParityRequest.parse("1volume"))
    with ExitStack() as stack:
        sticks = [stack.enter_context(loop("ext4", 5 * MIB)) for _ in range(4)]
        waiting = [stick.folder for stick in sticks]

        def ask(_):
            if not waiting:
                return False
            desk.put_in(waiting.pop(0))
            return True

        desk.put_in(waiting.pop(0))
        result = desk.spread(ask, protect=protect)
        assert len(result.media) >= 3
        folders = [stick.folder for stick in sticks[: len(result.media)]]
        assert volumes_on(folders) == whole
        lost = folders[1] / f"r.{result.media[1][0]:03d}.tar"
        lost.unlink()
        order = list(folders)
        random.Random(5).shuffle(order)
        for number, folder in enumerate(order):
            if folder == folders[1]:
                done = command_line.airgap("repair", "bundle", folder)
                assert lost.read_bytes() == whole[lost.name], done.err
            desk.put_in(folder)
            done = command_line.airgap(
                "import", "bundle", desk.port, "--to", inside.host, "--state", desk.state
            )
            assert done.code == (23 if number < len(order) - 1 else 0), done.err
    assert_holds(inside, "app", image, "1")


def test_a_stick_pulled_while_it_is_written_counts_for_nothing(loop, desk, whole):
    """The next stick takes what it should have had."""
    with ExitStack() as stack:
        sticks = [stack.enter_context(loop("ext4", 12 * MIB)) for _ in range(2)]
        pulled = []

        def pull(_number, event):
            if isinstance(event, BlobAdvanced) and event.offset > 2_000_000 and not pulled:
                pulled.append(event)
                sticks[0].pull()

        def ask(wanted):
            assert len(wanted.missing) == len(whole)
            desk.put_in(sticks[1].folder)
            return True

        desk.put_in(sticks[0].folder)
        result = desk.spread(ask, run=Run(Recorder(pull)))
        assert pulled
        assert len(result.media) == 1
        assert volumes_on([sticks[1].folder]) == whole


def test_a_stick_with_little_room_takes_what_fits_and_no_more(loop, desk, whole):
    """It is not filled with half a volume, and what was on it stays."""
    with ExitStack() as stack:
        small, large = (stack.enter_context(loop("ext4", 12 * MIB)) for _ in range(2))
        filler = fill(small.folder, leave=int(2.5 * MIB))
        size = filler.stat().st_size

        def ask(_):
            desk.put_in(large.folder)
            return True

        desk.put_in(small.folder)
        result = desk.spread(ask)
        assert result.media[0] == (1, 2)
        assert volumes_on([small.folder, large.folder]) == whole
        assert filler.stat().st_size == size
        assert not list(small.folder.glob("*.partial"))


@pytest.mark.parametrize("wraps", [True, False])
def test_a_stick_that_lies_about_its_size_is_found_out(forged, desk, loop, whole, wraps):
    """What it did not keep goes to the next stick, and nothing is said to be on it that is not."""
    recorder = Recorder()
    with (
        forged(real=2 * MIB, claimed=64 * MIB, wraps=wraps) as liar,
        loop("ext4", 12 * MIB) as stick,
    ):

        def ask(_):
            desk.put_in(stick.folder)
            return True

        desk.put_in(liar)
        result = desk.spread(ask, run=Run(recorder))
        assert any("not as it was written" in e.message for e in recorder.of(Notice))
        kept = result.media[0] if len(result.media) > 1 else ()
        assert len(kept) <= 2
        on_stick = volumes_on([stick.folder])
        assert set(on_stick) >= {n for n in whole if int(n[2:5]) not in kept}
        for number in kept:
            report = check_bundle(liar / f"r.{number:03d}.tar", run=Run(), read_back=True)
            assert {finding.kind for finding in report.findings} == {"missing-volume"}


def test_a_read_only_stick_is_not_the_end(loop, desk, whole):
    """It is said, and the next one is asked for."""
    recorder = Recorder()
    with loop("ext4", 12 * MIB) as locked, loop("ext4", 12 * MIB) as stick:
        locked.put_back(read_only=True)
        desk.put_in(locked.folder)

        def ask(_):
            desk.put_in(stick.folder)
            return True

        desk.spread(ask, run=Run(recorder))
        assert any(event.code == "medium" for event in recorder.of(Notice))
        assert volumes_on([stick.folder]) == whole


def test_without_another_stick_the_run_says_what_is_left(loop, desk):
    """The exit code is that of something incomplete."""
    with loop("ext4", 4 * MIB) as stick:
        desk.put_in(stick.folder)
        with pytest.raises(IncompleteBundleError, match="on no medium"):
            desk.spread()
