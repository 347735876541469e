"""Pages to read: repositories, tags, images, bundles."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice

from aiohttp import web

from airgap.content.arrival import Arrival
from airgap.content.depot import Repository
from airgap.errors import AirgapError
from airgap.oci.digest import Digest
from airgap.server.pages import library
from airgap.server.pages.commands import pull_commands
from airgap.server.pages.image import ImageView, view_image
from airgap.server.pages.library import Hit, Listing
from airgap.server.pages.visit import Visit

MAX_ARRIVALS = 200
MAX_QUERY = 200


@dataclass(frozen=True, slots=True)
class Found:
    """What the first page shows."""

    listing: Listing
    counts: dict[str, int]
    hits: tuple[Hit, ...]


async def home(visit: Visit) -> web.Response:
    """The repositories, or those that a search finds."""
    query = visit.request.query.get("q", "").strip()[:MAX_QUERY]
    after = visit.request.query.get("after", "")
    found = await asyncio.to_thread(_find, visit, query, after)
    return visit.page("home.html", query=query, after=after, found=found)


def _find(visit: Visit, query: str, after: str) -> Found:
    books = visit.library
    digest = library.as_digest(query)
    if digest is not None:
        return Found(Listing(()), {}, books.search_digest(digest))
    words = query.lower().split()
    listing = books.repositories(words, after=after)
    counts = {name: _tag_count(books.repository(name)) for name in listing.names}
    hits = books.search_tags(query.split()) if words and not after else ()
    return Found(listing, counts, hits)


def _tag_count(repository: Repository | None) -> int:
    return library.tag_count(repository) if repository is not None else 0


async def repository_or_image(visit: Visit) -> web.Response:
    """The page of a repository, or of an image."""
    name = visit.request.match_info["name"]
    repository = await asyncio.to_thread(visit.library.repository, name)
    if repository is not None:
        return await _repository(visit, repository, name)
    parts = library.split_name(name)
    if parts is not None:
        repository = await asyncio.to_thread(visit.library.repository, parts[0])
        if repository is not None:
            return await _image(visit, repository, *parts)
    return not_found(visit)


def not_found(visit: Visit) -> web.Response:
    """There is no such page for this visitor; whether there is one for others is not said."""
    message = "There is no such repository or image here"
    if visit.site.has_users:
        message += ", or none that you may pull"
    return visit.page("error.html", status=404, title="Not found", message=f"{message}.")


async def _repository(visit: Visit, repository: Repository, name: str) -> web.Response:
    after = visit.request.query.get("after", "")
    with_hidden = visit.request.query.get("all") == "1"

    def read() -> tuple[Listing, list[library.TagRow]]:
        listing = library.tags(repository, after=after, with_hidden=with_hidden)
        reader = library.Reader(repository)
        rows = (library.tag_row(reader, tag) for tag in listing.names)
        return listing, [row for row in rows if row is not None]

    listing, rows = await asyncio.to_thread(read)
    return visit.page(
        "repository.html",
        name=name,
        rows=rows,
        listing=listing,
        after=after,
        with_hidden=with_hidden,
    )


async def _image(visit: Visit, repository: Repository, name: str, reference: str) -> web.Response:
    def read() -> ImageView | None:
        found = repository.resolve(reference)
        return view_image(repository, found) if found is not None else None

    view = await asyncio.to_thread(read)
    if view is None:
        return not_found(visit)
    origins = await asyncio.to_thread(_origins, visit, name, view.digest)
    pulled: str | Digest = reference if ":" not in reference else view.digest
    commands = pull_commands(visit.address, name, pulled, view.document)
    return visit.page(
        "image.html",
        name=name,
        reference=reference,
        is_tag=":" not in reference,
        view=view,
        commands=commands,
        origins=origins,
    )


async def bundles(visit: Visit) -> web.Response:
    """Which bundles came and are served, with what of them the visitor may see."""

    def read() -> list[Arrival]:
        return list(islice(_visible_arrivals(visit), MAX_ARRIVALS))

    return visit.page("bundles.html", arrivals=await asyncio.to_thread(read))


def _visible_arrivals(visit: Visit) -> Iterator[Arrival]:
    for ledger in visit.site.ledgers:
        with suppress(AirgapError):
            for arrival in ledger.arrivals():
                images = tuple(i for i in arrival.images if visit.may_pull(i.repository))
                if images:
                    yield replace(arrival, images=images)


def _origins(visit: Visit, repository: str, digest: Digest) -> list[Arrival]:
    """The bundles that brought an image."""
    return [
        arrival
        for arrival in islice(_visible_arrivals(visit), MAX_ARRIVALS)
        if any(i.repository == repository and i.digest == digest for i in arrival.images)
    ]
