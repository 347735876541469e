"""A data folder whose metadata is in PostgreSQL does what one with SQLite does."""

from __future__ import annotations

import threading

import pytest

from airgap.errors import ConflictError, SettingsError, StorageError
from airgap.server.backup import write_backup
from airgap.server.data_inventory import inventory_of_data_folder
from airgap.server.database.check import check_storage
from airgap.server.gc import collect_garbage
from airgap.server.restore import restore_backup
from tests.compat.postgresql import postgresql
from tests.contract.store_contract import (
    BlobContract,
    DeleteContract,
    ManifestContract,
    MountContract,
)
from tests.support import builders
from tests.support.builders import push, push_blob
from tests.support.datafolders import DAY, Clock, digests, files, opened
from tests.support.embedded import EmbeddedRegistry
from tests.support.told_inventories import ask, fill, held, walked
from tests.support.wire import Wire

pytestmark = pytest.mark.compat


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("psycopg")
    with postgresql() as server:
        yield server


@pytest.fixture
def url(server):
    return server.database()


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


class TestPostgreSQL(BlobContract, ManifestContract, MountContract, DeleteContract):
    """Repositories of one data folder, each test in a database of its own."""

    @pytest.fixture
    def depot(self, root, url):
        depot = opened(root, database_url=url)
        yield depot
        depot.close()

    @pytest.fixture
    def store(self, depot):
        return depot.repository("team/app")

    @pytest.fixture
    def other(self, depot):
        return depot.repository("team/other")


def test_lists_are_in_the_order_of_bytes(root, url):
    """Whatever language the database speaks."""
    depot = opened(root, database_url=url)
    names, tags = ["b", "a/b", "a-b", "a.b", "a", "ab"], ["Z", "a", "10", "9", "b-1", "b.1", "A"]
    for name in names:
        for tag in tags:
            push(depot.repository(name), builders.index([]), tag=tag)
    assert list(depot.repositories()) == sorted(names)
    assert depot.repositories_page(last="a-c", limit=2) == sorted(n for n in names if n > "a-c")[:2]
    assert (
        depot.repository("a").tags_page(last="A", limit=3) == sorted(t for t in tags if t > "A")[:3]
    )
    depot.close()


def test_garbage_is_collected(root, url):
    """The same statements free the same things."""
    clock = Clock()
    depot = opened(root, clock, database_url=url)
    store = depot.repository("a")
    gone, kept = push(store, builders.image(seed=1), tag="1"), push(store, builders.image(seed=2))
    push(store, builders.sbom(gone.descriptor))
    tag, signature = builders.cosign_signature(gone.descriptor)
    push(store, signature, tag=tag)
    store.delete_manifest(gone.digest)
    clock.advance(DAY)
    told = collect_garbage(depot, is_dry_run=True)
    done = collect_garbage(depot)
    assert (told.manifests, told.blobs, told.size) == (done.manifests, done.blobs, done.size)
    assert done.manifests == 2
    assert files(root) == digests(kept)
    assert check_storage(root, database_url=url) == ()
    clock.advance(2 * DAY)
    assert collect_garbage(depot, untagged_days=1).manifests == 1
    depot.close()


def test_everything_is_there_after_a_restart(root, url):
    """And neither folder nor database is taken for that of another one."""
    content = builders.multi_platform()
    depot = opened(root, database_url=url)
    push(depot.repository("a"), content, tag="1.0")
    depot.close()
    again = opened(root, database_url=url)
    assert again.repository("a").manifest("1.0").raw == content.raw
    again.close()
    with pytest.raises(SettingsError, match="PostgreSQL"):
        opened(root)
    with pytest.raises(StorageError, match="another data folder"):
        opened(root.parent / "other", database_url=url)


def test_an_inventory_is_made_while_it_is_served(root, url):
    """By the server and beside it, and what was deleted is not in it."""
    depot = opened(root, database_url=url)
    fill(depot)
    gone = push(depot.repository("gone"), builders.image(seed=9), tag="1")
    sbom = push(depot.repository("gone"), builders.sbom(gone.descriptor))
    depot.repository("gone").delete_manifest(gone.digest)
    push_blob(depot.repository("gone"), builders.random_blob(10))
    with EmbeddedRegistry(depot=depot) as registry, Wire(registry.host) as wire:
        inventory = ask(wire)
        content, images = walked(wire)
    assert held(inventory) == content
    assert {name: str(digest) for name, digest in inventory.images} == images
    assert inventory.find(sbom.digest) is None
    beside = inventory_of_data_folder(
        root, made=inventory.made, place=registry.host, database_url=url
    )
    depot.close()
    assert beside.raw == inventory.raw
    with pytest.raises(SettingsError, match="keeps its metadata in PostgreSQL"):
        inventory_of_data_folder(root, made=inventory.made)


def test_a_backup_moves_between_databases(root, url, server, tmp_path):
    """From PostgreSQL to SQLite and back, and the next arrival gets a number of its own."""
    from airgap.content.arrival import Arrival
    from airgap.oci.digest import Digest

    content = builders.multi_platform()
    arrival = Arrival(Digest.of(b"1"), "one.tar", ())
    depot = opened(root, database_url=url)
    push(depot.repository("a"), content, tag="1.0")
    depot.note_arrival(arrival)
    depot.close()
    write_backup(root, tmp_path / "1.tar", database_url=url)
    restore_backup(tmp_path / "1.tar", tmp_path / "sqlite")
    depot = opened(tmp_path / "sqlite")
    assert depot.repository("a").manifest("1.0").raw == content.raw
    depot.close()
    write_backup(tmp_path / "sqlite", tmp_path / "2.tar")
    with pytest.raises(ConflictError):
        restore_backup(tmp_path / "2.tar", tmp_path / "used", database_url=url)
    fresh = server.database()
    restore_backup(tmp_path / "2.tar", tmp_path / "back", database_url=fresh)
    assert check_storage(tmp_path / "back", database_url=fresh) == ()
    depot = opened(tmp_path / "back", database_url=fresh)
    depot.note_arrival(Arrival(Digest.of(b"2"), "two.tar", ()))
    assert [found.name for found in depot.arrivals()] == ["two.tar", "one.tar"]
    depot.close()


def test_a_connection_that_was_cut_is_made_again(root, url, server):
    """After the database was restarted, pushes and pulls work without a restart of the registry."""
    depot = opened(root, database_url=url)
    content = push(depot.repository("a"), builders.image(seed=1), tag="1.0")
    server.disconnect_all()
    assert depot.repository("a").manifest("1.0").raw == content.raw
    other = builders.image(seed=2)
    push(depot.repository("a"), other, tag="2.0")
    assert depot.repository("a").manifest("2.0").raw == other.raw
    depot.close()


def test_clients_push_the_same_at_once(root, url):
    """Rows that several want to write are written once."""
    depot = opened(root, database_url=url)
    contents = [builders.image(seed=seed) for seed in (1, 1, 2, 2)]
    errors = []

    def work(content):
        try:
            push(depot.repository("a"), content, tag="latest")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    depot.close()
    assert errors == []
    assert check_storage(root, database_url=url) == ()
