"""Finds what nothing needs, in statements; each function works in a transaction of its caller.

What stays: every manifest until it is deleted, unless those without a tag are asked for; every
blob that a manifest of its repository names; whatever was pushed or asked for since the cutoff.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
    update,
)

from airgap.server.database import deletion
from airgap.server.database.tables import BLOBS, EDGES, LINKS, MANIFESTS, REPOSITORIES, TAGS

BATCH = 200
"""How much goes in one transaction, so that pushes come in between."""

_SUBJECT = MANIFESTS.alias("subject")
_HEX_LENGTH = 64
_SUBJECT_PREFIX = "sha256-"
_SUBJECT_SUFFIXES = ("", ".sig", ".att", ".sbom")


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """What is old enough, in seconds since 1970.

    Attributes:
        used: What was pushed or asked for since then stays.
        untagged: Manifests without a tag that were pushed before go; None for none of them.
    """

    used: float
    untagged: float | None = None


def doomed_manifests(connection: Connection, cutoffs: Cutoffs) -> list[str]:
    """The digests of some manifests that are not needed."""
    return [digest for _, digest, _ in connection.execute(_doomed(cutoffs).limit(BATCH))]


def leaving() -> CTE:
    """The repositories and digests of all manifests that go as soon as they are old enough."""
    return _doomed(Cutoffs(used=math.inf)).cte("leaving")


def sweep_manifests(
    connection: Connection, cutoffs: Cutoffs, among: Collection[str] | None = None
) -> int:
    """Delete some manifests that are not needed, and tell how many; 0 when there are no more.

    Args:
        connection: Where.
        cutoffs: What is old enough.
        among: Only those with one of these digests.
    """
    query = _doomed(cutoffs).limit(BATCH)
    if among is not None:
        query = query.where(MANIFESTS.c.digest.in_(among))
    # what is freed by this is looked at next, and need not wait for an hour of its own
    freed_at, count = cutoffs.used - 1, 0
    for repository, digest, orphaned_at in connection.execute(query).all():
        if orphaned_at is not None:
            children = select(EDGES.c.child).filter_by(repository=repository, parent=digest)
            connection.execute(
                update(MANIFESTS)
                .where(MANIFESTS.c.repository == repository, MANIFESTS.c.digest.in_(children))
                .values(orphaned_at=func.coalesce(MANIFESTS.c.orphaned_at, freed_at))
            )
        count += deletion.delete_manifest(connection, repository, digest, now=freed_at)
    return count


def unneeded_links(
    connection: Connection, cutoffs: Cutoffs, *, after: str, limit: int
) -> list[str]:
    """The first digests after one that some repository links and does not need."""
    digest = LINKS.c.digest
    query = select(digest).distinct().where(_is_unneeded_link(cutoffs), digest > after)
    return list(connection.scalars(query.order_by(digest).limit(limit)))


def sweep_links(
    connection: Connection, cutoffs: Cutoffs, among: Collection[str] | None = None
) -> int:
    """Take back links to blobs that no manifest of the repository names.

    Args:
        connection: Where.
        cutoffs: What is old enough.
        among: Only links to one of these digests.
    """
    statement = delete(LINKS).where(_is_unneeded_link(cutoffs))
    if among is not None:
        statement = statement.where(LINKS.c.digest.in_(among))
    return connection.execute(statement).rowcount


def unneeded_blobs(
    connection: Connection, cutoffs: Cutoffs, *, after: str, limit: int
) -> list[str]:
    """The first digests after one that nothing needs."""
    query = select(BLOBS.c.digest).where(_is_unneeded(cutoffs), BLOBS.c.digest > after)
    return list(connection.scalars(query.order_by(BLOBS.c.digest).limit(limit)))


def count_unneeded(connection: Connection, cutoffs: Cutoffs) -> tuple[int, int]:
    """How many blobs nothing needs, and how many bytes they have."""
    query = select(func.count(), func.coalesce(func.sum(BLOBS.c.size), 0))
    count, size = connection.execute(query.where(_is_unneeded(cutoffs))).one()
    return int(count), int(size)


def sweep_blobs(
    connection: Connection, cutoffs: Cutoffs, digests: Collection[str]
) -> list[tuple[str, int]]:
    """Forget those blobs that nothing needs still; gives their digests and sizes."""
    statement = delete(BLOBS).where(BLOBS.c.digest.in_(digests), _is_unneeded(cutoffs))
    rows = connection.execute(statement.returning(BLOBS.c.digest, BLOBS.c.size))
    return [(digest, size) for digest, size in rows]


def sweep_repositories(connection: Connection, cutoffs: Cutoffs) -> int:
    """Forget repositories in which nothing is left."""
    name = REPOSITORIES.c.name
    is_used = or_(*(exists().where(t.c.repository == name) for t in (LINKS, MANIFESTS, TAGS)))
    statement = delete(REPOSITORIES).where(REPOSITORIES.c.created_at < cutoffs.used, not_(is_used))
    return connection.execute(statement).rowcount


def _is_unneeded_link(cutoffs: Cutoffs) -> ColumnElement[bool]:
    named = exists().where(
        EDGES.c.repository == LINKS.c.repository, EDGES.c.child == LINKS.c.digest
    )
    old = exists().where(BLOBS.c.digest == LINKS.c.digest, BLOBS.c.used_at < cutoffs.used)
    return and_(LINKS.c.linked_at < cutoffs.used, old, not_(named))


def _is_unneeded(cutoffs: Cutoffs) -> ColumnElement[bool]:
    linked = exists().where(LINKS.c.digest == BLOBS.c.digest)
    is_manifest = exists().where(MANIFESTS.c.digest == BLOBS.c.digest)
    return and_(BLOBS.c.used_at < cutoffs.used, not_(linked), not_(is_manifest))


def _doomed(cutoffs: Cutoffs) -> Select[str, str, float | None]:
    own = MANIFESTS.c
    is_idle = exists().where(BLOBS.c.digest == own.digest, BLOBS.c.used_at < cutoffs.used)
    is_listed = exists().where(EDGES.c.repository == own.repository, EDGES.c.child == own.digest)
    names = and_(TAGS.c.repository == own.repository, TAGS.c.digest == own.digest)
    has_subject = exists().where(
        _SUBJECT.c.repository == own.repository, _SUBJECT.c.digest == own.subject
    )
    reasons = [
        and_(
            own.orphaned_at < cutoffs.used,
            not_(has_subject),
            not_(exists().where(names, not_(_names_nothing()))),
        )
    ]
    if cutoffs.untagged is not None:
        reasons.append(
            and_(
                own.pushed_at < cutoffs.untagged,
                not_(has_subject),
                not_(exists().where(names)),
            )
        )
    query = select(own.repository, own.digest, own.orphaned_at)
    return query.where(is_idle, not_(is_listed), or_(*reasons))


def _names_nothing() -> ColumnElement[bool]:
    """Whether a tag is one that tools make of a subject's digest, and the subject is not there."""
    name = TAGS.c.name
    start = len(_SUBJECT_PREFIX) + 1
    digest = literal("sha256:") + func.substr(name, start, _HEX_LENGTH)
    there = exists().where(_SUBJECT.c.repository == TAGS.c.repository, _SUBJECT.c.digest == digest)
    rest = func.substr(name, start + _HEX_LENGTH)
    is_made = and_(
        func.substr(name, 1, len(_SUBJECT_PREFIX)) == _SUBJECT_PREFIX, rest.in_(_SUBJECT_SUFFIXES)
    )
    return and_(is_made, not_(there))
