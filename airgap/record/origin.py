"""When a record was made, by whom and of which place, as records write it. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from airgap.errors import InvalidContentError
from airgap.oci.reference import is_registry

MAX_BY = 256
"""How many characters may say who made a record."""


def time_text(when: datetime) -> str:
    """A time as records write it: UTC, to the second."""
    return when.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def parse_time(text: object) -> datetime:
    """Read a time of a record.

    Raises:
        InvalidContentError: It is none, or not written as `time_text` does.
    """
    try:
        when = datetime.fromisoformat(str(text)).astimezone(UTC)
        if time_text(when) == text:
            return when
    except (ValueError, OverflowError):
        pass
    raise InvalidContentError(f"{str(text)[:60]!r} is not a time like 2026-01-31T12:00:00Z")


def check_place(place: object) -> str:
    """See that something is a registry, or nothing.

    Raises:
        InvalidContentError: It is something else.
    """
    if not isinstance(place, str) or (place and not is_registry(place)):
        raise InvalidContentError(f"{str(place)[:200]!r} is not a registry")
    return place
