"""The tags that an import will set, looked at before anything is sent."""

from __future__ import annotations

import threading
from collections import ChainMap
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, Sequence
from typing import Literal

from airgap.errors import AirgapError, ConflictError
from airgap.oci.digest import Digest
from airgap.run import Run
from airgap.transfer.destination import Target
from airgap.transfer.publication import Publication
from airgap.transfer.push_manifests import Sparse, set_tags
from airgap.transfer.receiver import ReceivingRepository
from airgap.transfer.rollback import Rollback, RollbackGuard, TagMove, rollback_error
from airgap.transfer.standing import Standing

OnExistingTag = Literal["overwrite", "skip", "error"]
Parallel = Callable[[Sequence[Callable[[Run], None]]], None]
"""Does things at the same time, as many as the registry takes."""


class ExistingTags:
    """What the tags name that publications will set.

    Args:
        registry: What the registry is called.
        repositories: Its repositories, by name.
        standing: Takes the targets whose tags may not be set.
        on_existing_tag: What to do with a tag that names another digest.
        sparse: What may stand for an index whose left-out platforms are missing.
        rollback: Says which tags go back; None where nobody asks.

    Attributes:
        rollbacks: After `check`: the targets whose tags go back.
    """

    def __init__(
        self,
        registry: str,
        repositories: Mapping[str, ReceivingRepository],
        standing: Standing,
        *,
        on_existing_tag: OnExistingTag,
        sparse: Sparse,
        rollback: RollbackGuard | None = None,
    ) -> None:
        self._registry = registry
        self._repositories = repositories
        self._standing = standing
        self._on_existing_tag = on_existing_tag
        self._sparse = sparse
        self._rollback = rollback
        self.rollbacks: dict[Target, Rollback] = {}
        self._lock = threading.Lock()
        self._found: dict[str, dict[str, Digest]] = {}
        self._kept: dict[str, set[str]] = {}

    def check(self, publications: Iterable[Publication], parallel: Parallel) -> None:
        """Look at every tag that will be set.

        Args:
            publications: What sets them.
            parallel: Asks for several at a time.

        Raises:
            ConflictError: A tag names another digest, and that is not to be changed.
        """
        plan = [
            (publication.target, tag, digests)
            for publication in publications
            for tag, digests in set_tags(publication, self._sparse)
        ]
        wanting: dict[tuple[str, str], list[Target]] = {}
        for target, tag, _ in plan:
            wanting.setdefault((target.repository, tag), []).append(target)
        parallel([self._look_task(*key, targets) for key, targets in wanting.items()])
        errors: dict[Target, AirgapError] = {}
        for target, tag, digests in plan:
            current = self.current(target.repository, tag)
            if current in (None, *digests) or self._on_existing_tag == "overwrite":
                continue
            if self._on_existing_tag == "skip":
                self._kept.setdefault(target.repository, set()).add(tag)
            else:
                errors.setdefault(target, self._conflict(target, tag, current))
        if errors and not self._standing.keeps_going:
            raise _all_conflicts(errors)
        for target, error in errors.items():
            self._standing.fail(target, error)
        if self._rollback is not None:
            self._check_rollbacks(plan, self._rollback)

    def current(self, repository: str, tag: str | None) -> Digest | None:
        """What a tag named before; None where it named nothing."""
        return self._found.get(repository, {}).get(tag or "")

    def of(self, repository: str) -> MutableMapping[str, Digest]:
        """What the tags of a repository named before; what is changed there is not changed here."""
        return ChainMap({}, self._found.get(repository, {}))

    def kept(self, repository: str) -> Collection[str]:
        """The tags of a repository that stay as they are."""
        return self._kept.get(repository, set())

    def _check_rollbacks(
        self, plan: Iterable[tuple[Target, str, tuple[Digest, ...]]], guard: RollbackGuard
    ) -> None:
        moves: dict[Target, TagMove] = {}
        for target, tag, digests in plan:
            current = self.current(target.repository, tag)
            is_kept = tag in self.kept(target.repository) or target in self._standing.failed
            if tag == target.tag and current is not None and current not in digests and not is_kept:
                name = f"{self._registry}/{target.repository}:{tag}"
                moves[target] = TagMove(name, current, digests)
        found = guard.find(moves.values())
        backwards = {t: found[move.name] for t, move in moves.items() if move.name in found}
        if not guard.refuses:
            self.rollbacks = backwards
        elif backwards and not self._standing.keeps_going:
            raise rollback_error(backwards.values())
        else:
            for target, rollback in backwards.items():
                self._standing.fail(target, rollback_error([rollback]))

    def _look_task(
        self, repository: str, tag: str, targets: Sequence[Target]
    ) -> Callable[[Run], None]:
        def look(_run: Run) -> None:
            with self._standing.attempt(targets):
                found = self._repositories[repository].resolve(tag)
                if found is not None:
                    with self._lock:
                        self._found.setdefault(repository, {})[tag] = found.digest

        return look

    def _conflict(self, target: Target, tag: str, current: Digest | None) -> ConflictError:
        return ConflictError(
            f"{self._registry}/{target.repository}:{tag} names {current}, which "
            f"{target.image.reference.tagged} would change",
            hint="--on-existing-tag overwrite moves the tag, skip leaves it",
            origin="destination",
        )


def _all_conflicts(errors: Mapping[Target, AirgapError]) -> AirgapError:
    first = next(iter(errors.values()))
    if len(errors) == 1:
        return first
    names = ", ".join(target.image.reference.tagged for target in errors)
    return ConflictError(
        f"{len(errors)} images would move tags that name other digests: {names}",
        hint=first.hint,
        origin="destination",
    )
