"""What other engines read: index.json and docker's manifest.json, made from the catalog alone.

Only what an engine can run carries a name: a chart or a signature with one makes
`ctr images import` fail, and a digest in RepoTags makes docker and podman refuse the whole file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Literal

from airgap.bundle.catalog import Catalog, CatalogImage
from airgap.oci import mediatype
from airgap.oci.digest import Digest
from airgap.oci.layout import CONTAINERD_NAME, REF_NAME, blob_path
from airgap.oci.manifest import Document, Index, Manifest

ImageKind = Literal["image", "index", "artifact"]


def image_kind(document: Document) -> ImageKind:
    """Whether an engine can run it, chooses from it by platform, or neither."""
    if isinstance(document, Index):
        return "index"
    return "image" if document.is_runnable else "artifact"


def runnable_manifests(digest: Digest, documents: Mapping[Digest, Document]) -> list[Manifest]:
    """The manifests at or below a digest that an engine can run and that travel, in order."""
    found: list[Manifest] = []
    seen: set[Digest] = set()
    waiting = [digest]
    while waiting:
        current = waiting.pop()
        document = documents.get(current)
        if document is None or current in seen:
            continue
        seen.add(current)
        if isinstance(document, Manifest) and document.is_runnable:
            found.append(document)
        waiting.extend(child.digest for child in reversed(document.children()))
    return found


def index_json(
    catalog: Catalog,
    documents: Mapping[Digest, Document],
    *,
    absent: AbstractSet[Digest] = frozenset(),
) -> bytes:
    """The layout's index.json: images with their names, then what refers to them without.

    What needs a blob that is left to the receiver is not named: no engine could run it from here.

    Args:
        catalog: What the bundle carries.
        documents: Its manifests and indexes.
        absent: The blobs that are not, or not whole, in this volume: what needs one is not named.
    """
    absent = absent | catalog.held_sizes().keys()
    entries: list[dict[str, Any]] = []
    named: set[Digest] = set()
    for image in catalog.images:
        if not _is_whole(image.digest, documents, absent):
            continue
        entry = _entry(image.digest, documents)
        if runnable_manifests(image.digest, documents):
            name = image.reference.tagged
            entry["annotations"] = {REF_NAME: name, CONTAINERD_NAME: name}
        elif image.digest in named:
            continue
        named.add(image.digest)
        entries.append(entry)
    for digest in sorted({referrer.digest for referrer in catalog.referrers} - named):
        if _is_whole(digest, documents, absent):
            entries.append(_entry(digest, documents))
    return _bytes({"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": entries})


def docker_manifest_json(
    catalog: Catalog,
    documents: Mapping[Digest, Document],
    *,
    absent: AbstractSet[Digest] = frozenset(),
) -> bytes:
    """Docker's manifest.json: the images that are whole in this volume, one platform each."""
    held = {digest for digest, _ in catalog.blobs} - absent
    entries: dict[Digest, dict[str, Any]] = {}
    for image in catalog.images:
        manifest = _loaded(image, documents)
        if manifest is None or not {blob.digest for blob in manifest.blobs()} <= held:
            continue
        entry = entries.setdefault(manifest.descriptor.digest, _docker_entry(manifest))
        if image.reference.tag:
            entry["RepoTags"] = entry["RepoTags"] or []
            entry["RepoTags"].append(image.reference.tagged)
    return _bytes(list(entries.values()))


def _is_whole(
    digest: Digest, documents: Mapping[Digest, Document], absent: AbstractSet[Digest]
) -> bool:
    """Whether all below a digest that travels lies in this volume."""
    seen: set[Digest] = set()
    waiting = [digest] if absent else []
    while waiting:
        current = waiting.pop()
        document = documents.get(current)
        if document is None or current in seen:
            continue
        seen.add(current)
        if any(blob.digest in absent for blob in document.blobs()):
            return False
        children = [child.digest for child in document.children()]
        if not absent.isdisjoint(children):
            return False
        waiting.extend(children)
    return True


def _loaded(image: CatalogImage, documents: Mapping[Digest, Document]) -> Manifest | None:
    document = documents.get(image.load or image.digest)
    return document if isinstance(document, Manifest) and document.is_runnable else None


def _entry(digest: Digest, documents: Mapping[Digest, Document]) -> dict[str, Any]:
    descriptor = documents[digest].descriptor
    return {
        "mediaType": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size,
    }


def _docker_entry(manifest: Manifest) -> dict[str, Any]:
    config = manifest.config
    assert config is not None, "a runnable manifest has a config"
    return {
        "Config": blob_path(config.digest),
        "RepoTags": None,
        "Layers": [blob_path(layer.digest) for layer in manifest.layers],
    }


def _bytes(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
