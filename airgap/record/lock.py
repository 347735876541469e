"""A lock file: what each name stood for, so that it stands for the same for ever. Pure.

It is TOML that people read, compare and keep in version control: sorted by name, and one line for
each thing that can change. It ends with a table that says so, since a list that was cut between two
images would be a shorter list.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from airgap.errors import BundleFormatError, InvalidContentError, SettingsError
from airgap.oci.digest import Digest
from airgap.oci.mediatype import is_media_type
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference
from airgap.record.lock_format import KEYS, MAX_SIZE

FORMAT_VERSION = 1
MAX_LINE = 1024
"""What a line needs at most; a key with many thousand dots would be read for ever."""
MAX_PLATFORM = 200
"""How many characters of what an index calls a platform are kept."""
MAX_NUMBER = (1 << 63) - 1
"""TOML has no larger numbers (toml.io, "Integer")."""

_HINT = "`airgap lock -f images.txt -o images.lock` makes one"
_NEWER = "read it with the version of airgap that made it, or a newer one"
_HEAD = "# What each name stood for: `airgap export images -f` takes exactly these digests.\n"
_END = "[end]"
_IMAGE_KEYS = frozenset({"name", "digest", "media-type", "size", "platforms"})


@dataclass(frozen=True, slots=True)
class LockedPlatform:
    """One platform of an image, as its index calls it, and its manifest."""

    platform: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class LockedImage:
    """What a name stood for.

    Attributes:
        reference: The full name, with a tag, or by digest alone.
        digest: The manifest or index.
        media_type: Of that manifest or index.
        size: The bytes of all that the image needs, of the platforms that were asked for; what
            refers to it is not counted, since that may grow.
        platforms: Those of an index that were asked for, in the order of the index.
    """

    reference: Reference
    digest: Digest
    media_type: str
    size: int
    platforms: tuple[LockedPlatform, ...] = ()

    @property
    def pinned(self) -> Reference:
        """The name with the digest."""
        return self.reference.with_digest(self.digest)


@dataclass(frozen=True, slots=True)
class Lock:
    """What names stood for.

    Attributes:
        images: Sorted by name.
        platforms: The platforms that were asked for; none means all.
    """

    images: tuple[LockedImage, ...]
    platforms: tuple[Platform, ...] = ()

    @classmethod
    def build(cls, images: Iterable[LockedImage], platforms: Iterable[Platform] = ()) -> Self:
        """Put a lock together; order does not matter."""
        return cls(
            tuple(sorted(images, key=lambda image: image.reference.tagged)),
            tuple(sorted(set(platforms), key=str)),
        )

    @classmethod
    def parse(cls, raw: bytes, *, name: str = "the lock file") -> Self:
        """Read a lock, which people may have edited.

        Args:
            raw: The whole file.
            name: What it is called in messages.

        Raises:
            BundleFormatError: It is none, is damaged, or needs a newer airgap.
        """
        value = _read(raw, name)
        try:
            images = [_image(entry) for entry in _list(value, "image", dict)]
            platforms = [Platform.parse(text) for text in _list(value, "platforms", str)]
        except (InvalidContentError, SettingsError) as error:
            raise BundleFormatError(
                f"{name}: {error.message}", hint=error.hint or _HINT, origin="local"
            ) from error
        names = [image.reference.tagged for image in images]
        for text, count in Counter(names).items():
            if count > 1:
                raise BundleFormatError(
                    f"{name} has {text} twice", hint="leave one of the two out", origin="local"
                )
        return cls.build(images, platforms)

    @property
    def id(self) -> Digest:
        """The digest of the file."""
        return Digest.of(self.to_bytes())

    def to_bytes(self) -> bytes:
        """The file: the same lock always has the same bytes."""
        listed = ", ".join(_text(str(platform)) for platform in self.platforms)
        parts = [f"{_HEAD}version = {FORMAT_VERSION}\nplatforms = [{listed}]\n"]
        parts += [_block(image) for image in self.images]
        parts.append(f"{_END}\n")
        return "\n".join(parts).encode()


def _block(image: LockedImage) -> str:
    lines = [
        "[[image]]",
        f"name = {_text(image.reference.tagged)}",
        f"digest = {_text(str(image.digest))}",
        f"media-type = {_text(image.media_type)}",
        f"size = {image.size}",
    ]
    if image.platforms:
        rows = (
            f"    {{ platform = {_text(p.platform)}, digest = {_text(str(p.digest))} }},"
            for p in image.platforms
        )
        lines += ["platforms = [", *rows, "]"]
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """A string of TOML. What these values can hold needs no escapes but these two."""
    assert value.isprintable(), "names, digests, types and platforms are printable"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _read(raw: bytes, name: str) -> dict[str, Any]:
    if len(raw) > MAX_SIZE or max(map(len, raw.split(b"\n"))) > MAX_LINE:
        raise BundleFormatError(
            f"{name} has more than {MAX_SIZE} bytes, or a line with more than {MAX_LINE}",
            hint=_HINT,
            origin="local",
        )
    try:
        value = tomllib.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        reason = "".join(c for c in str(error).partition("\n")[0] if c.isprintable())[:200]
        raise BundleFormatError(
            f"{name} is not TOML: {reason}", hint=_HINT, origin="local"
        ) from error
    version = value.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise BundleFormatError(f"{name} has no format version", hint=_HINT, origin="local")
    unknown = sorted(value.keys() - KEYS)
    if version > FORMAT_VERSION or unknown:
        what = (
            f"of format version {version}"
            if version > FORMAT_VERSION
            else (f"with the key {unknown[0][:60]!r}")
        )
        raise BundleFormatError(
            f"{name} is a lock {what}, which this airgap does not know",
            hint=_NEWER,
            origin="local",
        )
    if value.get("end") != {}:
        raise BundleFormatError(
            f"{name} was cut short: the line {_END} is missing",
            hint=f"copy it again from where it was made; whoever wrote it by hand adds {_END}",
            origin="local",
        )
    return value


def _list(value: Mapping[str, Any], key: str, kind: type) -> list[Any]:
    entries = value.get(key, [])
    if not isinstance(entries, list) or not all(isinstance(entry, kind) for entry in entries):
        raise InvalidContentError(f"{key} is not what a lock has there")
    return entries


def _image(entry: Mapping[str, Any]) -> LockedImage:
    unknown = sorted(entry.keys() - _IMAGE_KEYS)
    if unknown:
        raise InvalidContentError(f"an image has the unknown key {unknown[0][:60]!r}", hint=_NEWER)
    digest = Digest.parse(entry.get("digest"))
    reference = Reference.parse_full(entry.get("name"), digest)
    name, media_type, size = reference.tagged, entry.get("media-type"), entry.get("size")
    if not isinstance(media_type, str) or not is_media_type(media_type):
        raise InvalidContentError(f"{name[:200]!r} has no media type")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_NUMBER:
        raise InvalidContentError(f"{name[:200]!r} has no size")
    platforms = tuple(_platform(p) for p in _list(entry, "platforms", dict))
    return LockedImage(reference, digest, media_type, size, platforms)


def _platform(entry: Mapping[str, Any]) -> LockedPlatform:
    text = entry.get("platform")
    if not isinstance(text, str) or entry.keys() != {"platform", "digest"}:
        raise InvalidContentError("a platform of an image is not what a lock has there")
    if len(text) > MAX_PLATFORM or not text.isprintable():
        raise InvalidContentError(f"{text[:60]!r} is not a platform")
    return LockedPlatform(text, Digest.parse(entry.get("digest")))
