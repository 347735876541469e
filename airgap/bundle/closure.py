"""What the manifests of a bundle need, compared with what the bundle has. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from airgap.bundle.catalog import Catalog, CatalogReferrer
from airgap.errors import (
    AirgapError,
    BundleFormatError,
    IncompleteBundleError,
    SizeMismatchError,
)
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document

MAX_STEPS = 10_000_000
"""How many manifests and blobs the images name in all, each counted for each image that does."""


@dataclass(frozen=True, slots=True)
class Gap:
    """What a manifest names and the bundle does not have as it is named.

    Attributes:
        parent: The manifest or index.
        descriptor: What it names.
        held: The size that the catalog says, or None where it neither travels nor is left to the
            receiver.
    """

    parent: Digest
    descriptor: Descriptor
    held: int | None

    def error(self) -> AirgapError:
        """What is wrong, as an error."""
        digest = self.descriptor.digest
        if self.held is None:
            return IncompleteBundleError(
                f"{self.parent} needs {digest}, which is neither in the bundle"
                " nor listed as left out or left to the receiver",
                missing=(str(digest),),
                hint="export the image again",
            )
        return SizeMismatchError(
            f"{digest} has {self.held} bytes by the catalog"
            f" and {self.descriptor.size} by {self.parent}",
            expected=str(self.descriptor.size),
            actual=str(self.held),
            hint="the manifest at the source is wrong, or somebody changed the bundle",
            origin="bundle",
        )


def successors(document: Document) -> Iterator[Descriptor]:
    """What a manifest or index names and needs: children, config and layers."""
    yield from document.children()
    yield from document.blobs()


def check_steps(catalog: Catalog, documents: Mapping[Digest, Document]) -> None:
    """Refuse a bundle in which so much is shared that walking each image would take for ever.

    A few megabytes of indexes that name each other can stand for billions of entries. This counts
    them without walking them.

    Raises:
        BundleFormatError: There are too many.
    """
    referrers = referrers_by_subject(catalog.referrers)
    steps: dict[Digest, int] = {}
    total = 0
    for image in catalog.images:
        for root in (image.digest, image.load):
            if root is not None:
                total += _count_steps(root, documents, referrers, steps)
        if total > MAX_STEPS:
            raise BundleFormatError(
                f"the images of the catalog name more than {MAX_STEPS} manifests and blobs in all",
                hint="somebody made this file to do harm: do not use it",
                origin="bundle",
            )


def _count_steps(
    root: Digest,
    documents: Mapping[Digest, Document],
    referrers: Mapping[Digest, list[Digest]],
    steps: dict[Digest, int],
) -> int:
    """How many steps it is to walk a digest; `steps` keeps what was counted already."""
    waiting = [(root, False)]
    while waiting:
        current, is_below_counted = waiting.pop()
        document = documents.get(current)
        if document is None or (current in steps and not is_below_counted):
            continue
        below = [needed.digest for needed in successors(document)]
        below += referrers.get(current, ())
        if is_below_counted:
            steps[current] = min(1 + sum(steps.get(digest, 1) for digest in below), MAX_STEPS + 1)
            continue
        steps[current] = 1  # for a catalog that lets things refer to each other in a ring
        waiting.append((current, True))
        waiting.extend((digest, False) for digest in below if digest not in steps)
    return steps.get(root, 1)


def check_loads(catalog: Catalog, documents: Mapping[Digest, Document]) -> None:
    """See that what docker would load under a name is the image of that name.

    Raises:
        BundleFormatError: It is another one.
    """
    for image in catalog.images:
        if image.load is not None and image.load not in reachable([image.digest], documents):
            raise BundleFormatError(
                f"docker would load {image.load} as {image.reference.tagged},"
                f" which is {image.digest} and does not name it",
                hint="somebody changed this file: do not use it",
                origin="bundle",
            )


def check_belonging(catalog: Catalog, documents: Mapping[Digest, Document]) -> None:
    """See that all that the bundle carries or leaves to the receiver belongs to one of its images.

    An import sends what images need and what refers to it in their repositories: anything else
    would be left behind without a word. It asks the receiver for what is left to it, which nobody
    should have to have for nothing.

    Raises:
        BundleFormatError: Something belongs to none.
    """
    found: set[Digest] = set()
    for repository, (roots, here) in by_repository(catalog).items():
        reached = with_referrers(roots, documents, referrers_by_subject(here))
        for referrer in here:
            if referrer.subject not in reached:
                raise BundleFormatError(
                    f"{referrer.digest} refers to {referrer.subject} in {repository},"
                    " which no image of the catalog leads to",
                    hint="somebody changed this file: do not use it",
                    origin="bundle",
                )
        found |= reached
    for digest in (*catalog.sizes(), *catalog.held_sizes()):
        if digest not in found:
            raise BundleFormatError(
                f"nothing in the bundle asks for {digest}",
                hint="somebody changed this file: do not use it",
                origin="bundle",
            )


def by_repository(catalog: Catalog) -> dict[str, tuple[list[Digest], list[CatalogReferrer]]]:
    """The digests of the images and the referrers of each repository, as `registry/path`."""
    found: dict[str, tuple[list[Digest], list[CatalogReferrer]]] = {}
    for image in catalog.images:
        found.setdefault(image.reference.name, ([], []))[0].append(image.digest)
    for referrer in catalog.referrers:
        found.setdefault(referrer.repository, ([], []))[1].append(referrer)
    return found


def gaps(catalog: Catalog, documents: Mapping[Digest, Document]) -> Iterator[Gap]:
    """What the manifests name that is not there, with that size, nor listed as left out.

    What is left to the receiver counts as there, but for children of an index: these travel.
    """
    sizes, omitted = catalog.sizes(), catalog.omissions()
    with_held = sizes | catalog.held_sizes()
    for document in documents.values():
        needs = [(child, sizes) for child in document.children()]
        needs += [(blob, with_held) for blob in document.blobs()]
        for needed, there in needs:
            held = there.get(needed.digest)
            if held == needed.size or (held is None and needed.digest in omitted):
                continue
            yield Gap(document.descriptor.digest, needed, held)


def reachable(roots: Iterable[Digest], documents: Mapping[Digest, Document]) -> set[Digest]:
    """The roots and all that they name, directly or through others."""
    return _walk(roots, documents, {})


def unreferenced(catalog: Catalog, documents: Mapping[Digest, Document]) -> list[Digest]:
    """What the bundle holds or leaves to the receiver, and nothing in it asks for.

    In the order of the catalog.
    """
    roots = [image.digest for image in catalog.images]
    roots += [referrer.digest for referrer in catalog.referrers]
    found = reachable(roots, documents)
    held = [descriptor.digest for descriptor in catalog.manifests]
    held += [digest for digest, _ in catalog.blobs]
    held += [blob.digest for blob in catalog.held]
    return [digest for digest in held if digest not in found]


def affected(
    digests: Iterable[Digest], catalog: Catalog, documents: Mapping[Digest, Document]
) -> dict[Digest, tuple[str, ...]]:
    """The names of the images that need each of some digests, themselves or by a referrer."""
    wanted = set(digests)
    names: dict[Digest, list[str]] = {digest: [] for digest in wanted}
    referrers = referrers_by_subject(catalog.referrers)
    for image in catalog.images if wanted else ():
        for digest in with_referrers([image.digest], documents, referrers) & wanted:
            names[digest].append(image.reference.tagged)
    return {digest: tuple(found) for digest, found in names.items()}


def referrers_by_subject(referrers: Iterable[CatalogReferrer]) -> dict[Digest, list[Digest]]:
    """What refers to each digest, as a catalog says."""
    found: dict[Digest, list[Digest]] = {}
    for referrer in referrers:
        found.setdefault(referrer.subject, []).append(referrer.digest)
    return found


def with_referrers(
    roots: Iterable[Digest],
    documents: Mapping[Digest, Document],
    referrers: Mapping[Digest, Iterable[Digest]],
) -> set[Digest]:
    """The roots, all that they name, what refers to any of it, and so on."""
    return _walk(roots, documents, referrers)


def _walk(
    roots: Iterable[Digest],
    documents: Mapping[Digest, Document],
    referrers: Mapping[Digest, Iterable[Digest]],
) -> set[Digest]:
    found: set[Digest] = set()
    waiting = list(roots)
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        found.add(current)
        document = documents.get(current)
        if document is not None:
            waiting.extend(needed.digest for needed in successors(document))
        waiting.extend(referrers.get(current, ()))
    return found
