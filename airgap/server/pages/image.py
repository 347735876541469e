"""What the page of one image shows: platforms, layers and how they came to be, referrers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from airgap.content.depot import Repository
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document, Index, Manifest
from airgap.oci.referrer_kind import ReferrerKind, referrer_kind
from airgap.oci.referrers import cosign_tags, fallback_tag
from airgap.server.pages.image_config import ImageConfig, config_of, text_of
from airgap.server.pages.library import kind_of, read_document, size_of

MAX_REFERRERS = 500
"""How many referrers a page shows at most."""
_REFERENCE_TYPE = "vnd.docker.reference.type"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an index.

    Attributes:
        descriptor: What it names.
        label: Its platform, or what else it is.
        size: The bytes of all that is here of it; None where it is not here.
    """

    descriptor: Descriptor
    label: str
    size: int | None


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
        size: The bytes of all that is here of it.
        title: What it is called, where it says so.
    """

    kind: ReferrerKind
    digest: Digest
    artifact_type: str
    subject: Digest
    size: int
    title: str


@dataclass(frozen=True, slots=True)
class ImageView:
    """All that a page shows of what a tag or digest names."""

    document: Document
    kind: str
    size: int
    config: ImageConfig | None
    entries: tuple[Entry, ...]
    layers: tuple[Layer, ...]
    referrers: tuple[Referrer, ...]

    @property
    def digest(self) -> Digest:
        """Of its manifest."""
        return self.document.descriptor.digest

    @property
    def annotations(self) -> tuple[tuple[str, str], ...]:
        """What is said about it, sorted."""
        return tuple(sorted(self.document.annotations.items()))


def view_image(repository: Repository, found: Descriptor) -> ImageView | None:
    """Read what a page shows of a manifest; None where it cannot be read."""
    document = read_document(repository, found)
    if document is None:
        return None
    config = None
    layers: tuple[Layer, ...] = ()
    if isinstance(document, Manifest):
        config = config_of(repository, document)
        layers = tuple(_layers(repository, document, config))
    return ImageView(
        document,
        kind_of(document),
        size_of(repository, document),
        config,
        tuple(_entries(repository, document)) if isinstance(document, Index) else (),
        layers,
        tuple(_referrers(repository, document)),
    )


def _entries(repository: Repository, index: Index) -> Iterator[Entry]:
    for entry in index.manifests:
        child = read_document(repository, entry)
        if _REFERENCE_TYPE in entry.annotations:
            label = entry.annotations[_REFERENCE_TYPE].removesuffix("-manifest")
        elif entry.platform is not None and entry.platform.is_known:
            label = str(entry.platform)
        else:
            label = kind_of(child) if child is not None else "manifest"
        yield Entry(entry, label, None if child is None else size_of(repository, child))


def _layers(
    repository: Repository, manifest: Manifest, config: ImageConfig | None
) -> Iterator[Layer]:
    """Lay the steps of the history beside the layers, as far as they fit each other."""
    history = config.history if config is not None else ()
    full = [step for step in history if step.get("empty_layer") is not True]
    if len(full) != len(manifest.layers):
        history = ()
    blobs = iter(manifest.layers)
    for step in history:
        blob = None if step.get("empty_layer") is True else next(blobs)
        command, created = text_of(step.get("created_by")), text_of(step.get("created"))
        yield Layer(
            command or text_of(step.get("comment")), created, blob, _is_here(repository, blob)
        )
    for blob in blobs:
        yield Layer(_title(blob.annotations), "", blob, _is_here(repository, blob))


def _is_here(repository: Repository, blob: Descriptor | None) -> bool:
    return blob is None or repository.find_blob(blob.digest) is not None


def _referrers(repository: Repository, document: Document) -> Iterator[Referrer]:
    """What refers to a manifest, to its children, and to what refers to them."""
    roots = [document.descriptor.digest, *(child.digest for child in document.children())]
    waiting, seen = deque(dict.fromkeys(roots)), set(roots)
    count = 0
    while waiting and count < MAX_REFERRERS:
        subject = waiting.popleft()
        for entry, tag in _referring(repository, subject):
            if entry.digest in seen:
                continue
            seen.add(entry.digest)
            waiting.append(entry.digest)
            found = read_document(repository, entry)
            if found is not None:
                count += 1
                yield Referrer(
                    referrer_kind(found, tag=tag),
                    entry.digest,
                    found.artifact_type or "",
                    subject,
                    size_of(repository, found),
                    _title(found.annotations),
                )


def _referring(repository: Repository, subject: Digest) -> Iterator[tuple[Descriptor, str]]:
    for entry in repository.referrers(subject) or ():
        yield entry, ""
    for tag in cosign_tags(subject):
        found = repository.resolve(tag)
        if found is not None:
            yield found, tag
    listed = repository.resolve(fallback_tag(subject))
    index = read_document(repository, listed) if listed is not None else None
    for entry in index.children() if index is not None else ():
        yield entry, ""


def _title(annotations: Mapping[str, str]) -> str:
    for key in ("org.opencontainers.image.title", "org.opencontainers.image.description"):
        if annotations.get(key):
            return annotations[key]
    return ""
