"""The table of an inventory's digests: every digest is found, however they are spread."""

from __future__ import annotations

import random
from bisect import bisect_left

import pytest

from airgap.oci.digest import Digest
from airgap.record.inventory_format import DigestRows

SPREADS = {
    "even": lambda raw, _: raw,
    "all at the start": lambda raw, _: bytes(20) + raw[:12],
    "all at the end": lambda raw, _: b"\xff" * 20 + raw[:12],
    "in a heap": lambda raw, number: raw if number % 9 == 0 else b"\x80" * 16 + raw[:16],
}


@pytest.mark.parametrize("spread", SPREADS.values(), ids=SPREADS.keys())
@pytest.mark.parametrize("count", [0, 1, 2, 3, 10, 1000, 4000])
def test_every_digest_is_found_and_no_other(spread, count):
    """Digests that somebody chose are found like any; what is not there has no row."""
    seeded = random.Random(count)
    digests = sorted({spread(seeded.randbytes(32), number) for number in range(count)})
    rows = DigestRows(memoryview(b"".join(digests)))
    for number, raw in enumerate(digests):
        assert rows.find(Digest("sha256", raw.hex())) == number
    others = [bytes(32), b"\xff" * 32, *(spread(seeded.randbytes(32), n) for n in range(500))]
    for raw in others:
        place = bisect_left(digests, raw)
        is_there = place < len(digests) and digests[place] == raw
        assert rows.find(Digest("sha256", raw.hex())) == (place if is_there else None)
    assert rows.find(Digest("sha512", "0" * 128)) is None
