"""What holds for the volumes of every bundle."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.bundle.catalog import Catalog
from airgap.bundle.layout import Layout, Share, measure, plan_layout
from airgap.bundle.placement import Extent
from airgap.bundle.volumes import VolumePlan, plan_volumes
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document
from tests.support.bundles import dumps, named, parse

KIB = 1024
SMALLEST = 1 << 20


def made(images: list[list[int]]) -> tuple[Catalog, dict[Digest, Document]]:
    """A catalog of images with layers of given sizes; equal numbers of one size are shared."""
    documents: dict[Digest, Document] = {}
    blobs: dict[Digest, int] = {}
    names = []
    for number, sizes in enumerate(images):
        layers = []
        for size in sizes:
            digest = Digest.of(b"layer %d" % size)
            layers.append(Descriptor(mediatype.OCI_LAYER, digest, size))
            blobs[digest] = size
        config = Descriptor(mediatype.OCI_CONFIG, Digest.of(b"config %d" % number), 300 + number)
        blobs[config.digest] = config.size
        value = {
            "schemaVersion": 2,
            "mediaType": mediatype.OCI_MANIFEST,
            "config": config.to_json(),
            "layers": [layer.to_json() for layer in layers],
        }
        document = parse(dumps(value))
        documents[document.descriptor.digest] = document
        names.append(named(f"example.com/image:{number}", document))
    catalog = Catalog.build(
        images=names,
        referrers=(),
        manifests=[document.descriptor for document in documents.values()],
        blobs=sorted(blobs.items()),
        omitted=(),
    )
    return catalog, documents


def pieces_of(plan: VolumePlan, digest: Digest) -> list[Extent]:
    """The extents of one blob, in its order."""
    return [extent for _, extent in plan.parts()[digest]]


sizes = st.integers(0, 40).map(lambda n: n * 37 * KIB + n)
bundles = st.lists(st.lists(sizes, max_size=5, unique=True), min_size=1, max_size=12)
volume_sizes = st.sampled_from([SMALLEST, SMALLEST + 511, 1_500_000, 3 * SMALLEST])


@settings(deadline=None, max_examples=150)
@given(bundles, volume_sizes)
def test_every_byte_of_every_blob_lies_in_one_volume_and_no_volume_is_too_large(
    images: list[list[int]], volume_size: int
) -> None:
    """Pieces follow each other without a gap, in volumes that follow each other."""
    catalog, documents = made(images)
    plan = plan_volumes(catalog, documents, volume_size=volume_size)
    assert max(plan.sizes) <= volume_size
    parts = plan.parts()
    assert parts.keys() == dict(catalog.blobs).keys()
    for (digest, size), home in zip(catalog.blobs, plan.homes or [(1, 1)] * 999, strict=False):
        found = parts[digest]
        assert home == (found[0][0] + 1, found[-1][0] + 1)
        assert [index for index, _ in found] == list(range(found[0][0], found[-1][0] + 1))
        end = 0
        for _, extent in found:
            assert (extent.start or 0) == end
            end += extent.length
        assert end == size
        assert (len(found) > 1) == (found[0][1].start is not None)


@settings(deadline=None, max_examples=100)
@given(bundles, volume_sizes)
def test_there_are_no_more_volumes_than_the_bytes_ask_for(
    images: list[list[int]], volume_size: int
) -> None:
    """With one volume less, the contents alone would not fit."""
    catalog, documents = made(images)
    plan = plan_volumes(catalog, documents, volume_size=volume_size)
    if plan.count > 1:
        fronts = plan.layout(0).front
        room = (volume_size - len(fronts)) * (plan.count - 1)
        assert sum(size for _, size in catalog.blobs) + 60 * KIB * plan.count > room


@settings(deadline=None, max_examples=50)
@given(bundles, volume_sizes)
def test_the_same_bundle_makes_the_same_volumes(images: list[list[int]], volume_size: int) -> None:
    """Whatever the order in which images were named."""
    catalog, documents = made(images)
    one = plan_volumes(catalog, documents, volume_size=volume_size)
    turned = dict(reversed(documents.items()))
    other = plan_volumes(catalog, turned, volume_size=volume_size)
    assert one.placements == other.placements
    assert [one.layout(n).front for n in range(one.count)] == [
        other.layout(n).front for n in range(other.count)
    ]


@settings(deadline=None, max_examples=50)
@given(bundles, volume_sizes)
def test_a_volume_is_measured_without_being_made(images: list[list[int]], volume_size: int) -> None:
    """What planning counts on is the size of the file."""
    catalog, documents = made(images)
    plan = plan_volumes(catalog, documents, volume_size=volume_size)
    for share, size in zip(plan.shares, plan.sizes, strict=True):
        assert measure(catalog, documents, share) == size


def test_planning_tries_few_layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each volume is laid out once, and the whole once; the rest is measured."""
    catalog, documents = made([[n * 370 * KIB + k for k in range(1, 6)] for n in range(1, 6)])
    laid_out: list[Share | None] = []

    def noted(*args: Any) -> Layout:
        laid_out.append(args[2] if len(args) > 2 else None)
        return plan_layout(*args)

    monkeypatch.setattr("airgap.bundle.volumes.plan_layout", noted)
    plan = plan_volumes(catalog, documents, volume_size=SMALLEST)
    assert plan.cuts
    assert laid_out == [None, *plan.shares]


def test_no_blob_is_cut_where_that_takes_no_more_volumes() -> None:
    """Four layers of which two each fill a volume."""
    catalog, documents = made([[600 * KIB], [300 * KIB], [601 * KIB], [301 * KIB]])
    plan = plan_volumes(catalog, documents, volume_size=SMALLEST)
    assert (plan.count, plan.cuts) == (2, 0)


def test_the_blobs_of_an_image_lie_together_where_they_can() -> None:
    """Each image is whole in one volume, though its blobs would fill others as well."""
    catalog, documents = made([[300 * KIB, 301 * KIB], [200 * KIB, 201 * KIB], [302 * KIB]])
    plan = plan_volumes(catalog, documents, volume_size=SMALLEST)
    homes = dict(zip((digest for digest, _ in catalog.blobs), plan.homes, strict=True))
    for document in documents.values():
        assert len({homes[blob.digest] for blob in document.blobs()}) == 1


def test_volumes_are_full_where_a_blob_is_cut() -> None:
    """All but the last have fewer than two free blocks."""
    catalog, documents = made([[5_000 * KIB]])
    plan = plan_volumes(catalog, documents, volume_size=SMALLEST)
    assert plan.count == 5
    assert all(SMALLEST - size < 1024 for size in plan.sizes[:-1])
