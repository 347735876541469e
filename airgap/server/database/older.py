"""Takes over what a data folder knew before it had a database.

Doing it again changes nothing, so that a start that was broken off is just repeated.
"""

from __future__ import annotations

from pathlib import Path

from airgap.content.folder import FolderPool
from airgap.content.folder_metadata import FolderMetadata
from airgap.errors import InvalidContentError
from airgap.oci.digest import Digest
from airgap.oci.manifest import parse_manifest
from airgap.server.database.metadata import DatabaseMetadata


def import_records(folder: Path, pool: FolderPool, metadata: DatabaseMetadata) -> None:
    """Copy the records of all repositories. What they name and is not there is left out.

    Args:
        folder: Where the records lie.
        pool: The content.
        metadata: Where they go.
    """
    records = FolderMetadata(folder, durable=False)
    for repository in records.repositories():
        for digest in records.links(repository):
            size = pool.size(digest)
            if size is not None:
                metadata.link_blob(repository, digest, size=size)
        for digest in records.manifests(repository):
            _import_manifest(repository, digest, records, pool, metadata)
        for tag in records.tags(repository):
            entry = records.tagged(repository, tag)
            if entry is not None and metadata.manifest(repository, entry.digest) is not None:
                metadata.set_tag(repository, tag, entry.digest)


def _import_manifest(
    repository: str,
    digest: Digest,
    records: FolderMetadata,
    pool: FolderPool,
    metadata: DatabaseMetadata,
) -> None:
    entry, raw = records.manifest(repository, digest), pool.read(digest)
    if entry is None or raw is None:
        return
    try:
        document = parse_manifest(raw, entry.media_type, algorithm=digest.algorithm)
    except InvalidContentError:
        return
    if document.descriptor.digest != digest:
        return
    metadata.put_manifest(
        repository,
        entry,
        subject=document.subject.digest if document.subject else None,
        mentions=[named.digest for named in (*document.blobs(), *document.children())],
    )
