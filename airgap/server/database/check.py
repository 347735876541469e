"""A check of everything that a data folder holds; for tests, and after something went wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from airgap.content.storage import storage_errors
from airgap.content.store import CHUNK_SIZE
from airgap.errors import InvalidContentError
from airgap.oci.digest import Digest, Hasher
from airgap.oci.layout import BLOBS as BLOB_FOLDER
from airgap.oci.layout import blob_digest, blob_path
from airgap.oci.manifest import parse_manifest
from airgap.oci.mediatype import is_non_distributable
from airgap.server.database.engine import open_sqlite, open_url
from airgap.server.database.errors import database_errors
from airgap.server.database.tables import BLOBS, EDGES, LINKS, MANIFESTS, TAGS


@dataclass(frozen=True, slots=True)
class StorageFinding:
    """Something that is not as it should be.

    Attributes:
        kind: lost, damaged, unknown, unlinked or dangling.
        what: The digest, file or tag.
        message: One line.
    """

    kind: str
    what: str
    message: str


def check_storage(
    root: Path, *, database_url: str | None = None, has_sparse: bool = False
) -> tuple[StorageFinding, ...]:
    """Compare files and rows of a data folder, and hash every file.

    Args:
        root: The folder; it may be served meanwhile, if nothing is pushed or removed.
        database_url: Where its database is, if not in the folder.
        has_sparse: Whether blobs of manifests may be elsewhere, as over a served bundle.

    Raises:
        StorageError: The folder cannot be read.
    """
    database = open_url(database_url) if database_url else open_sqlite(root / "registry.db")
    try:
        with database_errors(database.name), database.snapshots.begin() as connection:
            return tuple(_check(root, connection, has_sparse=has_sparse))
    finally:
        database.close()


def _check(root: Path, connection: Connection, *, has_sparse: bool) -> Iterator[StorageFinding]:
    sizes = {d: s for d, s in connection.execute(select(BLOBS.c.digest, BLOBS.c.size))}  # noqa: C416 (rows are no pairs to a type checker)
    yield from _check_files(root, sizes)
    for digest in connection.scalars(select(LINKS.c.digest).distinct()):
        if digest not in sizes:
            yield StorageFinding("lost", digest, "a repository links it, and it is not known")
    rows = connection.execute(
        select(MANIFESTS.c.repository, MANIFESTS.c.digest, MANIFESTS.c.media_type, MANIFESTS.c.size)
    ).all()
    known = {(repository, digest) for repository, digest, _, _ in rows}
    for repository, digest, media_type, size in rows:
        if sizes.get(digest) != size:
            yield StorageFinding("lost", digest, f"a manifest of {repository}, and not known so")
            continue
        yield from _check_manifest(root, connection, repository, digest, media_type, has_sparse)
    for repository, name, digest in connection.execute(
        select(TAGS.c.repository, TAGS.c.name, TAGS.c.digest)
    ):
        if (repository, digest) not in known:
            yield StorageFinding("dangling", f"{repository}:{name}", f"there is no {digest}")


def _check_files(root: Path, sizes: dict[str, int]) -> Iterator[StorageFinding]:
    left = set(sizes)
    for path in _files(root / BLOB_FOLDER):
        name = path.relative_to(root).as_posix()
        digest = blob_digest(name)
        if digest is None or str(digest) not in left:
            yield StorageFinding("unknown", name, "a file that the database does not know")
            continue
        left.discard(str(digest))
        hasher = Hasher(digest.algorithm)
        with storage_errors(path), path.open("rb") as file:
            while chunk := file.read(CHUNK_SIZE):
                hasher.update(chunk)
        if hasher.size != sizes[str(digest)] or hasher.digest() != digest:
            yield StorageFinding("damaged", str(digest), f"its {hasher.size} bytes are others")
    for text in sorted(left):
        yield StorageFinding("lost", text, "there is no file of it")


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        for name in names:
            yield Path(parent, name)


def _check_manifest(
    root: Path,
    connection: Connection,
    repository: str,
    text: str,
    media_type: str,
    has_sparse: bool,
) -> Iterator[StorageFinding]:
    digest = Digest.parse(text)
    path = root / blob_path(digest)
    try:
        raw = path.read_bytes()
        document = parse_manifest(raw, media_type, algorithm=digest.algorithm)
    except FileNotFoundError:
        return  # said already
    except InvalidContentError as error:
        yield StorageFinding("damaged", text, error.message)
        return
    edges = select(EDGES.c.child).filter_by(repository=repository, parent=text)
    noted = set(connection.scalars(edges))
    links = set(
        connection.scalars(
            select(LINKS.c.digest).where(
                LINKS.c.repository == repository, LINKS.c.digest.in_(edges)
            )
        )
    )
    for named in (*document.blobs(), *document.children()):
        if str(named.digest) not in noted and not is_non_distributable(named.media_type):
            yield StorageFinding("unlinked", str(named.digest), f"{text} names it, unnoted")
    for blob in document.blobs():
        is_elsewhere = has_sparse or is_non_distributable(blob.media_type)
        if str(blob.digest) not in links and not is_elsewhere:
            yield StorageFinding("unlinked", str(blob.digest), f"{repository} needs it for {text}")
