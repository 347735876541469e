"""A blob on its way here: exactly its bytes from an offset on, whatever breaks in between."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from airgap.errors import Origin, SizeMismatchError, UnavailableError
from airgap.oci.descriptor import Descriptor
from airgap.registry.pace import Pace
from airgap.registry.response import Response
from airgap.registry.retry import Retrier, TransientError

_CONTENT_RANGE = re.compile(r"bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.IGNORECASE)

Fetch = Callable[[Mapping[str, str]], Response]
"""Sends a GET with more headers and gives the answer if it is 200, 206 or 416."""


class Download(Iterator[bytes]):
    """Gives the chunks of a blob, and asks again from the byte reached when a connection breaks.

    The bytes are not hashed here; their number is checked, and where a server goes on.

    Args:
        descriptor: The blob.
        offset: Where to begin.
        fetch: Asks for it.
        retrier: The retry loop.
        clock: Gives seconds that only grow.
        origin: Which side it is.
    """

    def __init__(self, descriptor: Descriptor, fetch: Fetch, *, offset: int, retrier: Retrier,
                 clock: Callable[[], float], origin: Origin | None) -> None:  # fmt: skip
        self.offset = offset
        self._descriptor = descriptor
        self._fetch = fetch
        self._retrier = retrier
        self._pace = Pace(clock)
        self._origin: Origin | None = origin
        self._response: Response | None = None
        self._skip = 0
        self._takes_ranges = True
        self._is_done = False
        self._what = f"the blob {descriptor.digest.short}"

    def __next__(self) -> bytes:
        """The next chunk.

        Raises:
            ContentNotFoundError: There is no such blob.
            SizeMismatchError: The server has another number of bytes.
            UnavailableError: It broke off for good.
        """
        if self._is_done:
            raise StopIteration
        chunk = self._retrier.call(self._what, self._step, progress=lambda: self.offset)
        if not chunk:
            self._is_done = True
            raise StopIteration
        return chunk

    def close(self) -> None:
        """Give the connection back."""
        self._is_done = True
        if (response := self._response) is not None:
            self._response = None
            response.release()

    def _step(self) -> bytes:
        size = self._descriptor.size
        if self._response is None and self.offset >= size > 0:
            return b""
        response = self._connected()
        while True:
            chunk = self._read(response)
            if not chunk:
                break
            if self._skip:
                dropped = min(self._skip, len(chunk))
                self._skip -= dropped
                chunk = chunk[dropped:]
            if chunk:
                self.offset += len(chunk)
                if self.offset > size:
                    raise self._wrong_size(f"more than {size}")
                return chunk
        self.close_response()
        if self.offset < size:
            raise TransientError(
                UnavailableError(
                    f"{self._what} ended after {self.offset} of {size} bytes",
                    hint="try again later",
                    origin=self._origin,
                )
            )
        return b""

    def close_response(self) -> None:
        """Let go of the answer that is being read."""
        if (response := self._response) is not None:
            self._response = None
            response.release()

    def _read(self, response: Response) -> bytes:
        self._pace.start()
        try:
            chunk = response.read(self._pace.amount)
        except TransientError:
            self._response = None
            self._pace.reset()
            raise
        self._pace.stop()
        return chunk

    def _connected(self) -> Response:
        if self._response is None:
            is_ranged = self.offset > 0 and self._takes_ranges
            headers = {"Range": f"bytes={self.offset}-"} if is_ranged else {}
            response = self._fetch(headers)
            try:
                self._check(response)
            except BaseException:
                response.release()
                raise
            self._response = response
        return self._response

    def _check(self, response: Response) -> None:
        size, length = self._descriptor.size, response.length
        if response.status == 200:
            self._skip = self.offset
            if length is not None and length != size:
                raise self._wrong_size(str(length))
            return
        self._skip = 0
        found = _CONTENT_RANGE.fullmatch(response.header("Content-Range").strip())
        if response.status == 416 or found is None or int(found[1]) != self.offset:
            # A server that mistakes ranges: ask for all of it and drop what is here already.
            was_ranged, self._takes_ranges = self._takes_ranges, False
            error = UnavailableError(
                f"the server does not go on with {self._what} at byte {self.offset}",
                origin=self._origin,
            )
            raise TransientError(error) if was_ranged else error
        if found[3] not in ("*", str(size)):
            raise self._wrong_size(found[3])

    def _wrong_size(self, actual: str) -> SizeMismatchError:
        self.close_response()
        size = self._descriptor.size
        return SizeMismatchError(
            f"{self._descriptor.digest} should have {size} bytes, and the server has {actual}",
            expected=str(size),
            actual=actual,
            origin=self._origin,
        )
