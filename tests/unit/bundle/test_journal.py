"""The journal of an unfinished bundle."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from airgap.bundle.journal import MAGIC, Holdings, Journal, read_journal
from airgap.bundle.placement import Extent
from airgap.errors import StorageError
from airgap.oci.digest import Digest


def blob(number: int, length: int = 10, algorithm: str = "sha256") -> Extent:
    return Extent(Digest.of(str(number).encode(), algorithm), number * 100, length)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The journal's file."""
    return tmp_path / "x.tar.partial.journal"


@pytest.fixture
def journal(path: Path):
    """A new journal."""
    made = Journal(path, 4711, Holdings())
    yield made
    made.close()


def replayed(path: Path) -> Holdings:
    found = read_journal(path)
    assert found is not None
    assert found[1] == 4711
    return found[0]


def test_what_is_recorded_is_read(journal: Journal, path: Path) -> None:
    """A journal that is read says what was recorded, in which order it ever came."""
    journal.add_verified(blob(1))
    mark = journal.mark
    journal.add_verified(blob(2, algorithm="sha512"))
    journal.add_synced(mark, [blob(3, 7), blob(4, 5)])
    journal.add_synced(mark, [blob(3, 9)])
    journal.drop([blob(4).digest])
    found = replayed(path)
    assert found == journal.holdings
    assert found.verified == {e.digest: e for e in (blob(1), blob(2, algorithm="sha512"))}
    assert found.durable == {blob(1).digest}
    assert found.begun == {blob(3).digest: blob(3, 9)}


def test_is_durable_before_it_has_its_name(path: Path, monkeypatch) -> None:
    """A crash while the journal is written anew leaves the old one or the new one, whole."""
    steps: list[str] = []
    monkeypatch.setattr("airgap.bundle.journal.sync_data", lambda _: steps.append("sync"))
    monkeypatch.setattr("airgap.bundle.journal.move_file", lambda *_: steps.append("move"))
    Journal(path, 4711, Holdings()).close()
    assert steps == ["sync", "move"]


def test_verified_ends_a_beginning(journal: Journal, path: Path) -> None:
    """A blob that is verified is not begun any more, whatever is said of its beginning later."""
    journal.add_synced(0, [blob(1, 4)])
    journal.add_verified(blob(1))
    journal.add_synced(0, [blob(1, 5)])
    assert replayed(path).begun == journal.holdings.begun == {}
    assert replayed(path).verified == {blob(1).digest: blob(1)}


def test_dropped_and_verified_again(journal: Journal, path: Path) -> None:
    """A blob that was durable, dropped and verified again is durable after the next sync only."""
    journal.add_verified(blob(1))
    journal.add_synced(journal.mark)
    journal.drop([blob(1).digest])
    journal.add_verified(blob(1))
    assert replayed(path).durable == set()
    journal.add_synced(journal.mark)
    assert replayed(path).durable == {blob(1).digest}


def test_dropped_before_a_sync(journal: Journal, path: Path) -> None:
    """A sync makes nothing durable that was dropped before it."""
    journal.add_verified(blob(1))
    journal.add_verified(blob(2))
    journal.drop([blob(1).digest])
    journal.add_synced(journal.mark)
    assert replayed(path).durable == journal.holdings.durable == {blob(2).digest}


def test_torn_anywhere(journal: Journal, path: Path) -> None:
    """A journal that is cut at any byte says what the whole records before the cut say."""
    states = []
    for number in range(6):
        journal.add_verified(blob(number))
        journal.add_synced(journal.mark, [blob(10, number + 1)])
        states.append((path.stat().st_size, replayed(path)))
    data = path.read_bytes()
    start = len(MAGIC) + 12
    for size in range(len(data)):
        path.write_bytes(data[:size])
        if size < start:
            assert read_journal(path) is None
            continue
        known = [state for end, state in states if end <= size]
        found = replayed(path)
        assert len(found.verified) >= (len(known[-1].verified) if known else 0)
        assert found.durable <= set(found.verified)
        for extent in found.verified.values():
            assert extent.offset // 100 * 54 < size


def test_flipped_anywhere(journal: Journal, path: Path) -> None:
    """A bit that is wrong anywhere is noticed: what is read is true of some earlier moment."""
    seen = [replayed(path)]
    for number in range(4):
        mark = journal.mark  # so that the blob that comes now is never durable
        journal.add_verified(blob(number))
        seen.append(replayed(path))
        journal.add_synced(mark)
        seen.append(replayed(path))
    data = path.read_bytes()
    for at, bit in itertools.product(range(len(data)), range(8)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
        found = read_journal(path)
        assert found is None or found[0] in seen


@pytest.mark.parametrize("data", [b"", b"airgap", MAGIC, MAGIC + bytes(12), b"\0" * 500])
def test_not_a_journal(path: Path, data: bytes) -> None:
    """What does not begin like a journal is none."""
    path.write_bytes(data)
    assert read_journal(path) is None


def test_none_there(path: Path) -> None:
    """A journal that is not there is none, and one that cannot be read is an error."""
    assert read_journal(path) is None
    path.mkdir()
    with pytest.raises(StorageError):
        read_journal(path)


def test_small_also_after_long_runs(path: Path) -> None:
    """Ten thousand blobs and as many syncs on the way stay under 1 MiB."""
    journal = Journal(path, 4711, Holdings())
    largest = 0
    for number in range(10_000):
        extent = blob(number, 1000, "sha256")
        begun = [Extent(blob(20_000 + n).digest, 0, number + 1) for n in range(4)]
        journal.add_synced(journal.mark, begun)
        journal.add_verified(extent)
        largest = max(largest, journal._size)
    journal.close()
    assert largest < 1 << 20
    assert path.stat().st_size == journal._size
    assert len(replayed(path).verified) == 10_000


def test_written_anew(path: Path) -> None:
    """Writing a journal anew from its holdings changes nothing of what it says."""
    holdings = Holdings({blob(1).digest: blob(1), blob(2).digest: blob(2)}, {blob(2).digest})
    holdings.begun[blob(3).digest] = blob(3)
    journal = Journal(path, 4711, holdings)
    assert replayed(path) == holdings
    journal.add_synced(journal.mark)
    assert replayed(path).durable == {blob(1).digest, blob(2).digest}
    journal.close()


@pytest.mark.parametrize(
    ("extents", "size", "is_right"),
    [
        ([(0, 10), (10, 10)], 20, True),
        ([(0, 10), (10, 0), (10, 5)], 20, True),
        ([(0, 10), (10, 11)], 20, False),
        ([(0, 11), (10, 5)], 20, False),
        ([(10, 5), (10, 5)], 20, False),
    ],
)
def test_consistency(extents: list[tuple[int, int]], size: int, is_right: bool) -> None:
    """Holdings that lie over each other or behind the end are not believed."""
    placed = [Extent(Digest.of(str(n).encode()), o, s) for n, (o, s) in enumerate(extents)]
    assert (
        Holdings({e.digest: e for e in placed}).is_consistent(lambda e: e.end <= size) is is_right
    )
