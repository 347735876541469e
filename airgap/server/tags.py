"""The list of tags of a repository (distribution-spec, endpoint 8)."""

from __future__ import annotations

import asyncio

from aiohttp import web

from airgap.server.errors import name_unknown
from airgap.server.exchange import Exchange, json_answer
from airgap.server.paging import next_link, page, page_size


async def get(exchange: Exchange) -> web.StreamResponse:
    """List tags in lexical order, a page at a time where the client wants that."""
    size = page_size(exchange.query("n"), exchange.settings.max_page)
    name = exchange.route.repository
    tags = await asyncio.to_thread(_tags, exchange)
    if tags is None:
        raise name_unknown(name)
    found, has_more = page(tags, size, exchange.query("last"))
    link = {"n": str(size), "last": found[-1]} if has_more else {}
    headers = next_link(exchange.request.path, link) if link else None
    return json_answer({"name": name, "tags": list(found)}, headers)


def _tags(exchange: Exchange) -> list[str] | None:
    repository = exchange.repository()
    return list(repository.tags()) if repository.exists else None
