"""The base guard: whether a destination has what a bundle leaves to it, asked before all else.

A blob that an image's repository lacks may lie in another repository of the registry: where the
catalog says that it is held, or where somebody says that one should look.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from shlex import join

from airgap.bundle.catalog import Catalog
from airgap.bundle.held import HeldBlob
from airgap.errors import ContentNotFoundError, MissingBaseError, SettingsError, UnauthorizedError
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.run import Run
from airgap.transfer.destination import Destination, Target
from airgap.transfer.publication import Publication
from airgap.transfer.receiver import ReceivingRepository
from airgap.wording import count_text, size_text

PHASE = "guard"
Repositories = Callable[[str], ReceivingRepository]
Readable = Callable[[str], bool]
"""Whether a repository may be looked into for what an image needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """Where else than in an image's own repository a blob may lie.

    Attributes:
        to: The destination, which says what names of sources become there.
        keep_host: Whether the source's host stays in these names.
        mount_from: Further repositories of the registry.
        may_read: Whether a repository may be looked into; None where the registry decides.
        hint: What to do where something is nowhere.
    """

    to: Destination
    keep_host: bool = False
    mount_from: tuple[str, ...] = ()
    may_read: Readable | None = None
    hint: str | None = None

    def places(self, catalog: Catalog, blob: HeldBlob) -> tuple[str, ...]:
        """The repositories to look into, in this order."""
        name = blob.repository
        if catalog.bases[blob.base].names_sources:
            try:
                name = self.to.repository_for(name, keep_host=self.keep_host)
            except SettingsError:  # it cannot be called so there, and so is not there
                name = ""
        names = [name for name in dict.fromkeys((name, *self.mount_from)) if name]
        return tuple(n for n in names if self.may_read is None or self.may_read(n))


@dataclass(frozen=True, slots=True)
class HeldFind:
    """What became of one blob that is left to the destination.

    Attributes:
        descriptor: The blob.
        home: A repository that has it; None where none does.
        present: The repositories of images that have it.
        lacking: The repositories of images that do not.
    """

    descriptor: Descriptor
    home: ReceivingRepository | None
    present: tuple[ReceivingRepository, ...]
    lacking: tuple[ReceivingRepository, ...]


@dataclass(slots=True)
class _Question:
    blob: HeldBlob
    targets: list[Target] = field(default_factory=list[Target])

    def repositories(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(target.repository for target in self.targets))


class BaseGuard:
    """Looks for everything that publications need and their bundle leaves to the destination.

    Args:
        repository: Gives a repository of the destination.
        publications: What is to be put there.
        catalog: What the bundle carries and leaves.
        elsewhere: Where else to look.
    """

    def __init__(
        self,
        repository: Repositories,
        publications: Iterable[Publication],
        catalog: Catalog,
        elsewhere: Elsewhere,
    ) -> None:
        self._repository = repository
        self._catalog = catalog
        self._elsewhere = elsewhere
        self._lock = threading.Lock()
        self._questions: dict[Digest, _Question] = {}
        for publication in publications:
            for blob in publication.held:
                question = self._questions.setdefault(blob.digest, _Question(blob))
                question.targets.append(publication.target)
        self.found: dict[Digest, HeldFind] = {}
        """After `ask`: what became of each blob."""

    def tasks(self) -> list[tuple[list[Target], Callable[[Run], None]]]:
        """What is to be asked, and the targets that need the answer; in any order, in threads."""
        return [(q.targets, self._task(q)) for q in self._questions.values()]

    def targets(self, digest: Digest) -> Sequence[Target]:
        """What needs a blob."""
        return self._questions[digest].targets

    def lacking(self) -> dict[Target, tuple[HeldBlob, ...]]:
        """What is not there, by the target that needs it, in the order of targets."""
        lacks: dict[Target, list[HeldBlob]] = {}
        for digest, question in self._questions.items():
            found = self.found.get(digest)
            if found is not None and found.home is None:
                for target in question.targets:
                    lacks.setdefault(target, []).append(question.blob)
        return {target: tuple(sorted(blobs)) for target, blobs in lacks.items()}

    def to_take_over(self) -> Iterator[HeldFind]:
        """What lies elsewhere and must come into repositories of images."""
        for find in self.found.values():
            if find.home is not None and find.lacking:
                yield find

    def is_supplied(self, blobs: Iterable[HeldBlob]) -> bool:
        """Whether all of some blobs come with the bundle that this one supplements."""
        return all(self._catalog.bases[blob.base].kind == "need" for blob in blobs)

    def completed(self, waiting: Mapping[Target, Iterable[Digest]]) -> dict[Digest, int]:
        """The bundles that this one supplements, and how many images wait for each."""
        bundles = (
            {self._catalog.bases[self._questions[digest].blob.base].id for digest in digests}
            for digests in waiting.values()
        )
        return dict(Counter(bundle for found in bundles for bundle in sorted(found)))

    def _task(self, question: _Question) -> Callable[[Run], None]:
        def look(run: Run) -> None:
            found = self._look(question, run)
            with self._lock:
                self.found[question.blob.digest] = found

        return look

    def _look(self, question: _Question, run: Run) -> HeldFind:
        blob = question.blob
        descriptor = Descriptor(mediatype.OCTET_STREAM, blob.digest, blob.size)
        present: list[ReceivingRepository] = []
        lacking: list[ReceivingRepository] = []
        names = question.repositories()
        for name in names:
            repository = self._repository(name)
            (present if repository.has_blob(descriptor) else lacking).append(repository)
        home = present[0] if present else None
        for name in self._elsewhere.places(self._catalog, blob) if lacking else ():
            if home is not None:
                break
            if name not in names:
                home = self._there(name, descriptor, run)
        return HeldFind(descriptor, home, tuple(present), tuple(lacking))

    def _there(self, name: str, descriptor: Descriptor, run: Run) -> ReceivingRepository | None:
        """Another repository, if it has a blob and lets us see it."""
        repository = self._repository(name)
        try:
            return repository if repository.has_blob(descriptor) else None
        except (UnauthorizedError, ContentNotFoundError) as error:
            run.debug("held-elsewhere", f"{repository.name}: {error.message}")
            return None


def missing_error(
    lacks: Iterable[tuple[Target, Sequence[HeldBlob]]], *, registry: str, hint: str | None
) -> MissingBaseError:
    """The error that says what a registry lacks, image by image."""
    by_image = list(lacks)
    blobs = {blob.digest: blob.size for _, found in by_image for blob in found}
    what = f"{count_text(len(blobs), 'blob')} ({size_text(sum(blobs.values()))})"
    lines = [
        f"{target.image.reference.tagged} lacks {count_text(len(found), 'blob')} "
        f"({size_text(sum(blob.size for blob in found))}): {_shown(found)}"
        for target, found in by_image
    ]
    whose = (
        by_image[0][0].image.reference.tagged
        if len(by_image) == 1
        else f"{count_text(len(by_image), 'image')}"
    )
    return MissingBaseError(
        f"{registry} does not have {what} of {whose} that the bundle leaves to it",
        missing=[str(digest) for digest in sorted(blobs)],
        failed=lines,
        hint=hint,
    )


def _shown(blobs: Sequence[HeldBlob]) -> str:
    more = f" and {len(blobs) - 3} more" if len(blobs) > 3 else ""
    return ", ".join(str(blob.digest) for blob in blobs[:3]) + more


def need_commands(
    naming: Sequence[str], to: Destination, *, keep_host: bool, mount_from: Sequence[str]
) -> str:
    """What to do where something is missing: the two commands that bring it.

    Args:
        naming: The options that say which bundle it is, and how it is read; empty for any.
        to: The destination.
        keep_host: Whether the source's host stays in names.
        mount_from: The repositories that were looked into.
    """
    words = ["airgap", "export", "inventory", "--from", str(to)]
    words += naming or ["--missing-for", "BUNDLE"]
    words += ["--keep-host"] if keep_host else []
    for name in mount_from:
        words += ["--mount-from", name]
    ask = join([*words, "-o", "need.inventory"])
    return (
        f"`{ask}` writes down what is missing, and on the other side "
        "`airgap export images --exactly need.inventory -o need.tar` makes a bundle of it; "
        "--mount-from REPOSITORY finds what lies elsewhere in the registry"
    )
