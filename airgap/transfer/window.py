"""Content that comes once, in order, and is wanted by several receivers that may fall back.

The last bytes that passed are kept, so that an upload that broke can go on a little earlier.
Whoever is ahead waits for the slowest when the window is full.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from airgap.content.store import Chunks
from airgap.errors import AirgapError, UnavailableError
from airgap.run import Run

WINDOW_SIZE = 48 * 1024 * 1024
_SLICE = 0.5
"""Seconds between looks at the cancellation while waiting for a slower receiver."""


class Receiver:
    """One of those who read through a window, from when it joins until it leaves."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self.offset = 0

    @contextmanager
    def open_at(self, offset: int) -> Iterator[Chunks]:
        """Read from an offset on; also again from an earlier one.

        Raises:
            UnavailableError: These bytes have passed and are not kept any more.
        """
        self._window.seek(self, offset)
        yield self._read()

    def leave(self) -> None:
        """Let the others go on without this one."""
        self._window.leave(self)

    def _read(self) -> Iterator[bytes]:
        while (chunk := self._window.next_chunk(self)) is not None:
            yield chunk


class Window:
    """Hands one blob of a pipe to receivers, each at its own offset.

    Args:
        chunks: The content from its start.
        run: Checked while waiting.
        size: How many bytes behind the furthest receiver are kept.
    """

    def __init__(self, chunks: Chunks, *, run: Run, size: int = WINDOW_SIZE) -> None:
        self._chunks = chunks
        self._run = run
        self.size = size
        self._changed = threading.Condition()
        self._kept: deque[tuple[int, bytes]] = deque()
        self._start = 0
        self._end = 0
        self._is_over = False
        self._error: BaseException | None = None
        self._receivers: list[Receiver] = []

    def join(self) -> Receiver:
        """Take part, from the first byte on: nothing is forgotten before this one has read it."""
        receiver = Receiver(self)
        with self._changed:
            self._receivers.append(receiver)
        return receiver

    def leave(self, receiver: Receiver) -> None:
        """Wait for a receiver no more."""
        with self._changed:
            self._receivers.remove(receiver)
            self._changed.notify_all()

    def drain(self) -> None:
        """Read what nobody wanted, so that the pipe stands behind the blob."""
        for _ in self._chunks:
            self._run.cancel.check()

    def seek(self, receiver: Receiver, offset: int) -> None:
        """Move a receiver.

        Raises:
            UnavailableError: The bytes there have passed and are not kept any more.
        """
        with self._changed:
            if offset < self._start:
                raise UnavailableError(
                    "an upload broke too far behind what the pipe has given",
                    hint="pipe it again, what arrived is skipped",
                    origin="destination",
                )
            receiver.offset = offset

    def next_chunk(self, receiver: Receiver) -> bytes | None:
        """The next bytes for a receiver; None at the end. Waits for slower ones where it must."""
        with self._changed:
            while True:
                for start, chunk in self._kept:
                    if start <= receiver.offset < start + len(chunk):
                        rest = chunk[receiver.offset - start :]
                        receiver.offset += len(rest)
                        self._changed.notify_all()
                        return rest
                if self._error is not None:
                    raise self._error
                if self._is_over:
                    return None
                if self._end - self._slowest() < self.size:
                    self._pull()
                else:
                    self._run.cancel.check()
                    self._changed.wait(_SLICE)

    def _slowest(self) -> int:
        return min((receiver.offset for receiver in self._receivers), default=self._end)

    def _pull(self) -> None:
        try:
            chunk = next(self._chunks, None)
        except AirgapError as error:
            self._error = error
            return
        if chunk is None:
            self._is_over = True
            return
        self._kept.append((self._end, chunk))
        self._end += len(chunk)
        while self._kept:
            start, oldest = self._kept[0]
            end = start + len(oldest)
            if self._end - end < self.size or end > self._slowest():
                break
            self._kept.popleft()
            self._start = end
