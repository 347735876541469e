"""What the tests of exports and imports share: finds without registries, and whole transfers."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from airgap.bundle.catalog import Catalog
from airgap.bundle.check import check_bundle
from airgap.bundle.reader import open_bundle
from airgap.content.depot import Repository
from airgap.errors import AirgapError, ContentNotFoundError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference
from airgap.registry.client import Client
from airgap.registry.options import ClientOptions
from airgap.run import CancelToken, Event, Run
from airgap.transfer.destination import Destination
from airgap.transfer.export import ExportOptions, export_images
from airgap.transfer.outcome import ExportResult, ImportResult
from airgap.transfer.publish import ImportOptions, import_bundle
from airgap.transfer.resolution import FoundReferrer, Resolution
from tests.support.builders import Content, push
from tests.support.embedded import EmbeddedRegistry
from tests.support.registry_client import FixedCredentials, ImpatientToken


@dataclass
class Finds:
    """Puts together what resolving would have found."""

    roots: list[tuple[Reference, Digest]] = field(default_factory=list)
    documents: dict[Digest, Document] = field(default_factory=dict)
    referrers: dict[tuple[str, Digest], tuple[FoundReferrer, ...]] = field(default_factory=dict)
    errors: dict[tuple[str, Digest], AirgapError] = field(default_factory=dict)
    unreadable: dict[Digest, Descriptor] = field(default_factory=dict)
    failed: list[tuple[Reference, AirgapError]] = field(default_factory=list)
    platforms: dict[Digest, Platform] = field(default_factory=dict)

    def image(self, name: str, content: Content) -> Reference:
        """A reference and all that it stands for."""
        reference = Reference.parse(name)
        self.roots.append((reference, content.digest))
        self.add(content)
        return reference

    def add(self, content: Content) -> None:
        """The manifests of a content."""
        for part in content.walk():
            self.documents[part.digest] = part.document

    def refer(self, repository: str, subject: Content, content: Content, tag: str = "") -> None:
        """Something that refers to a subject in a repository."""
        self.add(content)
        found = FoundReferrer(content.descriptor, content.digest, tag)
        key = (repository, subject.digest)
        self.referrers[key] = (*self.referrers.get(key, ()), found)

    def lack(self, repository: str, content: Content) -> ContentNotFoundError:
        """A manifest that its repository does not have."""
        error = ContentNotFoundError(f"{repository} does not have {content.digest}")
        self.errors[repository, content.digest] = error
        self.documents.pop(content.digest, None)
        return error

    def resolution(self) -> Resolution:
        """All of it."""
        return Resolution(
            tuple(self.roots),
            self.documents,
            self.referrers,
            self.errors,
            self.unreadable,
            tuple(self.failed),
            self.platforms,
            {},
        )


class Recorder:
    """Keeps events; may do something at each."""

    def __init__(self, at: Callable[[int, Event], None] | None = None) -> None:
        self.events: list[Event] = []
        self._at = at
        self._lock = threading.Lock()

    def emit(self, event: Event) -> None:
        """Note an event."""
        with self._lock:
            self.events.append(event)
            number = len(self.events)
        if self._at is not None:
            self._at(number, event)

    def of(self, kind: type) -> list[Any]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


@contextmanager
def open_client(*, jobs: int = 4, timeout: float = 5.0, retries: int = 2) -> Iterator[Client]:
    """A client that waits for nobody between retries."""
    options = ClientOptions(jobs=jobs, timeout=timeout, retries=retries)
    run = Run(cancel=ImpatientToken())
    with Client(options, FixedCredentials(), run=run, jitter=lambda: 0.0) as client:
        yield client


def export(
    references: str | Iterable[str],
    output: Path | BinaryIO,
    *,
    run: Run | None = None,
    client: Client | None = None,
    **options: Any,
) -> ExportResult:
    """Export with a client of its own."""
    names = [references] if isinstance(references, str) else list(references)
    parsed = [Reference.parse(name) for name in names]
    made = ExportOptions(**options)
    if client is not None:
        return export_images(parsed, output, client=client, options=made, run=run)
    with open_client(jobs=made.jobs) as own:
        return export_images(parsed, output, client=own, options=made, run=run)


def bring(
    bundle: Path | bytes | BinaryIO,
    to: str,
    *,
    run: Run | None = None,
    client: Client | None = None,
    **options: Any,
) -> ImportResult:
    """Import with a client of its own; bytes come through a pipe."""
    source = io.BytesIO(bundle) if isinstance(bundle, bytes) else bundle
    made = ImportOptions(**options)
    where = Destination.parse(to)
    if client is not None:
        return import_bundle(source, where, client=client, options=made, run=run)
    with open_client(jobs=made.jobs) as own:
        return import_bundle(source, where, client=own, options=made, run=run)


def pack_into(
    folder: Path,
    contents: Mapping[str, Content],
    *,
    referrers: Iterable[tuple[str, Content, str | None]] = (),
    **options: Any,
) -> Path:
    """Make a bundle of contents by name, from a registry that is gone afterwards."""
    with EmbeddedRegistry() as outside:
        for name, content in contents.items():
            repository, _, tag = name.partition(":")
            push(outside.repository(repository), content, tag=tag)
        for repository, content, referrer_tag in referrers:
            push(outside.repository(repository), content, tag=referrer_tag)
        path = folder / f"{len(list(folder.iterdir()))}.tar"
        export([f"{outside.host}/{name}" for name in contents], path, **options)
    return path


def cancelling(at: int, recorder_at: Callable[[Event], bool] | None = None) -> tuple[Run, Recorder]:
    """A run that is cancelled at the n-th event, or the n-th that is of interest."""
    token = CancelToken()
    left = [at]

    def look(_number: int, event: Event) -> None:
        if recorder_at is None or recorder_at(event):
            left[0] -= 1
            if left[0] == 0:
                token.cancel()

    recorder = Recorder(look)
    return Run(recorder, token), recorder


def catalog_of(path: Path) -> Catalog:
    """What a bundle says it carries."""
    with open_bundle(path) as reader:
        return reader.catalog


def assert_sound(path: Path) -> None:
    """A bundle has nothing wrong."""
    report = check_bundle(path, run=Run())
    assert report.findings == ()


def bytes_of(repository: Repository, descriptor: Descriptor) -> bytes:
    """A blob of a repository."""
    with repository.open(descriptor) as chunks:
        return b"".join(chunks)


def assert_holds(
    registry: EmbeddedRegistry,
    name: str,
    content: Content,
    tag: str | None = None,
    *,
    without: Iterable[Content] = (),
) -> None:
    """A repository has a content with the same bytes, but for what was left out."""
    repository = registry.repository(name)
    left_out = {found.digest for found in without}
    for part in content.walk():
        if part.digest in left_out:
            assert repository.resolve(str(part.digest)) is None
            continue
        descriptor, raw = repository.read_manifest(str(part.digest)) or (None, b"")
        assert descriptor is not None, f"{name} lacks {part.digest}"
        assert raw == part.raw
        assert descriptor.media_type == part.descriptor.media_type
        for blob in part.blobs:
            assert bytes_of(repository, blob.descriptor) == blob.data
    if tag is not None:
        found = repository.resolve(tag)
        assert found is not None, f"{name} lacks the tag {tag}"
        assert found.digest == content.digest


def sent(registry: EmbeddedRegistry) -> list[str]:
    """The requests that could change something."""
    return [str(seen) for seen in registry.seen if seen.method in ("PUT", "POST", "PATCH")]


def counts(registry: EmbeddedRegistry, pattern: str) -> Mapping[str, int]:
    """How often each path that matches was asked for."""
    found: dict[str, int] = {}
    for seen in registry.matching("", pattern):
        found[str(seen)] = found.get(str(seen), 0) + 1
    return found
