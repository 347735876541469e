"""What an import sent so far: counted for its result, and noted for its receipt."""

from __future__ import annotations

import threading
from typing import Protocol

from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.record.receipt import BlobOutcome


class Notes(Protocol):
    """Takes down, one by one, what a registry has after an import. Told by several threads."""

    def blob(self, descriptor: Descriptor, repository: str, outcome: BlobOutcome, /) -> None:
        """A repository has a blob."""
        ...

    def manifest(self, descriptor: Descriptor, repository: str, outcome: BlobOutcome, /) -> None:
        """A repository has a manifest."""
        ...

    def tag(self, repository: str, tag: str, digest: Digest, /) -> None:
        """A tag of a repository names a manifest."""
        ...


class Tally:
    """Counts what is sent; told by several threads.

    Args:
        notes: Is told the same one by one; None where nobody wants to know.

    Attributes:
        pushed: How many blobs were sent.
        pushed_bytes: Their bytes.
        present: How many were there.
        mounted: How many were taken over from another repository by the registry.
        copied: How many were taken over by reading them there and sending them.
        manifests: How many manifests were sent.
    """

    def __init__(self, notes: Notes | None = None) -> None:
        self._notes = notes
        self._lock = threading.Lock()
        self.pushed = 0
        self.pushed_bytes = 0
        self.present = 0
        self.mounted = 0
        self.copied = 0
        self.manifests = 0

    def blob(self, descriptor: Descriptor, repository: str, outcome: BlobOutcome) -> None:
        """A repository has a blob now."""
        with self._lock:
            setattr(self, outcome, getattr(self, outcome) + 1)
            if outcome == "pushed":
                self.pushed_bytes += descriptor.size
        if self._notes is not None:
            self._notes.blob(descriptor, repository, outcome)

    def manifest(self, descriptor: Descriptor, repository: str, *, is_sent: bool) -> None:
        """A repository has a manifest now."""
        if is_sent:
            with self._lock:
                self.manifests += 1
        if self._notes is not None:
            self._notes.manifest(descriptor, repository, "pushed" if is_sent else "present")

    def tag(self, repository: str, tag: str, digest: Digest) -> None:
        """A tag names a manifest now."""
        if self._notes is not None:
            self._notes.tag(repository, tag, digest)
