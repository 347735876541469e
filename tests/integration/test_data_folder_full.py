"""A disk that is full, or a database that cannot write: a clear answer, and nothing is damaged."""

from __future__ import annotations

import errno
import resource
import sys

import pytest
from sqlalchemy import event

from airgap.content import folder as content_folder
from airgap.oci.digest import Digest
from airgap.server.database.check import check_storage
from tests.support import builders
from tests.support.builders import push, random_blob
from tests.support.datafolders import opened
from tests.support.embedded import EmbeddedRegistry
from tests.support.wire import Wire


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def depot(root):
    depot = opened(root)
    yield depot
    depot.close()
    opened(root).close()  # puts in order what a database that could not be written left
    assert check_storage(root) == ()


@pytest.fixture
def content(depot):
    return push(depot.repository("team/app"), builders.image(layers=[5000]), tag="1.0")


@pytest.fixture
def wire(depot, content):
    with EmbeddedRegistry(depot=depot) as registry, Wire(registry.host) as wire:
        yield wire


def can_be_read(wire, content):
    assert wire.ask("GET", "/v2/team/app/manifests/1.0", status=200).body == content.raw
    for blob in content.blobs:
        path = f"/v2/team/app/blobs/{blob.descriptor.digest}"
        assert wire.ask("GET", path, status=200).body == blob.data


def push_whole(wire, data):
    path = f"/v2/team/app/blobs/uploads/?digest={Digest.of(data)}"
    return wire.ask("POST", path, data)


@pytest.fixture
def full_disk(monkeypatch):
    """Nothing more can be written to files."""

    def write_at(fd, data, offset):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(content_folder, "write_at", write_at)
        yield patch


def test_a_full_disk_is_said_and_reads_go_on(wire, content, full_disk):
    """507 with a body that says so, for blobs and manifests; then everything is as it was."""
    data = random_blob(200_000).data
    answer = push_whole(wire, data)
    assert answer.status == 507
    assert "no room" in answer.json["errors"][0]["message"]
    assert "/" not in answer.json["errors"][0]["message"], "a path of the server in an answer"
    other = builders.index([])
    headers = {"Content-Type": other.descriptor.media_type}
    wire.ask("PUT", "/v2/team/app/manifests/2.0", other.raw, headers, status=507)
    wire.ask("GET", "/v2/team/app/manifests/2.0", status=404)
    can_be_read(wire, content)
    full_disk.undo()
    assert push_whole(wire, data).status == 201
    wire.ask("PUT", "/v2/team/app/manifests/2.0", other.raw, headers, status=201)


def test_an_upload_goes_on_when_there_is_room_again(wire, full_disk, monkeypatch):
    """What was there before the disk was full need not be sent again."""
    first, second = b"a" * 70_000, b"b" * 70_000
    full_disk.undo()
    location = wire.ask("POST", "/v2/team/app/blobs/uploads/", status=202).headers["Location"]
    wire.ask("PATCH", location, first, status=202)

    def write_at(fd, data, offset):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with monkeypatch.context() as patch:
        patch.setattr(content_folder, "write_at", write_at)
        wire.ask("PATCH", location, second, status=507)
    assert wire.ask("GET", location, status=204).headers["Range"] == "0-69999"
    wire.ask("PUT", f"{location}?digest={Digest.of(first + second)}", second, status=201)


def test_a_sync_that_fails_is_not_acknowledged(wire, root, depot, content, monkeypatch):
    """Bytes that may not be on the disk are not said to be there."""

    def sync_data(fd):
        raise OSError(errno.EIO, "Input/output error")

    data = random_blob(1000).data
    with monkeypatch.context() as patch:
        patch.setattr(depot.pool, "durable", True)
        patch.setattr(content_folder, "sync_data", sync_data)
        assert push_whole(wire, data).status == 500
    wire.ask("HEAD", f"/v2/team/app/blobs/{Digest.of(data)}", status=404)
    can_be_read(wire, content)


def test_a_full_database_is_said_and_reads_go_on(wire, depot, content):
    """507 as for blobs; the blob that has no row is not served, and comes again later."""

    def no_more_pages(connection, _):
        connection.execute("PRAGMA max_page_count = 1")  # SQLite takes the current size then

    writing = depot.metadata.database.writing
    event.listen(writing, "connect", no_more_pages)
    writing.dispose()
    statuses = []
    for seed in range(400):
        data = random_blob(50, seed=seed).data
        statuses.append((push_whole(wire, data).status, data))
        if statuses[-1][0] != 201:
            break
    assert statuses[-1][0] == 507
    refused = Digest.of(statuses[-1][1])
    wire.ask("HEAD", f"/v2/team/app/blobs/{refused}", status=404)
    for status, data in statuses[:-1]:
        assert status == 201
        wire.ask("HEAD", f"/v2/team/app/blobs/{Digest.of(data)}", status=200)
    can_be_read(wire, content)
    event.remove(writing, "connect", no_more_pages)
    writing.dispose()
    assert push_whole(wire, statuses[-1][1]).status == 201


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process: prlimit is Linux's")
def test_a_file_that_may_not_grow_is_said(tmp_path):
    """A server whose files the system limits refuses what is too large, and goes on."""
    from tests.support.served import served

    small, large = random_blob(20_000).data, random_blob(3_000_000).data
    with served("--data", tmp_path / "data") as server, Wire(server.host) as wire:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        assert push_whole(wire, large).status in (500, 507)
        assert push_whole(wire, small).status == 201
        path = f"/v2/team/app/blobs/{Digest.of(small)}"
        assert wire.ask("GET", path, status=200).body == small
        # so many that the database's own files come to their limit, too
        for seed in range(3000):
            answer = push_whole(wire, random_blob(10, seed=seed).data)
            if answer.status != 201:
                break
        assert answer.status in (201, 500, 507)
        assert wire.ask("GET", path, status=200).body == small
    depot = opened(tmp_path / "data")
    assert depot.report.lost == ()
    depot.close()
    assert check_storage(tmp_path / "data") == ()
