"""Conditions are read as the RFC says, and what cannot be read is no condition that holds."""

from __future__ import annotations

import pytest

from airgap.oci.digest import Digest
from airgap.server.conditions import MAX_TAGS, entity_tag, is_known, may_send_part

TAG = entity_tag(Digest.of(b"content"))


@pytest.mark.parametrize(
    "header",
    [TAG, f"W/{TAG}", "*", " * ", f'"other", {TAG}', f'"a,b" ,W/{TAG} , "c"', f'"", {TAG}'],
)
def test_content_that_a_client_has_is_known(header):
    """Any tag of the list counts, weak or strong, and the star stands for all."""
    assert is_known(header, TAG)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        '"other"',
        TAG.strip('"'),
        f"x{TAG}",
        f'"other" {TAG}',
        '"other',
        ",".join(['"x"'] * MAX_TAGS + [TAG]),
    ],
)
def test_content_that_a_client_does_not_name_is_not_known(header):
    """Another tag, one without its quotes, or one behind what cannot be read does not count."""
    assert not is_known(header, TAG)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, True),
        (TAG, True),
        (f"W/{TAG}", False),
        ('"other"', False),
        ("Wed, 21 Oct 2015 07:28:00 GMT", False),
    ],
)
def test_a_part_is_only_sent_of_the_content_that_is_meant(header, expected):
    """A weak tag and a date are never enough to put parts together."""
    assert may_send_part(header, TAG) is expected
