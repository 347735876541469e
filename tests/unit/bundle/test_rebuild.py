"""Writing a volume again: only what hashes right is taken, and a name waits for a sync."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from airgap.bundle.partial import PartialFile
from airgap.bundle.rebuild import Rebuilder
from airgap.content.store import Chunks
from airgap.errors import IncompleteBundleError, StorageError
from airgap.oci.descriptor import Descriptor
from airgap.run import Run
from tests.support.bundles import make_bundle
from tests.support.volume_sets import split

MADE = make_bundle()
SET = split(MADE, 1500)
INDEX, CUT = SET.holders(SET.cut[0])[0]
LAYOUT = SET.layouts[INDEX]


class FakeCopy:
    """A copy that gives whatever bytes it is told to, and checks nothing itself."""

    name = "a copy"

    def __init__(self, change: Callable[[bytes], bytes] = bytes) -> None:
        self._change = change

    def has_blob(self, descriptor: Descriptor, /) -> bool:
        return True

    @contextmanager
    def open(self, descriptor: Descriptor, /, *, offset: int = 0) -> Iterator[Chunks]:
        data = self._change(MADE.contents[descriptor.digest])[offset:]
        yield iter([data[:100], data[100:]])


def first_bit(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


def last_bit(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def cut_short(data: bytes) -> bytes:
    return data[:-1]


def with_more(data: bytes) -> bytes:
    return data + b"x"


@pytest.mark.parametrize("change", [first_bit, last_bit, cut_short, with_more])
def test_wrong_bytes_of_a_copy_are_not_taken(
    tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    """Also where they are wrong outside of the piece that is wanted; the old file stays."""
    target = tmp_path / "bundle.001.tar"
    target.write_bytes(b"what is left")
    with pytest.raises(IncompleteBundleError):
        Rebuilder([FakeCopy(change)], run=Run()).rebuild(LAYOUT, target, old=None, pieces={})
    assert target.read_bytes() == b"what is left"
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_a_second_copy_stands_in_for_a_wrong_one(tmp_path: Path) -> None:
    """Nothing of the wrong bytes remains."""
    target = tmp_path / "bundle.001.tar"
    copies = [FakeCopy(last_bit), FakeCopy(with_more), FakeCopy()]
    Rebuilder(copies, run=Run()).rebuild(LAYOUT, target, old=None, pieces={})
    assert target.read_bytes() == SET.data[INDEX]


class UnreadableCopy(FakeCopy):
    """A copy on a medium that gives an error in the middle of a blob."""

    @contextmanager
    def open(self, descriptor: Descriptor, /, *, offset: int = 0) -> Iterator[Chunks]:
        def chunks() -> Chunks:
            yield MADE.contents[descriptor.digest][:10]
            raise StorageError("the medium cannot be read", origin="local")

        yield chunks()


def test_a_copy_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    """Another one may have the blob."""
    target = tmp_path / "bundle.001.tar"
    copies = [UnreadableCopy(), FakeCopy()]
    Rebuilder(copies, run=Run()).rebuild(LAYOUT, target, old=None, pieces={})
    assert target.read_bytes() == SET.data[INDEX]


def test_a_damaged_file_that_cannot_be_read_is_rebuilt_from_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A medium with bad sectors is what repair is for."""
    target = tmp_path / "bundle.001.tar"
    target.write_bytes(SET.data[INDEX])

    def unreadable(*_: object) -> bytes:
        raise OSError(errno.EIO, "bad sector")

    monkeypatch.setattr("airgap.bundle.rebuild.read_at", unreadable)
    Rebuilder([FakeCopy()], run=Run()).rebuild(LAYOUT, target, old=target, pieces={})
    assert target.read_bytes() == SET.data[INDEX]


def test_a_rebuilt_volume_has_its_name_only_once_it_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it replaces is gone with that step, and a power cut must not take both."""
    steps: list[str] = []
    for step in ("write", "sync", "publish"):
        real = getattr(PartialFile, step)

        def noted(*args: object, step: str = step, real: Callable[..., object] = real) -> object:
            steps.append(step)
            return real(*args)

        monkeypatch.setattr(PartialFile, step, noted)
    target = tmp_path / "bundle.001.tar"
    Rebuilder([FakeCopy()], run=Run()).rebuild(LAYOUT, target, old=None, pieces={})
    assert steps[-2:] == ["sync", "publish"]
    assert set(steps[:-2]) == {"write"}
