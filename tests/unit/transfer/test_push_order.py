"""In which order an import sends blobs."""

from __future__ import annotations

from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.transfer.push_blobs import sending_order


def sized(*sizes: int) -> list[Descriptor]:
    return [Descriptor("x/y", Digest("sha256", f"{size:064x}"), size) for size in sizes]


def test_small_blobs_go_between_large_ones():
    """One of the smallest follows on every three of the largest, and each blob comes once."""
    order = [blob.size for blob in sending_order(sized(3, 9, 1, 7, 5, 8, 2, 6, 4))]
    assert order == [9, 8, 7, 1, 6, 5, 4, 2, 3]
    assert list(sending_order([])) == []
