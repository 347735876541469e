"""Blob uploads in every way that clients use (distribution-spec, endpoints 4 to 6, 11, 13, 14).

POST and one PUT (containerd, buildkit), POST and a streaming PATCH without a length and a PUT
(docker, podman), pieces in order with Content-Range, one single POST, and mounts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from airgap.content.depot import BlobHolders, Upload
from airgap.content.store import CHUNK_SIZE
from airgap.errors import DigestMismatchError, InvalidContentError
from airgap.oci.digest import ALGORITHMS, Digest
from airgap.oci.reference import is_repository
from airgap.server.access import Action, visible_names
from airgap.server.errors import (
    body_too_large,
    digest_invalid,
    size_invalid,
    upload_invalid,
    upload_out_of_order,
    upload_unknown,
)
from airgap.server.exchange import Exchange, Turn, answer
from airgap.server.ranges import Span, chunk_span


async def post(exchange: Exchange) -> web.StreamResponse:
    """Begin an upload, take a whole blob at once, or mount one."""
    mounted, whole = exchange.query("mount"), exchange.query("digest")
    if mounted and exchange.settings.mounts:
        digest = _digest(mounted)
        if await asyncio.to_thread(_mount, exchange, digest, exchange.query("from")):
            return _created(exchange, digest)
    wanted = _digest(whole) if whole else None
    algorithm = wanted.algorithm if wanted else exchange.query("digest-algorithm") or "sha256"
    if algorithm not in ALGORITHMS:
        raise digest_invalid(f"{algorithm} is not supported")
    upload = await asyncio.to_thread(exchange.repository().start_upload, algorithm=algorithm)
    if wanted is None:
        headers = _state(exchange, upload)
        if exchange.settings.chunk_min_length:
            headers["OCI-Chunk-Min-Length"] = str(exchange.settings.chunk_min_length)
        return answer(202, headers)
    async with _Appending(exchange, upload, exchange.turns.of(upload.id)).turn() as appending:
        try:
            await appending.body()
        except BaseException:
            # nobody knows the id of this upload, so nobody can go on with it
            await asyncio.to_thread(upload.abort)
            raise
        await appending.commit(wanted)
    return _created(exchange, wanted)


async def get(exchange: Exchange) -> web.StreamResponse:
    """Say how far an upload is."""
    return answer(204, _state(exchange, await _find(exchange)))


async def patch(exchange: Exchange) -> web.StreamResponse:
    """Take the next piece, or a stream of whatever length."""
    async with _going_on(exchange) as appending:
        await appending.body()
        return answer(202, _state(exchange, appending.upload))


async def put(exchange: Exchange) -> web.StreamResponse:
    """Take what is left, if anything, and finish the upload."""
    digest = _digest(exchange.query("digest") or "")
    async with _going_on(exchange) as appending:
        await appending.body()
        await appending.commit(digest)
    return _created(exchange, digest)


async def delete(exchange: Exchange) -> web.StreamResponse:
    """Throw an upload away."""
    async with _going_on(exchange) as appending:
        await appending.abort()
    return answer(204)


def _mount(exchange: Exchange, digest: Digest, origin: str | None) -> bool:
    """Link a blob of a repository that the one who asks may pull; of any such one without `from`.

    Where that is not allowed the client sends the bytes, as if the blob were not there: so nobody
    learns what other repositories have.
    """
    depot = exchange.depot
    if origin:
        may_pull = is_repository(origin) and exchange.may(Action.PULL, origin)
        names = [origin] if may_pull else []
    else:
        held = depot.holders(digest) if isinstance(depot, BlobHolders) else depot.repositories()
        names = list(visible_names(exchange.guard, exchange.principal, held))
    link = exchange.repository().link_blob
    return any(link(digest, from_repository=name) is not None for name in names)


def _digest(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except InvalidContentError as error:
        raise digest_invalid(text) from error


async def _find(exchange: Exchange) -> Upload:
    upload_id = exchange.route.reference
    upload = await asyncio.to_thread(exchange.repository().find_upload, upload_id)
    if upload is None:
        raise upload_unknown(upload_id)
    return upload


@asynccontextmanager
async def _going_on(exchange: Exchange) -> AsyncIterator[_Appending]:
    """Go on with the upload that the route names."""
    # before it is looked for: whoever ends it in between says so there
    turn = exchange.turns.of(exchange.route.reference)
    upload = await _find(exchange)
    async with _Appending(exchange, upload, turn).turn() as appending:
        yield appending


def _location(exchange: Exchange, upload: Upload) -> str:
    return f"/v2/{exchange.route.repository}/blobs/uploads/{upload.id}"


def _held(upload: Upload) -> str:
    """The range that an upload holds; for none it is that of the first byte, as clients know it."""
    return f"0-{max(upload.offset - 1, 0)}"


def _state(exchange: Exchange, upload: Upload) -> dict[str, str]:
    return {
        "Location": _location(exchange, upload),
        "Range": _held(upload),
        "Docker-Upload-UUID": upload.id,
    }


def _created(exchange: Exchange, digest: Digest) -> web.Response:
    location = f"/v2/{exchange.route.repository}/blobs/{digest}"
    return answer(201, {"Location": location, "Docker-Content-Digest": str(digest)})


class _Appending:
    """One request at work on one upload."""

    def __init__(self, exchange: Exchange, upload: Upload, turn: Turn) -> None:
        self._exchange = exchange
        self._turn = turn
        self.upload = upload

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[_Appending]:
        """Take the upload over from whoever works on it, and let go of it in the end."""
        self._turn.owner = self
        try:
            yield self
        finally:
            async with self._turn.lock:
                if self._turn.owner is self:
                    await asyncio.to_thread(self.upload.close)

    async def body(self) -> None:
        """Append the body of the request.

        The next bytes are received while the last ones are hashed and written. What arrived
        before the connection broke is kept.
        """
        span = chunk_span(self._exchange.request.headers.get("Content-Range"))
        await self._check_order(span)
        before = self.upload.offset
        parts: list[bytes] = []
        writing: asyncio.Task[None] | None = None
        held, content = 0, self._exchange.request.content
        try:
            while part := await content.readany():
                parts.append(part)
                held += len(part)
                if held >= CHUNK_SIZE:
                    if writing is not None:
                        await writing
                    writing = asyncio.create_task(self._append(b"".join(parts)))
                    parts, held = [], 0
        finally:
            if writing is not None:
                await writing
            if parts:
                await self._append(b"".join(parts))
        if span is not None and self.upload.offset - before != span.size:
            raise size_invalid(f"{span.size} bytes were announced")

    async def commit(self, digest: Digest) -> None:
        """Finish the upload."""
        async with self._mine():
            try:
                await asyncio.to_thread(self.upload.commit, digest)
                self._turn.is_over = True
            except DigestMismatchError as error:
                self._turn.is_over = True
                raise digest_invalid(error.message) from error

    async def abort(self) -> None:
        """Throw the upload away."""
        async with self._mine():
            await asyncio.to_thread(self.upload.abort)
            self._turn.is_over = True

    async def _check_order(self, span: Span | None) -> None:
        async with self._mine():
            if span is None:
                return
            if span.start != self.upload.offset:
                location = _location(self._exchange, self.upload)
                raise upload_out_of_order(location, _held(self.upload))
            announced = self._exchange.request.content_length
            if announced is not None and announced != span.size:
                raise size_invalid(f"Content-Range has {span.size} bytes")

    async def _append(self, chunk: bytes) -> None:
        limit = self._exchange.settings.max_blob
        async with self._mine():
            if limit is not None and self.upload.offset + len(chunk) > limit:
                raise body_too_large(limit)
            await asyncio.to_thread(self.upload.append, chunk)

    @asynccontextmanager
    async def _mine(self) -> AsyncIterator[None]:
        async with self._turn.lock:
            if self._turn.is_over:
                raise upload_unknown(self.upload.id)
            if self._turn.owner is not self:
                raise upload_invalid("another request goes on with this upload")
            yield
