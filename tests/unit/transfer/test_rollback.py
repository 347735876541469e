"""Which moves of a tag go back, by what the receiver's log says."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from airgap.errors import ConflictError
from airgap.oci.digest import Digest
from airgap.record.log import LogEntry
from airgap.transfer.rollback import ImportHistory, Rollback, RollbackGuard, TagMove, rollback_error
from tests.support.custody import chain

NAME = "inside:5000/app:1"
OLD, NEW, OTHER = (Digest.of(text) for text in (b"old", b"new", b"other"))


def imported(*digests: Digest, name: str = NAME, outcome: str = "pushed", event: str = "import"):
    """Imports of one image each, one after the other."""
    images = [{"target": name, "digest": str(digest), "outcome": outcome} for digest in digests]
    return [(event, {"images": [image]}) for image in images]


def history(events: Sequence, *names: str) -> ImportHistory:
    found = ImportHistory(names or [NAME])
    for line in chain(events):
        found.take(LogEntry.parse(line))
    return found


def going(events: Sequence, *, current: Digest, new: Digest) -> Rollback | None:
    return history(events).rollback(TagMove(NAME, current, (new,)))


def test_a_move_to_what_was_imported_before_is_a_rollback() -> None:
    """It says when each of the two was imported."""
    found = going(imported(OLD, NEW), current=NEW, new=OLD)
    assert found is not None
    assert (found.digest, found.current) == (OLD, NEW)
    assert found.imported < found.since
    assert NAME in found.text
    assert OLD.short in found.text


def test_a_move_to_what_was_imported_later_is_none() -> None:
    """After a rollback that was wanted, the way forward is judged by the last imports."""
    assert going(imported(OLD, NEW), current=OLD, new=NEW) is None
    assert going(imported(OLD, NEW, OLD), current=OLD, new=NEW) is not None
    assert going(imported(OLD, NEW, OLD, NEW), current=OLD, new=NEW) is None


def test_what_the_log_does_not_know_is_neither_older_nor_newer() -> None:
    """An image that was never imported here, or that somebody else put there, says nothing."""
    assert going(imported(OLD), current=OLD, new=NEW) is None
    assert going(imported(OLD), current=OTHER, new=OLD) is None
    assert going([], current=NEW, new=OLD) is None


def test_an_image_counts_where_it_was_put_or_found() -> None:
    """What was there already was proved by that import; what failed or was kept was not."""
    found = imported(OLD) + imported(NEW, outcome="present")
    assert going(found, current=NEW, new=OLD) is not None
    for outcome in ("failed", "skipped", "waiting", "planned"):
        kept = imported(OLD, outcome=outcome) + imported(NEW)
        assert going(kept, current=NEW, new=OLD) is None


def test_other_names_and_events_do_not_count() -> None:
    """The same image under another name, or an export of it, is no import of this name."""
    assert (
        going(imported(OLD, name="inside:5000/b:1") + imported(NEW), current=NEW, new=OLD) is None
    )
    assert going(imported(OLD, event="export") + imported(NEW), current=NEW, new=OLD) is None


def test_any_of_the_digests_that_a_name_may_get_counts() -> None:
    """An image that stands for its index was imported under its own digest."""
    found = history(imported(OLD, NEW)).rollback(TagMove(NAME, NEW, (OTHER, OLD)))
    assert found is not None
    assert found.digest == OLD


def test_a_name_that_may_get_something_newer_does_not_go_back() -> None:
    """Where an index is refused, its image that came later stands for it: that is no rollback."""
    events = imported(OLD, NEW, OTHER)
    for digests in ((OLD, OTHER), (OTHER, OLD)):
        assert history(events).rollback(TagMove(NAME, NEW, digests)) is None


@pytest.mark.parametrize(
    "images", [None, "x", [1], [{}], [{"target": 1}], [{"target": NAME, "outcome": "pushed"}]]
)
def test_an_entry_without_images_says_nothing(images: object) -> None:
    """An import that failed has none, and what a later version writes there is passed over."""
    events = [("import", {"images": images}), ("import", {}), *imported(OLD, NEW)]
    assert going(events, current=NEW, new=OLD) is not None


def test_only_the_names_that_are_asked_for_are_kept() -> None:
    """A log of a million imports takes the memory of those that matter."""
    events = [event for n in range(50) for event in imported(OLD, name=f"inside:5000/a{n}:1")]
    found = history(events, NAME)
    assert found.rollback(TagMove("inside:5000/a1:1", NEW, (OLD,))) is None


def test_the_log_is_read_only_where_a_tag_moves() -> None:
    """An import that changes no tag does not need the log."""

    def unread(_names: object) -> ImportHistory:
        raise AssertionError("the log was read")

    assert RollbackGuard(unread).find([]) == {}


def test_an_import_that_is_refused_names_all_its_tags() -> None:
    """One error for one tag, and one that lists them for several."""
    rollbacks = [
        found
        for name in ("r:1/a:1", "r:1/b:2")
        for found in [
            history(imported(OLD, NEW, name=name), name).rollback(TagMove(name, NEW, (OLD,)))
        ]
        if found is not None
    ]
    assert "r:1/a:1 goes back" in rollback_error(rollbacks[:1]).message
    both = rollback_error(rollbacks)
    assert isinstance(both, ConflictError)
    assert "r:1/a:1, r:1/b:2" in both.message
    assert "--allow-rollback" in (both.hint or "")
