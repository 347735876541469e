"""What a bundle leaves to its receiver, as it stands in the catalog. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from airgap.errors import InvalidContentError
from airgap.oci.descriptor import content_from_json
from airgap.oci.digest import Digest
from airgap.oci.reference import is_registry, is_repository
from airgap.record.bases import Base

FEATURE = "held-blobs"
"""What a catalog requires of its reader where blobs are left to the receiver."""


@dataclass(frozen=True, slots=True, order=True)
class HeldBlob:
    """A blob that an image needs and that the receiver has.

    Attributes:
        digest: The blob.
        size: Its bytes.
        base: Which of the catalog's bases says so, from 0.
        repository: Where it is held: a repository of the base's place, or registry and repository
            of the source where the base names sources.
    """

    digest: Digest
    size: int
    base: int
    repository: str


def ordered(
    bases: Iterable[Base], held: Iterable[HeldBlob]
) -> tuple[tuple[Base, ...], tuple[HeldBlob, ...]]:
    """Bases, each once and sorted, and held blobs that name them as they then stand, sorted."""
    given = tuple(bases)
    found = tuple(sorted(set(given)))
    places = {base: number for number, base in enumerate(found)}
    left = sorted(held, key=_order)
    if found != given:
        left = [replace(blob, base=places[given[blob.base]]) for blob in left]
    return found, tuple(left)


def bases_to_json(bases: tuple[Base, ...], held: tuple[HeldBlob, ...]) -> dict[str, Any]:
    """What stands in a catalog; nothing where nothing is left to the receiver."""
    if not bases and not held:
        return {}
    return {
        "bases": [
            {"kind": b.kind, "id": str(b.id)} | ({"place": b.place} if b.place else {})
            for b in bases
        ],
        "held": [
            {"digest": str(h.digest), "size": h.size, "base": h.base, "repository": h.repository}
            for h in held
        ],
    }


def parse_held(entry: Mapping[str, Any]) -> HeldBlob:
    """Read a blob that is left to the receiver.

    Raises:
        InvalidContentError: It is none.
    """
    digest, size = content_from_json(entry)
    base, repository = entry.get("base"), entry.get("repository")
    if not isinstance(base, int) or isinstance(base, bool) or base < 0:
        raise InvalidContentError("a blob that is left to the receiver must name its base")
    if not isinstance(repository, str):
        raise InvalidContentError("a blob that is left to the receiver must name a repository")
    return HeldBlob(digest, size, base, repository)


def check_held(bases: tuple[Base, ...], held: tuple[HeldBlob, ...]) -> None:
    """See that bases and held blobs are in order, and that every blob names a base of them.

    The repository must have the form that the base has.

    Raises:
        InvalidContentError: One does not, or something is twice or out of order.
    """
    if any(first >= second for first, second in pairwise(bases)):
        raise InvalidContentError("the bases are not sorted, or one stands twice")
    if any(first >= second for first, second in pairwise(map(_order, held))):
        raise InvalidContentError("the blobs that are left to the receiver are not sorted")
    for number, repository in {(blob.base, blob.repository) for blob in held}:
        if number >= len(bases):
            raise InvalidContentError("a blob names a base that there is none of")
        is_right, name = True, repository
        if bases[number].names_sources:
            registry, _, name = repository.partition("/")
            is_right = is_registry(registry)
        if not is_right or not is_repository(name):
            raise InvalidContentError(f"{repository[:200]!r} is not a repository")


def _order(blob: HeldBlob) -> tuple[str, str]:
    # sorting hundreds of thousands by their digests themselves takes some seconds
    return blob.digest.algorithm, blob.digest.hex
