"""Finding what refers to a manifest in a registry.

The referrers API where there is one, else its fallback tag (distribution-spec, "Listing
Referrers" and "Referrers Tag Schema"); cosign's tags always. Only a clear "not found" counts as
none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import islice

from airgap.errors import (
    ContentNotFoundError,
    InvalidContentError,
    RegistryProtocolError,
    UnauthorizedError,
)
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document, Index
from airgap.oci.referrers import cosign_tags, fallback_tag
from airgap.registry.repository import Repository
from airgap.transfer.resolution import FoundReferrer

MAX_LISTED_TAGS = 10_000
"""From here on single tags are asked for instead of reading the whole list."""


class TagList:
    """Whether a repository has a tag: from its list, read once, or by asking for each."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._lock = threading.Lock()
        self._is_read = False
        self._tags: frozenset[str] | None = None

    def has(self, tag: str) -> bool:
        """Whether the tag is there.

        Raises:
            AirgapError: The registry could not tell.
        """
        with self._lock:
            if not self._is_read:
                self._tags = self._read()
                self._is_read = True
        if self._tags is not None:
            return tag in self._tags
        return self._repository.resolve(tag) is not None

    def _read(self) -> frozenset[str] | None:
        try:
            tags = frozenset(islice(self._repository.tags(), MAX_LISTED_TAGS + 1))
        except (UnauthorizedError, ContentNotFoundError, RegistryProtocolError):
            return None  # refused or not there: asking for a tag still tells the truth
        # An empty list may be that of a registry that does not list: it answers 404, as for a
        # repository that is not there, but here is a manifest of it.
        return tags if 0 < len(tags) <= MAX_LISTED_TAGS else None


class ReferrerFinder:
    """Finds referrers; keeps each repository's tag list.

    Args:
        open_repository: Opens `registry/repository`.
    """

    def __init__(self, open_repository: Callable[[str], Repository]) -> None:
        self._open = open_repository
        self._lock = threading.Lock()
        self._lists: dict[str, TagList] = {}

    def find(
        self, name: str, digest: Digest
    ) -> tuple[tuple[FoundReferrer, ...], tuple[Document, ...]]:
        """Find what refers to a digest.

        Args:
            name: `registry/repository`.
            digest: The subject.

        Returns:
            The referrers, and those of their manifests that had to be read already.

        Raises:
            AirgapError: The registry could not tell: this is never taken for "none".
        """
        repository = self._open(name)
        tags = self._tag_list(name, repository)
        listed = repository.referrers(digest)
        if listed is None:
            listed = self._fallback(repository, tags, digest)
        found = {FoundReferrer(entry, entry.digest) for entry in listed}
        documents = []
        for tag in cosign_tags(digest):
            if not tags.has(tag):
                continue
            document = repository.manifest(tag)
            documents.append(document)
            found.add(FoundReferrer(document.descriptor, document.descriptor.digest, tag))
        return tuple(sorted(found)), tuple(documents)

    def _tag_list(self, name: str, repository: Repository) -> TagList:
        with self._lock:
            return self._lists.setdefault(name, TagList(repository))

    def _fallback(
        self, repository: Repository, tags: TagList, digest: Digest
    ) -> tuple[Descriptor, ...]:
        tag = fallback_tag(digest)
        if not tags.has(tag):
            return ()
        document = repository.manifest(tag)
        if not isinstance(document, Index):
            raise InvalidContentError(
                f"{repository.name}:{tag} should list referrers and is no index", origin="source"
            )
        return document.manifests
