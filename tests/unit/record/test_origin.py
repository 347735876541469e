"""Times as records write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from airgap.errors import InvalidContentError
from airgap.record.origin import parse_time, time_text


def test_a_time_is_written_in_utc_to_the_second_and_read_back():
    """Whatever zone it came in, there is one text for a moment."""
    when = datetime(2026, 2, 1, 1, 59, 59, 999, tzinfo=timezone(timedelta(hours=2)))
    assert time_text(when) == "2026-01-31T23:59:59Z"
    assert parse_time("2026-01-31T23:59:59Z") == datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T23:59:59+00:00",
        "2026-01-31 23:59:59Z",
        "2026-01-31T23:59:59.000Z",
        "2026-01-31T23:59:59",
        "20260131T235959Z",
        "2026-02-30T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "٢٠٢٦-01-31T23:59:59Z",
        "",
        None,
        20260131,
    ],
)
def test_any_other_text_is_no_time(text: object):
    """What is not written as it would be written again is refused."""
    with pytest.raises(InvalidContentError, match="is not a time"):
        parse_time(text)
