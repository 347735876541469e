"""Conditions under which a client wants an answer: pure.

Source: RFC 9110, 13.1 (If-None-Match, If-Range). An entity tag here is always the quoted digest of
content that never changes, so it is strong.
"""

from __future__ import annotations

import re

from airgap.oci.digest import Digest

_TAG = re.compile(r'\s*(?P<weak>W/)?(?P<tag>"[!#-~\x80-\xff]*")\s*(?:,|$)')
MAX_TAGS = 100
"""How many entity tags of a header are looked at."""


def entity_tag(digest: Digest) -> str:
    """The value of ETag for content."""
    return f'"{digest}"'


def is_known(header: str | None, tag: str) -> bool:
    """Whether the client has this content already, by its If-None-Match.

    Weak and strong tags count alike there, and `*` stands for any. Behind what cannot be read,
    nothing is looked at.
    """
    if header is None:
        return False
    if header.strip() == "*":
        return True
    position = 0
    for _ in range(MAX_TAGS):
        found = _TAG.match(header, position)
        if found is None:
            return False
        if found["tag"] == tag:
            return True
        position = found.end()
    return False


def may_send_part(header: str | None, tag: str) -> bool:
    """Whether a range is meant for this content, by the client's If-Range.

    A weak tag never is, and neither is a date: no answer has a Last-Modified.
    """
    return header is None or header.strip() == tag
