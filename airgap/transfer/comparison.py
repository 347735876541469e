"""What two places have and the other one has not: images by name, content by digest. Pure.

A bundle, a lock file and a list call an image as its source does; a registry and its inventory call
it as the receiver does. Where the two sides call images differently, source names become what an
import would make of them, and the registry's own name does not count. Tags
that only carry what refers to an image (cosign's, and lists of referrers) are no images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from airgap.errors import ConflictError
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.oci.referrers import cosign_subject, is_fallback_tag
from airgap.transfer.destination import Destination

SideKind = Literal["bundle", "inventory", "receipt", "lock", "list", "registry"]
Sizes = Callable[[], Iterator[tuple[Digest, int]]]
"""Gives each digest with its size, ascending, each once."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two places.

    Attributes:
        name: What it is called, for people.
        kind: What it is.
        source_names: Its images by their full source names; None where it does not know these.
        receiver_names: Its images as a registry calls them: `repository:tag` or
            `repository@digest`; None where it knows source names only.
        sizes: What of content it has; None where it does not say.
        holds: Whether a repository of it has a manifest, where that can be told.
        left: How many blobs its images need that it leaves to the receiver.
        prefix: The path that its repositories lie below, where that is known.
    """

    name: str
    kind: SideKind
    source_names: Mapping[Reference, Digest] | None = None
    receiver_names: Mapping[str, Digest] | None = None
    sizes: Sizes | None = None
    holds: Callable[[str, Digest], bool] | None = None
    left: int = 0
    prefix: str = ""

    @property
    def image_count(self) -> int:
        """How many images it names."""
        if self.source_names is not None:
            return sum(_is_image(reference.tag or "") for reference in self.source_names)
        return sum(_is_image(name.rpartition(":")[2]) for name in self.receiver_names or ())


@dataclass(frozen=True, slots=True)
class NamedImage:
    """An image that one side has."""

    name: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class ChangedImage:
    """A name that stands for something else on each side."""

    name: str
    before: Digest
    after: Digest


@dataclass(frozen=True, slots=True)
class Amount:
    """How many blobs and manifests, and their bytes."""

    blobs: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two places differ.

    Attributes:
        added: Images that only the second one has, sorted.
        removed: Images that only the first one has, sorted.
        changed: Names that stand for another image in the second one, sorted.
        same: How many images both have under the same name.
        only_a: The content that only the first one has; None where one side does not say.
        only_b: The content that only the second one has.
        common: The content that both have.
    """

    added: tuple[NamedImage, ...]
    removed: tuple[NamedImage, ...]
    changed: tuple[ChangedImage, ...]
    same: int
    only_a: Amount | None = None
    only_b: Amount | None = None
    common: Amount | None = None

    @property
    def is_equal(self) -> bool:
        """Whether nothing that is known of both is different."""
        differs = self.added or self.removed or self.changed
        return not differs and not any(a and a.blobs for a in (self.only_a, self.only_b))


@dataclass(frozen=True, slots=True)
class Naming:
    """What an import would make of source names.

    Attributes:
        prefix: The path below which repositories go; None takes the one that a side knows.
        keep_host: Whether the source registry's host stays as the first part of the path.
    """

    prefix: str | None = None
    keep_host: bool = False


def compare(a: Side, b: Side, naming: Naming | None = None) -> Comparison:
    """Compare two places.

    Args:
        a: The first one, the older or expected one.
        b: The second one.
        naming: How source names are put into the names of a receiver.

    Raises:
        SettingsError: A source name cannot be one at a receiver.
        ConflictError: Two source names become one.
    """
    before, after = (
        {name: digest for name, digest in names.items() if _is_image(name.rpartition(":")[2])}
        for names in _names(a, b, naming or Naming())
    )
    added = {name: digest for name, digest in after.items() if name not in before}
    removed = {name: digest for name, digest in before.items() if name not in after}
    both = before.keys() & after.keys()
    changed = sorted(name for name in both if before[name] != after[name])
    found = _found(added, a) | _found(removed, b)
    amounts: tuple[Amount | None, ...] = (None, None, None)
    if a.sizes is not None and b.sizes is not None:
        amounts = compare_sizes(a.sizes(), b.sizes())
    return Comparison(
        tuple(NamedImage(name, added[name]) for name in sorted(added.keys() - found)),
        tuple(NamedImage(name, removed[name]) for name in sorted(removed.keys() - found)),
        tuple(ChangedImage(name, before[name], after[name]) for name in changed),
        len(both) - len(changed) + len(found),
        *amounts,
    )


def compare_sizes(
    a: Iterator[tuple[Digest, int]], b: Iterator[tuple[Digest, int]]
) -> tuple[Amount, Amount, Amount]:
    """What only the first has, what only the second has, and what both have.

    Both are read once and in step, so that neither has to be held in memory.
    """
    counts, sizes = [0, 0, 0], [0, 0, 0]
    left, right = next(a, None), next(b, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left[0] < right[0]):
            assert left is not None, "one of the two is there"
            which, size, left = 0, left[1], next(a, None)
        elif left is None or right[0] < left[0]:
            which, size, right = 1, right[1], next(b, None)
        else:
            which, size, left, right = 2, left[1], next(a, None), next(b, None)
        counts[which] += 1
        sizes[which] += size
    only_a, only_b, common = (Amount(*pair) for pair in zip(counts, sizes, strict=True))
    return only_a, only_b, common


def ascending(sizes: Mapping[Digest, int]) -> Sizes:
    """What gives the entries of a mapping in order."""

    def give() -> Iterator[tuple[Digest, int]]:
        return iter(sorted(sizes.items()))

    return give


def _names(a: Side, b: Side, naming: Naming) -> tuple[Mapping[str, Digest], Mapping[str, Digest]]:
    """The images of both sides under names of one kind."""
    if a.source_names is not None and b.source_names is not None:
        return _texts(a.source_names), _texts(b.source_names)
    prefix = a.prefix or b.prefix if naming.prefix is None else naming.prefix
    destination = Destination("the receiver", prefix)
    return (
        _as_received(a, destination, keep_host=naming.keep_host),
        _as_received(b, destination, keep_host=naming.keep_host),
    )


def _is_image(tag: str) -> bool:
    """Whether a tag stands for an image, and not for what refers to one: that is content of it."""
    return cosign_subject(tag) is None and not is_fallback_tag(tag)


def _texts(names: Mapping[Reference, Digest]) -> dict[str, Digest]:
    return {reference.tagged: digest for reference, digest in names.items()}


def _as_received(side: Side, destination: Destination, *, keep_host: bool) -> Mapping[str, Digest]:
    if side.receiver_names is not None:
        return side.receiver_names
    assert side.source_names is not None, "a side knows names of one kind"
    names: dict[str, Digest] = {}
    taken: dict[str, Reference] = {}
    for reference, digest in side.source_names.items():
        repository = destination.repository_for(reference.name, keep_host=keep_host)
        locator = f":{reference.tag}" if reference.tag else f"@{digest}"
        name = f"{repository}{locator}"
        other = taken.setdefault(name, reference)
        if other != reference and names[name] != digest:
            raise ConflictError(
                f"{other.tagged} and {reference.tagged} of {side.name} would both be called {name}",
                hint="--keep-host keeps their hosts apart",
            )
        names[name] = digest
    return names


def _found(names: Iterable[str], other: Side) -> set[str]:
    """Of images without a tag, those that the other side has without naming them."""
    if other.holds is None:
        return set()
    untagged = (name.partition("@") for name in names)
    return {
        f"{repository}@{digest}"
        for repository, at, digest in untagged
        if at and other.holds(repository, Digest.parse(digest))
    }
