"""The list of repositories: not in the specification, but known from the CNCF registry.

Only those are listed that the one who asks may pull.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from airgap.content.depot import RepositoryPager
from airgap.server.access import visible_names
from airgap.server.exchange import Exchange, json_answer
from airgap.server.paging import page, page_size

STEP = 1000
"""How many names are taken from the depot at once, before it is known who may see them."""


async def get(exchange: Exchange) -> web.StreamResponse:
    """List repositories in lexical order, a page at a time where the client wants that."""
    size = page_size(exchange.query("n"), exchange.settings.max_page)
    names = await asyncio.to_thread(_names, exchange, size + 1, exchange.query("last"))
    found, has_more = page(names, size, None)
    link = {"n": str(size), "last": found[-1]} if has_more else {}
    headers = exchange.next_page(link) if link else None
    return json_answer({"repositories": list(found)}, headers)


def _names(exchange: Exchange, limit: int, last: str | None) -> list[str]:
    """The page and one name more, if there is one."""
    depot = exchange.depot
    if not isinstance(depot, RepositoryPager):
        visible = visible_names(exchange.guard, exchange.principal, depot.repositories())
        return list(page(list(visible), limit, last)[0])
    found: list[str] = []
    while len(found) < limit:
        names = depot.repositories_page(last=last, limit=STEP)
        found += visible_names(exchange.guard, exchange.principal, names)
        if len(names) < STEP:
            break
        last = names[-1]
    return found[:limit]
