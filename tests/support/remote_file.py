"""A file that somebody has, for tests of arrivals: it counts what is asked for, and can break."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airgap.content.store import Chunks
from airgap.errors import UnavailableError


class HeldFile:
    """Bytes in memory as a `content.arrival.RemoteFile`.

    Args:
        data: The bytes.
        size: How many it is said to have.
        breaks_at: After how many bytes in all it goes away.
        piece: How many bytes come at a time.
    """

    def __init__(
        self,
        data: bytes,
        *,
        size: int | None = None,
        breaks_at: int | None = None,
        piece: int = 512,
    ) -> None:
        self.name = "release.tar"
        self.size = len(data) if size is None else size
        self.asked: list[tuple[int, int]] = []
        self.given = 0
        self._data = data
        self._breaks_at = breaks_at
        self._piece = piece

    @contextmanager
    def open(self, offset: int, size: int, /) -> Iterator[Chunks]:
        self.asked.append((offset, size))
        yield self._chunks(offset, size)

    def _chunks(self, offset: int, size: int) -> Iterator[bytes]:
        for at in range(offset, offset + size, self._piece):
            chunk = self._data[at : min(at + self._piece, offset + size)]
            if self._breaks_at is not None and self.given + len(chunk) > self._breaks_at:
                raise UnavailableError("gone", origin="bundle")
            self.given += len(chunk)
            yield chunk
