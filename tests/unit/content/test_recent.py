"""Small blobs in memory."""

from __future__ import annotations

import pytest

from airgap.content.recent import MAX_BLOB, RecentBlobs
from airgap.oci.digest import Digest


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_what_was_kept_is_found(algorithm):
    """A blob is found by its digest, of whatever algorithm."""
    recent, raw = RecentBlobs(), b"a manifest"
    recent.keep(Digest.of(raw, algorithm), raw)
    assert recent.find(Digest.of(raw, algorithm)) == raw
    assert recent.find(Digest.of(b"another")) is None


def test_the_oldest_go_when_there_are_too_many():
    """No more bytes are kept than allowed, and what came last stays."""
    recent = RecentBlobs(limit=10_000)
    blobs = [bytes([number]) * 1000 for number in range(20)]
    for raw in blobs:
        recent.keep(Digest.of(raw), raw)
        recent.keep(Digest.of(raw), raw)
    kept = [raw for raw in blobs if recent.find(Digest.of(raw)) is not None]
    assert kept == blobs[-len(kept) :]
    assert 5_000 < sum(map(len, kept)) <= 10_000


def test_large_and_damaged_blobs_are_not_kept():
    """What is large is read again each time, and so is what does not hash to its digest."""
    recent, large = RecentBlobs(), bytes(MAX_BLOB + 1)
    recent.keep(Digest.of(large), large)
    recent.keep(Digest.of(b"right"), b"wrong")
    assert recent.find(Digest.of(large)) is None
    assert recent.find(Digest.of(b"right")) is None
