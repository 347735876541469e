"""What refers to a digest (distribution-spec, endpoint 12)."""

from __future__ import annotations

import asyncio

from aiohttp import web

from airgap.oci.mediatype import OCI_INDEX
from airgap.oci.referrers import referrers_index
from airgap.server.errors import unsupported
from airgap.server.exchange import Exchange, answer
from airgap.server.paging import next_link, page


async def get(exchange: Exchange) -> web.StreamResponse:
    """List referrers as an index: an empty one where there are none, never 404."""
    if not exchange.settings.referrers:
        raise unsupported("this registry has no referrers API", status=404)
    entries = await asyncio.to_thread(exchange.repository().referrers, exchange.route.digest)
    found = {str(entry.digest): entry for entry in entries or ()}
    headers: dict[str, str] = {}
    wanted = exchange.query("artifactType")
    if wanted:
        found = {key: entry for key, entry in found.items() if entry.artifact_type == wanted}
        headers["OCI-Filters-Applied"] = "artifactType"
    size = exchange.settings.referrers_page or len(found)
    keys, has_more = page(sorted(found), size, exchange.query("last"))
    if has_more:
        more = {"last": keys[-1]} | ({"artifactType": wanted} if wanted else {})
        headers |= next_link(exchange.request.path, more)
    raw = referrers_index(found[key] for key in keys)
    return answer(200, headers, body=raw, media_type=OCI_INDEX)
