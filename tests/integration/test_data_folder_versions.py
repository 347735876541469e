"""Which data folders are taken as they are, migrated or refused."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import insert, select, update

from airgap.content.folder import FolderDepot
from airgap.errors import StorageError
from airgap.server.database import schema, tables
from airgap.server.database.check import check_storage
from tests.support import builders
from tests.support.builders import push, push_blob, random_blob
from tests.support.datafolders import opened


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"airgapData":1}', '{"airgapData":"1","id":"x","database":"y"}']
)
def test_a_damaged_version_file_is_said(root, text):
    """And nothing is made over it."""
    opened(root).close()
    (root / "version").write_text(text)
    with pytest.raises(StorageError, match="version is damaged"):
        opened(root)


def test_a_newer_folder_is_refused_by_name(root):
    """An airgap that does not know what it sees leaves it alone."""
    opened(root).close()
    value = json.loads((root / "version").read_bytes()) | {"airgapData": 2}
    (root / "version").write_text(json.dumps(value))
    with pytest.raises(StorageError, match=r"version 2, and this airgap knows versions up to 1"):
        opened(root)
    (root / "version").write_text('{"airgapData": 7, "new": "shape"}')
    with pytest.raises(StorageError, match="version 7"):
        opened(root)


def test_a_newer_database_is_refused_by_name(root):
    """Also where the folder itself looks as it should."""
    depot = opened(root)
    depot.metadata.writer.run(lambda c: c.execute(update(tables.FOLDERS).values(version=9)))
    depot.close()
    with pytest.raises(StorageError, match="version 9"):
        opened(root)


def test_an_older_database_is_migrated(root, monkeypatch):
    """Each step from its version on is done once, in order, and the rest stays as it is."""
    content = builders.image()
    depot = opened(root)
    push(depot.repository("a"), content, tag="1.0")
    depot.close()
    done = []
    steps = {1: lambda connection: done.append(1), 2: lambda connection: done.append(2)}
    monkeypatch.setattr(schema, "MIGRATIONS", steps)
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 3)
    for _ in range(2):
        depot = opened(root)
        assert depot.repository("a").manifest("1.0").raw == content.raw
        depot.close()
    assert done == [1, 2]


def test_a_migration_that_fails_is_as_if_it_had_not_begun(root, monkeypatch):
    """The older airgap can still open the folder."""

    def half(connection):
        connection.execute(
            insert(tables.REPOSITORIES).values(name="made-by-migration", created_at=0.0)
        )
        raise RuntimeError("power cut")

    opened(root).close()
    monkeypatch.setattr(schema, "MIGRATIONS", {1: half})
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 2)
    with pytest.raises(RuntimeError):
        opened(root)
    monkeypatch.undo()
    depot = opened(root)
    assert list(depot.repositories()) == []
    depot.close()


def test_a_database_of_another_folder_is_refused(root, tmp_path):
    """What is in the wrong place would make all content look like nobody's."""
    for folder in (root, tmp_path / "other"):
        opened(folder).close()
    (root / "registry.db").write_bytes((tmp_path / "other/registry.db").read_bytes())
    with pytest.raises(StorageError, match="another data folder"):
        opened(root)


def test_content_without_its_database_is_refused(root):
    """An empty database beside content is not taken for an empty registry."""
    depot = opened(root)
    push_blob(depot.repository("a"), random_blob(10))
    depot.close()
    (root / "registry.db").unlink()
    for _ in range(2):
        with pytest.raises(StorageError, match="is empty, and its data folder has content"):
            opened(root)


def test_a_folder_from_before_there_were_versions_is_migrated(root):
    """Names that lay in small files are in the database afterwards, and nothing is lost."""
    content, other = builders.multi_platform(), builders.image(seed=7)
    old = FolderDepot(root, durable=False)
    push(old.repository("team/app"), content, tag="1.0")
    push(old.repository("team/app"), other)
    sbom = push(old.repository("team/app"), builders.sbom(content.descriptor))
    push_blob(old.repository("other"), random_blob(20))
    old.close()
    new = opened(root)
    store = new.repository("team/app")
    assert store.manifest("1.0").raw == content.raw
    assert store.manifest(str(other.digest)).raw == other.raw
    assert [entry.digest for entry in store.referrers(content.digest)] == [sbom.digest]
    assert new.repository("other").has_blob(random_blob(20).descriptor)
    assert list(new.repositories()) == ["other", "team/app"]
    new.close()
    assert check_storage(root) == ()
    assert not (root / "repositories").exists()
    again = opened(root)
    assert again.repository("team/app").resolve("1.0").digest == content.digest
    again.close()


def test_a_migration_that_was_cut_short_is_done_again(root, monkeypatch):
    """A crash in the middle of it leaves a folder that the next start migrates."""
    content = builders.image()
    old = FolderDepot(root, durable=False)
    push(old.repository("a"), content, tag="1.0")
    old.close()

    def broken(*_):
        raise StorageError("power cut")

    monkeypatch.setattr("airgap.server.datafolder.tidy", broken)
    monkeypatch.setattr("airgap.server.database.older._import_manifest", broken)
    with pytest.raises(StorageError):
        opened(root)
    monkeypatch.undo()
    new = opened(root)
    assert new.repository("a").manifest("1.0").raw == content.raw
    new.close()


def test_the_schema_is_as_it_was_released(root):
    """Version 1 is what folders out there have; another shape needs another version."""
    depot = opened(root)
    with depot.metadata.database.reading.connect() as connection:
        found = {
            table.name: sorted(column.name for column in table.columns)
            for table in tables.METADATA.sorted_tables
        }
        assert connection.scalar(select(tables.FOLDERS.c.version)) == 1
    depot.close()
    assert found == {
        "arrivals": ["arrived_at", "arrived_by", "bundle", "id", "name", "notes", "sent_bytes"],
        "arrived_images": [
            "arrival",
            "digest",
            "outcome",
            "position",
            "repository",
            "source",
            "tag",
        ],
        "blobs": ["digest", "size", "used_at"],
        "edges": ["child", "parent", "repository"],
        "folders": ["id", "version"],
        "links": ["digest", "linked_at", "repository"],
        "manifests": [
            "annotations",
            "artifact_type",
            "digest",
            "media_type",
            "orphaned_at",
            "pushed_at",
            "repository",
            "size",
            "subject",
        ],
        "repositories": ["created_at", "name"],
        "tags": ["digest", "name", "repository", "tagged_at"],
    }
