"""Finding everything that images need: manifests, indexes and what refers to them.

This asks sources and decides nothing but which entries of an index are worth asking for; what
travels in the end is the planner's business.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from airgap.bundle.front import MAX_DOCUMENTS
from airgap.errors import (
    AirgapError,
    CancelledError,
    ContentNotFoundError,
    InvalidContentError,
    SettingsError,
)
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest, Verifier
from airgap.oci.document import parse_object
from airgap.oci.manifest import MAX_MANIFEST_SIZE, Document, Index, Manifest
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference
from airgap.run import Run
from airgap.run.events import ItemFinished, PhaseFinished, PhaseStarted
from airgap.transfer.outcome import may_go_on
from airgap.transfer.platforms import choose_entries
from airgap.transfer.resolution import FoundReferrer, Resolution, Selection
from airgap.transfer.sources import Sources
from airgap.transfer.workers import Task, Workers

MAX_DEPTH = 8
"""How many indexes may lie in each other, and how many referrers may refer to each other."""

PHASE = "resolve"
_NOT_FOUND = "check the name and the tag; some registries say this where a login is needed"


class Resolver:
    """Walks the graphs of many references at once, asking for each manifest once.

    Args:
        sources: Where repositories are opened.
        selection: What of an image is wanted.
        keep_going: Whether a failure is noted instead of ending the walk.
        run: Progress and cancellation.
    """

    def __init__(
        self, sources: Sources, selection: Selection, *, keep_going: bool, run: Run
    ) -> None:
        self._sources = sources
        self._selection = selection
        self._keep_going = keep_going
        self._run = run
        self._workers = Workers(sources.width, run=run, ends=sources.scope)
        self._lock = threading.Lock()
        self._roots: dict[Reference, Digest] = {}
        self._documents: dict[Digest, Document] = {}
        self._waiting: dict[Digest, list[tuple[str, int]]] = {}
        self._lacking: dict[Digest, list[tuple[str, int]]] = {}
        self._visited: set[tuple[str, Digest]] = set()
        self._referrers: dict[tuple[str, Digest], tuple[FoundReferrer, ...]] = {}
        self._errors: dict[tuple[str, Digest], AirgapError] = {}
        self._unreadable: dict[Digest, Descriptor] = {}
        self._failed: dict[Reference, AirgapError] = {}
        self._platforms: dict[Digest, Platform] = {}
        self._contents: dict[Digest, bytes] = {}
        self._held_bytes = 0

    def resolve(self, references: Sequence[Reference]) -> Resolution:
        """Walk all the references.

        Raises:
            AirgapError: Something could not be had, unless failures are to be noted.
        """
        unique = list(dict.fromkeys(references))
        self._run.emit(PhaseStarted(PHASE, total_items=len(unique)))
        self._workers.finish([self._root_task(reference) for reference in unique])
        self._run.emit(PhaseFinished(PHASE))
        return Resolution(
            tuple((r, self._roots[r]) for r in unique if r in self._roots),
            self._documents,
            self._referrers,
            self._errors,
            self._unreadable,
            tuple(self._failed.items()),
            self._platforms,
            self._contents,
            self._sources.left_out,
            self._sources.loads,
            self._sources.held,
        )

    def _root_task(self, reference: Reference) -> Task:
        def task() -> None:
            try:
                document = self._sources.open(reference.name).manifest(reference.locator)
                if self._selection.platforms and isinstance(document, Manifest):
                    self._read_platform(reference.name, document)
            except CancelledError:
                raise
            except AirgapError as error:
                if isinstance(error, ContentNotFoundError) and error.hint is None:
                    error.hint = _NOT_FOUND
                if not (self._keep_going and may_go_on(error)):
                    raise
                self._failed[reference] = error
                self._run.emit(ItemFinished(PHASE, str(reference), "failed"))
                return
            self._roots[reference] = document.descriptor.digest
            self._arrived(document)
            self._visit(reference.name, document, 0)
            self._run.emit(ItemFinished(PHASE, str(reference)))

        return task

    def _arrived(self, document: Document) -> None:
        digest = document.descriptor.digest
        with self._lock:
            if digest not in self._documents:
                self._documents[digest] = document
                self._hold(len(document.raw))

    def _hold(self, size: int) -> None:
        """Count what stays in memory: a few indexes of a registry can name any number of others.

        Raises:
            SettingsError: It is more than a bundle may hold.
        """
        self._held_bytes += size
        if self._held_bytes > MAX_DOCUMENTS:
            raise SettingsError(
                f"the manifests of these images have more than {MAX_DOCUMENTS} bytes together, "
                "which is too much for one bundle",
                hint="export the images in several bundles",
            )

    def _visit(self, repository: str, document: Document, depth: int) -> None:
        """Go on from a manifest that is here: to its entries and to its referrers."""
        digest = document.descriptor.digest
        with self._lock:
            if (repository, digest) in self._visited:
                return
            self._visited.add((repository, digest))
        if isinstance(document, Index):
            for entry in choose_entries(document, self._selection.platforms).travelling:
                self._want(repository, entry, depth + 1)
        if self._selection.referrers:
            self._workers.add(self._referrers_task(repository, document, depth))

    def _want(self, repository: str, entry: Descriptor, depth: int) -> None:
        """Ask for a manifest, once for all the repositories that it is wanted in."""
        if depth > MAX_DEPTH:
            error = InvalidContentError(
                f"{repository}: indexes and referrers lie more than {MAX_DEPTH} deep in each other",
                hint="--no-referrers leaves referrers out; such an index must be built anew",
                origin="source",
            )
            self._end_or_go_on(error)
            with self._lock:
                self._errors[repository, entry.digest] = error
            return
        with self._lock:
            waiting = self._waiting.get(entry.digest)
            document = self._documents.get(entry.digest)
            if document is None:
                self._waiting.setdefault(entry.digest, []).append((repository, depth))
        if document is not None:
            self._visit(repository, document, depth)
        elif waiting is None:
            self._workers.add(self._manifest_task(entry))

    def _manifest_task(self, entry: Descriptor) -> Task:
        """Fetch a manifest from the first of the wanting repositories that has it."""

        def task() -> None:
            errors: list[tuple[str, AirgapError]] = []
            while (repository := self._next_place(entry.digest, errors)) is not None:
                try:
                    document = self._fetch(repository, entry)
                except CancelledError:
                    raise
                except AirgapError as error:
                    self._end_or_go_on(error)
                    errors.append((repository, error))
                    continue
                self._arrived(document)
                with self._lock:
                    wanting = self._waiting.pop(entry.digest)
                    # Another repository was asked before and did not have it: what this one has
                    # is the same, whichever is asked first.
                    lacking = self._lacking.pop(entry.digest, [])
                    for place, _ in lacking:
                        self._errors.pop((place, entry.digest), None)
                for place, depth in [*wanting, *lacking]:
                    self._visit(place, document, depth)
                return

        return task

    def _next_place(self, digest: Digest, errors: list[tuple[str, AirgapError]]) -> str | None:
        """The next repository that wants a manifest and was not asked; None after the last."""
        with self._lock:
            wanting = self._waiting[digest]
            if len(errors) < len(wanting):
                return wanting[len(errors)][0]
            self._errors.update({(place, digest): error for place, error in errors})
            self._lacking.setdefault(digest, []).extend(self._waiting.pop(digest))
            return None

    def _fetch(self, repository: str, entry: Descriptor) -> Document:
        source = self._sources.open(repository)
        try:
            return source.manifest(str(entry.digest), media_type=entry.media_type)
        except ContentNotFoundError as error:
            if not mediatype.is_manifest(entry.media_type) and source.has_blob(entry):
                with self._lock:
                    self._unreadable[entry.digest] = entry
            raise ContentNotFoundError(
                f"{repository} names the manifest {entry.digest} and does not have it",
                hint="--allow-missing-at-source leaves it out and says so in the bundle",
                origin="source",
            ) from error

    def _end_or_go_on(self, error: AirgapError) -> None:
        """Raise an error that ends the walk.

        What one repository lacks another may have, so only the planner can tell what is missing.
        """
        if not (self._keep_going and may_go_on(error)) and not isinstance(
            error, ContentNotFoundError
        ):
            raise error

    def _referrers_task(self, repository: str, document: Document, depth: int) -> Task:
        digest = document.descriptor.digest

        def task() -> None:
            try:
                found, documents = self._sources.referrers(repository, digest)
            except CancelledError:
                raise
            except AirgapError as error:
                if not (self._keep_going and may_go_on(error)):
                    raise
                with self._lock:
                    self._errors[repository, digest] = error
                return
            with self._lock:
                self._referrers[repository, digest] = found
            for known in documents:
                self._arrived(known)
            for referrer in found:
                self._want(repository, referrer.descriptor, depth + 1)

        return task

    def _read_platform(self, repository: str, manifest: Manifest) -> None:
        """Ask a single image's config what it runs on."""
        config = manifest.config
        if config is None or not manifest.is_runnable or config.size > MAX_MANIFEST_SIZE:
            return
        verifier = Verifier(config.digest, config.size, origin="source")
        parts = []
        with self._sources.open(repository).open(config) as chunks:
            for chunk in chunks:
                verifier.update(chunk)
                parts.append(chunk)
        verifier.finish()
        raw = b"".join(parts)
        try:
            value = parse_object(raw, what=f"the config {config.digest.short}")
            platform = Platform.from_json(value)
        except InvalidContentError as error:
            raise InvalidContentError(
                f"{repository}: {error.message}",
                hint="--platform asks each config what it runs on; this one must be built anew",
                origin="source",
            ) from error
        with self._lock:
            if config.digest not in self._contents:
                self._hold(len(raw))
            self._contents[config.digest] = raw
            if platform is not None:
                self._platforms[manifest.descriptor.digest] = platform
