"""What a walk through a registry has found so far, and how it asks."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from airgap.errors import AirgapError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.record.inventory_builder import InventoryBuilder
from airgap.run import Run
from airgap.transfer.manifest_cache import ManifestCache
from airgap.transfer.outcome import Failure, may_go_on


@dataclass(frozen=True, slots=True)
class WalkOptions:
    """How a registry is asked.

    Attributes:
        jobs: How many requests are on their way at once.
        keep_going: Whether what fails is left out instead of ending the walk.
        check_blobs: Whether the registry is asked for every blob and for every manifest.
        referrers: Whether it is asked what refers to each manifest.
    """

    jobs: int = 4
    keep_going: bool = False
    check_blobs: bool = False
    referrers: bool = True


@dataclass(slots=True)
class Walked:
    """What came of a walk.

    Attributes:
        failed: What is left out because it failed.
        fetched: How many manifests were fetched.
        known: How many were known before and were not fetched.
        missing_blobs: How many blobs are named and not there, where that was asked.
        empty: The repositories that have no tags, or are not there.
    """

    failed: list[Failure] = field(default_factory=list[Failure])
    fetched: int = 0
    known: int = 0
    missing_blobs: int = 0
    empty: list[str] = field(default_factory=list[str])


class Findings:
    """Takes what the walks of several repositories find. Safe to be shared by threads.

    Args:
        registry: The registry, as users name it.
        builder: Is told what is found.
        cache: Manifests that were read before.
        options: How the registry is asked.
        run: Where facts are reported.

    Attributes:
        walked: What came of it so far.
        has_api: Whether the registry lists referrers; None while nobody asked.
        probing: Held while somebody asks for the first time.
    """

    def __init__(
        self,
        registry: str,
        builder: InventoryBuilder,
        *,
        cache: ManifestCache,
        options: WalkOptions,
        run: Run,
    ) -> None:
        self.registry = registry
        self.cache = cache
        self.options = options
        self.run = run
        self.walked = Walked()
        self.has_api: bool | None = None
        self.probing = threading.Lock()
        self._builder = builder
        self._lock = threading.Lock()

    def note(self, name: str, error: AirgapError) -> None:
        """Leave something out that failed.

        Raises:
            AirgapError: Failures are not to be left out.
        """
        if not (self.options.keep_going and may_go_on(error)):
            raise error
        with self._lock:
            self.walked.failed.append(Failure(name, error))
            self._builder.is_complete = False

    def tell(self, repository: str, held: Iterable[Descriptor], *, is_known: bool) -> None:
        """Say that a repository holds a manifest and what it names.

        Args:
            repository: Its name.
            held: The manifest and what it names.
            is_known: Whether the manifest was known before.
        """
        rows = [(descriptor.digest, descriptor.size) for descriptor in held]
        with self._lock:
            if is_known:
                self.walked.known += 1
            else:
                self.walked.fetched += 1
            for digest, size in rows:
                self._builder.add_blob(digest, size, repository)

    def tell_images(self, images: Mapping[str, Digest]) -> None:
        """Say what tags of repositories stand for."""
        with self._lock:
            for name, digest in images.items():
                self._builder.add_image(name, digest)

    def miss(self, name: str, blob: Descriptor) -> None:
        """Note a blob that is not there though a manifest names it."""
        with self._lock:
            self.walked.missing_blobs += 1
        self.run.warn("blob-missing", f"{name} lacks {blob.digest}, which a manifest there names")

    def find_empty(self, repository: str) -> None:
        """Note a repository that has no tags."""
        with self._lock:
            self.walked.empty.append(repository)
        self.run.debug("repository-empty", f"{self.registry}/{repository} has no tags")
