"""Which blobs of an export are left to its receiver, and on whose word. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from airgap.bundle.catalog import Catalog
from airgap.bundle.held import HeldBlob
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.record.bases import Base
from airgap.transfer.known import Belief, Doubt, Known
from airgap.transfer.outcome import LeftShare


@dataclass(frozen=True, slots=True)
class Left:
    """What is left to the receiver.

    Attributes:
        bases: What says so, sorted.
        held: The blobs that are left to it.
        doubts: Blobs that travel although a base names them: with another size.
    """

    bases: tuple[Base, ...]
    held: Mapping[Digest, HeldBlob]
    doubts: tuple[Doubt, ...]

    def shares(self, digests: Iterable[Digest]) -> tuple[LeftShare, ...]:
        """How much of some content is left to the receiver, by base."""
        found: dict[int, list[int]] = {}
        for digest in digests:
            blob = self.held.get(digest)
            if blob is not None:
                found.setdefault(blob.base, []).append(blob.size)
        return tuple(
            LeftShare(
                number, self.bases[number].kind, self.bases[number].id, len(sizes), sum(sizes)
            )
            for number, sizes in sorted(found.items())
        )


def left_by(catalog: Catalog) -> tuple[LeftShare, ...]:
    """How much a bundle leaves to its receiver, by base."""
    held = {blob.digest: blob for blob in catalog.held}
    return Left(catalog.bases, held, ()).shares(held)


def leave_known(
    blobs: Mapping[Digest, Descriptor], places: Mapping[Digest, Sequence[str]], known: Known
) -> Left:
    """Decide which blobs are left to the receiver.

    Every base that was given is named, whether or not something is left on its word: a bundle
    says what it was planned against.

    Args:
        blobs: What the images need.
        places: The repositories of the images that need each, as `registry/path`.
        known: What the receiver has.
    """
    if known.is_empty:
        return Left((), {}, ())
    beliefs: dict[Digest, Belief] = {}
    doubts: list[Doubt] = []
    for digest, blob in blobs.items():
        found = known.find(blob, places[digest])
        if isinstance(found, Belief):
            beliefs[digest] = found
        elif found is not None:
            doubts.append(found)
    bases = tuple(sorted(known.given | {belief.base for belief in beliefs.values()}))
    numbers = {base: number for number, base in enumerate(bases)}
    held = {
        digest: HeldBlob(digest, blobs[digest].size, numbers[belief.base], belief.repository)
        for digest, belief in beliefs.items()
    }
    return Left(bases, held, tuple(sorted(doubts, key=lambda doubt: doubt.blob.digest)))
