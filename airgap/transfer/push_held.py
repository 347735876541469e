"""What a bundle leaves to the destination: found there, and brought to the images that need it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from airgap.oci.digest import Digest
from airgap.run import Run
from airgap.transfer.base_guard import BaseGuard, HeldFind, missing_error
from airgap.transfer.destination import Target
from airgap.transfer.existing_tags import Parallel
from airgap.transfer.push_blobs import Attempt, BlobPusher
from airgap.transfer.standing import Standing
from airgap.transfer.tally import Tally
from airgap.wording import count_text

Attempts = Callable[[Sequence[Target]], Attempt]


class HeldPusher:
    """Asks for what is held, and takes over what lies in other repositories.

    Args:
        guard: Finds it.
        standing: Takes the targets that lack something.
        blobs: Takes blobs over.
        tally: Counts what is there.
        attempts: Makes attempts with a blob, whose failure leaves other repositories alone.
    """

    def __init__(
        self,
        guard: BaseGuard,
        standing: Standing,
        blobs: BlobPusher,
        tally: Tally,
        attempts: Attempts,
    ) -> None:
        self._guard = guard
        self._standing = standing
        self._blobs = blobs
        self._tally = tally
        self._attempts = attempts

    def check(self, parallel: Parallel, *, registry: str, hint: str | None) -> None:
        """Ask for everything that is held. Nothing is changed.

        Args:
            parallel: Asks for several at a time.
            registry: What the destination is called.
            hint: What to do where something is missing.

        Raises:
            MissingBaseError: Something is nowhere, and images that need it are not left out.
        """
        parallel([self._ask(targets, look) for targets, look in self._guard.tasks()])
        for find in self._guard.found.values():
            for repository in find.present:
                self._tally.blob(find.descriptor, repository.repository, "present")
        lacks = self._guard.lacking()
        failing = {t: blobs for t, blobs in lacks.items() if not self._guard.is_supplied(blobs)}
        if failing and not self._standing.keeps_going:
            raise missing_error(failing.items(), registry=registry, hint=hint)
        for target, blobs in lacks.items():
            if target in failing:
                error = missing_error([(target, blobs)], registry=registry, hint=hint)
                self._standing.fail(target, error)
            else:
                self._standing.lack(target, [blob.digest for blob in blobs])

    def home_of(self, digest: Digest) -> str | None:
        """A repository that has a blob that was asked for; None where none has."""
        find = self._guard.found.get(digest)
        return find.home.repository if find is not None and find.home is not None else None

    def push(self, parallel: Parallel) -> None:
        """Bring what lies elsewhere into the repositories of images that can be completed."""
        parallel([self._take_over(find) for find in self._guard.to_take_over()])

    def notes(self) -> Iterator[str]:
        """What somebody should know who does not expect images to wait."""
        for digest, count in self._guard.completed(self._standing.lacking).items():
            yield (
                f"{count_text(count, 'image')} {'waits' if count == 1 else 'wait'} for the rest: "
                f"import the bundle {digest} now, or again"
            )

    def _ask(self, targets: Sequence[Target], look: Callable[[Run], None]) -> Callable[[Run], None]:
        def ask(run: Run) -> None:
            with self._standing.attempt(targets):
                look(run)

        return ask

    def _take_over(self, find: HeldFind) -> Callable[[Run], None]:
        def take(run: Run) -> None:
            home = find.home
            assert home is not None, "only what was found is taken over"
            targets = self._guard.targets(find.descriptor.digest)
            wanting = {t.repository for t in targets if self._standing.is_ready(t)}
            repositories = [r for r in find.lacking if r.repository in wanting]
            attempt = self._attempts(targets)
            with self._standing.attempt(targets):
                self._blobs.take_over(find.descriptor, home, repositories, attempt=attempt, run=run)

        return take
