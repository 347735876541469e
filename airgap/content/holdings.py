"""All that the repositories of a depot hold, in one go: what an inventory is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Protocol, runtime_checkable

from airgap.oci.digest import Digest
from airgap.record.inventory import Inventory
from airgap.record.inventory_builder import InventoryBuilder
from airgap.version import __version__

NamedManifest = tuple[str, str, str]
"""A repository, a tag of it, and the digest that the tag names."""
HeldContent = tuple[str, int, str]
"""A digest, its size, and a repository that holds it. Plain, for there may be millions."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What repositories hold, as it is at one moment. Each part can be gone through once.

    Attributes:
        tags: The tags, each once, in no order.
        content: Manifests and blobs that nothing removes unasked, in no order; one may come twice.
        is_complete: Whether that is all that the repositories hold.
    """

    tags: Iterable[NamedManifest]
    content: Iterable[HeldContent]
    is_complete: bool = True


@runtime_checkable
class HoldingsTeller(Protocol):
    """A depot that can tell all that its repositories hold with less work than asking each."""

    def holdings(self, names: Sequence[str], /) -> AbstractContextManager[Holdings]:
        """Tell what repositories hold; it can be gone through as long as the context lasts.

        Args:
            names: The repositories; one that is not there holds nothing.
        """
        ...


@contextmanager
def laid_over(depots: Sequence[object], names: Sequence[str]) -> Iterator[Holdings]:
    """What repositories hold in several depots; of two meanings of a tag, the first one counts.

    Args:
        depots: The depots, upmost first. One that cannot tell is left out.
        names: The repositories.
    """
    tellers = [depot for depot in depots if isinstance(depot, HoldingsTeller)]
    with ExitStack() as stack:
        found = [stack.enter_context(teller.holdings(names)) for teller in tellers]
        yield Holdings(
            _first_meanings(chain.from_iterable(each.tags for each in found)),
            chain.from_iterable(each.content for each in found),
            len(tellers) == len(depots) and all(each.is_complete for each in found),
        )


def _first_meanings(tags: Iterable[NamedManifest]) -> Iterator[NamedManifest]:
    seen: set[tuple[str, str]] = set()
    for repository, tag, digest in tags:
        if (repository, tag) not in seen:
            seen.add((repository, tag))
            yield repository, tag, digest


def inventory_of(
    teller: HoldingsTeller,
    names: Sequence[str],
    *,
    is_all: bool,
    made: datetime,
    place: str = "",
    by: str = "",
) -> Inventory:
    """Make the inventory of a depot.

    Args:
        teller: The depot.
        names: The repositories that it speaks of.
        is_all: Whether these are all that there are.
        made: When this is.
        place: What clients call the registry, as HOST:PORT; empty where nobody knows.
        by: Who asks for it.
    """
    builder = InventoryBuilder(place=place, kind="registry", made=made, by=by, version=__version__)
    with teller.holdings(names) as holdings:
        builder.is_complete = is_all and holdings.is_complete
        builder.add_bulk(holdings.content)
        for repository, tag, digest in holdings.tags:
            builder.add_image(f"{repository}:{tag}", Digest.parse(digest))
    return builder.build()
