"""What several depots hold, told as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from airgap.content.holdings import (
    HeldContent,
    Holdings,
    NamedManifest,
    inventory_of,
    laid_over,
)
from airgap.errors import InvalidContentError, StorageError
from airgap.oci.digest import Digest

MADE = datetime(2026, 11, 25, tzinfo=UTC)
ONE, TWO, THREE = (str(Digest.of(text)) for text in (b"1", b"2", b"3"))


class Told:
    """Tells what a test says."""

    def __init__(
        self, tags: list[NamedManifest], content: list[HeldContent], *, is_complete: bool = True
    ) -> None:
        self.told = Holdings(tags, content, is_complete)
        self.asked: list[Sequence[str]] = []
        self.is_open = False

    @contextmanager
    def holdings(self, names: Sequence[str], /) -> Iterator[Holdings]:
        self.asked.append(names)
        self.is_open = True
        yield self.told
        self.is_open = False


UPPER = Told([("a", "1", ONE), ("a", "2", ONE)], [(ONE, 1, "a")])
LOWER = Told([("a", "1", TWO), ("b", "1", TWO)], [(TWO, 2, "a"), (TWO, 2, "b"), (ONE, 1, "a")])


def test_the_upper_meaning_of_a_tag_counts() -> None:
    """And the content of all is there."""
    with laid_over([UPPER, LOWER], ["a", "b"]) as holdings:
        assert UPPER.is_open
        assert LOWER.is_open
        assert list(holdings.tags) == [("a", "1", ONE), ("a", "2", ONE), ("b", "1", TWO)]
        assert list(holdings.content) == [*UPPER.told.content, *LOWER.told.content]
        assert holdings.is_complete
    assert not UPPER.is_open
    assert UPPER.asked[-1] == LOWER.asked[-1] == ["a", "b"]


@pytest.mark.parametrize("other", [object(), Told([], [], is_complete=False)], ids=["dumb", "part"])
def test_who_does_not_tell_all_makes_the_whole_incomplete(other: object) -> None:
    """What the others tell is told all the same."""
    with laid_over([UPPER, other], ["a"]) as holdings:
        assert list(holdings.content) == UPPER.told.content
        assert not holdings.is_complete


@pytest.mark.parametrize(
    ("is_all", "is_complete", "expected"),
    [(True, True, True), (False, True, False), (True, False, False)],
)
def test_an_inventory_says_whether_it_is_complete(
    *, is_all: bool, is_complete: bool, expected: bool
) -> None:
    """Only where all repositories were asked and each told all."""
    told = Told([("a", "1", ONE)], [(ONE, 1, "a"), (ONE, 1, "a")], is_complete=is_complete)
    inventory = inventory_of(
        told, ["a"], is_all=is_all, made=MADE, place="registry.internal:5000", by="bob"
    )
    assert inventory.is_complete is expected
    assert (inventory.blob_count, inventory.link_count) == (1, 1)
    assert [(name, str(digest)) for name, digest in inventory.images] == [("a:1", ONE)]
    assert (inventory.place, inventory.by, inventory.made) == (
        "registry.internal:5000",
        "bob",
        MADE,
    )


def test_a_tag_of_what_is_not_held_is_no_inventory() -> None:
    """A depot that contradicts itself gives nothing that somebody relies on."""
    with pytest.raises(InvalidContentError, match="a:1"):
        inventory_of(Told([("a", "1", THREE)], []), ["a"], is_all=True, made=MADE)


def test_what_breaks_off_is_no_inventory() -> None:
    """Rows that end with an error are not taken for all there are."""

    def breaks() -> Iterator[HeldContent]:
        yield (ONE, 1, "a")
        raise StorageError("gone")

    told = Told([], [])
    told.told = Holdings((), breaks())
    with pytest.raises(StorageError):
        inventory_of(told, ["a"], is_all=True, made=MADE)
