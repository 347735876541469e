"""What the receiver is known to hold, and who says so. Pure.

The same witnesses give the same answers, in whatever order they were given.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.record.bases import Base


class Told(Protocol):
    """What is said of a blob that is held."""

    @property
    def size(self) -> int | None:
        """Its bytes; None where nothing is said about them."""
        ...

    @property
    def repositories(self) -> tuple[str, ...]:
        """Which repositories hold it, as the base names them; empty where that is not known."""
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """What is said of a blob that is held, as a plain value."""

    size: int | None
    repositories: tuple[str, ...] = ()


class Wanted(Protocol):
    """What somebody needs, and nothing else."""

    def find(self, digest: Digest, /) -> object | None:
        """What is said of a blob; None where it is not needed."""
        ...

    def blobs(self) -> Iterator[tuple[Digest, int, tuple[str, ...]]]:
        """All that is needed, with sizes."""
        ...


@dataclass(frozen=True, slots=True)
class Witness:
    """Something that says what the receiver holds.

    Attributes:
        base: What it is, as it stands in a catalog.
        find: Gives what it says of a blob; None where it says nothing.
        is_carried: Whether it comes from a bundle that is exported from, and is only named where
            something is left to the receiver on its word.
    """

    base: Base
    find: Callable[[Digest], Told | None]
    is_carried: bool = False


@dataclass(frozen=True, slots=True)
class Belief:
    """A blob that the receiver has.

    Attributes:
        base: Who says so.
        repository: Where it is, as the base names repositories.
    """

    base: Base
    repository: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """A blob that somebody says is held, with another size than the image says it has.

    Attributes:
        blob: The blob, as the image names it.
        base: Who says so.
        told: The size that the base says.
    """

    blob: Descriptor
    base: Base
    told: int | None


class Known:
    """What all witnesses together say.

    Args:
        witnesses: In any order; those of one base count together.
        wanted: What travels whatever is known of it; None for nothing.

    Attributes:
        given: The bases that a catalog names even where nothing is left on their word.
    """

    def __init__(self, witnesses: Iterable[Witness] = (), *, wanted: Wanted | None = None) -> None:
        self._witnesses = tuple(sorted(witnesses, key=lambda witness: witness.base))
        self._wanted = wanted
        self.given = frozenset(w.base for w in self._witnesses if not w.is_carried)

    @property
    def is_empty(self) -> bool:
        """Whether nobody says anything."""
        return not self._witnesses

    def including(self, more: Sequence[Witness]) -> Known:
        """What is known with some more witnesses."""
        return Known((*self._witnesses, *more), wanted=self._wanted) if more else self

    def find(self, blob: Descriptor, names: Sequence[str]) -> Belief | Doubt | None:
        """Whether the receiver has a blob.

        Of all that say so, one counts that has it in a repository of an image that needs it, or
        else in one whose name ends like that: there an import need not mount it from elsewhere.

        Args:
            blob: What it is.
            names: The repositories of the images that need it, as `registry/path`.
        """
        if self._wanted is not None and self._wanted.find(blob.digest) is not None:
            return None
        best: tuple[int, Belief] | None = None
        doubt: Doubt | None = None
        for witness in self._witnesses:
            told = witness.find(blob.digest)
            if told is None:
                continue
            if told.size not in (None, blob.size):
                doubt = doubt or Doubt(blob, witness.base, told.size)
                continue
            rank, repository = _choose(witness.base, told.repositories, names)
            if best is None or rank < best[0]:
                best = rank, Belief(witness.base, repository)
            if rank == 0:
                break
        return best[1] if best else doubt

    def unmet(self, travelling: Collection[Digest]) -> int:
        """How much of what is wanted does not travel."""
        if self._wanted is None:
            return 0
        return sum(digest not in travelling for digest, _, _ in self._wanted.blobs())


def _choose(base: Base, repositories: Sequence[str], names: Sequence[str]) -> tuple[int, str]:
    """The best repository of those that hold a blob, and how good it is; 0 is best."""
    wanted = set(names if base.names_sources else (n.partition("/")[2] for n in names))
    if not repositories:
        return 3, min(wanted)
    # Thousands of images may share a layer that thousands of repositories hold.
    same = wanted.intersection(repositories)
    if same:
        return 0, min(same)
    alike = [name for name in repositories if _ends_as_one_of(name, wanted)]
    return (1, min(alike)) if alike else (2, min(repositories))


def _ends_as_one_of(name: str, wanted: AbstractSet[str]) -> bool:
    """Whether what follows any slash of a name is one of those that are wanted."""
    slash = name.find("/")
    while slash >= 0:
        if name[slash + 1 :] in wanted:
            return True
        slash = name.find("/", slash + 1)
    return False
