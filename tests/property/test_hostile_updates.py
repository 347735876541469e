"""Signed bundles that leave blobs to the receiver: no byte of them goes unchecked either."""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.bundle import members
from airgap.bundle.catalog import Catalog
from airgap.bundle.check import check_bundle
from airgap.bundle.layout import CATALOG_FILE, PLACEMENT_FILE, SIGNATURES_FILE
from airgap.bundle.reader import open_bundle
from airgap.errors import AirgapError, BundleFormatError
from airgap.oci.digest import Digest
from airgap.run import Run
from tests.support import bundles
from tests.support.bundles import differential, pull, signed, tiny_bundle
from tests.support.volume_sets import split

RUN = Run()
LAYERS = (b"a layer that stays", b"a layer that travels")
WHOLE = tiny_bundle(layers=LAYERS)
MADE = signed(differential(WHOLE, [Digest.of(LAYERS[0])]))
VOLUMES = split(MADE, 30)
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2**70)
    | st.text(max_size=12)
    | st.sampled_from(["held-blobs", "inventory", "bundle", "../app", "registry/app", "a" * 300])
    | st.just([])
    | st.just({})
)


def flipped(data: bytes, seed: int, count: int) -> list[bytes]:
    """The bytes with one bit turned over, somewhere in every block."""
    choice = random.Random(seed)
    return [
        bundles.flip(data, at, choice.randrange(8))
        for block in range(0, len(data), members.BLOCK)
        for at in choice.sample(range(block, min(block + members.BLOCK, len(data))), count)
    ]


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    """In the signatures as in all else, though nobody here knows what they mean."""
    for data in flipped(MADE.data, 1, 12):
        path = MADE.write(tmp_path, data)
        assert check_bundle(path, run=RUN, jobs=1).findings
        with pytest.raises(AirgapError):
            pull(data)


@pytest.mark.parametrize("number", range(len(VOLUMES.data)))
def test_every_flipped_bit_of_a_volume_is_found(tmp_path: Path, number: int) -> None:
    """And none of them makes the bundle another one, or an unsigned one."""
    for data in flipped(VOLUMES.data[number], 2 + number, 3):
        VOLUMES.write(tmp_path, [*VOLUMES.data[:number], data, *VOLUMES.data[number + 1 :]])
        report = check_bundle(tmp_path, run=RUN, jobs=1)
        assert report.findings
        assert report.bundle_id == MADE.catalog.id
        assert report.catalog is not None
        assert report.catalog.signatures == MADE.catalog.signatures


@given(
    number=st.integers(0, 1000),
    value=VALUES,
    name=st.sampled_from([CATALOG_FILE, SIGNATURES_FILE, PLACEMENT_FILE]),
)
def test_any_value_anywhere_in_a_document_is_refused(number: int, value: object, name: str) -> None:
    """A changed field makes the rest of the file not fit, from a file and from a pipe."""
    parts = bundles.unpack(MADE.data)
    changed = bundles.change_field(parts[name], number, value)
    if changed == parts[name]:
        return
    parts[name] = changed
    data = bundles.pack(parts.items())
    with pytest.raises(AirgapError):
        pull(data)
    with tempfile.TemporaryDirectory() as folder:
        path = MADE.write(Path(folder), data)
        assert check_bundle(path, run=RUN, jobs=1).findings
        with pytest.raises(AirgapError):
            open_bundle(path).close()


@given(number=st.integers(0, 1000), value=VALUES)
def test_a_catalog_with_any_value_is_refused_or_says_what_it_said(
    number: int, value: object
) -> None:
    """What is accepted has held blobs with bases of their own, and requires that they be known."""
    raw = bundles.change_field(MADE.catalog.raw, number, value)
    try:
        found = Catalog.parse(raw)
    except BundleFormatError:
        return
    assert all(blob.base < len(found.bases) for blob in found.held)
    assert json.loads(raw).get("requires", []) == (["held-blobs"] if found.held else [])
