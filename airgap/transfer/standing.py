"""How the targets of an import stand: which failed, and which wait for content."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from airgap.errors import AirgapError, CancelledError
from airgap.oci.digest import Digest
from airgap.run import Run
from airgap.run.events import ItemFinished
from airgap.transfer.destination import Target
from airgap.transfer.outcome import may_go_on

PHASE = "push"


class Standing:
    """How each target stands. Safe to be told by several threads.

    Args:
        keep_going: Whether a target that fails leaves the others alone.
        run: Takes the failures.

    Attributes:
        keeps_going: Whether a target that fails leaves the others alone.
        failed: The targets that failed, and why.
        waiting: The targets that wait for the next medium, and the blobs they wait for.
        lacking: The targets that wait for another bundle, and the blobs they wait for.
    """

    def __init__(self, *, keep_going: bool, run: Run) -> None:
        self.keeps_going = keep_going
        self._run = run
        self._lock = threading.Lock()
        self.failed: dict[Target, AirgapError] = {}
        self.waiting: dict[Target, set[Digest]] = {}
        self.lacking: dict[Target, set[Digest]] = {}

    def is_ready(self, target: Target) -> bool:
        """Whether nothing that a target needs is known to be missing."""
        return not any(target in those for those in (self.failed, self.waiting, self.lacking))

    def lack(self, target: Target, digests: Iterable[Digest]) -> None:
        """Let a target wait for blobs that come with another bundle."""
        with self._lock:
            self.lacking.setdefault(target, set()).update(digests)

    def wait(self, targets: Iterable[Target], digest: Digest) -> None:
        """Let targets wait for a blob that comes with another medium."""
        with self._lock:
            for target in targets:
                self.waiting.setdefault(target, set()).add(digest)

    def fail(self, target: Target, error: AirgapError) -> None:
        """Give up a target; the first reason counts."""
        with self._lock:
            is_new = target not in self.failed
            self.failed.setdefault(target, error)
        if is_new:
            self._run.emit(ItemFinished(PHASE, target.image.reference.tagged, "failed"))

    @contextmanager
    def attempt(self, targets: Iterable[Target], *, of_destination: bool = False) -> Iterator[None]:
        """Let what fails fail the targets that need it, where the others go on.

        Args:
            targets: Those that need it.
            of_destination: Whether only failures of the registry are meant.
        """
        try:
            yield
        except CancelledError:
            raise
        except AirgapError as error:
            if not (self.keeps_going and may_go_on(error)):
                raise
            if of_destination and error.origin != "destination":
                raise
            for target in targets:
                self.fail(target, error)
