"""What the page of one image shows: platforms, layers and how they came to be, referrers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from airgap.content.depot import Repository
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document, Index, Manifest
from airgap.oci.referrer_kind import ReferrerKind, referrer_kind
from airgap.oci.referrers import cosign_tags, fallback_tag
from airgap.server.pages.image_config import ImageConfig, config_of, cut_pairs, text_of
from airgap.server.pages.library import Reader, kind_of, size_of

MAX_REFERRERS = 500
"""How many referrers a page shows at most."""
MAX_ENTRIES = 500
"""How many lines of an index, and how many steps and annotations of an image."""
_REFERENCE_TYPE = "vnd.docker.reference.type"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an index.

    Attributes:
        descriptor: What it names.
        label: Its platform, or what else it is.
        size: The bytes of all that is here of it; None where it would take too long to count them.
        is_here: Whether the registry has it.
    """

    descriptor: Descriptor
    label: str
    size: int | None
    is_here: bool = True


@dataclass(frozen=True, slots=True)
class Layer:
    """One step by which an image came to be.

    Attributes:
        command: What made it; empty where nothing says so.
        created: When, as it was written down.
        blob: What it added; None for a step that added nothing.
        is_here: Whether the registry has the blob.
    """

    command: str
    created: str
    blob: Descriptor | None
    is_here: bool = True


@dataclass(frozen=True, slots=True)
class Referrer:
    """What refers to an image, or to one of its platforms, or to another referrer.

    Attributes:
        kind: What it is for.
        digest: Its manifest.
        artifact_type: What it says it is.
        subject: What it refers to.
        size: The bytes of all that is here of it; None where it would take too long to count them.
        title: What it is called, where it says so.
    """

    kind: ReferrerKind
    digest: Digest
    artifact_type: str
    subject: Digest
    size: int | None
    title: str


@dataclass(frozen=True, slots=True)
class ImageView:
    """All that a page shows of what a tag or digest names.

    Attributes:
        document: Its manifest.
        kind: What people call it.
        size: The bytes of all that is here of it; None where it would take too long to count them.
        config: What its config says, if it has one.
        entries: What it lists, if it is an index.
        more_entries: How many lines there are beside those.
        layers: The steps by which it came to be.
        more_layers: How many steps there are beside those.
        referrers: What refers to it.
    """

    document: Document
    kind: str
    size: int | None
    config: ImageConfig | None
    entries: tuple[Entry, ...]
    more_entries: int
    layers: tuple[Layer, ...]
    more_layers: int
    referrers: tuple[Referrer, ...]

    @property
    def digest(self) -> Digest:
        """Of its manifest."""
        return self.document.descriptor.digest

    @property
    def annotations(self) -> tuple[tuple[str, str], ...]:
        """What is said about it, sorted."""
        found = sorted(self.document.annotations.items())
        return cut_pairs(found)


def view_image(repository: Repository, found: Descriptor) -> ImageView | None:
    """Read what a page shows of a manifest; None where it cannot be read."""
    reader = Reader(repository)
    document = reader.read(found)
    if document is None:
        return None
    config, steps, lines = None, [], 0
    entries: tuple[Entry, ...] = ()
    if isinstance(document, Manifest):
        config = config_of(repository, document)
        steps = list(_steps(document, config))
    if isinstance(document, Index):
        entries, lines = tuple(_entries(reader, document)), len(document.manifests)
    layers = tuple(_layer(repository, *step) for step in steps[:MAX_ENTRIES])
    return ImageView(
        document,
        kind_of(document),
        size_of(reader, document),
        config,
        entries,
        lines - len(entries),
        layers,
        len(steps) - len(layers),
        tuple(_referrers(reader, document)),
    )


def _entries(reader: Reader, index: Index) -> Iterator[Entry]:
    for entry in index.manifests[:MAX_ENTRIES]:
        if reader.is_spent:
            return
        child = reader.read(entry)
        if _REFERENCE_TYPE in entry.annotations:
            label = entry.annotations[_REFERENCE_TYPE].removesuffix("-manifest")
        elif entry.platform is not None and entry.platform.is_known:
            label = str(entry.platform)
        else:
            label = kind_of(child) if child is not None else "manifest"
        size = None if child is None else size_of(reader, child)
        yield Entry(entry, label, size, is_here=child is not None)


def _steps(
    manifest: Manifest, config: ImageConfig | None
) -> Iterator[tuple[str, str, Descriptor | None]]:
    """Lay the steps of the history beside the layers, as far as they fit each other."""
    history = config.history if config is not None else ()
    full = [step for step in history if step.get("empty_layer") is not True]
    if len(full) != len(manifest.layers):
        history = ()
    blobs = iter(manifest.layers)
    for step in history:
        blob = None if step.get("empty_layer") is True else next(blobs)
        command = text_of(step.get("created_by")) or text_of(step.get("comment"))
        yield command, text_of(step.get("created")), blob
    for blob in blobs:
        yield _title(blob.annotations), "", blob


def _layer(repository: Repository, command: str, created: str, blob: Descriptor | None) -> Layer:
    is_here = blob is None or repository.find_blob(blob.digest) is not None
    return Layer(command, created, blob, is_here)


def _referrers(reader: Reader, document: Document) -> Iterator[Referrer]:
    """What refers to a manifest, to its children, and to what refers to them."""
    children = islice(document.children(), MAX_ENTRIES)
    roots = [document.descriptor.digest, *(child.digest for child in children)]
    waiting, seen = deque(dict.fromkeys(roots)), set(roots)
    count = 0
    while waiting and reader.spend():
        subject = waiting.popleft()
        for entry, tag in _referring(reader, subject):
            if entry.digest in seen:
                continue
            seen.add(entry.digest)
            waiting.append(entry.digest)
            found = reader.read(entry)
            if found is None:
                continue
            yield Referrer(
                referrer_kind(found, tag=tag),
                entry.digest,
                found.artifact_type or "",
                subject,
                size_of(reader, found),
                _title(found.annotations),
            )
            count += 1
            if count == MAX_REFERRERS:
                return


def _referring(reader: Reader, subject: Digest) -> Iterator[tuple[Descriptor, str]]:
    repository = reader.repository
    for entry in repository.referrers(subject) or ():
        yield entry, ""
    for tag in cosign_tags(subject):
        found = repository.resolve(tag)
        if found is not None:
            yield found, tag
    listed = repository.resolve(fallback_tag(subject))
    index = reader.read(listed) if listed is not None else None
    for entry in islice(index.children(), MAX_REFERRERS) if index is not None else ():
        yield entry, ""


def _title(annotations: Mapping[str, str]) -> str:
    for key in ("org.opencontainers.image.title", "org.opencontainers.image.description"):
        if annotations.get(key):
            return annotations[key]
    return ""
