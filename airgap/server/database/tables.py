"""The tables, as version 1 has them.

Names and digests are text: a person with a shell can read the database. Times are seconds since
1970. Lists are in the order of bytes: SQLite compares so anyway, PostgreSQL is told to.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.types import TypeEngine

SCHEMA_VERSION = 1
"""What this airgap writes; an older one is migrated, a newer one refused."""

METADATA = MetaData()

_INTEGER_KEY = BigInteger().with_variant(Integer(), "sqlite")  # SQLite counts up integers only


def _ordered() -> TypeEngine[str]:
    return String().with_variant(String(collation="C"), "postgresql")


FOLDERS = Table(
    "folders",
    METADATA,
    # which data folder this database belongs to, and what version it is of
    Column("id", String, primary_key=True),
    Column("version", Integer, nullable=False),
)

REPOSITORIES = Table(
    "repositories",
    METADATA,
    Column("name", _ordered(), primary_key=True),
    Column("created_at", Double, nullable=False),
    sqlite_with_rowid=False,
)

BLOBS = Table(
    "blobs",
    METADATA,
    # everything in blobs/, manifests among it
    Column("digest", _ordered(), primary_key=True),
    Column("size", BigInteger, nullable=False),
    # when it was last pushed or asked for
    Column("used_at", Double, nullable=False),
    sqlite_with_rowid=False,
)

LINKS = Table(
    "links",
    METADATA,
    # through which repositories a blob is reachable
    Column("repository", _ordered(), primary_key=True),
    Column("digest", _ordered(), primary_key=True),
    Column("linked_at", Double, nullable=False),
    Index("links_by_digest", "digest"),
    sqlite_with_rowid=False,
)

MANIFESTS = Table(
    "manifests",
    METADATA,
    Column("repository", _ordered(), primary_key=True),
    Column("digest", _ordered(), primary_key=True),
    Column("media_type", String, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("artifact_type", String),
    Column("annotations", Text, nullable=False),  # a JSON object
    Column("subject", _ordered()),
    Column("pushed_at", Double, nullable=False),
    # since when its subject is gone that was there once
    Column("orphaned_at", Double),
    Index("manifests_by_digest", "digest"),
    Index("manifests_by_subject", "repository", "subject"),
    sqlite_with_rowid=False,
)

EDGES = Table(
    "edges",
    METADATA,
    # what each manifest names: its blobs, or the manifests of an index
    Column("repository", _ordered(), primary_key=True),
    Column("parent", _ordered(), primary_key=True),
    Column("child", _ordered(), primary_key=True),
    Index("edges_by_child", "repository", "child"),
    sqlite_with_rowid=False,
)

TAGS = Table(
    "tags",
    METADATA,
    Column("repository", _ordered(), primary_key=True),
    Column("name", _ordered(), primary_key=True),
    Column("digest", _ordered(), nullable=False),
    Column("tagged_at", Double, nullable=False),
    Index("tags_by_digest", "repository", "digest"),
    sqlite_with_rowid=False,
)

ARRIVALS = Table(
    "arrivals",
    METADATA,
    # which bundles came in, once for each time
    Column("id", _INTEGER_KEY, primary_key=True, autoincrement=True),
    Column("bundle", _ordered(), nullable=False),
    Column("name", String, nullable=False),
    Column("arrived_at", Double),
    Column("arrived_by", String, nullable=False),
    Column("sent_bytes", BigInteger, nullable=False),
    Column("notes", Text, nullable=False),  # a JSON list
)

ARRIVED_IMAGES = Table(
    "arrived_images",
    METADATA,
    Column("arrival", _INTEGER_KEY, ForeignKey("arrivals.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("source", String, nullable=False),
    Column("repository", _ordered(), nullable=False),
    Column("tag", _ordered(), nullable=False),  # empty where it came by digest alone
    Column("digest", _ordered(), nullable=False),
    Column("outcome", String, nullable=False),
    sqlite_with_rowid=False,
)
