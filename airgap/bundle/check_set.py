"""Which of some files are the volumes of one bundle, which are missing, and whom that concerns.

Pure: it compares what surveys say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from airgap.bundle import closure
from airgap.bundle.catalog import Catalog
from airgap.bundle.finding import Finding
from airgap.bundle.placement import Placement
from airgap.bundle.signed import first_signatures
from airgap.bundle.survey import Survey
from airgap.oci.digest import Digest

_Homes = tuple[tuple[int, int], ...]
_MAX_SPANS = 1_000_000
"""A placement that has blobs lie in more volumes than this, all told, is made to do harm."""


@dataclass(frozen=True, slots=True)
class VolumeSet:
    """The files of one bundle among others.

    Attributes:
        leader: What is known of the bundle, from a sound file where there is one.
        members: Which of the files belong to it, by their number.
        strays: Which belong to another bundle, or to the same one shared out in another way.
        volumes: How many volumes there are; None where that is not known.
        missing: The volumes that are not among the files.
        twice: The volumes of which there is more than one file.
        signatures: Those of the first sound volume that has any; empty where none has.
    """

    leader: Survey
    members: tuple[int, ...]
    strays: tuple[int, ...]
    volumes: int | None
    missing: tuple[int, ...]
    twice: tuple[int, ...]
    signatures: bytes = b""

    @property
    def catalog(self) -> Catalog | None:
        """What the bundle carries, if that can be read, with its signatures."""
        catalog = self.leader.catalog
        return None if catalog is None else replace(catalog, signatures=self.signatures)

    @property
    def bundle(self) -> Digest | None:
        """The bundle id, if a catalog could be read and is the one that others name."""
        catalog = self.leader.catalog
        return catalog.id if catalog and self.leader.is_sure else None

    def missing_findings(self) -> list[Finding]:
        """What it means that volumes are missing."""
        catalog, placement = self.leader.catalog, self.leader.placement
        if not self.missing or placement is None:
            return []
        lost: dict[int, set[Digest]] = {number: set() for number in self.missing}
        spans = sum(last - first for first, last in placement.homes)
        if catalog is not None and self.leader.is_sure and spans < _MAX_SPANS:
            for (digest, _), (first, last) in zip(catalog.blobs, placement.homes, strict=False):
                for number in range(first, last + 1):
                    if number in lost:
                        lost[number].add(digest)
        names = affected_images((d for digests in lost.values() for d in digests), self.leader)
        order = {name: None for image in _images(catalog) if (name := image)}
        findings = []
        for number, digests in lost.items():
            concerned = {name for digest in digests for name in names.get(digest, ())}
            findings.append(
                Finding(
                    "missing-volume",
                    f"volume {number} of {self.volumes} is missing",
                    "find the medium that holds it, or export it again",
                    images=tuple(name for name in order if name in concerned),
                    volume=number,
                )
            )
        return findings

    def stray_finding(self, found: Survey, name: str) -> Finding:
        """What to say of a file that belongs to something else."""
        placement = found.placement
        own = placement.bundle if placement else found.catalog.id if found.catalog else None
        what = "a bundle of one file"
        if placement is not None and placement.volumes > 1:
            what = f"volume {placement.volume} of {placement.volumes}"
        if own == self.bundle:
            rest = "the others hold the same bundle in other volumes"
        else:
            rest = f"the others belong to {self.bundle.short if self.bundle else 'another bundle'}"
        of = f" of the bundle {own.short}" if own else ""
        return Finding(
            "other-bundle",
            f"{name} is {what}{of}; {rest}",
            "take it away, or name only the files of one bundle; --expect says which one",
        )

    def signature_finding(self, found: Survey, name: str) -> Finding | None:
        """What to say of a sound volume without the signatures that others have; None if it does.

        Nothing is lost by it as long as one of the others is there.
        """
        own = found.catalog.signatures if found.catalog else b""
        if found.error is not None or own == self.signatures:
            return None
        what = "other signatures than" if own else "no signatures, unlike"
        return Finding(
            "signature",
            f"{name} has {what} the other volumes of its bundle",
            "the content is the same; copy this volume again from where the bundle was signed",
        )


def find_set(surveys: Sequence[Survey], *, expect: Digest | None = None) -> VolumeSet:
    """Tell the files of one bundle from others: those of the most files, or of the expected id.

    Args:
        surveys: What is known of each file.
        expect: The bundle id that the files should have.
    """
    number = _leader(surveys, expect)
    leader = surveys[number]
    if leader.placement is None:
        everything = tuple(range(len(surveys)))
        return VolumeSet(leader, everything, (), None, (), (), set_signatures([leader]))
    members = tuple(n for n, found in enumerate(surveys) if _belongs(found, leader.placement))
    strays = tuple(
        n
        for n, found in enumerate(surveys)
        if n not in members and (found.placement is not None or found.is_sure)
    )
    here = Counter(
        found.placement.volume for n in members if (found := surveys[n]).placement is not None
    )
    volumes = leader.placement.volumes
    missing = tuple(n for n in range(1, volumes + 1) if n not in here)
    twice = tuple(sorted(n for n, count in here.items() if count > 1))
    signatures = set_signatures(surveys[n] for n in members)
    return VolumeSet(leader, members, strays, volumes, missing, twice, signatures)


def affected_images(digests: Iterable[Digest], found: Survey) -> dict[Digest, tuple[str, ...]]:
    """The names of the images that need each of some digests."""
    if found.catalog is None:
        return {}
    return closure.affected(digests, found.catalog, found.documents)


def explain(findings: Iterable[Finding], found: Survey) -> list[Finding]:
    """Findings about content, with the images that need it."""
    given = list(findings)
    names = affected_images({f.digest for f in given if f.digest is not None}, found)
    return [replace(f, images=names.get(f.digest, ())) if f.digest else f for f in given]


def _images(catalog: Catalog | None) -> list[str]:
    return [image.reference.tagged for image in catalog.images] if catalog else []


def set_signatures(surveys: Iterable[Survey]) -> bytes:
    """The signatures that count among volumes: of the first that has any, of a sound one if any."""

    def rank(found: Survey) -> tuple[bool, bool, int]:
        volume = found.placement.volume if found.placement else 0
        return found.error is not None, not found.is_sealed, volume

    ranked = sorted(surveys, key=rank)
    return first_signatures(s.catalog.signatures for s in ranked if s.catalog)


def _key(placement: Placement) -> tuple[Digest, int, _Homes]:
    return placement.bundle, placement.volumes, placement.homes


def _leader(surveys: Sequence[Survey], expect: Digest | None) -> int:
    """The file that speaks for the bundle: expected, sound, with a place, and of the most files."""
    keys = [_key(found.placement) if found.placement else None for found in surveys]
    counts = Counter(keys)

    def rank(number: int) -> tuple[bool, bool, bool, int, int]:
        found, key = surveys[number], keys[number]
        is_expected = expect is not None and key is not None and key[0] == expect
        return (is_expected, found.error is None, key is not None, counts[key], -number)

    return max(range(len(surveys)), key=rank)


def _belongs(found: Survey, leader: Placement) -> bool:
    """Whether a file is one of the leader's bundle; of a damaged one as far as it can say."""
    placement = found.placement
    if placement is not None and _key(placement) == _key(leader):
        return True
    if found.error is None:
        return False
    if placement is not None and found.seal is not None:
        return False
    said = {found.catalog.id} if found.catalog else set[Digest]()
    return leader.bundle in (said | ({placement.bundle} if placement else set[Digest]()))
