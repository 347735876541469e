"""Inventories of any holdings come back as they were, and any bytes have one reading or none."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.errors import BundleFormatError
from airgap.oci.digest import Digest
from airgap.record.inventory import Inventory
from airgap.record.inventory_format import Kind
from tests.support.inventories import make_inventory, rebuild

DIGESTS = st.builds(
    lambda number, algorithm: Digest.of(bytes([number]), algorithm),
    st.integers(0, 40),
    st.sampled_from(["sha256", "sha256", "sha256", "sha512"]),
)
PATHS = st.sampled_from(["a", "b", "team/app", "team/app-2", "x.y_z/q"])
SIZES = st.sampled_from([0, 1, 500, 1 << 32, 1 << 53])
Sizes = dict[Digest, int]


@st.composite
def holdings(draw: st.DrawFn) -> Inventory:
    """An inventory of any kind."""
    kind: Kind = draw(st.sampled_from(["registry", "bundle", "layout", "need"]))
    prefix = "" if kind in ("registry", "need") else "localhost:5000/"
    sizes: Sizes = draw(st.dictionaries(DIGESTS, SIZES, max_size=20))
    blobs, images = [], []
    for found, size in sizes.items():
        chosen = draw(st.sets(PATHS, min_size=1, max_size=4))
        blobs += [(found, size, prefix + path) for path in chosen]
        for path in sorted(chosen):
            if draw(st.booleans()):
                named = "localhost:5000/" if kind != "registry" else ""
                images.append((f"{named}{path}:{found.hex[:9]}", found))
    if kind == "need":  # the images that lack something are named, and their manifests are not held
        for found in sorted(draw(st.sets(DIGESTS, max_size=4)) - sizes.keys()):
            images.append((f"localhost:5000/a:{found.hex[:9]}", found))
    return make_inventory(blobs, images, kind=kind, by=draw(st.sampled_from(["", "Zoë 7"])))


@given(holdings())
def test_any_holdings_come_back_as_they_were_told(made: Inventory) -> None:
    """From its bytes an inventory tells the same, and told again gives the same bytes."""
    found = Inventory.parse(made.raw)
    assert list(found.blobs()) == list(made.blobs())
    assert found.images == made.images
    assert all(found.find(d) == (size, names) for d, size, names in made.blobs())
    assert rebuild(found).raw == made.raw


@settings(max_examples=400)
@given(holdings(), st.data())
def test_whatever_is_done_to_its_bytes_an_inventory_is_refused_or_in_its_only_form(
    made: Inventory, data: st.DataObject
) -> None:
    """Bytes cut out, put in or replaced never give something that would be written otherwise."""
    raw = bytearray(made.raw)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(raw)))
        length = data.draw(st.integers(0, 40))
        raw[place : place + length] = data.draw(st.binary(max_size=40))
    try:
        found = Inventory.parse(bytes(raw))
    except BundleFormatError:
        return
    assert rebuild(found).raw == bytes(raw)
