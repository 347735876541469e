"""Manifests: pull, push, check and delete (distribution-spec, endpoints 3, 7 and 9)."""

from __future__ import annotations

import asyncio

from aiohttp import web

from airgap.content.depot import Repository
from airgap.errors import ContentNotFoundError, InvalidContentError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document, parse_manifest
from airgap.oci.reference import is_tag
from airgap.server.errors import (
    digest_invalid,
    manifest_blob_unknown,
    manifest_invalid,
    manifest_too_large,
    manifest_unknown,
    unsupported,
)
from airgap.server.exchange import Exchange, answer


async def get(exchange: Exchange) -> web.StreamResponse:
    """Send the exact bytes that were pushed, with the type they were pushed with.

    What the client says it accepts is not looked at: a registry that turns types away there
    breaks clients that ask for too few, and the digest would not allow a conversion.
    """
    reference = exchange.route.reference
    found = await asyncio.to_thread(exchange.repository().read_manifest, reference)
    if found is None:
        raise manifest_unknown(reference)
    descriptor, raw = found
    headers = _headers(descriptor)
    if headers["ETag"] in exchange.request.headers.get("If-None-Match", ""):
        return answer(304, headers)
    return answer(200, headers, body=raw, media_type=descriptor.media_type)


async def head(exchange: Exchange) -> web.StreamResponse:
    """Say what a reference names."""
    reference = exchange.route.reference
    found = await asyncio.to_thread(exchange.repository().resolve, reference)
    if found is None:
        raise manifest_unknown(reference)
    headers = _headers(found) | {"Content-Length": str(found.size)}
    return answer(200, headers, media_type=found.media_type)


async def put(exchange: Exchange) -> web.StreamResponse:
    """Take a manifest by tag or by digest."""
    reference, request = exchange.route.reference, exchange.request
    tag = None if ":" in reference else reference
    if tag is not None and not is_tag(tag):
        raise manifest_invalid(f"{tag[:200]!r} is not a tag")
    raw = await _read(exchange)
    algorithm = "sha256" if tag is not None else exchange.route.digest.algorithm
    try:
        document = parse_manifest(raw, request.headers.get("Content-Type", ""), algorithm=algorithm)
    except InvalidContentError as error:
        raise manifest_invalid(error.message) from error
    digest = document.descriptor.digest
    if tag is None and digest != exchange.route.digest:
        raise digest_invalid(f"the manifest hashes to {digest}")
    await asyncio.to_thread(_put, exchange, document, tag)
    headers = {
        "Location": f"/v2/{exchange.route.repository}/manifests/{digest}",
        "Docker-Content-Digest": str(digest),
    }
    if document.subject is not None and exchange.settings.referrers:
        headers["OCI-Subject"] = str(document.subject.digest)
    return answer(201, headers)


async def delete(exchange: Exchange) -> web.StreamResponse:
    """Delete a manifest with all its tags, or one tag."""
    if not exchange.settings.deletes:
        raise unsupported("this registry does not delete")
    repository, reference = exchange.repository(), exchange.route.reference
    if ":" in reference:
        is_gone = await asyncio.to_thread(repository.delete_manifest, Digest.parse(reference))
    else:
        is_gone = await asyncio.to_thread(repository.delete_tag, reference)
    if not is_gone:
        raise manifest_unknown(reference)
    return answer(202)


def _headers(found: Descriptor) -> dict[str, str]:
    digest = str(found.digest)
    return {"Docker-Content-Digest": digest, "ETag": f'"{digest}"'}


async def _read(exchange: Exchange) -> bytes:
    """Read the body, but not more of it than a manifest may have."""
    limit = exchange.settings.max_manifest
    if (exchange.request.content_length or 0) > limit:
        raise manifest_too_large(limit)
    raw = bytearray()
    while part := await exchange.request.content.readany():
        raw += part
        if len(raw) > limit:
            raise manifest_too_large(limit)
    return bytes(raw)


def _put(exchange: Exchange, document: Document, tag: str | None) -> None:
    repository = exchange.repository()
    if not exchange.settings.sparse_indexes:
        _refuse_sparse(repository, document)
    try:
        repository.put_manifest(document, tag=tag)
    except ContentNotFoundError as error:
        raise manifest_blob_unknown(error.message) from error


def _refuse_sparse(repository: Repository, document: Document) -> None:
    for child in document.children():
        if repository.resolve(str(child.digest)) is None:
            raise manifest_blob_unknown(str(child.digest))
