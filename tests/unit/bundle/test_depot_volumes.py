"""Bundles in volumes are served like those of one file, wherever their blobs are cut."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airgap.bundle.depot import BundleDepot
from airgap.bundle.reader import open_bundle
from airgap.content.depot import FileBacked
from airgap.errors import ContentNotFoundError, DigestMismatchError, StorageError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.transfer.serving import import_names
from tests.support.bundles import flip
from tests.support.volume_sets import MadeVolumes, split
from tests.support.writing import BIG, bundle_of

SMALL = b"small" * 200

Serve = Callable[..., BundleDepot]


@pytest.fixture
def made() -> MadeVolumes:
    """Five volumes; the large layer is cut into all of them, the small one is in the last."""
    return split(bundle_of([BIG, SMALL]), 11_000)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Opens bundles as a depot that is closed in the end."""
    opened: list[BundleDepot] = []

    def serve(*paths: Path, must_be_whole: bool = True) -> BundleDepot:
        readers = [open_bundle(path, must_be_whole=must_be_whole) for path in paths]
        opened.append(BundleDepot(readers, import_names(), rest=0.0))
        return opened[-1]

    yield serve
    for depot in opened:
        depot.close()


def read(depot: BundleDepot, descriptor: Descriptor, offset: int = 0) -> bytes:
    with depot.repository("app").open(descriptor, offset=offset) as chunks:
        return b"".join(chunks)


@pytest.mark.parametrize("offset", [0, 1, 10_900, 11_000, 25_000, 49_999, 50_000])
def test_a_cut_blob_is_read_from_any_offset(
    serve: Serve, tmp_path: Path, made: MadeVolumes, offset: int
) -> None:
    """It has its whole size, and no one file that it lies in."""
    made.write(tmp_path)
    depot = serve(tmp_path)
    repository = depot.repository("app")
    assert isinstance(repository, FileBacked)
    large, small = made.made.descriptor(Digest.of(BIG)), made.made.descriptor(Digest.of(SMALL))
    assert large.digest in made.cut
    assert repository.has_blob(large)
    assert repository.find_blob(large.digest) == large
    assert repository.locate(large) is None
    assert read(depot, large, offset) == BIG[offset:]
    region = repository.locate(small)
    assert region is not None
    assert region.path.read_bytes()[region.offset : region.offset + region.size] == SMALL


def test_a_sound_set_is_hashed_to_the_end(serve: Serve, tmp_path: Path, made: MadeVolumes) -> None:
    """Cut blobs as well, and nothing is found."""
    made.write(tmp_path)
    depot = serve(tmp_path)
    depot.start_checking()
    depot.finish_checking()
    (state,) = depot.states
    assert (state.checked, state.total, state.wrong) == (state.total, state.total, ())
    assert state.is_unchanged


def test_a_blob_with_a_damaged_piece_is_not_given_out_once_that_is_known(
    serve: Serve, tmp_path: Path, made: MadeVolumes
) -> None:
    """The others are."""
    large, small = made.made.descriptor(Digest.of(BIG)), made.made.descriptor(Digest.of(SMALL))
    index, piece = made.holders(large.digest)[2]
    data = list(made.data)
    data[index] = flip(data[index], piece.offset + 9)
    made.write(tmp_path, data)
    depot = serve(tmp_path)
    depot.start_checking()
    depot.finish_checking()
    assert depot.states[0].wrong == (large.digest,)
    with pytest.raises(DigestMismatchError):
        read(depot, large)
    assert read(depot, small) == SMALL


def test_a_volume_that_is_replaced_is_not_read_any_more(
    serve: Serve, tmp_path: Path, made: MadeVolumes
) -> None:
    """What lies in the others alone still is."""
    large, small = made.made.descriptor(Digest.of(BIG)), made.made.descriptor(Digest.of(SMALL))
    paths = made.write(tmp_path)
    depot = serve(tmp_path)
    os.utime(paths[2], ns=(1, 1))
    with pytest.raises(StorageError, match="changed or replaced"):
        read(depot, large)
    assert read(depot, small) == SMALL
    assert not depot.states[0].is_unchanged


def test_a_blob_of_which_a_piece_is_missing_is_taken_from_another_bundle(
    serve: Serve, tmp_path: Path, made: MadeVolumes
) -> None:
    """Or is not there."""
    large = made.made.descriptor(Digest.of(BIG))
    sticks = [tmp_path / "one", tmp_path / "two"]
    for stick in sticks:
        stick.mkdir()
    made.write(sticks[0], [*made.data[:3], None, made.data[4]])
    (sticks[1] / "whole.tar").write_bytes(made.made.data)
    alone = serve(sticks[0], must_be_whole=False)
    assert not alone.repository("app").has_blob(large)
    with pytest.raises(ContentNotFoundError):
        read(alone, large)
    assert read(serve(*sticks, must_be_whole=False), large) == BIG
