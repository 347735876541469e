"""Addresses: many files, and blobs in pieces, written as if they were one file."""

from __future__ import annotations

import pytest

from airgap.bundle.addresses import Addresses, PieceHasher, address, is_cut, locate
from airgap.bundle.placement import Extent
from airgap.oci.digest import Digest

WHOLE, CUT, OTHER = (Digest.of(name) for name in (b"whole", b"cut", b"other"))
PIECES = (
    (0, Extent(CUT, 900, 100, 0)),
    (1, Extent(CUT, 512, 50, 100)),
    (2, Extent(CUT, 7, 9, 150)),
)


@pytest.fixture
def addresses() -> Addresses:
    """A whole blob in the second file, and two that are cut."""
    other = ((1, Extent(OTHER, 700, 3, 0)), (2, Extent(OTHER, 100, 4, 3)))
    return Addresses.of({WHOLE: ((1, Extent(WHOLE, 30, 20)),), CUT: PIECES, OTHER: other})


@pytest.mark.parametrize("place", [(0, 0), (3, 12), (9999, 2**48 - 1)])
def test_an_address_tells_file_and_offset(place: tuple[int, int]) -> None:
    """The largest volume has the last number and less bytes than a tar can say."""
    assert locate(address(*place)) == place


def test_a_whole_blob_lies_at_its_place(addresses: Addresses) -> None:
    """Its run of addresses is that of its file."""
    extent = addresses.extents[WHOLE]
    assert not is_cut(extent)
    assert list(addresses.runs(extent.offset + 5, 10)) == [(address(1, 35), 10)]


@pytest.mark.parametrize(
    ("start", "length", "wanted"),
    [
        (0, 159, [(0, 900, 100), (1, 512, 50), (2, 7, 9)]),
        (0, 100, [(0, 900, 100)]),
        (99, 2, [(0, 999, 1), (1, 512, 1)]),
        (100, 50, [(1, 512, 50)]),
        (120, 35, [(1, 532, 30), (2, 7, 5)]),
        (158, 1, [(2, 15, 1)]),
        (40, 0, []),
    ],
)
def test_a_cut_blob_is_one_run(
    addresses: Addresses, start: int, length: int, wanted: list[tuple[int, int, int]]
) -> None:
    """Any part of it is found in its pieces, in order."""
    extent = addresses.extents[CUT]
    assert is_cut(extent)
    assert extent.length == 159
    found = [
        (*locate(place), size) for place, size in addresses.runs(extent.offset + start, length)
    ]
    assert found == wanted


def test_cut_blobs_do_not_run_into_each_other(addresses: Addresses) -> None:
    """Each has addresses of its own."""
    extent = addresses.extents[OTHER]
    runs = [(*locate(place), size) for place, size in addresses.runs(extent.offset, 7)]
    assert runs == [(1, 700, 3), (2, 100, 4)]


@pytest.mark.parametrize("chunk", [1, 49, 50, 100, 101, 159])
def test_each_piece_is_hashed_however_the_bytes_come(chunk: int) -> None:
    """In chunks that end within a piece, at its end, or beyond several."""
    data = bytes(range(159))
    hasher = PieceHasher(tuple(extent for _, extent in PIECES))
    for at in range(0, len(data), chunk):
        hasher.update(data[at : at + chunk])
    assert hasher.digests() == tuple(map(Digest.of, (data[:100], data[100:150], data[150:])))


@pytest.mark.parametrize("chunk", [1, 99, 101, 159])
def test_bytes_before_the_first_piece_are_skipped(chunk: int) -> None:
    """The piece before was hashed elsewhere."""
    data = bytes(range(159))
    hasher = PieceHasher(tuple(extent for _, extent in PIECES[1:]), skip=100)
    for at in range(0, len(data), chunk):
        hasher.update(data[at : at + chunk])
    assert hasher.digests() == (Digest.of(data[100:150]), Digest.of(data[150:]))


def test_a_piece_that_did_not_pass_whole_has_no_digest() -> None:
    """Only those before it have."""
    hasher = PieceHasher(tuple(extent for _, extent in PIECES))
    hasher.update(bytes(149))
    assert hasher.digests() == (Digest.of(bytes(100)),)
