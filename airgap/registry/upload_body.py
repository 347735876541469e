"""The body of an upload: counts what is taken, and keeps apart who failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from airgap.content.store import Chunks
from airgap.registry.pace import Pace


class BodyFailedError(Exception):
    """The source of a body failed; what it raised is in `UploadBody.failure`.

    Some errors that a source may raise mean to the library that the server hung up.
    """


class UploadBody(Iterator[memoryview]):
    """Gives at most a number of bytes of some chunks; what is left stays for the next body.

    A failure of the source must not pass for one of the network, which the library would make of
    it: it is kept here, for whoever sends the body.

    Args:
        chunks: The content.
        check: Is called before each chunk; may raise to stop.
        clock: Gives seconds that only grow; what is sent at once adapts to the line.
    """

    def __init__(
        self, chunks: Chunks, check: Callable[[], None], *, clock: Callable[[], float]
    ) -> None:
        self._chunks = chunks
        self._check = check
        self._pace = Pace(clock)
        self._rest = memoryview(b"")
        self._left = 0
        self.taken = 0
        self.failure: Exception | None = None

    def allow(self, count: int) -> None:
        """Let the next body have that many bytes."""
        self._left = count

    def drain(self) -> None:
        """Read to the end, where nothing is to be sent but the source is to be checked."""
        for _ in self._chunks:
            self._check()

    def __next__(self) -> memoryview:
        """The next piece.

        Raises:
            BodyFailedError: The source failed.
        """
        # Asked for the next piece, the sender is through with the one before.
        self._pace.stop()
        if self._left <= 0:
            raise StopIteration
        if not self._rest:
            try:
                self._check()
                self._rest = memoryview(next(self._chunks))
            except StopIteration:
                raise
            except Exception as error:
                self.failure = error
                raise BodyFailedError from error
        piece = self._rest[: min(self._pace.amount, self._left)]
        self._rest = self._rest[len(piece) :]
        self._left -= len(piece)
        self.taken += len(piece)
        self._pace.start()
        return piece
