"""Where images go and what they are called there: pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from airgap.bundle.catalog import CatalogImage
from airgap.errors import ConflictError, SettingsError
from airgap.oci.reference import (
    MAX_NAME,
    is_registry,
    is_repository,
    is_tag,
    registry_component,
    without_credentials,
)


@dataclass(frozen=True, slots=True)
class Destination:
    """A registry and the path below which repositories are put."""

    registry: str
    prefix: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `HOST[:PORT][/PREFIX]`.

        Raises:
            SettingsError: It is something else.
        """
        if "://" in text:
            raise SettingsError(
                f"{without_credentials(text)!r} is a url",
                hint="write HOST[:PORT][/PREFIX]; --plain-http HOST for http",
            )
        registry, _, prefix = text.rstrip("/").partition("/")
        if not is_registry(registry) or (prefix and not is_repository(prefix)):
            raise SettingsError(
                f"{without_credentials(text)!r} is not a registry",
                hint="write HOST[:PORT][/PREFIX], in lower case",
            )
        return cls("docker.io" if registry == "index.docker.io" else registry, prefix)

    def repository_for(self, source: str, *, keep_host: bool) -> str:
        """The repository that a source's `registry/repository` becomes.

        Raises:
            SettingsError: The name cannot be one on the destination.
        """
        host, _, path = source.partition("/")
        parts = [self.prefix, registry_component(host) if keep_host else "", path]
        repository = "/".join(part for part in parts if part)
        too_long = len(self.registry) + 1 + len(repository) > MAX_NAME
        if too_long or not is_repository(repository):
            raise SettingsError(
                f"{source} cannot be called {repository!r} on {self.registry}",
                hint="give --to another path, or leave it out with --only",
            )
        return repository

    def __str__(self) -> str:
        return f"{self.registry}/{self.prefix}" if self.prefix else self.registry


@dataclass(frozen=True, slots=True)
class Target:
    """One image of a bundle and the name it gets.

    Attributes:
        image: What the catalog says of it.
        repository: The repository on the destination.
        tag: Its tag there; None where it is pushed by digest.
    """

    image: CatalogImage
    repository: str
    tag: str | None

    @property
    def locator(self) -> str:
        """What is put behind the repository's name: the tag, or the digest."""
        return f":{self.tag}" if self.tag else f"@{self.image.digest}"


def plan_targets(
    images: Iterable[CatalogImage],
    destination: Destination,
    *,
    keep_host: bool = False,
    only: Sequence[str] = (),
    tag_digests: str | None = None,
) -> tuple[Target, ...]:
    """Name every image that is asked for on the destination.

    Args:
        images: What the bundle carries.
        destination: Where it goes.
        keep_host: Whether the source registry's host stays as the first part of the path.
        only: Globs on the source name; none means all.
        tag_digests: What begins the tag of images that have none: the digest's first 12 hex
            digits follow.

    Raises:
        SettingsError: A name is not possible there, or a glob matches nothing.
        ConflictError: Two sources would meet under one name.
    """
    images = tuple(images)
    chosen = [image for image in images if not only or _matches(image, only)]
    for pattern in only:
        if not any(_matches(image, (pattern,)) for image in images):
            raise SettingsError(
                f"no image of the bundle matches --only {pattern!r}",
                hint="`airgap inspect bundle` lists the names; ** matches any number of path parts",
            )
    if tag_digests is not None and not is_tag(f"{tag_digests}{'0' * 12}"):
        raise SettingsError(
            f"{tag_digests!r} cannot begin a tag",
            hint="tags have letters, digits and . _ -, and begin with neither . nor -",
        )
    targets: list[Target] = []
    names: dict[str, Target] = {}
    for image in chosen:
        reference = image.reference
        repository = destination.repository_for(reference.name, keep_host=keep_host)
        tag = reference.tag
        if tag is None and tag_digests is not None:
            tag = f"{tag_digests}{image.digest.hex[:12]}"
        target = Target(image, repository, tag)
        targets.append(target)
        name = repository + target.locator
        other = names.setdefault(name, target)
        is_same = other.image.digest == image.digest and reference.tag is None
        if other is not target and not is_same:
            raise ConflictError(
                f"{other.image.reference.tagged} and {reference.tagged} would both become "
                f"{destination.registry}/{name}",
                hint="--keep-host keeps their hosts apart; --only PATTERN takes one of them",
            )
    return tuple(targets)


def _matches(image: CatalogImage, patterns: Sequence[str]) -> bool:
    return any(glob_expression(pattern).fullmatch(image.reference.tagged) for pattern in patterns)


def glob_expression(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression: `*` and `?` stay within a path part, `**` does not.

    A pattern matches a full source name, its tag included; one without a tag matches every tag.
    """
    expression = ""
    for part in re.split(r"(\*\*/|\*\*|\*|\?)", pattern):
        expression += {
            "**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"
        }.get(part, re.escape(part))  # fmt: skip
    last = pattern.rpartition("/")[2]
    if ":" not in last and "@" not in last and not last.endswith("**"):
        expression += "(?:[:@].*)?"
    return re.compile(expression)
