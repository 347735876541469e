"""Answers of the database that are still right, so that what is asked for often costs nothing.

One process writes to a database, and all of it through one writer, which counts what it has
committed. An answer counts as long as that number is what it was before the question.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from airgap.server.database.writer import Writer

T = TypeVar("T")

_MAX_ANSWERS = 8192


class Recall(Generic[T]):
    """Answers by what was asked. Safe to use from several threads.

    Args:
        writer: Knows when answers may have changed.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._answers: dict[tuple[str, str], tuple[int, T]] = {}

    @property
    def generation(self) -> int:
        """What to hand to `keep`: asked for before the database is."""
        return self._writer.generation

    def find(self, repository: str, key: str) -> T | None:
        """An answer that is still right."""
        known = self._answers.get((repository, key))
        return known[1] if known is not None and known[0] == self._writer.generation else None

    def keep(self, repository: str, key: str, answer: T, generation: int) -> None:
        """Keep an answer.

        Args:
            repository: Of which repository it is.
            key: What was asked.
            answer: The answer.
            generation: What was `generation` before the database was asked.
        """
        if len(self._answers) >= _MAX_ANSWERS:
            self._answers.clear()
        self._answers[repository, key] = (generation, answer)
