"""Placement and seal: hints that are checked for sense before they are used."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airgap.bundle.placement import Extent, Placement, Seal
from airgap.errors import BundleFormatError
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes
from tests.support.bundles import make_bundle

LAYOUT = make_bundle().layout
PLACEMENT, SEAL = LAYOUT.placement, LAYOUT.seal
Change = Callable[[dict[str, Any]], object]


def test_round_trip() -> None:
    """What is written is read again, canonical both times."""
    assert Placement.parse(PLACEMENT.to_bytes()) == PLACEMENT
    assert Seal.parse(SEAL.to_bytes()) == SEAL


def test_extent_end() -> None:
    """An extent ends behind its last byte."""
    assert Extent(Digest.of(b""), 512, 7).end == 519


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.pop("blobs"),
        lambda v: v.update(blobs={}),
        lambda v: v["blobs"].append(7),
        lambda v: v["blobs"][0].update(digest="x"),
        lambda v: v["blobs"][0].update(offset=-1),
        lambda v: v["blobs"][0].update(offset="1"),
        lambda v: v["blobs"][0].update(offset=True),
        lambda v: v["blobs"][0].update(length=1 << 61),
        lambda v: v["blobs"][0].pop("length"),
        lambda v: v["blobs"][0].update(length=v["blobs"][1]["offset"]),
        lambda v: v["blobs"].reverse(),
        lambda v: v.update(seal=v["blobs"][-1]["offset"]),
        lambda v: v.update(seal=None),
        lambda v: v.update(volume=None),
        lambda v: v.update(bundle="x"),
        lambda v: v.update(formatVersion=2),
        lambda v: v.update(requires=["x"]),
        lambda v: v["blobs"][0].update(parts=[]),
        lambda v: v["blobs"][0].update(encoding="delta"),
    ],
)
def test_nonsense_is_refused(change: Change) -> None:
    """A placement with blobs over each other, outside, or in unknown forms is refused."""
    value = PLACEMENT.to_json()
    change(value)
    with pytest.raises(BundleFormatError):
        Placement.parse(canonical_bytes(value))


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"<x>"])
def test_other_documents_are_refused(raw: bytes) -> None:
    """What is no placement is none, and no seal either."""
    with pytest.raises(BundleFormatError):
        Placement.parse(raw)
    with pytest.raises(BundleFormatError):
        Seal.parse(raw)


def test_unknown_part_is_named() -> None:
    """A placement that cuts blobs is refused by the name of what it uses."""
    value = PLACEMENT.to_json()
    value["blobs"][0]["parts"] = []
    with pytest.raises(BundleFormatError) as caught:
        Placement.parse(canonical_bytes(value))
    assert "parts" in caught.value.message


def test_every_flipped_bit_of_the_seal_is_found() -> None:
    """The seal's own digest covers all of it."""
    raw = SEAL.to_bytes()
    for at in range(len(raw)):
        with pytest.raises(BundleFormatError):
            Seal.parse(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.update(bundle=str(Digest.of(b"other"))),
        lambda v: v.pop("placement"),
        lambda v: v.update(placement=[]),
        lambda v: v.update(uncovered="x"),
        lambda v: v["uncovered"].update(digest="x"),
        lambda v: v["uncovered"].update(size=-1),
        lambda v: v.update(formatVersion=3),
        lambda v: v.update(requires=["x"]),
        lambda v: v["placement"].update(blobs=None),
        lambda v: v["placement"]["blobs"].reverse(),
    ],
)
def test_contradictions_in_a_seal_are_refused(change: Change) -> None:
    """A seal with a right digest of its own and a wrong content is refused all the same."""
    value = json.loads(SEAL.to_bytes())
    del value["self"]
    change(value)
    value["self"] = str(Digest.of(canonical_bytes(value)))
    with pytest.raises(BundleFormatError):
        Seal.parse(canonical_bytes(value))
