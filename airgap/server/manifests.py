"""Manifests: pull, push, check and delete (distribution-spec, endpoints 3, 7 and 9)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from functools import cache
from typing import TypeGuard

from aiohttp import web

from airgap.content.depot import ManifestMemory, Repository
from airgap.errors import ContentNotFoundError, InvalidContentError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document, Manifest, parse_manifest
from airgap.oci.mediatype import is_non_distributable
from airgap.oci.reference import is_tag
from airgap.server.conditions import entity_tag, is_known
from airgap.server.errors import (
    digest_invalid,
    manifest_blob_unknown,
    manifest_invalid,
    manifest_too_large,
    manifest_unknown,
    unsupported,
)
from airgap.server.exchange import Exchange, answer

MAX_TAGS = 100
"""How many tags a manifest gets with one request."""


async def get(exchange: Exchange) -> web.StreamResponse:
    """Send the exact bytes that were pushed, with the type they were pushed with.

    What the client says it accepts is not looked at: a registry that turns types away there
    breaks clients that ask for too few, and the digest would not allow a conversion.
    """
    reference = exchange.route.reference
    repository: Repository = exchange.repository()
    # a turn in another thread takes longer than all the rest
    found = repository.recall_manifest(reference) if _has_memory(repository) else None
    if found is None:
        found = await asyncio.to_thread(repository.read_manifest, reference)
    if found is None:
        raise manifest_unknown(reference)
    descriptor, raw = found
    headers = _headers(descriptor)
    if is_known(exchange.request.headers.get("If-None-Match"), headers["ETag"]):
        return answer(304, headers)
    return answer(200, headers, body=raw, media_type=descriptor.media_type)


async def head(exchange: Exchange) -> web.StreamResponse:
    """Say what a reference names."""
    reference = exchange.route.reference
    found = await asyncio.to_thread(exchange.repository().resolve, reference)
    if found is None:
        raise manifest_unknown(reference)
    headers = _headers(found)
    if is_known(exchange.request.headers.get("If-None-Match"), headers["ETag"]):
        return answer(304, headers)
    headers |= {"Content-Length": str(found.size)}
    return answer(200, headers, media_type=found.media_type)


async def put(exchange: Exchange) -> web.StreamResponse:
    """Take a manifest by tag, or by digest and with tags beside it."""
    reference, request = exchange.route.reference, exchange.request
    is_digest = ":" in reference
    tags = request.query.getall("tag", [])[: MAX_TAGS + 1] if is_digest else [reference]
    for tag in tags:
        if not is_tag(tag):
            raise manifest_invalid(f"{tag[:200]!r} is not a tag")
    if len(tags) > MAX_TAGS:
        raise manifest_invalid(f"more than {MAX_TAGS} tags at once")
    raw = await _read(exchange)
    algorithm = exchange.route.digest.algorithm if is_digest else "sha256"
    try:
        document = parse_manifest(raw, request.headers.get("Content-Type", ""), algorithm=algorithm)
    except InvalidContentError as error:
        raise manifest_invalid(error.message) from error
    digest = document.descriptor.digest
    if is_digest and digest != exchange.route.digest:
        raise digest_invalid(f"the manifest hashes to {digest}")
    missing = await asyncio.to_thread(_put, exchange, document, tags)
    headers = {
        "Location": f"/v2/{exchange.route.repository}/manifests/{digest}",
        "Docker-Content-Digest": str(digest),
    }
    if document.subject is not None and exchange.settings.referrers:
        headers["OCI-Subject"] = str(document.subject.digest)
    if missing:
        headers["Warning"] = f'299 - "{_missing_text(missing)}"'
    response = answer(201, headers)
    for tag in tags if is_digest else ():
        response.headers.add("OCI-Tag", tag)
    return response


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


@cache
def _is_memory(kind: type) -> bool:
    return issubclass(kind, ManifestMemory)


def _has_memory(repository: Repository) -> TypeGuard[ManifestMemory]:
    # to look for the methods of a protocol each time is slow before Python 3.12
    return _is_memory(type(repository))


def _headers(found: Descriptor) -> dict[str, str]:
    return {"Docker-Content-Digest": str(found.digest), "ETag": entity_tag(found.digest)}


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


def _put(exchange: Exchange, document: Document, tags: Sequence[str]) -> list[Digest]:
    """Store a manifest, and give the blobs of it that are missing."""
    repository = exchange.repository()
    missing = _missing(repository, document)
    if missing and not (exchange.settings.sparse_images and _is_sparse(document, missing)):
        raise manifest_blob_unknown(_missing_text(missing))
    if not exchange.settings.sparse_indexes:
        _refuse_sparse(repository, document)
    try:
        for tag in tags or (None,):
            repository.put_manifest(document, tag=tag, is_sparse=bool(missing))
    except ContentNotFoundError as error:
        raise manifest_blob_unknown(error.message) from error
    return missing


def _missing(repository: Repository, document: Document) -> list[Digest]:
    """The blobs of a manifest that are not here and ought to be."""
    wanted = {blob.digest: blob for blob in document.blobs()}
    return [
        digest
        for digest, blob in wanted.items()
        if not is_non_distributable(blob.media_type) and repository.find_blob(digest) is None
    ]


def _is_sparse(document: Document, missing: Collection[Digest]) -> bool:
    """Whether a part of an image is here, so that somebody left out the rest on purpose.

    One of whose content nothing, or only the config, is here was pushed before its blobs, which
    is a mistake of whoever pushed it.
    """
    if not isinstance(document, Manifest) or document.config is None:
        return False
    has_layer = any(layer.digest not in missing for layer in document.layers)
    return document.config.digest not in missing and has_layer


def _missing_text(missing: Sequence[Digest]) -> str:
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    return f"the repository does not have {', '.join(map(str, missing[:3]))}{more}"


def _refuse_sparse(repository: Repository, document: Document) -> None:
    for child in document.children():
        if repository.resolve(str(child.digest)) is None:
            raise manifest_blob_unknown(str(child.digest))
