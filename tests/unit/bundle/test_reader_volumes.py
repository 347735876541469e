"""Volumes are read where they lie, in any order and under any names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.bundle import reader as reading
from airgap.bundle.layout import Layout
from airgap.bundle.placement import Extent
from airgap.bundle.reader import BundleReader, numbers_text, open_bundle
from airgap.bundle.volume_file import VolumeFile
from airgap.errors import (
    BundleFormatError,
    ConflictError,
    ContentNotFoundError,
    ExitCode,
    IncompleteBundleError,
)
from airgap.oci.digest import Digest
from tests.support.bundles import flip, make_bundle
from tests.support.volume_sets import MadeVolumes, split
from tests.support.writing import BIG, bundle_of


@pytest.fixture
def made() -> MadeVolumes:
    """Five volumes; the large layer is cut into all of them, the small one is in the last."""
    return split(bundle_of([BIG, b"small" * 200]), 11_000)


def contents(reader: BundleReader, made: MadeVolumes) -> dict[Digest, bytes]:
    """All blobs as they are read."""
    return {digest: reader.read_blob(digest) for digest in made.made.contents}


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (2, 4, 0, 3, 1)])
def test_order_does_not_matter(tmp_path: Path, made: MadeVolumes, order: tuple[int, ...]) -> None:
    """Files that are named in any order, or a folder, give the same."""
    paths = made.write(tmp_path)
    assert len(paths) == len(order)
    for given in ([paths[index] for index in order], tmp_path):
        with open_bundle(given) as reader:
            assert contents(reader, made) == made.made.contents
            assert (reader.volume_count, reader.missing_volumes) == (5, ())
            assert reader.id == made.made.catalog.id
            assert reader.size == sum(map(len, made.data))
            assert list(reader.volumes) == sorted(reader.volumes) or given != tmp_path


def test_names_do_not_matter(tmp_path: Path, made: MadeVolumes) -> None:
    """Two volumes that have each other's names, and one that has any."""
    paths = made.write(tmp_path)
    paths[0].rename(tmp_path / "x")
    paths[1].rename(paths[0])
    (tmp_path / "x").rename(paths[1])
    paths[2].rename(tmp_path / "photo.jpg")
    with open_bundle(tmp_path) as reader:
        assert contents(reader, made) == made.made.contents
        assert reader.volumes[1].path == paths[1]


def test_volumes_in_several_folders_are_one_bundle(tmp_path: Path, made: MadeVolumes) -> None:
    """Also with some of them in both."""
    sticks = [tmp_path / "one", tmp_path / "two"]
    for stick, kept in zip(sticks, [{0, 1, 3}, {1, 2, 4}], strict=True):
        stick.mkdir()
        made.write(stick, [d if n in kept else None for n, d in enumerate(made.data)])
    with open_bundle(sticks) as reader:
        assert contents(reader, made) == made.made.contents


@pytest.mark.parametrize("gone", [{0}, {2}, {4}, {1, 3}])
def test_a_missing_volume_is_said_by_its_number(
    tmp_path: Path, made: MadeVolumes, gone: set[int]
) -> None:
    """Opening fails with its own exit code; what is whole elsewhere can be read on request."""
    made.write(tmp_path, [None if n in gone else d for n, d in enumerate(made.data)])
    with pytest.raises(IncompleteBundleError) as caught:
        open_bundle(tmp_path)
    numbers = sorted(n + 1 for n in gone)
    assert caught.value.exit_code == ExitCode.INCOMPLETE
    assert list(caught.value.missing) == [f"volume {number}" for number in numbers]
    assert ", ".join(map(str, numbers)) in caught.value.message
    with open_bundle(tmp_path, must_be_whole=False) as reader:
        assert list(reader.missing_volumes) == numbers
        for digest, content in made.made.contents.items():
            descriptor = made.made.descriptor(digest)
            if gone & {index for index, _ in made.holders(digest)}:
                assert not reader.has_blob(descriptor)
                assert reader.read_config(digest) is None
                with pytest.raises(ContentNotFoundError, match="is not here"):
                    reader.read_blob(digest)
            else:
                assert reader.read_blob(digest) == content


def test_one_file_of_several_is_opened_as_one_of_several(tmp_path: Path, made: MadeVolumes) -> None:
    """Its manifests are there, since each volume carries them all."""
    path = made.write(tmp_path)[2]
    with pytest.raises(IncompleteBundleError):
        open_bundle(path)
    with open_bundle(path, must_be_whole=False) as reader:
        assert reader.documents.keys() == made.made.documents.keys()
        assert reader.volume_count == 5


def test_a_volume_of_another_bundle_is_told_apart(tmp_path: Path, made: MadeVolumes) -> None:
    """Unless it is said which of the two is meant."""
    made.write(tmp_path)
    other = split(bundle_of([BIG[:30_000]], name="example.com/other:1"), 11_000)
    (tmp_path / "other.tar").write_bytes(other.data[0])
    with pytest.raises(ConflictError) as caught:
        open_bundle(tmp_path)
    assert made.made.catalog.id.short in caught.value.message
    assert other.made.catalog.id.short in caught.value.message
    with open_bundle(tmp_path, expected=made.made.catalog.id) as reader:
        assert contents(reader, made) == made.made.contents


def test_the_same_bundle_in_volumes_of_another_size_is_told_apart(
    tmp_path: Path, made: MadeVolumes
) -> None:
    """Both have the same id, and volumes of one do not fill gaps of the other."""
    paths = made.write(tmp_path)
    paths[1].write_bytes(split(made.made, 20_000).data[1])
    with pytest.raises(ConflictError):
        open_bundle(tmp_path)


def test_volumes_that_were_cut_elsewhere_are_refused(tmp_path: Path, made: MadeVolumes) -> None:
    """As many volumes with the same homes, but another export: its pieces begin elsewhere."""
    paths = made.write(tmp_path)
    other = split(made.made, 10_900)
    assert len(other.data) == len(made.data)
    assert other.layouts[1].placement.homes == made.layouts[1].placement.homes
    paths[1].write_bytes(other.data[1])
    with pytest.raises(BundleFormatError, match="do not follow each other"):
        open_bundle(paths)


def test_volumes_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    """As many volumes of one bundle, which say differently what lies in which."""
    bundle = bundle_of([BIG[:20_000], BIG[20_000:24_000], BIG[24_000:30_000]])
    one, other = split(bundle, 15_500), split(bundle, 21_000)
    assert len(one.data) == len(other.data) == 2
    paths = one.write(tmp_path, [one.data[0], other.data[1]])
    with pytest.raises(BundleFormatError, match="contradict each other"):
        open_bundle(paths)


def changed(layout: Layout, digest: Digest, **values: int) -> Layout:
    """A layout whose piece of a blob has another length or start."""
    extents = tuple(
        dataclasses.replace(e, **values) if e.digest == digest else e
        for e in layout.placement.extents
    )
    return dataclasses.replace(
        layout, placement=dataclasses.replace(layout.placement, extents=extents)
    )


@pytest.mark.parametrize("values", [{"start": 10_000}, {"start": 12_000}, {"length": 10_999}])
def test_pieces_with_gaps_or_one_over_another_are_refused(
    tmp_path: Path, made: MadeVolumes, values: dict[str, int]
) -> None:
    """Even if each volume says of itself that all is well."""
    volumes = [VolumeFile.open(path) for path in made.write(tmp_path)]
    index = 1
    front = volumes[index].front
    volumes[index].front = dataclasses.replace(
        front, layout=changed(front.layout, made.cut[0], **values)
    )
    try:
        with pytest.raises(BundleFormatError, match="do not follow each other"):
            BundleReader(volumes, name="it")
    finally:
        for volume in volumes:
            volume.close()


def test_a_piece_that_ends_a_blob_too_early_is_refused(tmp_path: Path, made: MadeVolumes) -> None:
    """The last piece of a blob ends where the blob does, whatever else is here."""
    digest = made.cut[0]
    last = made.holders(digest)[-1][0]
    volume = VolumeFile.open(made.write(tmp_path)[last])
    front = volume.front
    volume.front = dataclasses.replace(front, layout=changed(front.layout, digest, length=5))
    try:
        with pytest.raises(BundleFormatError):
            BundleReader([volume], name="it")
    finally:
        volume.close()


@pytest.mark.parametrize("where", [0, 300, 600, 1000])
def test_a_damaged_seal_is_refused(tmp_path: Path, made: MadeVolumes, where: int) -> None:
    """Also where it speaks of pieces, whose digests stand nowhere else."""
    seal = made.layouts[1].placement.seal
    data = list(made.data)
    data[1] = flip(data[1], seal + where)
    made.write(tmp_path, data)
    with pytest.raises(BundleFormatError):
        open_bundle(tmp_path)


def test_a_volume_that_is_cut_short_is_not_opened(tmp_path: Path, made: MadeVolumes) -> None:
    """Nor are the others, which stay closed."""
    data = list(made.data)
    data[3] = data[3][:-700]
    made.write(tmp_path, data)
    with pytest.raises(IncompleteBundleError, match="cut short"):
        open_bundle(tmp_path)


def test_the_files_are_closed_where_one_does_not_open(
    tmp_path: Path, made: MadeVolumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the reason is: a missing volume, or a damaged one."""
    opened: list[VolumeFile] = []
    real = VolumeFile.open

    def noted(path: Path) -> VolumeFile:
        opened.append(real(path))
        return opened[-1]

    monkeypatch.setattr(reading.VolumeFile, "open", noted)
    data: list[bytes | None] = list(made.data)
    data[4] = made.data[4][:-700]
    for broken in (data, [*made.data[:4], None]):
        for path in tmp_path.iterdir():
            path.unlink()
        made.write(tmp_path, broken)
        with pytest.raises(IncompleteBundleError):
            open_bundle(tmp_path)
    assert len(opened) == 8
    assert all(volume._stream.closed for volume in opened)


def test_a_manifest_lies_in_every_volume_and_is_read_from_one(tmp_path: Path) -> None:
    """Its place is one extent, though all volumes have it."""
    made = split(make_bundle(layer_size=9000), 5000)
    made.write(tmp_path)
    with open_bundle(tmp_path) as reader:
        for digest, document in made.made.documents.items():
            assert len(reader.parts(digest)) <= 1
            assert reader.manifest(str(digest)).raw == document.raw


def test_numbers_are_shortened() -> None:
    """Of a thousand missing volumes, ten are named."""
    assert numbers_text([2]) == "2"
    assert numbers_text(range(1, 11)).endswith("9, 10")
    assert numbers_text(range(1, 13)).endswith("10 and 2 more")


def test_a_blob_is_not_read_beyond_the_offset_that_was_asked_for(
    tmp_path: Path, made: MadeVolumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pieces before the offset are left alone, and from the piece at it only the rest is read."""
    made.write(tmp_path)
    asked: list[tuple[int | None, int]] = []
    real = VolumeFile.chunks

    def noted(volume: VolumeFile, extent: Extent, offset: int) -> Iterator[bytes]:
        asked.append((extent.start, offset))
        return real(volume, extent, offset)

    monkeypatch.setattr(VolumeFile, "chunks", noted)
    digest = Digest.of(BIG)
    starts = [extent.start for _, extent in made.holders(digest)]
    with open_bundle(tmp_path) as reader:
        with reader.open(made.made.descriptor(digest), offset=(starts[2] or 0) + 7) as chunks:
            assert b"".join(chunks) == BIG[(starts[2] or 0) + 7 :]
    assert asked == [(starts[2], 7), *((start, 0) for start in starts[3:])]


def test_a_seal_that_is_another_one_than_when_it_was_opened_is_refused(
    tmp_path: Path, made: MadeVolumes
) -> None:
    """A medium may give other bytes the second time."""
    first, second = made.write(tmp_path)[:2]
    with open_bundle([first], must_be_whole=False) as reader:
        (volume,) = reader.volumes.values()
        assert volume.piece_digests()
        seal = second.read_bytes()[made.layouts[1].placement.seal :]
        with first.open("rb+") as file:
            file.seek(made.layouts[0].placement.seal)
            file.write(seal)
        with pytest.raises(BundleFormatError):
            volume.piece_digests()
