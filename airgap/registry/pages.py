"""Lists that come in pages, each linked to the next.

Sources: RFC 8288; distribution-spec, "Listing Tags".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from airgap.errors import RegistryProtocolError
from airgap.registry.channel import Channel
from airgap.registry.endpoint import Url
from airgap.registry.response import Response

_LINK = re.compile(r"<([^<>]{1,4096})>([^<]*)")
_NEXT = re.compile(r"""(?:^|;)\s*rel\s*=\s*(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|next)\s*(?:;|,|$)""",
                   re.IGNORECASE)  # fmt: skip
MAX_PAGES = 100_000


def next_page(response: Response) -> Url | None:
    """The page that an answer links to as the next; None at the end.

    Raises:
        RegistryProtocolError: The link leads somewhere unsafe.
    """
    for header in response.headers("Link"):
        for url, parameters in _LINK.findall(header[:8192]):
            if _NEXT.search(parameters):
                return response.url.follow(url, what="a Link")
    return None


Page = tuple[dict[str, object], Url | None]


def pages(
    channel: Channel, first: str, fetch: Callable[[str | Url], Page | None]
) -> Iterator[dict[str, object]]:
    """Give one page after the other; none where the first says that there is no list.

    Args:
        channel: The registry, for the error.
        first: The path of the first page.
        fetch: Gets a page and the url of the next one.

    Raises:
        RegistryProtocolError: The pages go in circles.
    """
    where: str | Url | None = first
    seen: set[str] = set()
    while where is not None:
        key = where if isinstance(where, str) else where.target
        if key in seen or len(seen) >= MAX_PAGES:
            raise RegistryProtocolError(
                f"{channel.registry} lists pages in circles", origin=channel.origin
            )
        seen.add(key)
        page = fetch(where)
        if page is None:
            return
        value, where = page
        yield value
