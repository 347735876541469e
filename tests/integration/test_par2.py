"""Parity is made by the real tool, is complete or not there, and is checked packet by packet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airgap.bundle import par2_packets, par2_tool
from airgap.bundle.check_parity import check_parity_file
from airgap.bundle.par2 import WORK, create_parity, find_parity
from airgap.bundle.par2_packets import packet_bytes
from airgap.bundle.par2_tool import find_tool, run_tool
from airgap.errors import CancelledError, SettingsError, StorageError, StorageFullError
from airgap.oci.digest import Md5
from airgap.run import CancelToken, Run
from airgap.run.events import PhaseAdvanced, PhaseFinished, PhaseStarted
from tests.support.parity import SIZES, create, flip, only_set, plan_for, write_volumes


class Recorder:
    """Keeps events, and cancels at one of a kind."""

    def __init__(self, cancel: CancelToken | None = None, kind: type | None = None) -> None:
        self.events: list[object] = []
        self._cancel, self._kind = cancel, kind

    def emit(self, event: object, /) -> None:
        self.events.append(event)
        if self._cancel is not None and self._kind is not None and isinstance(event, self._kind):
            self._cancel.cancel()


@pytest.fixture
def volumes(tmp_path):
    """Three files."""
    return write_volumes(tmp_path / "m")


def damaged(found):
    """What is wrong with the PAR2 files of a set."""
    return [finding for path in found.paths for finding in check_parity_file(path, Run())]


def names(folder: Path) -> set[str]:
    """What lies in a folder."""
    return {path.name for path in folder.iterdir()}


def test_parity_is_made_and_found(volumes):
    """The set that is found says what it protects, as planned, and all of it is sound."""
    made = create(volumes)
    plan, found = plan_for(volumes), only_set(volumes[0].parent)
    assert set(found.paths) == set(made)
    assert sorted((file.name, file.size) for file in found.protected) == [
        (path.name, size) for path, size in zip(volumes, SIZES, strict=True)
    ]
    assert (found.block_size, found.data_blocks) == (plan.block_size, plan.data_blocks)
    assert found.recovery_blocks == plan.recovery_blocks
    assert len(made) == plan.recovery_files + 1
    assert damaged(found) == []
    size = sum(path.stat().st_size for path in made)
    assert size == pytest.approx(plan.size, rel=0.02)


def test_other_tools_verify_it(volumes):
    """The tool itself, called as anybody would, finds all files correct."""
    made = create(volumes)
    done = subprocess.run([find_tool(), "verify", made[0]], capture_output=True, text=True)
    assert "All files are correct" in done.stdout


def test_parity_of_the_same_files_is_the_same(tmp_path):
    """Two runs make the same bytes."""
    first, second = (create(write_volumes(tmp_path / name)) for name in "ab")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_progress_is_told_in_bytes(volumes):
    """The phase begins, advances up to its total and ends."""
    recorder = Recorder()
    create(volumes, run=Run(recorder))
    assert recorder.events[0] == PhaseStarted("parity", 3, sum(SIZES))
    assert recorder.events[-1] == PhaseFinished("parity")
    advances = [e.done_bytes for e in recorder.events if isinstance(e, PhaseAdvanced)]
    assert advances
    assert advances == sorted(set(advances))
    assert advances[-1] <= sum(SIZES)


def test_a_second_run_replaces_the_first(volumes):
    """Files of other parity under the same name are gone once the new ones are there."""
    create(volumes, "1volume")
    made = create(volumes, "5%")
    assert names(volumes[0].parent) == {path.name for path in (*volumes, *made)}
    assert only_set(volumes[0].parent).recovery_blocks == plan_for(volumes, "5%").recovery_blocks


@pytest.mark.parametrize("kind", [PhaseStarted, PhaseAdvanced])
def test_a_cancelled_run_leaves_nothing(volumes, kind):
    """Stopped before or while the tool runs, nothing new lies in the folder."""
    cancel = CancelToken()
    with pytest.raises(CancelledError):
        create(volumes, run=Run(Recorder(cancel, kind), cancel))
    assert names(volumes[0].parent) == {path.name for path in volumes}
    assert len(create(volumes)) == 3


def test_cancelling_ends_the_tool(tmp_path):
    """A program that would run on is ended at once."""
    cancel = CancelToken()
    script = "import time; print('Processing: 1.0%', flush=True); time.sleep(600)"
    begun = time.monotonic()
    with pytest.raises(CancelledError):
        run_tool(
            [sys.executable, "-c", script],
            run=Run(cancel=cancel),
            advance=lambda stage, percent: cancel.cancel(),
        )
    assert time.monotonic() - begun < 60


KILLED = """
import os, signal, sys
from pathlib import Path
from airgap.run import Run
from airgap.run.events import {kind}
from tests.support.parity import create

class Killer:
    def emit(self, event, /):
        if isinstance(event, {kind}):
            os.kill(os.getpid(), signal.SIGKILL)

create(sorted(Path(sys.argv[1]).glob("*.tar")), run=Run(Killer()))
"""


@pytest.mark.parametrize("kind", ["PhaseStarted", "PhaseAdvanced"])
def test_killed_and_run_again(volumes, kind):
    """After kill -9 nothing looks finished, and the next run clears up and is complete."""
    folder = volumes[0].parent
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", KILLED.format(kind=kind), str(folder)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.returncode == -signal.SIGKILL
    assert find_parity(folder) == ()
    assert {name for name in names(folder) if not name.startswith(WORK)} == {
        path.name for path in volumes
    }
    made = create(volumes)
    assert names(folder) == {path.name for path in (*volumes, *made)}


def test_a_flipped_bit_in_parity_is_told_by_file_and_offset(volumes):
    """Each flipped bit damages one packet, which is named with a range that holds the bit."""
    made = create(volumes)
    found = only_set(volumes[0].parent)
    for path in made:
        before = path.read_bytes()
        for offset in range(3, len(before), len(before) // 7):
            flip(path, offset)
            [damage] = damaged(found)
            assert damage.path == str(path)
            assert damage.offset <= offset < damage.offset + damage.length
            assert damage.length <= found.block_size + 2000
            path.write_bytes(before)


def test_parity_cut_short_is_told(volumes):
    """A PAR2 file that ends early is damaged at its end, and says what it protects all the same."""
    made = create(volumes)
    os.truncate(made[1], made[1].stat().st_size - 1000)
    found = only_set(volumes[0].parent)
    assert len(damaged(found)) == 1
    assert found.is_described


def test_a_set_is_known_by_any_of_its_files(volumes):
    """One file of recovery blocks, under any name, says what the set protects."""
    made = create(volumes)
    made[0].unlink()
    made[1].unlink()
    made[2].rename(made[2].with_name("x.PAR2"))
    found = only_set(volumes[0].parent)
    assert found.is_described
    assert len(found.protected) == 3


def test_noise_and_hostile_packets_are_no_set(tmp_path):
    """Files that only look like PAR2 give nothing and take no memory."""
    head = b"PAR2\0PKT" + (2**63).to_bytes(8, "little") + bytes(48)
    (tmp_path / "a.par2").write_bytes(head * 100)
    (tmp_path / "b.par2").write_bytes(b"")
    (tmp_path / "c.par2").write_bytes(b"PAR2\0PKT" * 5000)
    assert find_parity(tmp_path) == ()


def test_packets_that_claim_all_that_follows_do_not_take_forever(tmp_path):
    """Each would be hashed to the end of the file: 16,384 times a mebibyte."""
    path = tmp_path / "a.par2"
    size = 1 << 20
    path.write_bytes(
        b"".join(
            b"PAR2\0PKT" + (size - at).to_bytes(8, "little") + bytes(48)
            for at in range(0, size, 64)
        )
    )
    hashed = 0

    class Counted(Md5):
        def update(self, chunk):
            nonlocal hashed
            hashed += len(chunk)
            super().update(chunk)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(par2_packets, "Md5", Counted)
        assert find_parity(tmp_path) == ()
    assert hashed < 16 * size


def test_only_so_much_of_descriptions_is_kept(tmp_path, monkeypatch):
    """A file may be made of sets that nobody has the rest of."""
    monkeypatch.setattr(par2_packets, "_MAX_KEPT", 1000)
    kind = b"PAR 2.0\0Creator\0"
    sets = (number.to_bytes(16, "little") for number in range(100))
    (tmp_path / "a.par2").write_bytes(b"".join(packet_bytes(one, kind, b"") for one in sets))
    assert 0 < len(find_parity(tmp_path)) < 20


def test_a_missing_tool_says_how_to_get_it(volumes, monkeypatch):
    """Without the extra and without a system's tool the hint names the extra."""
    monkeypatch.setattr(par2_tool, "_DISTRIBUTION", "no-such-distribution")
    monkeypatch.setenv("PATH", str(volumes[0].parent))
    with pytest.raises(SettingsError) as caught:
        create(volumes)
    assert "airgap[parity]" in str(caught.value.hint)


def test_a_missing_file_is_an_error_of_storage(volumes):
    """Parity is not made for less than was asked."""
    plan = plan_for(volumes)
    volumes[1].unlink()
    with pytest.raises(StorageError, match=r"release\.002\.tar"):
        create_parity(volumes, volumes[0].parent / "release", plan, memory=None, jobs=1, run=Run())
    assert find_parity(volumes[0].parent) == ()


def test_too_little_room_is_told_before(volumes, monkeypatch):
    """A folder without room for the parity is left as it is."""
    monkeypatch.setattr("airgap.bundle.par2.free_bytes", lambda folder: 1000)
    with pytest.raises(StorageFullError):
        create(volumes)
    assert names(volumes[0].parent) == {path.name for path in volumes}


def test_files_that_the_tool_leaves_out_are_an_error(volumes, tmp_path):
    """The tool passes over a file of another folder; that is no parity for all."""
    other = tmp_path / "other"
    other.mkdir()
    moved = volumes[1].rename(other / volumes[1].name)
    with pytest.raises(StorageError, match="left out"):
        create([volumes[0], moved, volumes[2]])
    assert find_parity(volumes[0].parent) == ()
    assert names(volumes[0].parent) == {volumes[0].name, volumes[2].name}


def test_the_memory_of_the_tool_is_bounded():
    """A bound for memory is passed on in MiB, and never as none at all."""
    assert par2_tool.limits(memory=100 << 20, jobs=3) == ["-t3", "-T3", "-m100"]
    assert par2_tool.limits(memory=1, jobs=0) == ["-t1", "-T1", "-m1"]
    assert par2_tool.limits(memory=None, jobs=1) == ["-t1", "-T1"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits of file sizes are set as on Linux")
def test_a_file_system_that_takes_no_such_files_is_told(volumes):
    """Where the tool is ended for writing too much to one file, the error says so."""
    root = Path(__file__).parents[2]
    script = (
        "import resource, sys; from pathlib import Path; from airgap.errors import StorageError\n"
        "from tests.support.parity import create\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))\n"
        "try: create(sorted(Path(sys.argv[1]).glob('*.tar')))\n"
        "except StorageError as error: print(error, error.hint)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, volumes[0].parent],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert "too large" in done.stdout, done.stderr
    assert names(volumes[0].parent) == {path.name for path in volumes}
