"""Whatever the receiver is said to hold, what an export plans against it is whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airgap.bundle.catalog import Catalog
from airgap.bundle.closure import gaps, unreferenced
from airgap.bundle.layout import plan_layout
from airgap.oci.digest import Digest
from airgap.record.bases import Base
from airgap.transfer.known import Claim, Known
from airgap.transfer.plan import select_export
from tests.property.test_export_plan import BLOBS, POOL, finds, losses, selections, shuffled
from tests.support.known import witness

SIZES = {digest: len(blob.data) for content in POOL for digest, blob in content.all_blobs().items()}
BASES = [
    Base("inventory", Digest.of(b"1"), "registry.internal:5000"),
    Base("receipt", Digest.of(b"2"), "registry.internal:5000"),
    Base("bundle", Digest.of(b"3")),
    Base("lock", Digest.of(b"4")),
]
PLACES = ("x", "y", "library/z", "mirror/x", "other")


@st.composite
def witnesses(draw):
    """What some bases say of some blobs: where they are, and now and then a wrong size."""
    said = []
    for base in draw(st.lists(st.sampled_from(BASES), max_size=4, unique=True)):
        prefix = draw(st.sampled_from(["a.example.com/", "s.example.com/"]))
        prefix = prefix if base.names_sources else ""
        claims = {}
        for digest in draw(st.lists(st.sampled_from(BLOBS), unique=True)):
            names = draw(st.lists(st.sampled_from(PLACES), max_size=3, unique=True))
            size = SIZES[digest] + draw(st.sampled_from([0, 0, 0, 1]))
            claims[digest] = Claim(size, tuple(sorted(prefix + name for name in names)))
        said.append((base, claims))
    return said


def known(said):
    """What is known by that."""
    return Known(witness(base, claims) for base, claims in said)


@given(found=finds(), selection=selections, lost=losses, said=witnesses())
def test_everything_travels_or_is_held_or_is_left_out(found, selection, lost, said):
    """What is needed is in exactly one of the three, and is held only where somebody says so."""
    resolution = found.resolution()
    selected = select_export(resolution, selection, lost=lost, known=known(said))
    plain = select_export(resolution, selection, lost=lost)
    catalog = selected.catalog
    assert list(gaps(catalog, selected.documents)) == []
    assert unreferenced(catalog, selected.documents) == []
    assert Catalog.parse(catalog.raw) == catalog
    travelling = {digest for digest, _ in catalog.blobs}
    held = {blob.digest: blob for blob in catalog.held}
    assert not travelling & held.keys()
    assert travelling | held.keys() == {digest for digest, _ in plain.catalog.blobs}
    assert catalog.omitted == plain.catalog.omitted
    assert catalog.manifests == plain.catalog.manifests
    assert set(catalog.bases) == {base for base, _ in said}
    words = dict(said)
    for blob in catalog.held:
        claim = words[catalog.bases[blob.base]][blob.digest]
        assert claim.size == blob.size == SIZES[blob.digest]
        assert not claim.repositories or blob.repository in claim.repositories
    believable = {d for claims in words.values() for d, c in claims.items() if c.size == SIZES[d]}
    assert not travelling & believable
    assert {doubt.blob.digest for doubt in selected.doubts} <= travelling


@given(found=finds(), selection=selections, said=witnesses(), data=st.data())
def test_neither_the_order_of_finding_nor_that_of_witnesses_matters(found, selection, said, data):
    """The same inputs give the same bytes."""
    resolution = found.resolution()
    mixed = data.draw(st.permutations(said))
    one = select_export(resolution, selection, known=known(said))
    two = select_export(shuffled(resolution, data.draw), selection, known=known(mixed))
    assert one.catalog.raw == two.catalog.raw
    assert one.images == two.images
    layouts = [plan_layout(s.catalog, s.documents) for s in (one, two)]
    assert layouts[0].front == layouts[1].front


@given(found=finds(), selection=selections, said=witnesses())
def test_the_shares_of_bases_add_up(found, selection, said):
    """Each image says how much of it is left, and to whom that is owed."""
    selected = select_export(found.resolution(), selection, known=known(said))
    held = {blob.digest: blob for blob in selected.catalog.held}
    for image in selected.images:
        assert image.left_blobs == sum(share.blobs for share in image.left_by)
        assert image.left_bytes == sum(share.size for share in image.left_by)
        assert image.left_bytes <= image.size
        for share in image.left_by:
            assert selected.catalog.bases[share.base].id == share.id
    total = sum(blob.size for blob in held.values())
    assert max((image.left_bytes for image in selected.images), default=0) <= total
