"""Layouts of any catalog: they fill the file without a gap, and tarfile reads it."""

from __future__ import annotations

import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from airgap.bundle import members
from airgap.bundle.catalog import Catalog
from airgap.bundle.placement import Extent, Placement, Seal
from airgap.oci.digest import Digest
from tests.support.bundles import MadeBundle
from tests.support.writing import bundle_of

LAYERS = st.lists(st.binary(max_size=1100), max_size=12, unique=True)
COMPONENT = st.from_regex(r"[a-z0-9]+(-[a-z0-9]+)?", fullmatch=True).filter(lambda t: len(t) < 60)
NAMES = st.builds("example.com/{}/{}:{}".format, COMPONENT, COMPONENT, COMPONENT)


@given(LAYERS, NAMES)
def test_every_byte_has_one_owner(layers: list[bytes], name: str) -> None:
    """Front, frames and blobs lie side by side from the first byte of the file to the last."""
    layout = bundle_of(layers, name=name).layout
    spans = [(0, len(layout.front))]
    spans += [(offset, offset + len(data)) for offset, data in layout.frames()]
    spans += [(extent.offset, extent.end) for extent in layout.blobs]
    at = 0
    for start, end in sorted(spans):
        assert start == at
        at = end
    assert at == layout.size
    assert layout.size % members.BLOCK == 0


@given(LAYERS, NAMES)
def test_tarfile_and_parsers_agree(layers: list[bytes], name: str) -> None:
    """Python's tarfile finds every extent where the placement says, and the documents read back."""
    made: MadeBundle = bundle_of(layers, name=name)
    with tarfile.open(fileobj=io.BytesIO(made.data)) as tar:
        found = {info.name: info for info in tar}
        seal = tar.extractfile("airgap/seal.json")
        assert seal is not None
        assert Seal.parse(seal.read()) == made.layout.seal
    for extent in made.layout.placement.extents:
        info = found[f"blobs/{extent.digest.algorithm}/{extent.digest.hex}"]
        assert (info.offset_data, info.size) == (extent.offset, extent.length)
    assert Catalog.parse(made.catalog.raw) == made.catalog


@given(st.lists(st.tuples(st.integers(0, 1 << 50), st.integers(0, 1 << 34)), max_size=20))
def test_placements_read_back(gaps: list[tuple[int, int]]) -> None:
    """A placement of blobs of any size, with any gaps between them, is read as it was written."""
    extents, at = [], 0
    for number, (gap, length) in enumerate(gaps):
        extents.append(Extent(Digest.of(str(number).encode()), at + gap, length))
        at = extents[-1].end
    placement = Placement(Digest.of(b"id"), tuple(extents), at)
    assert Placement.parse(placement.to_bytes()) == placement


@given(st.text(alphabet="ab-.", min_size=1, max_size=250), st.integers(0, 1 << 53))
def test_headers_read_back(name: str, size: int) -> None:
    """The header of any name and size is read by tarfile as it was written."""
    with tarfile.open(fileobj=io.BytesIO(members.header(name, size) + members.END)) as tar:
        info = tar.next()
    assert info is not None
    assert info.size == size
    assert info.name == name
