"""What is known in each repository, in a database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from sqlalchemy import Connection, Executable, Select, delete, select

from airgap.content.pool import refuse_missing
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.server.database import deletion
from airgap.server.database.engine import Database
from airgap.server.database.errors import database_errors
from airgap.server.database.recall import Recall
from airgap.server.database.recency import Recency
from airgap.server.database.rows import (
    ENTRY,
    batches,
    entry_of,
    insert_new,
    insert_or_update,
    values_of,
)
from airgap.server.database.tables import BLOBS, EDGES, LINKS, MANIFESTS, REPOSITORIES, TAGS
from airgap.server.database.writer import Writer

_PAGE = 1000


class DatabaseMetadata:
    """What is known in each repository.

    Args:
        database: Where; its tables are of this version.
        now: The time, in seconds since 1970.

    Attributes:
        writer: The thread through which everything is written.
        recency: What was asked for.
    """

    def __init__(self, database: Database, *, now: Callable[[], float] = time.time) -> None:
        self.database = database
        self.writer = Writer(database)
        self.recency = Recency(self.writer, now)
        self._entries: Recall[Descriptor] = Recall(self.writer)
        self._links: Recall[bool] = Recall(self.writer)
        self._now = now

    # -- repositories ------------------------------------------------------------------------

    def repositories(self, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        """The names of repositories in lexical order."""
        name = REPOSITORIES.c.name
        query = select(name).where(name > after).order_by(name).limit(limit)
        return iter(self._column(query))

    def holders(self, digest: Digest, /) -> Iterator[str]:
        """The names of the repositories through which a blob is reachable, in lexical order."""
        name, after = LINKS.c.repository, ""
        while True:
            # page by page: who looks for one of them mostly needs the first
            query = select(name).where(LINKS.c.digest == str(digest), name > after)
            found = self._column(query.order_by(name).limit(_PAGE))
            yield from found
            if len(found) < _PAGE:
                return
            after = found[-1]

    def has_repository(self, repository: str, /) -> bool:
        """Whether anything was ever written to a repository."""
        return bool(self._column(select(REPOSITORIES.c.name).filter_by(name=repository)))

    # -- blobs -------------------------------------------------------------------------------

    def touch(self, digest: Digest, /) -> None:
        """Note that somebody asks for a blob or manifest, who may go on to use it."""
        self.recency.touch(digest)

    def link_blob(self, repository: str, digest: Digest, /, *, size: int) -> None:
        """Make a blob reachable through a repository."""

        def work(connection: Connection) -> None:
            now = self._now()
            self._note_repository(connection, repository, now)
            self._note_blob(connection, digest, size, now)
            link = {"repository": repository, "digest": str(digest), "linked_at": now}
            insert_new(connection, LINKS, [link])

        self.writer.run(work, only_adds=True)

    def has_blob(self, repository: str, digest: Digest, /) -> bool:
        """Whether a blob is reachable through a repository."""
        text, generation = str(digest), self._links.generation
        if self._links.find(repository, text):
            return True
        query = select(LINKS.c.digest).filter_by(repository=repository, digest=text)
        is_linked = bool(self._column(query))
        if is_linked:
            self._links.keep(repository, text, is_linked, generation)
        return is_linked

    def unlink_blob(self, repository: str, digest: Digest, /) -> bool:
        """Take a link back; False when there was none."""
        statement = delete(LINKS).filter_by(repository=repository, digest=str(digest))
        return self.writer.run(lambda connection: connection.execute(statement).rowcount > 0)

    # -- manifests ---------------------------------------------------------------------------

    def put_manifest(
        self,
        repository: str,
        entry: Descriptor,
        /,
        *,
        subject: Digest | None,
        needs: Iterable[Digest] = (),
        mentions: Iterable[Digest] = (),
        tag: str | None = None,
    ) -> None:
        """Note a manifest, what it refers to, and a tag that names it from now on: all or nothing.

        Raises:
            ContentNotFoundError: A blob that it needs is not reachable.
        """
        needed = tuple(needs)
        children = {str(digest) for digest in (*needed, *mentions)}
        digest = str(entry.digest)
        edges = [{"repository": repository, "parent": digest, "child": c} for c in sorted(children)]

        def work(connection: Connection) -> None:
            now = self._now()
            reachable = _linked(connection, repository, needed)
            refuse_missing(repository, entry, needed, reachable.__contains__)
            self._note_repository(connection, repository, now)
            self._note_blob(connection, entry.digest, entry.size, now)
            row = {"repository": repository, "subject": str(subject) if subject else None}
            row |= values_of(entry) | {"pushed_at": now, "orphaned_at": None}
            insert_or_update(connection, MANIFESTS, [row])
            insert_new(connection, EDGES, edges)
            deletion.adopt_referrers(connection, repository, digest)
            if tag is not None:
                named = {"repository": repository, "name": tag, "digest": digest, "tagged_at": now}
                insert_or_update(connection, TAGS, [named])

        self.writer.run(work)

    def manifest(self, repository: str, digest: Digest, /) -> Descriptor | None:
        """The entry of a manifest."""
        text = str(digest)
        query = select(*ENTRY).where(
            MANIFESTS.c.repository == repository, MANIFESTS.c.digest == text
        )
        return self._entry(repository, text, query)

    def tagged(self, repository: str, tag: str, /) -> Descriptor | None:
        """The entry of the manifest that a tag names."""
        named = (TAGS.c.repository == MANIFESTS.c.repository) & (
            TAGS.c.digest == MANIFESTS.c.digest
        )
        query = (
            select(*ENTRY)
            .join(TAGS, named)
            .where(TAGS.c.repository == repository, TAGS.c.name == tag)
        )
        return self._entry(repository, tag, query)

    def recall(self, repository: str, reference: str, /) -> Descriptor | None:
        """The entry of a manifest by tag or digest, if nobody has to wait for it."""
        entry = self._entries.find(repository, reference)
        return entry if entry is not None and self.recency.has(entry.digest) else None

    def delete_manifest(self, repository: str, digest: Digest, /) -> bool:
        """Forget a manifest and the tags that name it; False when it was not there."""
        return self.writer.run(
            lambda connection: deletion.delete_manifest(
                connection, repository, str(digest), now=self._now()
            )
        )

    def set_tag(self, repository: str, tag: str, digest: Digest, /) -> None:
        """Let a tag name a manifest that is there."""
        named = {"repository": repository, "name": tag, "digest": str(digest)}
        row = named | {"tagged_at": self._now()}
        self.writer.run(lambda connection: insert_or_update(connection, TAGS, [row]))

    def delete_tag(self, repository: str, tag: str, /) -> bool:
        """Forget a tag; False when it was not there."""
        statement = delete(TAGS).filter_by(repository=repository, name=tag)
        return self.writer.run(lambda connection: connection.execute(statement).rowcount > 0)

    def tags(self, repository: str, /, *, after: str = "", limit: int | None = None) -> list[str]:
        """Tags in lexical order: those after one, which need not exist, and at most so many."""
        name = TAGS.c.name
        query = select(name).where(TAGS.c.repository == repository, name > after)
        return self._column(query.order_by(name).limit(limit))

    def referrers(self, repository: str, subject: Digest, /) -> tuple[Descriptor, ...]:
        """The entries of all manifests that refer to a digest, in order of their digests."""
        query = select(*ENTRY).filter_by(repository=repository, subject=str(subject))
        with database_errors(self.database.name), self.database.reading.connect() as connection:
            rows = connection.execute(query.order_by(MANIFESTS.c.digest)).all()
        return tuple(map(entry_of, rows))

    def close(self) -> None:
        """Write what is left, and let go of the database."""
        self.writer.close()
        self.database.close()

    # -- parts -------------------------------------------------------------------------------

    def _entry(self, repository: str, reference: str, query: Executable) -> Descriptor | None:
        known = self._entries.find(repository, reference)
        if known is not None:
            return known
        generation = self._entries.generation
        with database_errors(self.database.name), self.database.reading.connect() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        entry = entry_of(row)
        self._entries.keep(repository, reference, entry, generation)
        return entry

    def _column(self, query: Select[tuple[str]]) -> list[str]:
        with database_errors(self.database.name), self.database.reading.connect() as connection:
            return list(connection.scalars(query))

    def _note_repository(self, connection: Connection, repository: str, now: float) -> None:
        insert_new(connection, REPOSITORIES, [{"name": repository, "created_at": now}])

    def _note_blob(self, connection: Connection, digest: Digest, size: int, now: float) -> None:
        row = {"digest": str(digest), "size": size, "used_at": now}
        insert_or_update(connection, BLOBS, [row])


def _linked(
    connection: Connection, repository: str, digests: Iterable[Digest]
) -> frozenset[Digest]:
    """Those of the blobs that are reachable through a repository."""
    found: set[Digest] = set()
    for batch in batches([str(digest) for digest in digests]):
        query = select(LINKS.c.digest).where(
            LINKS.c.repository == repository, LINKS.c.digest.in_(batch)
        )
        found.update(map(Digest.parse, connection.scalars(query)))
    return frozenset(found)
