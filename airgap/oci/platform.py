"""Platforms: parse what users write, match it with what an index says.

Source: image-spec image-index.md, "platform"; variants are normalised the way containerd and
docker do (arm64 is v8, arm is v7, an unknown operating system is no platform at all).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from airgap.errors import InvalidContentError, SettingsError

_PART = re.compile(r"[A-Za-z0-9_.-]+")
_DEFAULT_VARIANT = {"arm64": "v8", "arm": "v7", "amd64": "v1"}
_ALIASES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "i386": "386"}


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """An operating system, an architecture and what narrows them down."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `os/arch[/variant]`.

        Raises:
            SettingsError: The text is no platform.
        """
        parts = text.strip().split("/")
        if len(parts) not in (2, 3) or not all(_PART.fullmatch(part) for part in parts):
            raise SettingsError(
                f"{text!r} is not a platform", hint="write os/arch or os/arch/variant: linux/arm64"
            )
        os_name, architecture, *variant = (part.lower() for part in parts)
        return cls(os_name, _ALIASES.get(architecture, architecture), _variant("".join(variant)))

    @classmethod
    def from_json(cls, value: object) -> Self | None:
        """Read an index entry's `platform`, or the same fields of an image config.

        Raises:
            InvalidContentError: A field has the wrong type.
        """
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise InvalidContentError("a platform must be a JSON object")
        fields = [value.get(key) or "" for key in ("os", "architecture", "variant", "os.version")]
        if not all(isinstance(field, str) and field.isprintable() for field in fields):
            raise InvalidContentError("the fields of a platform must be printable strings")
        return cls(*fields)

    def to_json(self) -> dict[str, str]:
        """The value as an index holds it, without empty fields."""
        pairs = {
            "architecture": self.architecture,
            "os": self.os,
            "os.version": self.os_version,
            "variant": self.variant,
        }
        return {key: value for key, value in pairs.items() if value}

    @property
    def is_known(self) -> bool:
        """Whether this names a place to run on; attestations carry unknown/unknown instead."""
        return self.os not in ("", "unknown") and self.architecture not in ("", "unknown")

    def matches(self, wanted: Platform) -> bool:
        """Whether this platform is one that the wanted one asks for.

        A wanted platform without a variant takes every variant of the architecture, so that
        nothing of what was asked for stays behind; arm64 and arm64/v8 are the same.
        """
        if self.os != wanted.os:
            return False
        architecture = _ALIASES.get(wanted.architecture, wanted.architecture)
        if _ALIASES.get(self.architecture, self.architecture) != architecture:
            return False
        if not wanted.variant:
            return True
        default = _DEFAULT_VARIANT.get(architecture, "")
        return (_variant(self.variant) or default) == _variant(wanted.variant)

    def __str__(self) -> str:
        text = f"{self.os}/{self.architecture}"
        if self.variant:
            text += f"/{self.variant}"
        if self.os_version:
            text += f" ({self.os_version})"
        return text


def _variant(text: str) -> str:
    """The variant with the v that some write and some leave out: arm/7 is arm/v7."""
    return f"v{text}" if text.isdigit() else text
