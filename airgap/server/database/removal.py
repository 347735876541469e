"""Deletes images as people name them, with what belongs to nothing else.

An image goes with the manifests of its platforms and with what refers to it, unless a tag or
another index names those, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, exists, func, select

from airgap.server.database import deletion
from airgap.server.database.tables import EDGES, MANIFESTS, TAGS


@dataclass
class Removal:
    """What one order deletes; it collects as it goes.

    Attributes:
        repository: Where.
        tags: The tags that are gone.
        manifests: The digests of the manifests that are gone.
    """

    repository: str
    tags: list[str] = field(default_factory=list)
    manifests: list[str] = field(default_factory=list)

    def remove_tag(self, connection: Connection, tag: str, *, now: float) -> bool:
        """Delete a tag, and its image if no other tag or index names that; False if not there."""
        query = select(TAGS.c.digest).filter_by(repository=self.repository, name=tag)
        digest = connection.scalars(query).first()
        if digest is None:
            return False
        connection.execute(delete(TAGS).filter_by(repository=self.repository, name=tag))
        self.tags.append(tag)
        if not self._is_named(connection, digest):
            self._remove(connection, digest, now)
        return True

    def remove_digest(self, connection: Connection, digest: str, *, now: float) -> bool:
        """Delete a manifest with all tags that name it; False if it is not there."""
        query = select(MANIFESTS.c.digest).filter_by(repository=self.repository, digest=digest)
        if connection.scalars(query).first() is None:
            return False
        self._remove(connection, digest, now)
        return True

    def keep_newest(self, connection: Connection, count: int, *, now: float) -> None:
        """Delete all tagged images but the newest; tags that speak of a subject do not count."""
        made = func.substr(TAGS.c.name, 1, 7).in_(("sha256-", "sha512-"))
        query = (
            select(TAGS.c.digest)
            .where(TAGS.c.repository == self.repository, ~made)
            .group_by(TAGS.c.digest)
            .order_by(func.max(TAGS.c.tagged_at).desc(), TAGS.c.digest)
        )
        for digest in list(connection.scalars(query))[count:]:
            names = select(TAGS.c.name).filter_by(repository=self.repository, digest=digest)
            for tag in sorted(connection.scalars(names)):
                self.remove_tag(connection, tag, now=now)

    def _remove(self, connection: Connection, digest: str, now: float) -> None:
        waiting = [digest]
        while waiting:
            next_one = waiting.pop()
            below = self._freed(connection, next_one)
            names = select(TAGS.c.name).filter_by(repository=self.repository, digest=next_one)
            tags = sorted(connection.scalars(names))
            if deletion.delete_manifest(connection, self.repository, next_one, now=now):
                self.tags += tags
                self.manifests.append(next_one)
            waiting += [found for found in below if not self._is_named(connection, found)]

    def _freed(self, connection: Connection, digest: str) -> list[str]:
        """What may go with a manifest: what it lists and what refers to it.

        The tags that tools make of its digest go right now: they speak of nothing any more.
        """
        listed = select(EDGES.c.child).filter_by(repository=self.repository, parent=digest)
        here = select(MANIFESTS.c.digest).where(
            MANIFESTS.c.repository == self.repository, MANIFESTS.c.digest.in_(listed)
        )
        referring = select(MANIFESTS.c.digest).where(deletion.refers_to(self.repository, digest))
        found = dict.fromkeys([*connection.scalars(here), *connection.scalars(referring)])
        made = TAGS.c.name.in_(deletion.subject_tags(digest))
        gone = delete(TAGS).where(TAGS.c.repository == self.repository, made)
        self.tags += sorted(connection.scalars(gone.returning(TAGS.c.name)))
        return list(found)

    def _is_named(self, connection: Connection, digest: str) -> bool:
        tagged = exists().where(TAGS.c.repository == self.repository, TAGS.c.digest == digest)
        listed = exists().where(EDGES.c.repository == self.repository, EDGES.c.child == digest)
        return bool(connection.scalar(select(tagged | listed)))
