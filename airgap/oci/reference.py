"""References as Docker users write them, parsed into what a registry is asked for.

Sources: distribution-spec "Pulling manifests" (names and tags); the defaults docker.io, library/
and latest are Docker's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import total_ordering
from ipaddress import IPv6Address
from typing import Self

from airgap.errors import InvalidContentError, InvalidReferenceError
from airgap.oci.digest import Digest

DEFAULT_REGISTRY = "docker.io"
_HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_REPOSITORY = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
    r"|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{1,5}))?"
)
_IMAGE_ID = re.compile(r"(sha256:)?[0-9a-f]{64}")
MAX_NAME = 255


def without_credentials(text: str) -> str:
    """What somebody typed as a name, fit for a message: short, and without a password in it.

    People write `user:password@host/name` as they do in urls; a digest is the only thing that may
    stand behind an @ in a name.
    """
    before, _, last = text.rpartition("@")
    digest = f"@{last}" if last.startswith(("sha256:", "sha512:")) and before else ""
    hidden, at, name = text.removesuffix(digest).rpartition("@")
    if at:
        scheme, slashes, _ = hidden.partition("://")
        text = (f"{scheme}://" if slashes else "") + f"…@{name}{digest}"
    return text if len(text) <= 200 else text[:200] + "…"


def is_repository(text: str) -> bool:
    """Whether a text is the name of a repository."""
    return len(text) <= MAX_NAME and _REPOSITORY.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether a text is a tag."""
    return _TAG.fullmatch(text) is not None


def is_registry(text: str) -> bool:
    """Whether a text is a host name or address with or without a port."""
    found = _HOST.fullmatch(text) if len(text) <= MAX_NAME else None
    if found is None or int(found["port"] or 1) not in range(1, 65536):
        return False
    if found["ipv6"]:
        try:
            IPv6Address(found["ipv6"])
        except ValueError:
            return False
    return True


def registry_component(host: str) -> str:
    """A registry's name as a part of a repository's name, where neither colon nor bracket can be.

    Empty where nothing is left of it.
    """
    return re.sub(r"[^a-z0-9.]+", "-", host.lower()).strip("-.")


@total_ordering
@dataclass(frozen=True, slots=True)
class Reference:
    """A name for an image: registry, repository, and a tag, a digest or both.

    Where both are given the digest counts for what is fetched and the tag for its name.
    References sort by their parts, one without a tag or digest before those with one.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse what a user writes: `nginx`, `ghcr.io/org/app:tag`, `name:tag@sha256:…`.

        Raises:
            InvalidReferenceError: It is none.
        """
        shown = without_credentials(text)
        if "://" in text:
            raise InvalidReferenceError(
                f"{shown!r} is a url and not a reference", hint="leave out the scheme"
            )
        if _IMAGE_ID.fullmatch(text):
            raise InvalidReferenceError(
                f"{shown!r} is an image id or a digest without a name",
                hint="write the repository before it: name@sha256:…",
            )
        rest, at, digest_text = text.partition("@")
        try:
            digest = Digest.parse(digest_text) if at else None
        except InvalidContentError as error:
            raise InvalidReferenceError(
                f"{shown!r}: what follows the @ is not a digest", hint=error.hint
            ) from error
        registry, path = _split_registry(rest)
        repository, colon, tag = path.partition(":")
        if colon and not is_tag(tag):
            raise InvalidReferenceError(
                f"{shown!r}: what follows the colon is not a tag",
                hint="a tag has up to 128 letters, digits, and ._- (not first)",
            )
        if registry == DEFAULT_REGISTRY and repository and "/" not in repository:
            repository = f"library/{repository}"
        if not is_registry(registry) or not is_repository(repository):
            raise InvalidReferenceError(
                f"{shown!r} is not a reference",
                hint="write [registry/]repository[:tag][@digest], the repository in lower case",
            )
        if len(registry) + 1 + len(repository) > MAX_NAME:
            raise InvalidReferenceError(
                f"{shown!r}: the name is longer than {MAX_NAME} characters",
                hint="registry and repository together may have no more",
            )
        return cls(registry, repository, tag or (None if digest else "latest"), digest)

    @classmethod
    def parse_full(cls, name: object, digest: Digest) -> Self:
        """Read the name of an image as documents write it: in full, with a tag or its digest.

        Args:
            name: What stands there.
            digest: What the name stands for.

        Raises:
            InvalidContentError: It is not written so, or is the name of another digest.
            InvalidReferenceError: It is none at all.
        """
        if not isinstance(name, str):
            raise InvalidContentError("an image must have a name")
        reference = cls.parse(name)
        if reference.tagged != name:
            raise InvalidContentError(
                f"{name[:200]!r} is not the full name of an image, with a tag or a digest"
            )
        if reference.digest not in (None, digest):
            raise InvalidContentError(f"{name[:200]!r} does not have the digest of its name")
        return reference

    @property
    def locator(self) -> str:
        """What the registry is asked for: the digest where there is one, else the tag."""
        return str(self.digest) if self.digest else self.tag or "latest"

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}"

    @property
    def tagged(self) -> str:
        """The name with the tag, or with the digest where there is no tag."""
        return f"{self.name}:{self.tag}" if self.tag else str(self)

    def with_digest(self, digest: Digest | None) -> Reference:
        """The same name, pinned."""
        return replace(self, digest=digest)

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Reference):
            return NotImplemented
        return self._order < other._order

    @property
    def _order(self) -> tuple[str, str, str, str]:
        return self.registry, self.repository, self.tag or "", str(self.digest or "")

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}" + (f"@{self.digest}" if self.digest else "")


def _split_registry(text: str) -> tuple[str, str]:
    """Tell the registry from the path the way docker does.

    The first part is a registry if it has a dot, a colon or an upper-case letter (which no
    repository has), or is localhost.
    """
    first, slash, rest = text.partition("/")
    is_host = "." in first or ":" in first or first == "localhost" or first != first.lower()
    if not slash or not is_host:
        return DEFAULT_REGISTRY, text
    return (DEFAULT_REGISTRY if first in _HUB_NAMES else first), rest
