"""Plain HTTP requests to a registry, so that its server is tested without airgap's client."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as a document."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of the first error in the body."""
        return self.json["errors"][0]["code"]


class Wire:
    """One connection to a registry.

    Args:
        host: Address and port.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        self._connection = http.client.HTTPConnection(host, timeout=30)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        status: int | None = None,
    ) -> Answer:
        """Send a request and read its answer; a status that is given must come.

        A body that is not bytes is sent in chunks, without a length.
        """
        connection = self._connection
        connection.request(method, path, body, dict(headers or {}))
        with connection.getresponse() as response:
            answer = Answer(response.status, response.headers, response.read())
        if status is not None:
            assert answer.status == status, f"{method} {path}: {answer.status} {answer.body!r}"
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
