"""Records that are written to media which are full or pulled: whole, or as they were before."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from airgap.record.inventory import Inventory
from airgap.record.lock import Lock
from airgap.record.receipt_format import parse_receipt
from tests.support import builders
from tests.support.command_line import Outcome, airgap
from tests.support.media import fill
from tests.support.transfers import export

Write = Callable[[Path], Outcome]


@pytest.fixture(params=["inventory", "receipt", "lock"])
def record(request, outside, inside, tmp_path) -> tuple[Write, Callable[[bytes], object]]:
    """What writes a record of some hundred images to a path, and what reads its bytes."""
    for number in range(60):
        builders.push(outside.repository(f"r{number}"), builders.image(seed=number), tag="1")
    names = [f"{outside.host}/r{number}:1" for number in range(60)]
    match request.param:
        case "inventory":
            return partial(airgap, "export", "inventory", "--from", outside.host, "-o"), (
                Inventory.parse
            )
        case "lock":
            return partial(airgap, "lock", *names, "-o"), Lock.parse
    bundle = tmp_path / "b.tar"
    export(names, bundle)
    into = ("import", "bundle", bundle, "--to", inside.host, "--receipt")
    return partial(airgap, *into), parse_receipt


def test_a_record_that_has_no_room_leaves_what_was_there(record, stick) -> None:
    """The error is that of a full disk, no half of a record is left, and with room it is whole."""
    write, read = record
    path = stick.folder / "record"
    assert write(path).code == 0
    before = path.read_bytes()
    read(before)
    filler = fill(stick.folder, leave=0)
    done = write(path)
    assert done.code == 30, done.err
    assert "error[storage" in done.err
    assert path.read_bytes() == before
    assert {found.name for found in stick.folder.iterdir()} <= {"record", "filler", "lost+found"}
    filler.unlink()
    assert write(path).code == 0
    read(path.read_bytes())


def test_a_record_that_was_written_survives_a_medium_that_is_pulled(record, stick) -> None:
    """A command that has ended has its record on the medium."""
    write, read = record
    path = stick.folder / "record"
    assert write(path).code == 0
    before = path.read_bytes()
    stick.pull()
    assert write(path).code != 0
    stick.put_back()
    assert path.read_bytes() == before
    read(before)
