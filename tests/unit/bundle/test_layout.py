"""The layout: every byte of a bundle but the blobs', from the catalog and the manifests."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from airgap.bundle.catalog import Catalog
from airgap.bundle.layout import Layout, frame, plan_layout
from airgap.bundle.placement import Placement, Seal
from airgap.oci.digest import Digest, Hasher
from airgap.oci.layout import blob_path
from tests.support.bundles import MadeBundle, make_bundle, tiny_bundle

MADE = [make_bundle(), tiny_bundle(), tiny_bundle(algorithm="sha512"), tiny_bundle(layers=(b"",))]


def uncovered(layout: Layout, data: bytes) -> Hasher:
    """What the seal covers, taken from the file: all before it that is in no extent."""
    hasher, at = Hasher(), 0
    for extent in layout.placement.extents:
        hasher.update(data[at : extent.offset])
        at = extent.end
    hasher.update(data[at : layout.placement.seal])
    return hasher


@pytest.mark.parametrize("made", MADE)
def test_tarfile_reads_it(made: MadeBundle) -> None:
    """Python's tarfile lists the members in the documented order and reads their content."""
    catalog = made.catalog
    blobs = [m.digest for m in catalog.manifests] + [digest for digest, _ in catalog.blobs]
    with tarfile.open(fileobj=io.BytesIO(made.data)) as tar:
        infos = tar.getmembers()
        assert [info.name for info in infos] == [
            "oci-layout",
            "index.json",
            "manifest.json",
            "airgap/catalog.json",
            "airgap/placement.json",
            *map(blob_path, blobs),
            "airgap/seal.json",
        ]
        files = {info.name: tar.extractfile(info).read() for info in infos}  # type: ignore[union-attr]
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    assert Catalog.parse(files["airgap/catalog.json"]) == catalog
    assert Placement.parse(files["airgap/placement.json"]) == made.layout.placement
    assert Seal.parse(files["airgap/seal.json"]) == made.layout.seal
    for digest in blobs:
        assert Digest.of(files[blob_path(digest)], digest.algorithm) == digest


@pytest.mark.parametrize("made", MADE)
def test_extents_are_where_the_content_is(made: MadeBundle) -> None:
    """Each extent of the placement cuts exactly its content out of the file."""
    for extent in made.layout.placement.extents:
        content = made.data[extent.offset : extent.end]
        assert Digest.of(content, extent.digest.algorithm) == extent.digest
    assert len(made.data) == made.layout.size


@pytest.mark.parametrize("made", MADE)
def test_seal_covers_the_rest(made: MadeBundle) -> None:
    """The seal has the digest and the size of all bytes before it that no blob covers."""
    hasher = uncovered(made.layout, made.data)
    assert (hasher.digest(), hasher.size) == (
        made.layout.seal.uncovered,
        made.layout.seal.uncovered_size,
    )


def test_frames_stand_around_their_blob() -> None:
    """A blob's frame is its header before it, and zeros up to the next block behind it."""
    extent = MADE[0].layout.blobs[0]
    (offset, head), (end, fill) = frame(extent)
    assert offset + len(head) == extent.offset
    assert end == extent.end
    assert fill == bytes(-extent.length % 512)


def test_same_input_same_bytes() -> None:
    """Documents in another order make the same layout."""
    made = MADE[0]
    again = plan_layout(made.catalog, dict(reversed(list(made.documents.items()))))
    assert again == made.layout
    assert again.front == made.layout.front


def test_placement_finds_its_own_size() -> None:
    """Whatever the number of blobs, the offsets fit the size of the document that lists them."""
    for count in (0, 1, 2, 9, 10, 11, 99, 100, 101, 999):
        layers = tuple(str(number).encode() for number in range(count))
        layout = tiny_bundle(layers=layers).layout
        assert layout.front.count(b"airgap/placement.json") == 1
        assert layout.placement.to_bytes() in layout.front
        assert layout.placement.extents[0].offset - 512 == layout.front.index(
            blob_path(layout.placement.extents[0].digest).encode() + b"\0"
        )
