"""What one repository of a registry holds: its tags, their manifests, and all that these name.

What a registry took as a manifest is believed to have its blobs; whether they are still there is
asked only where that is wanted, since an import asks before it relies on one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

from airgap.errors import (
    AirgapError,
    CancelledError,
    ContentNotFoundError,
    InvalidContentError,
    RegistryProtocolError,
)
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document, parse_manifest
from airgap.registry.repository import Repository
from airgap.transfer.inventory_findings import Findings
from airgap.transfer.manifest_cache import SeenRepository
from airgap.transfer.resolve import MAX_DEPTH
from airgap.transfer.workers import Task

MAX_TAGS = 1_000_000
"""Each tag is a task that waits in memory; nobody has so many in one repository."""


class RepositoryWalk:
    """Walks one repository in tasks of one manifest each, level by level.

    All tags come first, then what their indexes list and what refers to them: so a manifest that
    has a tag is not fetched by digest as well.

    Args:
        repository: Where it is asked.
        findings: Takes what is found, and says how to ask.
        add: Has a task done some time.
        finished: Is told when all is done.

    Attributes:
        name: The repository.
        has_failed: Whether something of it is left out.
    """

    def __init__(
        self,
        repository: Repository,
        findings: Findings,
        add: Callable[[Task], None],
        finished: Callable[[RepositoryWalk], None],
    ) -> None:
        self.name = repository.repository
        self.has_failed = False
        self._repository = repository
        self._findings = findings
        self._add = add
        self._finished = finished
        self._before = SeenRepository()
        self._lock = threading.Lock()
        self._tags: dict[str, Digest] = {}
        self._claimed: set[Digest] = set()
        self._manifests: set[Digest] = set()
        self._checked: dict[Digest, bool] = {}
        self._pending = 0
        self._later: list[Task] = []

    def start(self) -> None:
        """Read the list of tags, and ask for what each of them stands for."""
        self._before = self._findings.cache.seen(self._findings.registry, self.name)
        self._task(self.name, self._list_tags)()

    def images(self) -> dict[str, Digest]:
        """What the tags stand for, as far as it could be read."""
        return {
            f"{self.name}:{tag}": digest
            for tag, digest in self._tags.items()
            if digest in self._manifests
        }

    def remember(self, *, is_done: bool) -> None:
        """Keep what was seen for the next time; what was not come to stays as it was."""
        tags, manifests = self._tags, frozenset(self._manifests)
        if not is_done:
            tags = {**self._before.tags, **tags}
            manifests |= self._before.manifests
        seen = SeenRepository(tags, manifests)
        if seen != self._before:
            self._findings.cache.keep_seen(self._findings.registry, self.name, seen)

    def _list_tags(self) -> None:
        count = 0
        for count, tag in enumerate(self._repository.tags(), 1):
            if count > MAX_TAGS:
                raise RegistryProtocolError(
                    f"{self._repository.name} lists more than {MAX_TAGS} tags", origin="source"
                )
            self._add(self._task(f"{self.name}:{tag}", partial(self._tag, tag)))
        if not count:
            self._findings.find_empty(self.name)

    def _tag(self, tag: str) -> None:
        try:
            document, is_known = self._tagged(tag)
        except ContentNotFoundError:
            return  # it was deleted since it was listed
        digest = document.descriptor.digest
        self._visit(document, 0, is_known=is_known)
        with self._lock:
            self._tags[tag] = digest

    def _tagged(self, tag: str) -> tuple[Document, bool]:
        before = self._before.tags.get(tag)
        raw = None if before is None else self._findings.cache.manifest(before)
        if raw is None:
            return self._keep(self._repository.manifest(tag)), False
        found = self._repository.resolve(tag)
        if found is None:
            raise ContentNotFoundError(f"{self._repository.name}:{tag} is gone", origin="source")
        if found.digest != before:
            raw = self._findings.cache.manifest(found.digest)
        if raw is not None:
            return _parse(raw, found), True
        digest = str(found.digest)
        return self._keep(self._repository.manifest(digest, media_type=found.media_type)), False

    def _child(self, entry: Descriptor, depth: int) -> None:
        """Go on with a manifest that another one names; it need not be here."""
        raw = self._findings.cache.manifest(entry.digest)
        is_known = raw is not None
        try:
            if raw is None:
                document = self._repository.manifest(str(entry.digest), media_type=entry.media_type)
                self._keep(document)
            elif self._is_here(entry.digest):
                document = _parse(raw, entry)
            else:
                return
        except ContentNotFoundError:
            return
        self._visit(document, depth, is_known=is_known, is_claimed=True)

    def _is_here(self, digest: Digest) -> bool:
        """Whether the repository has a manifest whose bytes are known from somewhere."""
        if digest in self._before.manifests and not self._findings.options.check_blobs:
            return True
        return self._repository.resolve(str(digest)) is not None

    def _visit(
        self, document: Document, depth: int, *, is_known: bool, is_claimed: bool = False
    ) -> None:
        digest = document.descriptor.digest
        if not is_claimed and not self._claim(digest):
            return
        if depth > MAX_DEPTH:
            raise InvalidContentError(
                f"{self._repository.name}@{digest} lies more than {MAX_DEPTH} manifests deep",
                origin="source",
            )
        self._findings.tell(self.name, self._held(document), is_known=is_known)
        with self._lock:
            self._manifests.add(digest)
        for child in document.children():
            if mediatype.is_manifest(child.media_type):
                self._want(child, depth + 1)
        if self._findings.options.referrers and self._findings.has_api is not False:
            self._defer(f"{self.name}@{digest}", partial(self._referrers, digest, depth))

    def _want(self, entry: Descriptor, depth: int) -> None:
        self._defer(f"{self.name}@{entry.digest}", partial(self._claimed_child, entry, depth))

    def _claimed_child(self, entry: Descriptor, depth: int) -> None:
        if self._claim(entry.digest):
            self._child(entry, depth)

    def _claim(self, digest: Digest) -> bool:
        with self._lock:
            is_new = digest not in self._claimed
            self._claimed.add(digest)
            return is_new

    def _referrers(self, digest: Digest, depth: int) -> None:
        """Go on with what refers to a manifest; fallback tags and cosign's are tags like others."""
        if self._findings.has_api is None:
            # One question is enough to learn that there is no such list.
            with self._findings.probing:
                listed = self._ask_referrers(digest)
        else:
            listed = self._ask_referrers(digest)
        for entry in listed:
            self._want(entry, depth + 1)

    def _ask_referrers(self, digest: Digest) -> tuple[Descriptor, ...]:
        if self._findings.has_api is False:
            return ()
        listed = self._repository.referrers(digest)
        if listed is None and self._repository.has_referrers_api is None:
            return ()
        self._findings.has_api = listed is not None
        return listed or ()

    def _held(self, document: Document) -> Iterator[Descriptor]:
        yield document.descriptor
        blobs = [*document.blobs()]
        blobs += [c for c in document.children() if not mediatype.is_manifest(c.media_type)]
        for blob in blobs:
            if self._findings.options.check_blobs:
                if self._has_blob(blob):
                    yield blob
            elif not mediatype.is_non_distributable(blob.media_type):
                yield blob

    def _has_blob(self, blob: Descriptor) -> bool:
        found = self._checked.get(blob.digest)
        if found is not None:
            return found
        found = self._repository.has_blob(blob)
        with self._lock:  # manifests that are read at the same time may ask for one blob
            is_first = blob.digest not in self._checked
            self._checked[blob.digest] = found
        if is_first and not found and not mediatype.is_non_distributable(blob.media_type):
            self._findings.miss(self._repository.name, blob)
        return found

    def _keep(self, document: Document) -> Document:
        self._findings.cache.keep_manifest(document.descriptor.digest, document.raw)
        return document

    def _defer(self, name: str, work: Callable[[], None]) -> None:
        task = self._task(name, work)
        with self._lock:
            self._later.append(task)

    def _task(self, name: str, work: Callable[[], None]) -> Task:
        """A piece of work that counts as pending from now on."""
        with self._lock:
            self._pending += 1

        def task() -> None:
            try:
                work()
            except CancelledError:
                raise
            except AirgapError as error:
                self.has_failed = True
                self._findings.note(name, error)
            self._done()

        return task

    def _done(self) -> None:
        with self._lock:
            self._pending -= 1
            is_level_done = self._pending == len(self._later)
            later, self._later = (self._later, []) if is_level_done else ([], self._later)
            is_all_done = self._pending == 0
        for task in later:
            self._add(task)
        if is_all_done:
            self._finished(self)


def _parse(raw: bytes, found: Descriptor) -> Document:
    return parse_manifest(raw, found.media_type, algorithm=found.digest.algorithm)
