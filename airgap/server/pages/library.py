"""What the pages show of a depot: read for one visitor, so that nobody sees what is not theirs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from airgap.content.depot import Depot, Repository, RepositoryPager, TagPager
from airgap.errors import AirgapError, InvalidContentError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document, Index
from airgap.oci.platform import Platform
from airgap.oci.reference import is_repository, is_tag
from airgap.oci.referrers import cosign_subject, is_fallback_tag
from airgap.server.pages.commands import is_chart
from airgap.server.pages.image_config import config_of

PAGE = 50
"""How many rows a page of a list has."""
MAX_HITS = 200
"""How many tags a search finds at most."""
MAX_READS = 1000
"""How many manifests are looked for to show one page."""
MAX_READ_BYTES = 32 << 20
"""How many bytes of manifests are read for it: whoever may push decides how large they are."""
MAX_PLATFORMS = 50
"""How many platforms of one tag a list names."""
_BATCH = 1000
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of a list.

    Attributes:
        names: What is on it, in order.
        next: Behind which name the next page begins; empty where this is the last one.
    """

    names: tuple[str, ...]
    next: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """A tag or manifest that a search found."""

    repository: str
    reference: str

    @property
    def name(self) -> str:
        """As people write it."""
        return f"{self.repository}{'@' if ':' in self.reference else ':'}{self.reference}"


@dataclass(frozen=True, slots=True)
class TagRow:
    """One tag of a list.

    Attributes:
        tag: The tag.
        digest: What it names.
        kind: image, index, chart or artifact; empty where its manifest cannot be read.
        platforms: What it runs on, the first ones of them.
        more_platforms: How many more there are.
        size: The bytes of all that is here of it; None where its manifest cannot be read, or
            where it would take too long to count them.
    """

    tag: str
    digest: Digest
    kind: str = ""
    platforms: tuple[Platform, ...] = ()
    more_platforms: int = 0
    size: int | None = None


class Reader:
    """Reads manifests of one repository for one page, and not more of them than that is worth.

    Args:
        repository: Where they are.
        reads: How many are looked for.
        size: How many bytes are read.
    """

    def __init__(
        self, repository: Repository, *, reads: int = MAX_READS, size: int = MAX_READ_BYTES
    ) -> None:
        self.repository = repository
        self._reads = reads
        self._size = size

    @property
    def is_spent(self) -> bool:
        """Whether nothing is read any more."""
        return self._reads <= 0 or self._size <= 0

    def spend(self) -> bool:
        """Count one question to the repository; False where no more may be asked."""
        if self.is_spent:
            return False
        self._reads -= 1
        return True

    def read(self, descriptor: Descriptor) -> Document | None:
        """Read a manifest; None where it is not here, cannot be read, or would be too much."""
        if not self.spend():
            return None
        with suppress(AirgapError):
            document = self.repository.manifest(
                str(descriptor.digest), media_type=descriptor.media_type
            )
            self._size -= document.descriptor.size
            return document
        return None


class Library:
    """The repositories of a depot that one visitor may pull from.

    Args:
        depot: Where they are.
        may_pull: Whether the visitor may pull from a repository.
    """

    def __init__(self, depot: Depot, may_pull: Callable[[str], bool]) -> None:
        self._depot = depot
        self._may_pull = may_pull

    def names(self, *, after: str = "") -> Iterator[str]:
        """The names of the repositories, in lexical order, from behind one on."""
        if not isinstance(self._depot, RepositoryPager):
            names = list(self._depot.repositories())
            yield from filter(self._may_pull, names[bisect_right(names, after) :])
            return
        last: str | None = after or None
        while batch := self._depot.repositories_page(last=last, limit=_BATCH):
            yield from filter(self._may_pull, batch)
            last = batch[-1]

    def repositories(self, words: Sequence[str], *, after: str = "") -> Listing:
        """A page of repositories in whose names all words stand."""
        found = (name for name in self.names(after=after) if all(word in name for word in words))
        return _page(found)

    def repository(self, name: str) -> Repository | None:
        """A repository; None where there is none, or none for this visitor."""
        if not is_repository(name) or not self._may_pull(name):
            return None
        repository = self._depot.repository(name)
        return repository if repository.exists else None

    def search_tags(self, words: Sequence[str]) -> tuple[Hit, ...]:
        """Tags whose full names hold all words, where the repository's alone does not."""

        def hits() -> Iterator[Hit]:
            for name in self.names():
                left = [word for word in words if word not in name]
                if not left:
                    continue
                for tag in self._depot.repository(name).tags():
                    full = f"{name}:{tag}"
                    if not is_hidden(tag) and all(word in full for word in left):
                        yield Hit(name, tag)

        return tuple(islice(hits(), MAX_HITS))

    def search_digest(self, digest: Digest) -> tuple[Hit, ...]:
        """The repositories that have a manifest of this digest."""
        hits = (
            Hit(name, str(digest))
            for name in self.names()
            if self._depot.repository(name).resolve(str(digest)) is not None
        )
        return tuple(islice(hits, MAX_HITS))


def tag_count(repository: Repository, limit: int = _BATCH) -> int:
    """How many tags a repository has that people look for; counts no further than the limit."""
    return sum(1 for tag in islice(repository.tags(), limit) if not is_hidden(tag))


def tags(repository: Repository, *, after: str = "", with_hidden: bool = False) -> Listing:
    """A page of the tags of a repository."""
    return _page(tag for tag in _tags_after(repository, after) if with_hidden or not is_hidden(tag))


def is_hidden(tag: str) -> bool:
    """Whether a tag is there for tools: it carries a signature or a list of referrers."""
    return cosign_subject(tag) is not None or is_fallback_tag(tag)


def tag_row(reader: Reader, tag: str) -> TagRow | None:
    """What a list says of a tag; None where it is gone meanwhile."""
    found = reader.repository.resolve(tag)
    if found is None:
        return None
    document = reader.read(found)
    if document is None:
        return TagRow(tag, found.digest)
    platforms = _platforms(reader.repository, document)
    return TagRow(
        tag,
        found.digest,
        kind_of(document),
        platforms[:MAX_PLATFORMS],
        len(platforms[MAX_PLATFORMS:]),
        size_of(reader, document),
    )


def _platforms(repository: Repository, document: Document) -> tuple[Platform, ...]:
    if isinstance(document, Index):
        found = [entry.platform for entry in document.manifests]
    else:
        config = config_of(repository, document)
        found = [config.platform if config is not None else None]
    return tuple(platform for platform in found if platform is not None and platform.is_known)


def kind_of(document: Document) -> str:
    """What people call it."""
    if isinstance(document, Index):
        return "index"
    if is_chart(document):
        return "chart"
    return "image" if document.is_runnable else "artifact"


def size_of(reader: Reader, document: Document) -> int | None:
    """The bytes of a manifest and of all below it that is here, each counted once.

    None where there is too much to look at.
    """
    sizes: dict[Digest, int] = {}
    waiting: list[tuple[Document, int]] = [(document, 0)]
    while waiting:
        current, depth = waiting.pop()
        sizes[current.descriptor.digest] = current.descriptor.size
        sizes.update((blob.digest, blob.size) for blob in current.blobs())
        for child in current.children() if depth < _MAX_DEPTH else ():
            if child.digest in sizes:
                continue
            if reader.is_spent:
                return None
            found = reader.read(child)
            if found is not None:
                waiting.append((found, depth + 1))
    return sum(sizes.values())


def as_digest(text: str) -> Digest | None:
    """Read a digest; None where a text is none."""
    with suppress(InvalidContentError):
        return Digest.parse(text)
    return None


def split_name(name: str) -> tuple[str, str] | None:
    """Take `repository:tag` or `repository@digest` apart; None where it is neither."""
    repository, at, digest = name.partition("@")
    if at:
        return (repository, digest) if as_digest(digest) else None
    repository, colon, tag = name.rpartition(":")
    return (repository, tag) if colon and is_tag(tag) else None


def _page(names: Iterable[str]) -> Listing:
    found = tuple(islice(names, PAGE + 1))
    return Listing(found[:PAGE], found[PAGE - 1] if len(found) > PAGE else "")


def _tags_after(repository: Repository, after: str) -> Iterator[str]:
    if not isinstance(repository, TagPager):
        names = list(repository.tags())
        yield from names[bisect_right(names, after) :]
        return
    last: str | None = after or None
    while batch := repository.tags_page(last=last, limit=4 * PAGE):
        yield from batch
        last = batch[-1]
