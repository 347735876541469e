"""Which resource a method and a path ask for: pure, without a framework's patterns.

Source: distribution-spec v1.1.1, "Endpoints". A name may have the words of the endpoints as parts
(`a/blobs/b`), so a path is read from its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from airgap.errors import InvalidContentError
from airgap.oci.digest import Digest
from airgap.oci.reference import is_repository
from airgap.server.errors import digest_invalid, name_invalid, name_unknown, unsupported

PREFIX = "/v2/"


class Resource(StrEnum):
    """What the registry has."""

    BASE = "base"
    CATALOG = "catalog"
    INVENTORY = "inventory"
    BLOB = "blob"
    UPLOADS = "uploads"
    UPLOAD = "upload"
    MANIFEST = "manifest"
    TAGS = "tags"
    REFERRERS = "referrers"


METHODS: dict[Resource, tuple[str, ...]] = {
    Resource.BASE: ("GET", "HEAD"),
    Resource.CATALOG: ("GET", "HEAD"),
    Resource.INVENTORY: ("GET", "HEAD"),
    Resource.BLOB: ("GET", "HEAD", "DELETE"),
    Resource.UPLOADS: ("POST",),
    Resource.UPLOAD: ("GET", "HEAD", "PATCH", "PUT", "DELETE"),
    Resource.MANIFEST: ("GET", "HEAD", "PUT", "DELETE"),
    Resource.TAGS: ("GET", "HEAD"),
    Resource.REFERRERS: ("GET", "HEAD"),
}
_FIXED = {
    "/v2": Resource.BASE,
    PREFIX: Resource.BASE,
    f"{PREFIX}_catalog": Resource.CATALOG,
    f"{PREFIX}_airgap/inventory": Resource.INVENTORY,
}
"""What lies in no repository."""


@dataclass(frozen=True, slots=True)
class Route:
    """One resource.

    Attributes:
        resource: What kind it is.
        repository: The repository that it lies in; valid, or empty where it lies in none.
        reference: The rest of its address: a digest for blobs and referrers (valid), a tag or
            digest for manifests (as it came), an id for uploads.
    """

    resource: Resource
    repository: str = ""
    reference: str = ""

    @property
    def digest(self) -> Digest:
        """The reference as a digest."""
        return Digest.parse(self.reference)


@lru_cache(maxsize=512)  # clients ask for the same few things again and again
def route(method: str, path: str) -> Route:
    """Find what a request asks for.

    Args:
        method: The HTTP method, in upper case.
        path: The path of the url, with percent signs decoded.

    Raises:
        WireError: There is no such resource, it does not take the method, or a name or digest in
            the path is none.
    """
    found = _find(path)
    if found is None:
        raise name_unknown(path)
    if path not in _FIXED:
        _check(found)
    allowed = METHODS[found.resource]
    if method not in allowed:
        raise unsupported(f"{method} of {found.resource}", allow=", ".join(allowed))
    return found


def _find(path: str) -> Route | None:
    if path in _FIXED:
        return Route(_FIXED[path])
    if not path.startswith(PREFIX):
        return None
    name: list[str] = []
    reference = ""
    match path.removeprefix(PREFIX).split("/"):
        case [*name, "tags", "list"]:
            resource = Resource.TAGS
        case [*name, "blobs", "uploads"] | [*name, "blobs", "uploads", ""]:
            resource = Resource.UPLOADS
        case [*name, "blobs", "uploads", reference]:
            resource = Resource.UPLOAD
        case [*name, "blobs", reference]:
            resource = Resource.BLOB
        case [*name, "manifests", reference]:
            resource = Resource.MANIFEST
        case [*name, "referrers", reference]:
            resource = Resource.REFERRERS
        case _:
            return None
    return Route(resource, "/".join(name), reference)


def _check(found: Route) -> None:
    if not is_repository(found.repository):
        raise name_invalid(found.repository)
    is_digest = found.resource in (Resource.BLOB, Resource.REFERRERS)
    if is_digest or (found.resource is Resource.MANIFEST and ":" in found.reference):
        try:
            Digest.parse(found.reference)
        except InvalidContentError:
            raise digest_invalid(found.reference) from None
