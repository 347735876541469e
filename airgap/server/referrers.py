"""What refers to a digest (distribution-spec, endpoint 12).

A registry with this API must also list what older clients noted under the referrers tag of a
subject (distribution-spec, "Enabling the Referrers API"). That tag is read with each request, so
it does not matter when it was pushed, and a manifest that is deleted is not listed any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from aiohttp import web

from airgap.content.depot import Repository
from airgap.errors import AirgapError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes
from airgap.oci.manifest import MAX_MANIFEST_SIZE, Index, parse_manifest
from airgap.oci.mediatype import OCI_INDEX
from airgap.oci.referrers import fallback_tag, referrer_descriptor, referrers_index
from airgap.server.errors import unsupported
from airgap.server.exchange import Exchange, answer
from airgap.server.paging import page

MAX_PAGE_BYTES = MAX_MANIFEST_SIZE
"""How many bytes of entries one answer has: each brings along all annotations of its manifest."""
MAX_NOTED = 1000
"""How many entries of a referrers tag are looked at: whoever may push could write any number."""
MAX_NOTED_BYTES = 16 * 1024 * 1024
"""How many bytes of manifests are read for them."""


async def get(exchange: Exchange) -> web.StreamResponse:
    """List referrers as an index: an empty one where there are none, never 404."""
    if not exchange.settings.referrers:
        raise unsupported("this registry has no referrers API", status=404)
    found = await asyncio.to_thread(_find, exchange.repository(), exchange.route.digest)
    headers: dict[str, str] = {}
    wanted = exchange.query("artifactType")
    if wanted:
        found = {key: entry for key, entry in found.items() if entry.artifact_type == wanted}
        headers["OCI-Filters-Applied"] = "artifactType"
    size = exchange.settings.referrers_page or len(found)
    keys, has_more = page(sorted(found), size, exchange.query("last"))
    fitting = _fitting(found[key] for key in keys)
    keys, has_more = keys[:fitting], has_more or fitting < len(keys)
    if has_more:
        more = {"last": keys[-1]} | ({"artifactType": wanted} if wanted else {})
        headers |= exchange.next_page(more)
    raw = referrers_index(found[key] for key in keys)
    return answer(200, headers, body=raw, media_type=OCI_INDEX)


def _fitting(entries: Iterable[Descriptor]) -> int:
    """How many entries fit into one answer: at least one, if there is any."""
    count = size = 0
    for entry in entries:
        size += len(canonical_bytes(entry.to_json()))
        if count and size > MAX_PAGE_BYTES:
            break
        count += 1
    return count


def _find(repository: Repository, subject: Digest) -> dict[str, Descriptor]:
    """Everything that refers to a subject, by digest."""
    found = {str(entry.digest): entry for entry in repository.referrers(subject) or ()}
    for entry in _noted(repository, subject, known=found):
        found[str(entry.digest)] = entry
    return found


def _noted(
    repository: Repository, subject: Digest, *, known: dict[str, Descriptor]
) -> Iterator[Descriptor]:
    """What clients noted under the subject's referrers tag and is there to be pulled.

    A manifest that names no subject itself is listed: whoever wrote the tag could have written
    one that does. One that names another subject is not.
    """
    note = repository.read_manifest(fallback_tag(subject))
    if note is None:
        return
    index = parse_manifest(note[1], note[0].media_type, algorithm=note[0].digest.algorithm)
    if not isinstance(index, Index):
        return
    left = MAX_NOTED_BYTES
    for listed in index.manifests[:MAX_NOTED]:
        if str(listed.digest) in known or listed.digest == subject:
            continue
        found = repository.resolve(str(listed.digest))
        left -= found.size if found else 0
        if found is None or left < 0:
            continue
        entry = _entry(repository, listed.digest, subject)
        if entry is not None:
            yield entry


def _entry(repository: Repository, digest: Digest, subject: Digest) -> Descriptor | None:
    try:
        document = repository.manifest(str(digest))
    except AirgapError:
        return None  # deleted meanwhile, or damaged: then it cannot be pulled either
    if document.subject is not None and document.subject.digest != subject:
        return None
    return referrer_descriptor(document)
