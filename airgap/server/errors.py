"""The errors of the distribution specification, one constructor for each code.

Source: distribution-spec v1.1.1 "Error Codes"; the statuses are those of its endpoint table, and
where it leaves them open those of the CNCF registry, which clients know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping


class WireError(Exception):
    """An answer that says what went wrong.

    Args:
        status: The HTTP status.
        code: The code of the specification.
        message: One line for people.
        detail: What it is about: a digest, a name.
        headers: What the answer says beside its body.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        detail: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.detail = detail
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """The document of the specification that carries the error."""
        error: dict[str, object] = {"code": self.code, "message": self.message}
        if self.detail:
            error["detail"] = self.detail[:500]
        return json.dumps({"errors": [error]}).encode()


def blob_unknown(digest: str) -> WireError:
    """The repository has no such blob."""
    return WireError(404, "BLOB_UNKNOWN", "blob unknown to registry", digest)


def upload_invalid(reason: str) -> WireError:
    """An upload was asked to do what it cannot."""
    return WireError(400, "BLOB_UPLOAD_INVALID", "blob upload invalid", reason)


def upload_out_of_order(location: str, held: str) -> WireError:
    """A piece does not begin where the last one ended."""
    return WireError(
        416,
        "BLOB_UPLOAD_INVALID",
        "the piece does not begin where the last one ended",
        f"the upload holds {held}",
        {"Location": location, "Range": held},
    )


def upload_unknown(upload_id: str) -> WireError:
    """There is no such upload in this repository."""
    return WireError(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry", upload_id)


def digest_invalid(detail: str) -> WireError:
    """A digest is none, or the content hashes to another."""
    message = "provided digest did not match uploaded content, or is no digest"
    return WireError(400, "DIGEST_INVALID", message, detail)


def manifest_blob_unknown(detail: str) -> WireError:
    """A manifest names content that the repository does not have."""
    message = "manifest references a manifest or blob unknown to registry"
    return WireError(400, "MANIFEST_BLOB_UNKNOWN", message, detail)


def manifest_invalid(reason: str) -> WireError:
    """A manifest does not have the form of its media type."""
    return WireError(400, "MANIFEST_INVALID", "manifest invalid", reason)


def manifest_too_large(limit: int) -> WireError:
    """A manifest is larger than what the registry takes."""
    return WireError(413, "SIZE_INVALID", f"a manifest may have {limit} bytes")


def body_too_large(limit: int) -> WireError:
    """A body is larger than what the registry takes there."""
    return WireError(413, "SIZE_INVALID", f"no more than {limit} bytes are taken here")


def manifest_unknown(reference: str) -> WireError:
    """The repository has no such manifest."""
    return WireError(404, "MANIFEST_UNKNOWN", "manifest unknown to registry", reference)


def name_invalid(name: str) -> WireError:
    """A text is not the name of a repository."""
    return WireError(400, "NAME_INVALID", "invalid repository name", name)


def name_unknown(name: str) -> WireError:
    """There is no such repository."""
    return WireError(404, "NAME_UNKNOWN", "repository name not known to registry", name)


def size_invalid(detail: str) -> WireError:
    """Content has another length than was announced."""
    return WireError(400, "SIZE_INVALID", "provided length did not match content length", detail)


def unauthorized(challenge: str) -> WireError:
    """The request needs credentials."""
    headers = {"WWW-Authenticate": challenge}
    return WireError(401, "UNAUTHORIZED", "authentication required", "", headers)


def denied(detail: str) -> WireError:
    """The credentials are not enough."""
    return WireError(403, "DENIED", "requested access to the resource is denied", detail)


def unsupported(detail: str, *, allow: str = "", status: int = 405) -> WireError:
    """The registry does not do this, or was told not to."""
    headers = {"Allow": allow} if allow else {}
    return WireError(status, "UNSUPPORTED", "the operation is unsupported", detail, headers)


def too_many_requests(retry_after: int) -> WireError:
    """The client should wait."""
    headers = {"Retry-After": str(retry_after)}
    return WireError(429, "TOOMANYREQUESTS", "too many requests", "", headers)


def page_invalid(detail: str) -> WireError:
    """The size of a page is no number. The code is the CNCF registry's: the specification has none.

    Source: distribution's `PAGINATION_NUMBER_INVALID`.
    """
    return WireError(400, "PAGINATION_NUMBER_INVALID", "invalid number of results", detail)


def range_unsatisfiable(size: int) -> WireError:
    """A range begins behind the end of the content (RFC 9110, 15.5.17)."""
    headers = {"Content-Range": f"bytes */{size}"}
    message = "the range lies outside of the content"
    return WireError(416, "SIZE_INVALID", message, f"it has {size} bytes", headers)


def internal(status: int, message: str) -> WireError:
    """The registry itself failed. The code is the CNCF registry's."""
    return WireError(status, "UNKNOWN", message)
