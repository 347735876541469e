"""Writing some volumes to one medium: durable before they have names, or not there at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airgap.bundle.medium import MediumWriter
from airgap.bundle.partial import PartialFile
from airgap.errors import DigestMismatchError, SizeMismatchError, StorageError
from airgap.oci.digest import Digest
from airgap.run import Run
from tests.support.bundles import make_bundle
from tests.support.parity import contents
from tests.support.volume_sets import fill, plan
from tests.support.writing import opener

MADE = make_bundle()
PLAN = plan(MADE, 1500)
SET = fill(MADE, PLAN)
NUMBERS = [2, 3]
WANTED = {f"r.{number:03d}.tar": SET.data[number - 1] for number in NUMBERS}


def opened(folder: Path) -> MediumWriter:
    return MediumWriter(PLAN, folder / "r.tar", NUMBERS, overwrite=False, run=Run())


def put(medium: MediumWriter, digest: Digest, data: bytes | None = None) -> None:
    with medium.ingest(MADE.descriptor(digest)) as ingest:
        ingest.receive(opener(MADE.contents[digest] if data is None else data))
        ingest.commit()


def put_all(medium: MediumWriter) -> None:
    for digest in medium.wanted:
        put(medium, digest)


def test_the_volumes_are_those_of_the_whole_set(tmp_path: Path) -> None:
    """From blobs of which some bytes lie in others."""
    assert SET.cut
    with opened(tmp_path) as medium:
        put_all(medium)
        assert not list(tmp_path.glob("*.tar"))
        medium.finish()
    assert contents(tmp_path) == WANTED


def test_every_volume_is_synced_before_the_first_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stick that is pulled then holds no file that looks finished and is not."""
    steps: list[tuple[str, str]] = []
    for step in ("write", "sync", "publish"):
        real = getattr(PartialFile, step)

        def noted(
            file: PartialFile, *rest: object, step: str = step, real: Callable[..., object] = real
        ) -> object:
            steps.append((step, file.target.name))
            return real(file, *rest)

        monkeypatch.setattr(PartialFile, step, noted)
    with opened(tmp_path) as medium:
        put_all(medium)
        medium.finish()
    for name in WANTED:
        assert [step for step, of in steps if of == name][-2:] == ["sync", "publish"]
    assert [step for step, _ in steps][-len(NUMBERS) :] == ["publish"] * len(NUMBERS)


def test_a_failed_sync_leaves_no_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither under its name nor begun."""

    def failing(file: PartialFile) -> None:
        if file.target.name == "r.003.tar":
            raise StorageError("the medium is gone")

    monkeypatch.setattr(PartialFile, "sync", failing)
    with pytest.raises(StorageError), opened(tmp_path) as medium:
        put_all(medium)
        medium.finish()
    assert not contents(tmp_path)


def test_wrong_bytes_of_a_source_are_not_kept(tmp_path: Path) -> None:
    """Also where they are wrong only in the part that lies on another medium."""
    digest = SET.cut[0]
    data = MADE.contents[digest]
    changed = [bytes([data[0] ^ 1]) + data[1:], data[:-1] + bytes([data[-1] ^ 1])]
    for wrong, error in [
        *((bad, DigestMismatchError) for bad in changed),
        (data[:-1], SizeMismatchError),
        (data + b"x", SizeMismatchError),
    ]:
        with pytest.raises(error), opened(tmp_path) as medium:
            put(medium, digest, wrong)
        assert not contents(tmp_path)
