"""Bundles that leave blobs to their receiver, and who says that it has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from airgap.content.depot import Repository
from airgap.oci.digest import Digest
from airgap.record.bases import Base, BaseKind
from airgap.run import Run
from airgap.transfer.against import read_known
from airgap.transfer.known import Claim, Known, Witness
from airgap.transfer.sources import Sources
from tests.support.builders import Blob, Content, opened
from tests.support.transfers import pack_into


def told(
    held: Mapping[str, Iterable[Blob]], *, kind: BaseKind = "inventory", place: str = "inside:5000"
) -> Known:
    """Somebody's word that repositories have blobs."""
    claims: dict[Digest, Claim] = {}
    for repository, blobs in held.items():
        for blob in blobs:
            known = claims.get(blob.descriptor.digest, Claim(blob.descriptor.size))
            names = (*known.repositories, repository)
            claims[blob.descriptor.digest] = Claim(blob.descriptor.size, names)
    base = Base(kind, Digest.of(repr(sorted(held)).encode()), place)
    return Known([Witness(base, claims.get)])


def against(paths: Sequence[Path]) -> Known:
    """What bundles, inventories and receipts say that the receiver has."""

    def sources() -> Sources:
        raise AssertionError("nothing is looked up")

    return read_known(paths, sources=sources, run=Run())


def pack_against(
    folder: Path,
    contents: Mapping[str, Content],
    held: Mapping[str, Iterable[Blob]],
    **options: Any,
) -> Path:
    """Make a bundle that leaves blobs to its receiver."""
    return pack_into(folder, contents, known=told(held), **options)


def put_blob(repository: Repository, blob: Blob) -> None:
    """Put one blob into a repository, past the server."""
    with repository.ingest(blob.descriptor) as ingest:
        ingest.receive(lambda offset: opened(blob.data, offset))
        ingest.commit()
