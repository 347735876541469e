"""An answer whose body is still to be read: with limits, and with errors translated."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from airgap.registry.endpoint import Url

_DRAINED = 64 * 1024
"""A rest of up to this size is read away to keep the connection; more costs more than a new one."""


class Response:
    """One answer of a server. It holds a connection until it is read to its end or released.

    Args:
        raw: urllib3's answer, not read yet.
        url: What was asked.
        fail: Raises the error for what urllib3 raised.
    """

    def __init__(
        self, raw: BaseHTTPResponse, url: Url, fail: Callable[[Exception], NoReturn]
    ) -> None:
        self._raw = raw
        self._fail = fail
        self.url = url
        self.status = raw.status

    def header(self, name: str) -> str:
        """A header, or an empty text."""
        return self._raw.headers.get(name) or ""

    def headers(self, name: str) -> list[str]:
        """All headers of a name."""
        return self._raw.headers.getlist(name)

    @property
    def media_type(self) -> str:
        """The Content-Type in lower case, without parameters."""
        return self.header("Content-Type").partition(";")[0].strip().lower()

    @property
    def length(self) -> int | None:
        """The Content-Length; None where there is none that makes sense."""
        text = self.header("Content-Length").strip()
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None

    def read(self, amount: int) -> bytes:
        """Read up to that many bytes; none at the end.

        Raises:
            TransientError: The connection broke, or the body is shorter than announced.
        """
        try:
            return self._raw.read(amount, decode_content=False) or b""
        except (HTTPError, OSError, ValueError) as error:
            self.close()
            self._fail(error)

    def read_up_to(self, limit: int) -> bytes:
        """Read the body, but not beyond a limit.

        Raises:
            TransientError: The connection broke.
        """
        parts: list[bytes] = []
        while limit > 0 and (part := self.read(limit)):
            parts.append(part)
            limit -= len(part)
        return b"".join(parts)

    def release(self) -> None:
        """Give the connection back, without the rest of the body if there is one."""
        left = self._raw.length_remaining
        if left is not None and left <= _DRAINED:
            self._raw.drain_conn()
        if self._raw.closed:
            self._raw.release_conn()
        else:
            self.close()

    def close(self) -> None:
        """Close the connection and give its place in the pool back."""
        self._raw.close()
        self._raw.release_conn()

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
