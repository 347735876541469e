"""Volumes that come on four sticks, one after the other: pulled, put back, and in random order."""

from __future__ import annotations

import random
import shutil
from contextlib import ExitStack

import pytest

from airgap.content.filesystem import drop_cache_file
from airgap.errors import IncompleteBundleError, StorageError
from airgap.run import Run
from airgap.run.events import BlobAdvanced
from airgap.transfer.destination import Destination
from airgap.transfer.gather import Gathering, gather_bundle
from tests.support import builders
from tests.support.media import MIB
from tests.support.transfers import Recorder, assert_holds, export, open_client

VOLUME = MIB


@pytest.fixture
def image(outside):
    """An image whose layers are cut, so that pieces wait for others."""
    made = builders.image(layers=(300_000, 2_600_000, 300_000, 1_500_000))
    return builders.push(outside.repository("cut"), made, tag="1")


@pytest.fixture
def name(outside, image):
    """Its name."""
    return f"{outside.host}/cut:1"


class Desk:
    """The other side: one port for sticks, and a registry."""

    def __init__(self, folder, registry, media):
        self.port = folder / "usb"
        self.state = folder / "state"
        self.registry = registry
        self.media = media

    def put_in(self, medium):
        """Have another stick where the one before was."""
        self.port.unlink(missing_ok=True)
        self.port.symlink_to(medium.folder)

    def take(self, prompt=None, run=None):
        """Import what the stick holds, and what comes behind it."""
        with open_client() as client:
            return gather_bundle(
                [self.port],
                Destination.parse(self.registry.host),
                client=client,
                gathering=Gathering(self.state, prompt),
                run=run,
            )


@pytest.fixture
def desk(loop, tmp_path, name, inside):
    """Four sticks of 20 MiB with a volume or more each."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    export(name, shelf / "release.tar", volume_size=VOLUME)
    volumes = sorted(shelf.glob("*.tar"))
    assert len(volumes) >= 4
    with ExitStack() as stack:
        media = [stack.enter_context(loop("ext4")) for _ in range(4)]
        for number, volume in enumerate(volumes):
            shutil.copy(volume, media[number % 4].folder)
        for medium in media:
            medium.put_back(read_only=True)
        yield Desk(tmp_path, inside, media)


@pytest.mark.parametrize("seed", range(3))
def test_sticks_are_read_in_any_order(desk, image, seed):
    """Each is unmounted and mounted in between, and nothing is left behind at the end."""
    order = random.Random(seed).sample(desk.media, 4)
    desk.put_in(order[0])
    waiting = iter(order[1:])

    def prompt(wanted):
        medium = next(waiting)
        medium.put_back(read_only=True)
        desk.put_in(medium)
        return True

    desk.take(prompt)
    assert_holds(desk.registry, "cut", image, "1")
    assert not [path for path in desk.state.rglob("*") if path.is_file()]


def test_a_stick_pulled_while_it_is_read_goes_on_when_it_is_back(desk, image):
    """It is an error of storage; the same command goes on with that stick, and with the others."""
    first = desk.media[0]
    first.put_back()  # a file system that is mounted read-only cannot be shut down
    desk.put_in(first)
    pulled = []

    def look(_number, event):
        if isinstance(event, BlobAdvanced) and not pulled:
            pulled.append(event)
            for path in first.folder.iterdir():
                drop_cache_file(path)
            first.pull()

    with pytest.raises(StorageError):
        desk.take(run=Run(Recorder(look)))
    first.put_back(read_only=True)
    for medium in desk.media[:-1]:
        desk.put_in(medium)
        with pytest.raises(IncompleteBundleError):
            desk.take()
    desk.put_in(desk.media[-1])
    desk.take()
    assert_holds(desk.registry, "cut", image, "1")
