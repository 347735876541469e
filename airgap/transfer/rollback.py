"""Whether an import moves a tag back, by what the receiver's own log says of earlier ones. Pure.

An image is older than another if the log says that it was last imported under the name before the
other one was. What the log does not know is neither older nor newer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airgap.errors import ConflictError, InvalidContentError
from airgap.oci.digest import Digest
from airgap.record.log import LogEntry

EVENT = "import"
THERE = frozenset({"pushed", "present", "image-only"})
"""The outcomes after which a name stands for the digest that the log gives with it."""


@dataclass(frozen=True, slots=True)
class TagMove:
    """A tag that an import would move.

    Attributes:
        name: Its full name on the destination.
        current: What it names.
        digests: What it may name then: one of these.
    """

    name: str
    current: Digest
    digests: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class Rollback:
    """A tag that an import would move back.

    Attributes:
        name: Its full name on the destination.
        current: What it names.
        digest: The older image.
        imported: When that one was last imported there.
        since: When what it names was.
    """

    name: str
    current: Digest
    digest: Digest
    imported: datetime
    since: datetime

    @property
    def text(self) -> str:
        """What it is, for people."""
        return (
            f"{self.name} goes back from {self.current.short} (imported {_day(self.since)}) to "
            f"{self.digest.short}, which was imported before it ({_day(self.imported)})"
        )


@dataclass(frozen=True, slots=True)
class _Imported:
    seq: int
    time: datetime


class ImportHistory:
    """When which image was last imported under some names.

    Args:
        names: The full names that are asked about; the log's others are not kept.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._last: dict[str, dict[Digest, _Imported]] = {name: {} for name in names}

    def take(self, entry: LogEntry) -> None:
        """Take the next entry of the log."""
        images = entry.details.get("images")
        if entry.event != EVENT or not isinstance(images, list):
            return
        for image in images:
            if isinstance(image, dict) and image.get("outcome") in THERE:
                self._take_image(image, _Imported(entry.seq, entry.time))

    def rollback(self, move: TagMove) -> Rollback | None:
        """What a move goes back to; None where it does not, or the log does not know."""
        known = self._last.get(move.name, {})
        current = known.get(move.current)
        older = [(known[digest].seq, digest) for digest in move.digests if digest in known]
        if current is None or not older or max(older)[0] >= current.seq:
            return None
        digest = max(older)[1]
        return Rollback(move.name, move.current, digest, known[digest].time, current.time)

    def _take_image(self, image: Mapping[str, Any], when: _Imported) -> None:
        last = self._last.get(str(image.get("target")))
        if last is None:
            return
        try:
            last[Digest.parse(image.get("digest"))] = when
        except InvalidContentError:  # the chain is right, so a later version means something by it
            return


HistoryReader = Callable[[Collection[str]], ImportHistory]
"""Reads from the log what it knows of some names."""


@dataclass(frozen=True, slots=True)
class RollbackGuard:
    """What an import does about tags that go back.

    Attributes:
        history: Reads the receiver's own log.
        refuses: Whether a tag may not go back.
    """

    history: HistoryReader
    refuses: bool = False

    def find(self, moves: Iterable[TagMove]) -> dict[str, Rollback]:
        """The moves that go back, by name; the log is read only where a tag moves at all.

        Raises:
            AirgapError: The log could not be read, and no tag may go back.
        """
        moves = tuple(moves)
        if not moves:
            return {}
        history = self.history(frozenset(move.name for move in moves))
        found = (history.rollback(move) for move in moves)
        return {rollback.name: rollback for rollback in found if rollback is not None}


def rollback_error(rollbacks: Collection[Rollback]) -> ConflictError:
    """The error of an import that would move tags back and may not."""
    first = next(iter(rollbacks))
    names = ", ".join(rollback.name for rollback in rollbacks)
    message = (
        first.text
        if len(rollbacks) == 1
        else f"{len(rollbacks)} tags would go back to images that were imported before: {names}"
    )
    return ConflictError(
        message,
        hint="--allow-rollback if that is what you want; --only PATTERN takes other images",
        origin="destination",
    )


def _day(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC")
