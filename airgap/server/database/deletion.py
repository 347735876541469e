"""What goes when a manifest goes, inside a transaction that the caller holds.

A referrer lives as long as its subject. It may come before its subject, so one whose subject is
not there is left alone, unless the subject was there once: then it is an orphan, which garbage
collection removes if nothing else names it.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, and_, delete, or_, select, update

from airgap.oci.digest import Digest
from airgap.oci.referrers import cosign_tags, fallback_tag
from airgap.server.database.tables import EDGES, MANIFESTS, TAGS


def delete_manifest(connection: Connection, repository: str, digest: str, *, now: float) -> bool:
    """Forget a manifest and the tags that name it; False when it was not there."""
    gone = connection.execute(delete(MANIFESTS).filter_by(repository=repository, digest=digest))
    if not gone.rowcount:
        return False
    connection.execute(delete(TAGS).filter_by(repository=repository, digest=digest))
    connection.execute(delete(EDGES).filter_by(repository=repository, parent=digest))
    connection.execute(
        update(MANIFESTS)
        .where(refers_to(repository, digest), MANIFESTS.c.orphaned_at.is_(None))
        .values(orphaned_at=now)
    )
    return True


def adopt_referrers(connection: Connection, repository: str, digest: str) -> None:
    """What refers to a manifest that came back is no orphan any more."""
    connection.execute(
        update(MANIFESTS)
        .where(refers_to(repository, digest), MANIFESTS.c.orphaned_at.is_not(None))
        .values(orphaned_at=None)
    )


def subject_tags(digest: str) -> tuple[str, ...]:
    """The tags under which tools keep what refers to a digest."""
    parsed = Digest.parse(digest)
    return (fallback_tag(parsed), *cosign_tags(parsed))


def refers_to(repository: str, digest: str) -> ColumnElement[bool]:
    """Whether a manifest refers to a digest: by its subject, or by a tag made of the digest."""
    tagged = select(TAGS.c.digest).where(
        TAGS.c.repository == repository, TAGS.c.name.in_(subject_tags(digest))
    )
    return and_(
        MANIFESTS.c.repository == repository,
        or_(MANIFESTS.c.subject == digest, MANIFESTS.c.digest.in_(tagged)),
    )
