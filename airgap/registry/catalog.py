"""The repositories of a registry, where it lists them: known from the CNCF registry, no standard.

Many registries keep the list closed. That it is closed is always told from an empty list.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from airgap.errors import (
    AirgapError,
    ContentNotFoundError,
    RegistryProtocolError,
    UnauthorizedError,
)
from airgap.oci.reference import is_repository
from airgap.registry.challenge import Access
from airgap.registry.channel import Channel
from airgap.registry.endpoint import Url
from airgap.registry.failure import read_wire_errors, refusal
from airgap.registry.pages import Page, next_page, pages
from airgap.registry.transport import Request

PAGE_SIZE = 1000
MAX_PAGE = 4 * 1024 * 1024
MAX_REPOSITORIES = 1_000_000
CLOSED = (
    "name the repositories to `airgap export inventory`, with --repository NAME or with a list of "
    "them as -f FILE; what it writes can be compared, too"
)
_PATH = "/v2/_catalog"
_ACCESS = Access(lists_repositories=True)


def list_repositories(channel: Channel) -> Iterator[str]:
    """All repositories that may be seen, page by page as they are asked for.

    Raises:
        UnauthorizedError: The list is not for us.
        ContentNotFoundError: There is no list.
        RegistryProtocolError: A page makes no sense, or is an earlier one again; or there are more
            than anybody has.
    """
    what = "the list of repositories"

    def fetch_once(where: str | Url) -> Page | None:
        request = Request("GET", {"Accept": "application/json"})
        with channel.ask(request, where, access=_ACCESS, what=what) as response:
            if response.status != 200:
                is_first = isinstance(where, str)
                wire = read_wire_errors(response)
                if is_first and response.status == 400 and wire.has("PAGINATION_NUMBER_INVALID"):
                    return {}, Url(response.url.endpoint, _PATH)  # it gives pages of its own size
                if is_first and response.status in (404, 405, 501) and not wire.is_html:
                    raise ContentNotFoundError(
                        f"{channel.registry} does not list its repositories", origin=channel.origin
                    )
                raise refusal(response, what, origin=channel.origin, wire=wire)
            following = next_page(response)
            value = channel.json(response, limit=MAX_PAGE, what=what)
            return value, following or _beyond(value, response.url)

    def fetch(where: str | Url) -> Page | None:
        try:
            return channel.call(what, lambda: fetch_once(where))
        except (UnauthorizedError, ContentNotFoundError) as error:
            error.hint = f"{error.hint}; or {CLOSED}" if _is_refused(error) else CLOSED
            raise

    seen: set[int] = set()
    count = 0
    for page in pages(channel, f"{_PATH}?n={PAGE_SIZE}", fetch):
        names = _names(page, channel)
        key = hash(names)
        if names and key in seen:
            raise RegistryProtocolError(
                f"{channel.registry} lists the same repositories again and again",
                origin=channel.origin,
            )
        seen.add(key)
        count += len(names)
        if count > MAX_REPOSITORIES:
            raise RegistryProtocolError(
                f"{channel.registry} lists more than {MAX_REPOSITORIES} repositories",
                origin=channel.origin,
            )
        yield from names


def _names(page: dict[str, object], channel: Channel) -> tuple[str, ...]:
    names = page.get("repositories") or []
    if not isinstance(names, list) or not all(
        isinstance(name, str) and is_repository(name) for name in names
    ):
        raise RegistryProtocolError(
            f"{channel.registry} lists repositories that are none", origin=channel.origin
        )
    return tuple(names)


def _is_refused(error: AirgapError) -> bool:
    return isinstance(error, UnauthorizedError) and bool(error.hint)


def _beyond(value: dict[str, object], url: Url) -> Url | None:
    """The page behind a full one that links to none: some registries cut a list without a word."""
    names = value.get("repositories")
    if not isinstance(names, list) or len(names) < PAGE_SIZE or not is_repository(str(names[-1])):
        return None
    last = quote(names[-1], safe="")
    return Url(url.endpoint, f"{_PATH}?n={PAGE_SIZE}&last={last}")
