"""Policy on images: every one carries a cosign signature by each key that is demanded.

An index counts as signed where it is signed itself, or where all of its entries that travel are:
whoever signs each platform signs what is run. Whether an entry can be run does not matter, since
what nobody signed could be anything. Signatures that refer to an image need none themselves.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from airgap.errors import UnsignedImagesError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document
from airgap.run import Run
from airgap.run.events import ItemFinished, PhaseFinished, PhaseStarted
from airgap.transfer.resolve import MAX_DEPTH
from airgap.transfer.workers import Task, Workers
from airgap.trust.cosign import MAX_CLAIMS, Problem, claims, judge
from airgap.trust.keys import PublicKey

PHASE = "signatures"
_SHOWN = 3
_WIDTH = 4
"""How many images are looked at at once; each takes one or two small answers."""
_TEXTS = {
    Problem.UNSIGNED: "has no signature",
    Problem.UNREADABLE: "has no signature that can be read",
    Problem.OTHER_KEY: "is signed, but not with",
    Problem.OTHER_IMAGE: "has a signature of something else",
}


@dataclass(frozen=True, slots=True)
class RequiredKey:
    """A key that must have signed every image.

    Attributes:
        name: What people call it, such as its file.
        key: The key.
    """

    name: str
    key: PublicKey


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image that is to travel.

    Attributes:
        name: Its full name.
        repository: The source's `registry/path`: signatures are looked for there.
        root: What the name stands for.
        documents: Every manifest and index that travels.
    """

    name: str
    repository: str
    root: Document
    documents: Mapping[Digest, Document] = field(repr=False)

    def entries(self, document: Document) -> tuple[Descriptor, ...]:
        """What an index lists and what travels, each once."""
        listed = {entry.digest: entry for entry in document.children()}
        return tuple(entry for digest, entry in listed.items() if digest in self.documents)


class Evidence(Protocol):
    """Where signatures come from."""

    def signatures(self, repository: str, digest: Digest, /) -> Iterable[Document]:
        """The manifests that refer to a digest: signatures and all else."""
        ...

    def read(self, repository: str, payload: Descriptor, /) -> bytes | None:
        """The verified bytes of a payload; None where it is gone."""
        ...


def check_images(
    images: Iterable[Candidate], required: Sequence[RequiredKey], evidence: Evidence, *, run: Run
) -> None:
    """See that every image is signed by every key that is demanded.

    Args:
        images: What is to travel.
        required: Whose signatures it must have.
        evidence: Where they are found.
        run: Cancellation.

    Raises:
        UnsignedImagesError: Some are not; each is listed.
        AirgapError: A signature could not be got.
    """
    if not required:
        return
    check = _Check(required, evidence)
    found: dict[int, str] = {}
    wanted = list(images)
    if not wanted:
        return

    def task(number: int, image: Candidate) -> Task:
        def judge_image() -> None:
            reason = check.reason(image)
            if reason is not None:
                found[number] = f"{image.name}: {reason}"
            run.emit(ItemFinished(PHASE, image.name, "done" if reason is None else "failed"))

        return judge_image

    run.emit(PhaseStarted(PHASE, total_items=len(wanted)))
    workers = Workers(min(len(wanted), _WIDTH), run=run)
    workers.finish(task(number, image) for number, image in enumerate(wanted))
    run.emit(PhaseFinished(PHASE))
    if not found:
        return
    failed = [found[number] for number in sorted(found)]
    names = [wanted[number].name for number in sorted(found)]
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if names[3:] else "")
    keys = " and ".join(key.name for key in required)
    verb = "is" if len(names) == 1 else "are"
    hint = "nothing was transferred; sign with `cosign sign --key`, or leave these images out"
    if any(key.key.algorithm == "ed25519" for key in required):
        hint += "; with Ed25519 keys cosign 3.1 makes signatures that it does not verify itself"
    raise UnsignedImagesError(
        f"{len(names)} of {len(wanted)} images {verb} not signed with {keys}: {shown}",
        failed=failed,
        hint=hint,
    )


@dataclass(slots=True)
class _Standing:
    """Who signed one manifest, and what is to be said of the others."""

    keys: frozenset[Digest] = frozenset()
    problem: Problem = Problem.UNSIGNED


class _Check:
    """Judges manifests, each once; any thread may ask."""

    def __init__(self, required: Sequence[RequiredKey], evidence: Evidence) -> None:
        self._required = required
        self._keys = tuple(dict.fromkeys(r.key for r in required))
        self._wanted = frozenset(key.id for key in self._keys)
        self._evidence = evidence
        self._lock = threading.Lock()
        self._known: dict[tuple[str, Digest], _Standing] = {}

    def reason(self, image: Candidate) -> str | None:
        """Why an image does not count as signed; None where it does."""
        root = image.root.descriptor.digest
        for required in self._required:
            known: dict[Digest, bool] = {}
            if not self._is_signed(image, root, required.key.id, known, 0):
                return self._text(image, required, known)
        return None

    def _is_signed(
        self, image: Candidate, digest: Digest, key: Digest, known: dict[Digest, bool], depth: int
    ) -> bool:
        """Whether a manifest, or all that it lists, is signed."""
        # Kept in `known`: indexes may list the same entries over and over.
        if digest not in known:
            document = image.documents[digest]
            entries = image.entries(document) if depth < MAX_DEPTH else ()
            known[digest] = key in self._standing(image, document).keys or (
                bool(entries)
                and all(self._is_signed(image, e.digest, key, known, depth + 1) for e in entries)
            )
        return known[digest]

    def _text(self, image: Candidate, required: RequiredKey, known: dict[Digest, bool]) -> str:
        entries = image.entries(image.root)
        lacking = [
            e for e in entries if not self._is_signed(image, e.digest, required.key.id, known, 1)
        ]
        if lacking and len(lacking) < len(entries):
            named = ", ".join(str(e.platform or e.digest.short) for e in lacking[:_SHOWN])
            what = f"{len(lacking)} of its {len(entries)} manifests"
            return f"neither the index nor {what} is signed with {required.name}: {named}"
        problem = self._standing(image, image.root).problem
        text = _TEXTS[problem]
        return f"{text} {required.name}" if problem is Problem.OTHER_KEY else text

    def _standing(self, image: Candidate, document: Document) -> _Standing:
        place = (image.repository, document.descriptor.digest)
        with self._lock:
            known = self._known.get(place)
        if known is None:
            known = self._judge(image.repository, document)
            with self._lock:
                self._known[place] = known
        return known

    def _judge(self, repository: str, document: Document) -> _Standing:
        standing = _Standing()
        # Whoever made the bundle chose how many there are.
        listed = self._evidence.signatures(repository, document.descriptor.digest)
        each = (claim for found in listed for claim in claims(found))
        for claim in islice(each, MAX_CLAIMS):
            payload = self._evidence.read(repository, claim.payload)
            if payload is None:
                standing.problem = max(standing.problem, Problem.UNREADABLE)
                continue
            judgement = judge(claim, payload, document, self._keys)
            standing.keys |= judgement.keys
            if standing.keys >= self._wanted:
                return standing
            standing.problem = max(standing.problem, judgement.problem)
        return standing
