"""Keeps blobs from being removed while somebody is putting them to use.

Whoever makes a blob visible holds it from before its file is in place until the row that names it
is written. Garbage collection takes a blob that nobody holds, removes row and file, and gives it
back; meanwhile whoever wants to hold it waits.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from airgap.oci.digest import Digest


class Holds:
    """Who holds which blob in this process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: Counter[Digest] = Counter()
        self._taken: frozenset[Digest] = frozenset()
        self._taker = threading.Lock()

    @contextmanager
    def hold(self, digest: Digest) -> Iterator[None]:
        """Hold a blob while the context lasts; many may hold the same one."""
        with self._changed:
            while digest in self._taken:
                self._changed.wait()
            self._held[digest] += 1
        try:
            yield
        finally:
            with self._changed:
                self._held[digest] -= 1
                if not self._held[digest]:
                    del self._held[digest]

    @contextmanager
    def take(self, digests: Collection[Digest]) -> Iterator[frozenset[Digest]]:
        """Take those that nobody holds; nobody can begin to hold them while the context lasts."""
        with self._taker:
            with self._changed:
                self._taken = frozenset(d for d in digests if d not in self._held)
                taken = self._taken
            try:
                yield taken
            finally:
                with self._changed:
                    self._taken = frozenset()
                    self._changed.notify_all()
