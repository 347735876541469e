"""Bringing a bundle with a browser: what it is, then the bytes that the server asks for.

    POST   /-/arrivals              {name, size, mark, options}: begins, or goes on
    GET    /-/arrivals/<id>         how far it is, and what is wanted next
    PUT    /-/arrivals/<id>?offset= bytes from an offset on
    DELETE /-/arrivals/<id>         gives it up

Each answer says what is wanted next: `want` has an offset and a size, or is null while the server
works. A broken connection loses nothing: the next answer says where to go on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from aiohttp import web

from airgap.content.arrival import ArrivalOptions
from airgap.content.store import CHUNK_SIZE
from airgap.errors import AirgapError
from airgap.oci.document import parse_object
from airgap.oci.reference import is_repository
from airgap.server.errors import WireError, denied
from airgap.server.pages.arriving import MAX_RUNNING, ArrivalDesk, Arriving, Delivery
from airgap.server.pages.browse import not_found
from airgap.server.pages.render import fence
from airgap.server.pages.visit import TOKEN_HEADER, Visit

MAX_QUESTION = 64 * 1024
MAX_NAME = 255
MAX_SIZE = 1 << 53
WAIT_SECONDS = 3.0
"""How long an answer may wait for the server to know what it wants next."""

T = TypeVar("T")

# Threads of their own: those who wait for slow disks here must not hold up the registry.
_waiting = ThreadPoolExecutor(2 * MAX_RUNNING, thread_name_prefix="airgap-bringing")


async def show(visit: Visit) -> web.Response:
    """The page on which bundles are brought."""
    desk = visit.site.desk
    if desk is None or visit.site.is_read_only:
        return not_found(visit)
    running = desk.running(visit.principal.name) if visit.can_bring else ()
    return visit.page("upload.html", running=[arriving.status() for arriving in running])


async def begin(visit: Visit) -> web.Response:
    """Begin to take a bundle in, or go on with one.

    Raises:
        WireError: It may not be brought, or the question makes no sense.
    """
    desk = _desk(visit)
    delivery = _delivery(visit, await _question(visit.request))
    try:
        arriving = desk.begin(delivery, registry=visit.address.host, may_write=visit.may_push)
    except AirgapError as error:
        raise WireError(503, "UNAVAILABLE", error.message, error.hint or "") from error
    return await _answer(arriving, status=201)


async def status(visit: Visit) -> web.Response:
    """How far a bundle is.

    Raises:
        WireError: There is no such arrival of this visitor.
    """
    arriving = _find(visit)
    arriving.file.hear()
    return await _answer(arriving)


async def feed(visit: Visit) -> web.Response:
    """Take bytes.

    Raises:
        WireError: There is no such arrival of this visitor, or no offset.
    """
    arriving = _find(visit)
    text = visit.request.query.get("offset", "")
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise WireError(400, "BLOB_UPLOAD_INVALID", "the offset is no number")
    offset = int(text)
    is_wanted = True
    try:
        async for part in visit.request.content.iter_chunked(CHUNK_SIZE):
            is_wanted = await _apart(partial(arriving.file.feed, offset, part))
            if not is_wanted:
                break
            offset += len(part)
    except ConnectionError:
        # the browser is gone, and asks where to go on when it comes back
        return web.Response(status=400)
    return await _answer(arriving, status=200 if is_wanted else 409)


async def cancel(visit: Visit) -> web.Response:
    """Give a bundle up; what arrived is kept and needs not be sent again.

    Raises:
        WireError: There is no such arrival of this visitor.
    """
    arriving = _find(visit)
    arriving.cancel()
    await _apart(arriving.join)
    return await _answer(arriving)


def _desk(visit: Visit) -> ArrivalDesk:
    visit.check_token(visit.request.headers.get(TOKEN_HEADER))
    if visit.site.desk is None or not visit.can_bring:
        raise denied("bundles cannot be brought here, or not without signing in")
    return visit.site.desk


def _find(visit: Visit) -> Arriving:
    found = _desk(visit).find(visit.request.match_info["id"], visit.principal.name)
    if found is None:
        raise WireError(404, "BLOB_UPLOAD_UNKNOWN", "there is no such upload; begin it again")
    return found


async def _question(request: web.Request) -> dict[str, Any]:
    raw = await request.content.read(MAX_QUESTION + 1)
    while len(raw) <= MAX_QUESTION and (part := await request.content.read(MAX_QUESTION)):
        raw += part
    try:
        return parse_object(raw[: MAX_QUESTION + 1], what="the question")
    except AirgapError as error:
        raise WireError(400, "BLOB_UPLOAD_INVALID", error.message) from error


def _delivery(visit: Visit, question: dict[str, Any]) -> Delivery:
    name, size, mark = question.get("name"), question.get("size"), question.get("mark", "")
    prefix = question.get("prefix", "")
    tag, sparse = question.get("onExistingTag", "error"), question.get("sparse", "index")
    is_sized = isinstance(size, int) and not isinstance(size, bool) and 0 < size <= MAX_SIZE
    is_named = isinstance(name, str) and 0 < len(name) <= MAX_NAME and name.isprintable()
    if not is_sized or not is_named or not isinstance(mark, str) or len(mark) > MAX_NAME:
        raise WireError(400, "BLOB_UPLOAD_INVALID", "a file has a name and a size")
    if not isinstance(prefix, str) or (prefix and not is_repository(prefix)):
        raise WireError(400, "NAME_INVALID", "the path is not one that repositories can have")
    if tag not in ("overwrite", "skip", "error") or sparse not in ("index", "image", "fail"):
        raise WireError(400, "BLOB_UPLOAD_INVALID", "an option has a value that it cannot have")
    keep_host = question.get("keepHost") is True
    options = ArrivalOptions(prefix=prefix, keep_host=keep_host, on_existing_tag=tag, sparse=sparse)
    assert isinstance(name, str) and isinstance(size, int), "checked above"  # noqa: PT018
    return Delivery(visit.principal.name, name, size, mark, options)


async def _answer(arriving: Arriving, *, status: int = 200) -> web.Response:
    await _apart(partial(arriving.file.wait_for_want, WAIT_SECONDS))
    if arriving.file.is_over:
        await _apart(arriving.join)
    body = json.dumps(arriving.status())
    response = web.Response(status=status, text=body, content_type="application/json")
    fence(response)
    response.headers["Cache-Control"] = "no-store"
    return response


async def _apart(call: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_waiting, call)
