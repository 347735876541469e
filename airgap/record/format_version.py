"""Which documents of airgap's own this airgap understands. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airgap.errors import BundleFormatError

_HINT = "read it with the version of airgap that made it, or a newer one"


def check_version(
    value: Mapping[str, Any], *, what: str, known: tuple[str, ...] = (), newest: int = 1
) -> None:
    """Refuse a document that only a newer airgap understands.

    Args:
        value: The document.
        what: What it is called.
        known: The features that it may require.
        newest: The newest version of its format.

    Raises:
        BundleFormatError: The version is newer, or a feature is required that is unknown.
    """
    version, requires = value.get("formatVersion"), value.get("requires", [])
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise BundleFormatError(f"the {what} has no format version")
    if version > newest:
        raise BundleFormatError(
            f"the {what} is of format version {version}; this airgap reads up to {newest}",
            hint=_HINT,
        )
    named = requires if isinstance(requires, list) else [requires]
    named = [name for name in named if name not in known]
    if named:
        names = ", ".join(repr(name)[:60] for name in named[:5])
        raise BundleFormatError(
            f"the {what} requires what this airgap does not know: {names}", hint=_HINT
        )
