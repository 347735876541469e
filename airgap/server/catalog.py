"""The list of repositories: not in the specification, but known from the CNCF registry."""

from __future__ import annotations

import asyncio

from aiohttp import web

from airgap.server.exchange import Exchange, json_answer
from airgap.server.paging import next_link, page, page_size


async def get(exchange: Exchange) -> web.StreamResponse:
    """List repositories in lexical order, a page at a time where the client wants that."""
    size = page_size(exchange.query("n"), exchange.settings.max_page)
    names = await asyncio.to_thread(lambda: list(exchange.depot.repositories()))
    found, has_more = page(names, size, exchange.query("last"))
    link = {"n": str(size), "last": found[-1]} if has_more else {}
    headers = next_link(exchange.request.path, link) if link else None
    return json_answer({"repositories": list(found)}, headers)
