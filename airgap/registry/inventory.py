"""The inventory that airgap's own registry makes of what it holds: an extension of its own.

Any other registry does not have it, and says so in its own way: 404, a page for people, or a
refusal that no credentials can change. All of that is one answer: ask for what it holds otherwise.
"""

from __future__ import annotations

from airgap.errors import RegistryProtocolError, UnauthorizedError
from airgap.record.inventory_format import MAX_SIZE, MEDIA_TYPE
from airgap.registry.challenge import Access
from airgap.registry.channel import Channel
from airgap.registry.response import Response
from airgap.registry.transport import Request

_PATH = "/v2/_airgap/inventory"
_CHUNK = 1 << 20


def fetch_inventory(channel: Channel, *, limit: int = MAX_SIZE) -> bytes | None:
    """The inventory as it came; None from a registry that gives none.

    It is asked for once, beside what it takes to sign in. Whoever is refused gets None, too: the
    way by tags and manifests says what may be seen, and whether the password is wrong.

    Args:
        channel: The registry.
        limit: How many bytes it may have.

    Raises:
        RegistryProtocolError: It is larger.
        UnavailableError: The registry cannot be reached, or broke off again and again.
    """
    what = f"the inventory of {channel.registry}"

    def fetch() -> bytes | None:
        request = Request("GET", {"Accept": MEDIA_TYPE})
        try:
            response = channel.ask(request, _PATH, access=Access(), what=what)
        except (UnauthorizedError, RegistryProtocolError):
            return None
        with response:
            if response.status != 200 or response.media_type != MEDIA_TYPE:
                return None
            return _read(channel, response, limit, what)

    return channel.call(what, fetch)


def _read(channel: Channel, response: Response, limit: int, what: str) -> bytes:
    parts: list[bytes] = []
    left = limit
    while left >= 0 and (part := response.read(_CHUNK)):
        channel.network.run.cancel.check()
        parts.append(part)
        left -= len(part)
    if left < 0:
        raise RegistryProtocolError(
            f"{response.url.endpoint.netloc} answered more than {limit} bytes to {what}",
            origin=channel.origin,
        )
    return b"".join(parts)
