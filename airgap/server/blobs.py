"""Blobs: pull, check and delete (distribution-spec, endpoints 2 and 10)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO

from aiohttp import web

from airgap.content.depot import FileBacked, Repository
from airgap.content.store import Chunks
from airgap.errors import AirgapError, ContentNotFoundError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.mediatype import OCTET_STREAM
from airgap.server.errors import blob_unknown, unsupported
from airgap.server.exchange import Exchange, answer
from airgap.server.ranges import Span, requested_span

_log = logging.getLogger(__name__)


async def head(exchange: Exchange) -> web.StreamResponse:
    """Say whether the blob is here, and how large it is."""
    found = await asyncio.to_thread(exchange.repository().find_blob, exchange.route.digest)
    if found is None:
        raise blob_unknown(exchange.route.reference)
    headers = _headers(found) | {"Content-Length": str(found.size)}
    return answer(200, headers, media_type=OCTET_STREAM)


async def get(exchange: Exchange) -> web.StreamResponse:
    """Send the blob, or the part of it that is asked for."""
    request, digest = exchange.request, exchange.route.digest
    with ExitStack() as stack:
        body = await asyncio.to_thread(_open, exchange.repository(), digest, stack)
        if body is None:
            raise blob_unknown(str(digest))
        headers = _headers(body.descriptor)
        if headers["ETag"] in request.headers.get("If-None-Match", ""):
            return answer(304, headers)
        total = body.descriptor.size
        condition = request.headers.get("If-Range")
        wanted = request.headers.get("Range") if condition in (None, headers["ETag"]) else None
        span = requested_span(wanted, total)
        response = web.StreamResponse(status=206 if span else 200, headers=headers)
        response.content_type = OCTET_STREAM
        if span is not None:
            response.headers["Content-Range"] = span.content_range(total)
        span = span or Span(0, total)
        response.content_length = span.size
        await response.prepare(request)
        await _send(exchange, response, body, span)
    return response


async def delete(exchange: Exchange) -> web.StreamResponse:
    """Delete the blob from this repository."""
    if not exchange.settings.deletes:
        raise unsupported("this registry does not delete")
    if not await asyncio.to_thread(exchange.repository().delete_blob, exchange.route.digest):
        raise blob_unknown(exchange.route.reference)
    return answer(202)


def _headers(found: Descriptor) -> dict[str, str]:
    digest = str(found.digest)
    return {"Docker-Content-Digest": digest, "ETag": f'"{digest}"', "Accept-Ranges": "bytes"}


@dataclass(frozen=True, slots=True)
class _Body:
    """A blob that is there to be sent: from a file if it lies in one, else in chunks."""

    descriptor: Descriptor
    repository: Repository
    file: BinaryIO | None = None
    file_offset: int = 0


def _open(repository: Repository, digest: Digest, stack: ExitStack) -> _Body | None:
    found = repository.find_blob(digest)
    if found is None:
        return None
    region = repository.locate(found) if isinstance(repository, FileBacked) else None
    if region is None:
        return _Body(found, repository)
    try:
        file = stack.enter_context(region.path.open("rb"))
    except FileNotFoundError:
        return None
    return _Body(found, repository, file, region.offset)


async def _send(exchange: Exchange, response: web.StreamResponse, body: _Body, span: Span) -> None:
    """Send the bytes; a failure in the middle must cut the connection, not end the body."""
    transport = exchange.request.transport
    if not span.size or transport is None:
        return
    try:
        if body.file is not None:
            loop = asyncio.get_running_loop()
            start = body.file_offset + span.start
            if await loop.sendfile(transport, body.file, start, span.size) != span.size:
                raise ContentNotFoundError(f"{body.descriptor.digest} is shorter than it was")
        else:
            await _send_chunks(response, body, span)
        await response.write_eof()
    except (AirgapError, OSError) as error:
        if not isinstance(error, ConnectionError):
            _log.error("%s of %s broke off: %s", exchange.route, exchange.request.remote, error)
        transport.abort()


async def _send_chunks(response: web.StreamResponse, body: _Body, span: Span) -> None:
    left = span.size
    opened = body.repository.open(body.descriptor, offset=span.start)
    chunks: Chunks = await asyncio.to_thread(opened.__enter__)
    try:
        while left and (chunk := await asyncio.to_thread(_next, chunks)):
            await response.write(memoryview(chunk)[:left])
            left -= min(left, len(chunk))
        if left:
            raise ContentNotFoundError(f"{body.descriptor.digest} is shorter than it was")
    finally:
        await asyncio.to_thread(opened.__exit__, None, None, None)


def _next(chunks: Iterator[bytes]) -> bytes:
    return next(chunks, b"")
