"""Pushes to a registry with as little as it takes: for setting a benchmark up, never measured."""

from __future__ import annotations

import http.client
from urllib.parse import quote

from benchmarks.floor import ACCEPT, connect


class Uploader:
    """One connection to a registry. Not for use by several threads."""

    def __init__(self, host: str) -> None:
        """Connect at the first request."""
        self._connection = connect(host)

    def has_manifest(self, repository: str, reference: str) -> bool:
        """Whether a manifest is there."""
        return self.digest_of(repository, reference) is not None

    def digest_of(self, repository: str, reference: str) -> str | None:
        """What the registry says is the digest of a manifest; None if it has none."""
        path = f"/v2/{repository}/manifests/{reference}"
        status, headers = self._ask("HEAD", path, headers={"Accept": ACCEPT})
        return headers.get("Docker-Content-Digest", "") if status == 200 else None

    def manifest_size(self, repository: str, reference: str) -> tuple[str, int]:
        """The digest and the size of a manifest."""
        path = f"/v2/{repository}/manifests/{reference}"
        status, headers = self._ask("HEAD", path, headers={"Accept": ACCEPT})
        self._expect(path, status, 200)
        return headers["Docker-Content-Digest"], int(headers["Content-Length"])

    def blob(self, repository: str, digest: str, data: bytes) -> None:
        """Send a blob in one piece."""
        status, headers = self._ask("POST", f"/v2/{repository}/blobs/uploads/")
        self._expect("POST", status, 202)
        location = headers["Location"]
        target = f"{location}{'&' if '?' in location else '?'}digest={digest}"
        status, _ = self._ask("PUT", target, body=data)
        self._expect("PUT", status, 201)

    def mount(self, repository: str, digest: str, source: str) -> None:
        """Take a blob over from another repository."""
        query = f"mount={digest}&from={quote(source)}"
        status, _ = self._ask("POST", f"/v2/{repository}/blobs/uploads/?{query}")
        self._expect("mount", status, 201)

    def manifest(self, repository: str, tag: str, media_type: str, raw: bytes) -> None:
        """Send a manifest under a tag."""
        path = f"/v2/{repository}/manifests/{tag}"
        status, _ = self._ask("PUT", path, body=raw, headers={"Content-Type": media_type})
        self._expect(path, status, 201)

    def _ask(
        self, verb: str, path: str, *, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage]:
        self._connection.request(verb, path, body=body or None, headers=headers or {})
        response = self._connection.getresponse()
        response.read()
        return response.status, response.headers

    @staticmethod
    def _expect(what: str, status: int, wanted: int) -> None:
        if status != wanted:
            raise RuntimeError(f"{what}: the registry answered {status} instead of {wanted}")
