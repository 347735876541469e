"""The list of tags of a repository (distribution-spec, endpoint 8)."""

from __future__ import annotations

import asyncio

from aiohttp import web

from airgap.content.depot import TagPager
from airgap.server.errors import name_unknown
from airgap.server.exchange import Exchange, json_answer
from airgap.server.paging import page, page_size


async def get(exchange: Exchange) -> web.StreamResponse:
    """List tags in lexical order, a page at a time where the client wants that."""
    size = page_size(exchange.query("n"), exchange.settings.max_page)
    name = exchange.route.repository
    tags = await asyncio.to_thread(_tags, exchange, size + 1, exchange.query("last"))
    if tags is None:
        raise name_unknown(name)
    found, has_more = page(tags, size, None)
    link = {"n": str(size), "last": found[-1]} if has_more else {}
    headers = exchange.next_page(link) if link else None
    return json_answer({"name": name, "tags": list(found)}, headers)


def _tags(exchange: Exchange, limit: int, last: str | None) -> list[str] | None:
    """The page and one tag more, if there is one; None where there is no such repository."""
    repository = exchange.repository()
    if not repository.exists:
        return None
    if isinstance(repository, TagPager):
        return repository.tags_page(last=last, limit=limit)
    return list(page(list(repository.tags()), limit, last)[0])
