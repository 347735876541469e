"""The log of custody on disk: appends that wait for each other, and ends that a crash left."""

from __future__ import annotations

import errno
import json
import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from airgap.errors import (
    CancelledError,
    ContentNotFoundError,
    IntegrityError,
    StorageError,
    StorageFullError,
)
from airgap.oci.digest import Digest
from airgap.record.log import START
from airgap.run import CancelToken, Run
from airgap.transfer import custody
from airgap.transfer.custody import CustodyLog
from airgap.transfer.rollback import TagMove
from tests.support.crashes import crash_points
from tests.support.custody import AUTHOR, BEGINNING, anchor_of, numbered, position_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "custody.log"


@pytest.fixture
def log(path: Path) -> CustodyLog:
    return CustodyLog(path, now=lambda: BEGINNING)


def add(log: CustodyLog, count: int = 1) -> None:
    for number in range(count):
        log.append("export", {"number": number}, author=AUTHOR)


def events(path: Path) -> list[str]:
    return [json.loads(line)["event"] for line in path.read_bytes().splitlines()]


def test_what_is_appended_makes_a_chain(log: CustodyLog, path: Path) -> None:
    """Each append tells the length and head that the log has then, and a check agrees."""
    positions = [log.append("export", {"number": number}, author=AUTHOR) for number in range(4)]
    lines = path.read_bytes().splitlines(keepends=True)
    assert positions == [position_of(lines[: count + 1]) for count in range(4)]
    assert log.check().chain.position == positions[-1]
    found = log.check(anchors=[anchor_of(lines)])
    assert (found.chain.flaws, found.torn, found.chain.position) == ([], 0, positions[-1])


def test_a_clock_that_jumps_back_does_not_break_the_chain(path: Path) -> None:
    """Entries stand in the order in which they were written, whatever time they say."""
    times = iter([BEGINNING, BEGINNING - timedelta(days=400), BEGINNING + timedelta(days=400)])
    log = CustodyLog(path, now=lambda: next(times))
    images = [{"target": "inside:5000/app:1", "outcome": "pushed"} for _ in range(3)]
    digests = [Digest.of(text) for text in (b"first", b"second", b"third")]
    for image, digest in zip(images, digests, strict=True):
        log.append("import", {"images": [image | {"digest": str(digest)}]}, author=AUTHOR)
    assert log.check().chain.flaws == []
    history = log.history(["inside:5000/app:1"], is_strict=True)
    for number, current in enumerate(digests):
        for other in digests:
            move = TagMove("inside:5000/app:1", current, (other,))
            goes_back = history.rollback(move) is not None
            assert goes_back == (digests.index(other) < number)


def test_a_log_that_is_not_there_is_empty(log: CustodyLog, path: Path) -> None:
    """To look at it makes neither the file nor its folder."""
    assert log.check().chain.position == START
    assert list(log.lines()) == []
    assert log.check().chain.position == START
    assert not path.parent.exists()


def test_a_log_that_was_named_must_be_there(log: CustodyLog) -> None:
    """A wrong name is not taken for an empty log."""
    with pytest.raises(ContentNotFoundError, match="there is no such file"):
        log.check(must_exist=True)


def test_only_its_owner_reads_a_new_log(log: CustodyLog, path: Path) -> None:
    """It names what was carried and by whom."""
    add(log)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_log_that_others_may_read_stays_so(log: CustodyLog, path: Path) -> None:
    """Who shares a log makes its file with the rights that it is to have."""
    path.parent.mkdir()
    path.touch()
    path.chmod(0o664)
    add(log)
    assert path.stat().st_mode & 0o777 == 0o664


def test_an_append_reads_the_end_only(log: CustodyLog, path: Path, monkeypatch) -> None:
    """However long the log is, its last lines are enough."""
    path.parent.mkdir()
    path.write_bytes(b"".join(numbered(2000)))
    size = path.stat().st_size
    read: list[int] = []
    real = custody.read_at

    def counted(fd: int, length: int, offset: int) -> bytes:
        read.append(length)
        return real(fd, length, offset)

    monkeypatch.setattr(custody, "read_at", counted)
    position = log.append("export", {}, author=AUTHOR)
    assert position.length == 2001
    assert sum(read) < size / 4


def test_an_entry_that_is_longer_than_what_is_read_at_first_is_found(log: CustodyLog) -> None:
    """The last line may be of any length up to the limit."""
    log.append("import", {"images": ["x" * 1000] * 500}, author=AUTHOR)
    log.append("import", {"images": ["y" * 1000] * 500}, author=AUTHOR)
    assert log.check().chain.position.length == 2
    assert log.check().chain.flaws == []


@pytest.mark.parametrize("rest", [b'{"by":"te', b"\0" * 500, numbered(3)[2][:-1]])
def test_what_a_power_cut_left_is_moved_aside_and_told(
    log: CustodyLog, path: Path, rest: bytes
) -> None:
    """Bytes without an end stand in a file beside, and the next entries say which these were."""
    add(log, 2)
    whole = path.read_bytes()
    path.write_bytes(whole + rest)
    found = log.check()
    assert (found.chain.flaws, found.torn) == ([], len(rest))
    assert log.check().chain.position.length == 2
    position = log.append("export", {}, author=AUTHOR)
    assert events(path) == ["export", "export", "torn", "export"]
    assert path.read_bytes().startswith(whole)
    told = json.loads(path.read_bytes().splitlines()[2])["details"]
    assert told == {"bytes": len(rest), "digest": str(Digest.of(rest)), "file": "custody.log.torn"}
    assert path.with_name("custody.log.torn").read_bytes() == rest
    found = log.check()
    assert (found.chain.flaws, found.torn, found.chain.position) == ([], 0, position)


def test_a_power_cut_at_the_first_entry_leaves_a_log_that_goes_on(
    log: CustodyLog, path: Path
) -> None:
    """The file has no whole line at all."""
    path.parent.mkdir()
    path.write_bytes(b'{"by"')
    assert log.append("export", {}, author=AUTHOR).length == 2
    assert log.check().chain.flaws == []


def test_a_last_line_that_is_no_entry_is_not_built_upon(log: CustodyLog, path: Path) -> None:
    """A whole line was not left by a crash: whoever changed it is not covered by a new entry."""
    add(log)
    before = path.read_bytes() + b"nothing\n"
    path.write_bytes(before)
    for use in (log.check_writable, lambda: add(log)):
        with pytest.raises(IntegrityError, match="is damaged") as caught:
            use()
        assert "airgap log verify" in (caught.value.hint or "")
    assert path.read_bytes() == before


def test_a_file_that_is_no_log_is_not_read_as_a_whole(
    log: CustodyLog, path: Path, monkeypatch
) -> None:
    """A line that never ends is given up at a limit."""
    monkeypatch.setattr(custody, "MAX_LINE", 100_000)
    path.parent.mkdir()
    path.write_bytes(b"x" * 1_000_000 + b"\n")
    with pytest.raises(IntegrityError, match="too long"):
        add(log)
    assert {len(line) for line in log.lines()} <= set(range(1, 100_002))
    assert log.check().chain.flaw_count == 10


def test_processes_that_append_at_once_wait_for_each_other(log: CustodyLog, path: Path) -> None:
    """Eight of them write one chain in which no entry is missing."""
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                add(log, 25)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    found = log.check()
    assert (found.chain.flaws, found.torn, found.chain.position.length) == ([], 0, 200)


def test_a_log_that_was_moved_away_meanwhile_is_begun_anew(
    log: CustodyLog, path: Path, monkeypatch
) -> None:
    """Who waited for the lock of a file that is elsewhere now writes to the one of its name."""
    add(log)
    real, moved = custody.wait_for_lock, path.with_name("old.log")

    def wait(fd: int, *, shared: bool = False) -> None:
        real(fd, shared=shared)
        if not moved.exists():
            path.rename(moved)

    monkeypatch.setattr(custody, "wait_for_lock", wait)
    assert log.append("export", {}, author=AUTHOR).length == 1
    assert len(events(moved)) == 1


@pytest.mark.parametrize("left", ["all", "synced"])
@pytest.mark.parametrize("rest", [b"", b'{"by'])
def test_an_append_that_is_killed_anywhere_leaves_a_log_that_goes_on(
    tmp_path: Path, left, rest: bytes
) -> None:
    """What was acknowledged before is there, and the next append makes a whole chain."""
    folder, first = tmp_path / "log", tmp_path / "first"
    first.mkdir()
    log = CustodyLog(folder / "custody.log")
    known = CustodyLog(first / "custody.log")
    add(known, 2)
    whole = known.path.read_bytes()
    known.path.write_bytes(whole + rest)
    shutil.copytree(first, folder)
    count = 0
    for _ in crash_points(lambda: add(log), folder, left):
        count += 1
        assert log.path.read_bytes().startswith(whole)
        add(log)
        found = log.check(anchors=[anchor_of(whole.splitlines(keepends=True))])
        assert (found.chain.flaws, found.torn) == ([], 0)
        shutil.rmtree(folder)
        shutil.copytree(first, folder)
    assert count >= 2


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_log_as_it_was(
    log: CustodyLog, path: Path, monkeypatch, code: int
) -> None:
    """A part of the entry that got there is taken back."""
    add(log, 2)
    before = path.read_bytes()
    real = os.pwrite

    def full(fd: int, data: bytes, offset: int) -> int:
        if len(data) <= 40:
            raise OSError(code, os.strerror(code))
        return real(fd, memoryview(data)[:40], offset)

    with monkeypatch.context() as patched, pytest.raises(StorageFullError, match=r"custody\.log"):
        patched.setattr(os, "pwrite", full)
        add(log)
    assert path.read_bytes() == before
    add(log)
    assert log.check().chain.position.length == 3


@pytest.mark.parametrize("use", ["append", "check_writable"])
def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, use: str) -> None:
    """Where nothing can be written the error names the log, and says why."""
    (tmp_path / "file").touch()
    log = CustodyLog(tmp_path / "file" / "state" / "custody.log")
    with pytest.raises(StorageError, match="file"):
        add(log) if use == "append" else log.check_writable()


def test_whether_a_log_can_be_written_is_found_out_without_an_entry(
    log: CustodyLog, path: Path
) -> None:
    """A command that must have its entry asks before it begins."""
    log.check_writable()
    assert path.read_bytes() == b""
    assert log.check().chain.position == START


def test_a_check_can_be_interrupted(log: CustodyLog) -> None:
    """A huge log does not hold up whoever does not want to wait for it."""
    add(log)
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError):
        log.check(run=Run(cancel=token))
