"""Blobs: pull, check and delete (distribution-spec, endpoints 2 and 10)."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO

from aiohttp import web

from airgap.content.depot import FileBacked, FileStamp, Repository
from airgap.content.posix import read_at
from airgap.content.store import Chunks
from airgap.errors import AirgapError, ContentNotFoundError, IntegrityError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.mediatype import OCTET_STREAM
from airgap.server.conditions import entity_tag, is_known, may_send_part
from airgap.server.errors import blob_unknown, unsupported
from airgap.server.exchange import Exchange, answer
from airgap.server.ranges import Multipart, Span, requested_spans

TLS_CHUNK = 1 << 16
"""How many bytes of a file are read at a time where they are encrypted here."""
LAST_BYTES = 1 << 16
"""How many bytes are held back until it is sure that their file is still the same."""

_log = logging.getLogger(__name__)


async def head(exchange: Exchange) -> web.StreamResponse:
    """Say whether the blob is here, and how large it is."""
    found = await asyncio.to_thread(exchange.repository().find_blob, exchange.route.digest)
    if found is None:
        raise blob_unknown(exchange.route.reference)
    headers = _headers(found)
    if is_known(exchange.request.headers.get("If-None-Match"), headers["ETag"]):
        return answer(304, headers)
    return answer(200, headers | {"Content-Length": str(found.size)}, media_type=OCTET_STREAM)


async def get(exchange: Exchange) -> web.StreamResponse:
    """Send the blob, or the parts of it that are asked for."""
    asked, digest = exchange.request.headers, exchange.route.digest
    with ExitStack() as stack:
        body = await asyncio.to_thread(_open, exchange.repository(), digest, stack)
        if body is None:
            raise blob_unknown(str(digest))
        headers = _headers(body.descriptor)
        if is_known(asked.get("If-None-Match"), headers["ETag"]):
            return answer(304, headers)
        total = body.descriptor.size
        wanted = asked.get("Range") if may_send_part(asked.get("If-Range"), headers["ETag"]) else ""
        spans = requested_spans(wanted, total)
        response = web.StreamResponse(status=206 if spans else 200, headers=headers)
        response.headers["Content-Type"] = OCTET_STREAM
        if len(spans) > 1:
            frame = Multipart(spans, total, secrets.token_hex(16), OCTET_STREAM)
            response.headers["Content-Type"] = frame.content_type
            response.content_length = frame.size
        else:
            frame = None
            span = spans[0] if spans else Span(0, total)
            if spans:
                response.headers["Content-Range"] = span.content_range(total)
            spans = (span,)
            response.content_length = span.size
        await response.prepare(exchange.request)
        await _Sending(exchange, response, body).send(spans, frame)
    return response


async def delete(exchange: Exchange) -> web.StreamResponse:
    """Delete the blob from this repository."""
    if not exchange.settings.deletes:
        raise unsupported("this registry does not delete")
    if not await asyncio.to_thread(exchange.repository().delete_blob, exchange.route.digest):
        raise blob_unknown(exchange.route.reference)
    return answer(202)


def _headers(found: Descriptor) -> dict[str, str]:
    return {
        "Docker-Content-Digest": str(found.digest),
        "ETag": entity_tag(found.digest),
        "Accept-Ranges": "bytes",
    }


@dataclass(frozen=True, slots=True)
class _Body:
    """A blob that is there to be sent: from a file if it lies in one, else in chunks."""

    descriptor: Descriptor
    repository: Repository
    file: BinaryIO | None = None
    file_offset: int = 0
    stamp: FileStamp | None = None

    def check(self) -> None:
        """See that the open file is still the one that was meant.

        Raises:
            IntegrityError: It is another one, or was changed.
        """
        is_same = (
            self.file is None
            or self.stamp is None
            or FileStamp.of(self.file.fileno()) == self.stamp
        )
        if not is_same:
            raise IntegrityError(f"the file that has {self.descriptor.digest} was changed")


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
    body = _Body(found, repository, file, region.offset, region.stamp)
    body.check()
    return body


class _Sending:
    """A blob on its way; a failure in the middle must cut the connection, not end the body."""

    def __init__(self, exchange: Exchange, response: web.StreamResponse, body: _Body) -> None:
        self._exchange = exchange
        self._response = response
        self._body = body

    async def send(self, spans: tuple[Span, ...], frame: Multipart | None) -> None:
        """Send parts of the blob, framed where there are several."""
        transport = self._exchange.request.transport
        if transport is None:
            return
        try:
            for span in spans:
                if frame is not None:
                    await self._response.write(frame.head(span))
                await self._send(span, transport)
            if frame is not None:
                await self._response.write(frame.tail)
            await self._response.write_eof()
        except (AirgapError, OSError) as error:
            if not isinstance(error, ConnectionError):
                route, remote = self._exchange.route, self._exchange.request.remote
                _log.error("%s of %s broke off: %s", route, remote, error)
            transport.abort()

    async def _send(self, span: Span, transport: asyncio.Transport) -> None:
        if not span.size:
            return
        if self._body.file is None:
            await self._send_chunks(span)
            return
        start = self._body.file_offset + span.start
        held = min(span.size, LAST_BYTES) if self._body.stamp else 0
        if span.size > held:
            await self._send_file(self._body.file, transport, start, span.size - held)
        if held:
            self._body.check()
            await self._send_file(self._body.file, transport, start + span.size - held, held)

    async def _send_file(
        self, file: BinaryIO, transport: asyncio.Transport, start: int, size: int
    ) -> None:
        if transport.get_extra_info("sslcontext") is not None:
            await self._send_read(file, start, size)
            return
        loop = asyncio.get_running_loop()
        if await loop.sendfile(transport, file, start, size) != size:
            raise self._too_short()

    async def _send_read(self, file: BinaryIO, start: int, size: int) -> None:
        """Send by reading, where TLS keeps the system from sending the file by itself.

        asyncio's own way of doing that takes 16 KiB at a time and was ten times as slow.
        """
        while size:
            wanted = min(size, TLS_CHUNK)
            chunk = await asyncio.to_thread(read_at, file.fileno(), wanted, start)
            if not chunk:
                raise self._too_short()
            await self._response.write(chunk)
            start += len(chunk)
            size -= len(chunk)

    async def _send_chunks(self, span: Span) -> None:
        left = span.size
        opened = self._body.repository.open(self._body.descriptor, offset=span.start)
        chunks: Chunks = await asyncio.to_thread(opened.__enter__)
        try:
            while left and (chunk := await asyncio.to_thread(_next, chunks)):
                await self._response.write(memoryview(chunk)[:left])
                left -= min(left, len(chunk))
            if left:
                raise self._too_short()
        finally:
            await asyncio.to_thread(opened.__exit__, None, None, None)

    def _too_short(self) -> ContentNotFoundError:
        return ContentNotFoundError(f"{self._body.descriptor.digest} is shorter than it was")


def _next(chunks: Iterator[bytes]) -> bytes:
    return next(chunks, b"")
