"""Which entries of an index travel (image-spec image-index.md; BuildKit's attestation storage)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Index
from airgap.oci.platform import Platform

ATTESTATION_OF = "vnd.docker.reference.digest"
"""On an index entry without a platform: the digest of the entry that it attests."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The entries of an index that travel, and those that stay behind on purpose."""

    travelling: tuple[Descriptor, ...]
    left_out: tuple[Descriptor, ...]


def choose_entries(index: Index, wanted: Sequence[Platform]) -> Choice:
    """Choose the entries of the wanted platforms and what belongs to them.

    An entry without a platform travels, unless it says that it attests an entry that does not.

    Args:
        index: The index.
        wanted: The platforms asked for; none means all.
    """
    if not wanted:
        return Choice(index.manifests, ())
    entries = {entry.digest for entry in index.manifests}
    chosen = {entry.digest for entry in index.manifests if _is_wanted(entry, wanted)}
    travelling: list[Descriptor] = []
    left_out: list[Descriptor] = []
    for entry in index.manifests:
        attested = _attested(entry)
        if entry.platform is not None and entry.platform.is_known:
            travels = _is_wanted(entry, wanted)
        else:
            travels = attested is None or attested not in entries or attested in chosen
        (travelling if travels else left_out).append(entry)
    return Choice(tuple(travelling), tuple(left_out))


def covers(wanted: Platform, present: Sequence[Platform]) -> bool:
    """Whether one of the platforms that are there is the wanted one."""
    return any(platform.matches(wanted) for platform in present)


def _is_wanted(entry: Descriptor, wanted: Sequence[Platform]) -> bool:
    platform = entry.platform
    return platform is not None and any(platform.matches(one) for one in wanted)


def _attested(entry: Descriptor) -> Digest | None:
    text = entry.annotations.get(ATTESTATION_OF)
    algorithm, _, digits = (text or "").partition(":")
    return Digest(algorithm, digits) if digits else None
