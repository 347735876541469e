"""What the registry holds, as one inventory: `GET /v2/_airgap/inventory`.

An extension of airgap's own. No repository's name begins with an underscore (distribution-spec,
"Extensions"), so that it meets none. It speaks of the repositories that the one who asks may pull,
and says that it is not complete where there are others.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from aiohttp import web

from airgap.content.holdings import HoldingsTeller, inventory_of
from airgap.oci.reference import is_registry
from airgap.record.inventory_format import MEDIA_TYPE
from airgap.server.access import visible_names
from airgap.server.errors import name_unknown
from airgap.server.exchange import Exchange, answer


async def get(exchange: Exchange) -> web.StreamResponse:
    """Give the inventory as of now."""
    request, depot = exchange.request, exchange.depot
    if not isinstance(depot, HoldingsTeller):
        raise name_unknown(request.path)
    if request.method == "HEAD":
        # how long it would be is known only to whoever makes it
        return web.StreamResponse(headers={"Content-Type": MEDIA_TYPE})
    # one at a time: each takes a good part of a core, and anybody may ask for many
    async with exchange.turns.inventory:
        if request.transport is None or request.transport.is_closing():
            raise ConnectionResetError("the client did not wait for its inventory")
        raw = await asyncio.to_thread(_make, exchange, depot)
    return answer(200, {"Cache-Control": "no-store"}, body=raw, media_type=MEDIA_TYPE)


def _make(exchange: Exchange, depot: HoldingsTeller) -> bytes:
    made = datetime.now(UTC)
    names = list(exchange.depot.repositories())
    visible = list(visible_names(exchange.guard, exchange.principal, names))
    host = exchange.request.headers.get("Host", "")
    inventory = inventory_of(
        depot,
        visible,
        is_all=len(visible) == len(names),
        made=made,
        place=host if is_registry(host) else "",
        by=exchange.principal.name,
    )
    return inventory.raw
