"""When a record was made and by whom, as records write it. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from airgap.errors import InvalidContentError

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
