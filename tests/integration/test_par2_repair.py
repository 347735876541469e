"""What parity covers is rebuilt to the same bytes; nothing that is there is ever touched.

A seeded sample of corruptions runs by default; AIRGAP_SOAK=1 takes 1,000 of each kind.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from airgap.bundle import par2_repair, par2_tool
from airgap.bundle.par2 import WORK, ParitySet, find_parity
from airgap.bundle.par2_packets import DESCRIPTION, MAIN, Packet, ProtectedFile, packet_bytes, scan
from airgap.bundle.par2_repair import ParityRepair, repair_with_parity
from airgap.errors import (
    BundleFormatError,
    CancelledError,
    ConflictError,
    IncompleteBundleError,
    StorageFullError,
)
from airgap.oci.digest import Md5
from airgap.run import CancelToken, Run
from airgap.run.events import PhaseAdvanced, PhaseStarted
from tests.support.parity import (
    contents,
    create,
    damage_blocks,
    flip,
    only_set,
    plan_for,
    repair,
    write_volumes,
)

SOAK = 1000
SAMPLE = 8
COUNT = SOAK if os.environ.get("AIRGAP_SOAK") else SAMPLE


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """Volumes with parity for one of them; only read."""
    folder = tmp_path_factory.mktemp("pristine") / "m"
    create(write_volumes(folder))
    return folder


@pytest.fixture
def medium(pristine, tmp_path):
    """A copy to hurt."""
    return Path(shutil.copytree(pristine, tmp_path / "m"))


def repaired(medium: Path, pristine: Path, out: Path) -> ParityRepair:
    """Repair, and see that the rebuilt files are right and that nothing else changed."""
    before = contents(medium)
    result = repair(medium, out)
    assert contents(medium) == before
    for path in result.rebuilt:
        assert path.read_bytes() == (pristine / path.name).read_bytes()
    for name, path in result.intact:
        assert path.read_bytes() == (pristine / name).read_bytes()
    names = [path.name for path in result.rebuilt] + [name for name, _ in result.intact]
    assert sorted(names) == [path.name for path in sorted(pristine.glob("*.tar"))]
    if result.rebuilt:
        assert {path.name for path in out.iterdir()} == {path.name for path in result.rebuilt}
    else:
        assert not out.exists()
    return result


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_lost_volume_is_rebuilt(medium, pristine, tmp_path, number):
    """Any one volume comes back, and only that one is written."""
    (medium / f"release.{number:03}.tar").unlink()
    result = repaired(medium, pristine, tmp_path / "out")
    assert [path.name for path in result.rebuilt] == [f"release.{number:03}.tar"]
    assert result.used_blocks > 0
    assert "1 file rebuilt" in result.text()


def test_nothing_is_written_where_all_is_whole(medium, pristine, tmp_path):
    """Files under swapped and other names are whole: there is nothing to do."""
    (medium / "release.001.tar").rename(medium / "x")
    (medium / "release.002.tar").rename(medium / "release.001.tar")
    (medium / "x").rename(medium / "release.002.tar")
    (medium / "release.003.tar").rename(medium / "some other name.bin")
    result = repaired(medium, pristine, tmp_path / "out")
    assert result.rebuilt == ()
    assert "nothing to repair" in result.text()


def test_damaged_volumes_are_rebuilt_beside_what_is_there(medium, pristine, tmp_path):
    """Flipped bits, a cut end, bytes too many and a wrong name are mended in one go."""
    flip(medium / "release.001.tar", 5000)
    os.truncate(medium / "release.002.tar", 1_000_000)
    with (medium / "release.003.tar").open("ab") as file:
        file.write(b"more")
    (medium / "release.003.tar").rename(medium / "copy of 3.tar")
    result = repaired(medium, pristine, tmp_path / "out")
    assert len(result.rebuilt) == 3


def test_other_files_of_a_medium_are_not_searched(medium, tmp_path):
    """A file with another ending and size is offered to the tool only where it is named."""
    flip(medium / "release.001.tar", 9)
    hidden = medium / "holiday.mov"
    (medium / "release.001.tar").rename(hidden)
    with hidden.open("ab") as file:
        file.write(b"more")
    (medium / "release.003.tar").unlink()
    found = only_set(medium)
    with pytest.raises(IncompleteBundleError):
        repair(medium, tmp_path / "out")
    result = repair_with_parity(
        found, [medium, hidden], tmp_path / "out", memory=None, jobs=1, run=Run()
    )
    assert len(result.rebuilt) == 2


def test_a_volume_that_is_there_twice_does_no_harm(medium, pristine, tmp_path):
    """One of two equal files is used, both stay, and a volume in the place of another is told."""
    shutil.copy(medium / "release.001.tar", medium / "release.002.tar")
    result = repaired(medium, pristine, tmp_path / "out")
    assert [path.name for path in result.rebuilt] == ["release.002.tar"]


def test_files_of_several_folders_are_used(medium, pristine, tmp_path):
    """Volumes may lie apart from each other and from their parity, on any media."""
    other = tmp_path / "other"
    other.mkdir()
    (medium / "release.001.tar").rename(other / "a.tar")
    (medium / "release.002.tar").unlink()
    found = only_set(medium)
    [path] = repair_with_parity(
        found, [other / "a.tar", medium], medium / "new", memory=None, jobs=1, run=Run()
    ).rebuilt
    assert path == medium / "new" / "release.002.tar"
    assert path.read_bytes() == (pristine / path.name).read_bytes()
    assert (other / "a.tar").exists()


def test_damage_in_parity_costs_only_its_blocks(medium, pristine, tmp_path):
    """With some recovery blocks damaged, the others still rebuild what they can."""
    for path in find_parity(medium)[0].paths:
        flip(path, path.stat().st_size // 2)
    flip(medium / "release.002.tar", 77)
    repaired(medium, pristine, tmp_path / "out")


def assert_beyond(medium: Path, out: Path) -> IncompleteBundleError:
    """A repair is refused, and nothing is changed or left."""
    before = contents(medium)
    with pytest.raises(IncompleteBundleError) as caught:
        repair(medium, out)
    assert contents(medium) == before
    assert not out.exists()
    return caught.value


def test_two_lost_volumes_are_beyond_parity_for_one(medium, tmp_path):
    """The error says how many blocks are needed and how many there are."""
    (medium / "release.001.tar").unlink()
    (medium / "release.002.tar").unlink()
    found = only_set(medium)
    lost = sum(
        -(-file.size // found.block_size)
        for file in found.protected
        if file.name != "release.003.tar"
    )
    error = assert_beyond(medium, tmp_path / "out")
    assert f"{lost} blocks damaged or gone" in error.message
    assert f"{found.recovery_blocks} recovery blocks" in error.message


def test_without_recovery_blocks_nothing_is_rebuilt(medium, tmp_path):
    """The index alone tells what is wrong and mends nothing."""
    for path in medium.glob("*.vol*.par2"):
        path.unlink()
    flip(medium / "release.001.tar", 1)
    assert "1 block damaged" in assert_beyond(medium, tmp_path / "out").message


@pytest.mark.parametrize("seed", range(COUNT))
def test_corruption_within_reach_is_repaired(medium, pristine, tmp_path, seed):
    """As many damaged blocks as there are recovery blocks, anywhere: all come back."""
    chance = random.Random(seed)
    plan = plan_for(sorted(pristine.glob("*.tar")))
    count = chance.choice([1, plan.recovery_blocks, chance.randint(1, plan.recovery_blocks)])
    damage_blocks(medium, plan, count, chance)
    result = repaired(medium, pristine, tmp_path / "out")
    assert result.used_blocks == count


@pytest.mark.parametrize("seed", range(COUNT))
def test_corruption_beyond_reach_is_reported(medium, pristine, tmp_path, seed):
    """One damaged block more than there are recovery blocks, or many more: nothing gets worse."""
    chance = random.Random(seed)
    plan = plan_for(sorted(pristine.glob("*.tar")))
    most = chance.choice([plan.recovery_blocks + 1, plan.data_blocks])
    count = chance.randint(plan.recovery_blocks + 1, most)
    damage_blocks(medium, plan, count, chance)
    error = assert_beyond(medium, tmp_path / "out")
    assert f"{count} blocks damaged" in error.message


def test_what_lies_in_the_new_folder_is_never_replaced(medium, tmp_path):
    """A file that would be written over is a conflict, and stays."""
    (medium / "release.001.tar").unlink()
    out = tmp_path / "out"
    out.mkdir()
    (out / "release.001.tar").write_bytes(b"mine")
    with pytest.raises(ConflictError):
        repair(medium, out)
    assert contents(out) == {"release.001.tar": b"mine"}


def test_too_little_room_is_told_before(medium, tmp_path, monkeypatch):
    """Where the rebuilt files do not fit, nothing is begun."""
    (medium / "release.001.tar").unlink()
    monkeypatch.setattr(par2_repair, "free_bytes", lambda folder: 1000)
    with pytest.raises(StorageFullError):
        repair(medium, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [PhaseStarted, PhaseAdvanced])
def test_a_cancelled_repair_leaves_nothing(medium, pristine, tmp_path, kind):
    """Stopped anywhere it leaves no file, and can be run again."""
    (medium / "release.002.tar").unlink()
    before, cancel = contents(medium), CancelToken()

    class Canceller:
        def emit(self, event, /):
            if isinstance(event, kind):
                cancel.cancel()

    with pytest.raises(CancelledError):
        repair(medium, tmp_path / "out", run=Run(Canceller(), cancel))
    assert contents(medium) == before
    assert not (tmp_path / "out").exists()
    repaired(medium, pristine, tmp_path / "out")


KILLED = """
import os, signal, sys
from pathlib import Path
from airgap.run import Run
from airgap.run.events import PhaseAdvanced
from tests.support.parity import repair

class Killer:
    def emit(self, event, /):
        if isinstance(event, PhaseAdvanced):
            os.kill(os.getpid(), signal.SIGKILL)

repair(Path(sys.argv[1]), Path(sys.argv[2]), run=Run(Killer()))
"""


def test_a_killed_repair_is_run_again(medium, pristine, tmp_path):
    """After kill -9 no file has its name in the new folder, and the next run is complete."""
    (medium / "release.002.tar").unlink()
    before, out, root = contents(medium), tmp_path / "out", Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(medium), str(out)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == -9
    assert contents(medium) == before
    assert all(path.name.startswith(WORK) for path in out.iterdir())
    repaired(medium, pristine, out)


def renamed(folder: Path, name: str) -> ParitySet:
    """A set of one file that has some name in it."""
    data = b"x" * 100
    md5 = Md5.of(data)
    file_id = Md5.of(md5, len(data).to_bytes(8, "little"), name.encode())
    main = (4096).to_bytes(8, "little") + (1).to_bytes(4, "little") + file_id
    set_id = Md5.of(main)
    encoded = name.encode() + b"\0" * (-len(name.encode()) % 4)
    body = file_id + md5 + md5 + len(data).to_bytes(8, "little") + encoded
    checksums = file_id + bytes(20)
    packets = [(MAIN, main), (DESCRIPTION, body), (b"PAR 2.0\0IFSC\0\0\0\0", checksums)]
    (folder / "a.par2").write_bytes(
        b"".join(packet_bytes(set_id, kind, content) for kind, content in packets)
    )
    return only_set(folder)


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/b", "..", "a\\b"])
def test_a_name_that_is_a_path_is_refused(tmp_path, name):
    """Parity cannot say where on the disk something is written."""
    found = renamed(tmp_path, name)
    assert found.is_described
    with pytest.raises(BundleFormatError, match="plain name"):
        repair_with_parity(found, [tmp_path], tmp_path / "out", memory=None, jobs=1, run=Run())
    assert not (tmp_path / "out").exists()


def test_parity_that_does_not_describe_itself_is_refused(medium, tmp_path):
    """Where all descriptions of a file are damaged, the hint says which file helps."""
    for path in find_parity(medium)[0].paths:
        data = bytearray(path.read_bytes())
        for packet in scan(path, is_deep=True):
            if isinstance(packet, Packet) and packet.kind == DESCRIPTION:
                data[packet.offset + 70] ^= 1
        path.write_bytes(data)
    with pytest.raises(BundleFormatError, match="do not say what they protect"):
        repair(medium, tmp_path / "out")


def test_a_file_that_the_tool_moves_is_put_back(tmp_path):
    """Whatever the tool does to a name, the file has it again afterwards."""
    path, work = tmp_path / "a.tar", tmp_path / "work"
    work.mkdir()
    path.write_bytes(b"mine")
    with par2_repair._kept_in_place([path], work):
        path.rename(tmp_path / "a.tar.1")
        path.write_bytes(b"rebuilt")
    assert contents(tmp_path) == {"a.tar": b"mine"}


def test_what_the_tool_rebuilds_is_checked_and_not_believed(medium, tmp_path, monkeypatch):
    """A tool, or a memory, that is wrong leaves nothing new."""
    real, out = par2_repair.run_tool, tmp_path / "out"

    def wrong(*arguments, **options):
        result = real(*arguments, **options)
        flip(next(out.glob(f"{WORK}*/release.002.tar")), 500_000)
        return result

    monkeypatch.setattr(par2_repair, "run_tool", wrong)
    (medium / "release.002.tar").unlink()
    before = contents(medium)
    with pytest.raises(BundleFormatError, match="what was rebuilt is not"):
        repair(medium, out)
    assert contents(medium) == before
    assert not out.exists()


def test_the_tool_of_the_system_does_it_too(medium, pristine, tmp_path, monkeypatch):
    """Without the extra, another PAR2 tool on the path makes the same repair."""
    if shutil.which("par2", path="/usr/bin:/usr/local/bin") is None:
        pytest.skip("no other PAR2 tool is installed")
    monkeypatch.setattr(par2_tool, "_DISTRIBUTION", "no-such-distribution")
    monkeypatch.setenv("PATH", "/usr/bin:/usr/local/bin")
    (medium / "release.002.tar").unlink()
    repaired(medium, pristine, tmp_path / "out")


def test_values_of_files_are_those_of_the_set(pristine):
    """What a set says of a file is its real size and MD5."""
    for file in only_set(pristine).protected:
        assert isinstance(file, ProtectedFile)
        data = (pristine / file.name).read_bytes()
        assert (file.size, file.md5) == (len(data), Md5.of(data))
        assert file.md5_16k == Md5.of(data[:16_384])
