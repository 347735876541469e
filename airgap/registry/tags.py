"""The tags of a repository (distribution-spec, endpoint 8)."""

from __future__ import annotations

from collections.abc import Iterator

from airgap.errors import RegistryProtocolError
from airgap.oci.reference import is_tag
from airgap.registry.challenge import Access
from airgap.registry.channel import Channel
from airgap.registry.endpoint import Url
from airgap.registry.failure import read_wire_errors, refusal
from airgap.registry.pages import Page, next_page, pages
from airgap.registry.transport import Request

PAGE_SIZE = 1000
"""Some registries refuse to be asked for more at once."""
MAX_PAGE = 4 * 1024 * 1024


def list_tags(channel: Channel, repository: str, *, access: Access) -> Iterator[str]:
    """All tags, page by page as they are asked for; none where the repository does not exist.

    Raises:
        RegistryProtocolError: A page makes no sense, or is an earlier one again.
    """
    what = f"the tags of {repository}"

    def fetch_once(where: str | Url) -> Page | None:
        request = Request("GET", {"Accept": "application/json"})
        with channel.ask(request, where, access=access, what=what) as response:
            if response.status == 404:
                wire = read_wire_errors(response)
                if wire.is_html:
                    raise RegistryProtocolError(
                        f"{channel.registry} answered HTML instead of JSON to {what}",
                        hint="it may be no registry, or a proxy answered",
                        origin=channel.origin,
                        status=404,
                    )
                if isinstance(where, str):
                    return None
                raise refusal(response, what, origin=channel.origin, wire=wire)
            if response.status != 200:
                raise channel.refused(response, what)
            following = next_page(response)
            value = channel.json(response, limit=MAX_PAGE, what=what)
            return value, following or _beyond(value, repository, response.url)

    def fetch(where: str | Url) -> Page | None:
        return channel.call(what, lambda: fetch_once(where))

    seen: set[int] = set()
    for page in pages(channel, f"/v2/{repository}/tags/list?n={PAGE_SIZE}", fetch):
        tags = page.get("tags") or []
        if not isinstance(tags, list) or not all(isinstance(t, str) and is_tag(t) for t in tags):
            raise RegistryProtocolError(
                f"{channel.registry} lists tags of {repository} that are none",
                origin=channel.origin,
            )
        key = hash(tuple(tags))
        if key in seen:
            raise RegistryProtocolError(
                f"{channel.registry} lists the same tags of {repository} again and again",
                origin=channel.origin,
            )
        seen.add(key)
        yield from tags


def _beyond(value: dict[str, object], repository: str, url: Url) -> Url | None:
    """The page behind a full one that links to none: some registries cut a list without a word.

    One that knows no `last` gives the same page again, which is refused: it cannot be listed.
    """
    tags = value.get("tags")
    if not isinstance(tags, list) or len(tags) < PAGE_SIZE or not is_tag(str(tags[-1])):
        return None
    return Url(url.endpoint, f"/v2/{repository}/tags/list?n={PAGE_SIZE}&last={tags[-1]}")
