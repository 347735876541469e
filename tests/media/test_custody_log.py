"""The log of custody on real file systems that are full, pulled, read-only or append-only."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from airgap.errors import StorageError, StorageFullError
from airgap.transfer.custody import CustodyLog
from tests.compat.software import find
from tests.support.command_line import airgap
from tests.support.custody import AUTHOR, anchor_of
from tests.support.media import fill


def add(log: CustodyLog, size: int = 0) -> None:
    log.append("export", {"pad": "x" * size}, author=AUTHOR)


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_a_full_disk_takes_nothing_from_the_log(stick) -> None:
    """The entry that has no room is told, and the chain goes on when there is room again."""
    log = CustodyLog(stick.folder / "custody.log")
    add(log)
    filler = fill(stick.folder, leave=0)
    before = log.path.read_bytes()
    with pytest.raises(StorageFullError):
        for _ in range(100):
            add(log, 200_000)
            before = log.path.read_bytes()
    assert log.path.read_bytes() == before
    filler.unlink()
    add(log)
    found = log.check()
    assert (found.chain.flaws, found.torn) == ([], 0)


def test_an_entry_that_was_written_survives_a_medium_that_is_pulled(stick) -> None:
    """An append returns when its entry is on the medium, and the first one with its name."""
    log = CustodyLog(stick.folder / "state" / "custody.log")
    for number in range(3):
        add(log)
        known = lines(log.path)
        stick.pull()
        with pytest.raises(StorageError):
            add(log)
        stick.put_back()
        found = log.check(anchors=[anchor_of(known)])
        assert (found.chain.flaws, found.chain.position.length) == ([], number + 1)


def test_a_read_only_home_is_a_warning(stick, clean, tmp_path) -> None:
    """What the command is about is done all the same; the log is read as before."""
    log = stick.folder / "custody.log"
    bundle = tmp_path / "b.tar"
    bundle.write_bytes(clean)
    assert airgap("verify", "bundle", bundle, "--custody-log", log).code == 0
    stick.put_back(read_only=True)
    done = airgap("verify", "bundle", bundle, "--custody-log", log)
    assert done.code == 0
    assert "the log of custody lacks this" in done.err
    assert "Read-only file system" in done.err
    assert "1 entry, whole" in airgap("log", "verify", "--custody-log", log).out


def test_a_file_that_can_only_be_appended_to_serves_as_a_log(stick) -> None:
    """With `chattr +a` even its owner cannot change what stands there, and airgap still appends."""
    log = CustodyLog(stick.folder / "custody.log")
    add(log)
    subprocess.run([find("chattr"), "+a", str(log.path)], check=True)
    add(log)
    assert log.check().chain.position.length == 2
    with pytest.raises(PermissionError):
        os.truncate(log.path, 0)
    subprocess.run([find("chattr"), "-a", str(log.path)], check=True)
