"""The registry client and uploads that go wrong a second time."""

from __future__ import annotations

import re

import pytest

from airgap.errors import DigestMismatchError, RegistryProtocolError
from airgap.oci.descriptor import Descriptor
from airgap.registry import uploads
from airgap.registry.repository import Repository
from tests.support.registry_client import Lab
from tests.support.scripted_server import Reply, ScriptedServer, Seen
from tests.support.uploading import (
    BLOB,
    MOUNT,
    PLACE,
    POST,
    PUT,
    SIZE,
    STARTED,
    Source,
    Taker,
    send,
)

NEW = Reply(202, {"Location": "/upload/new"})
STATUS = re.escape(PLACE)


@pytest.fixture
def repository(server: ScriptedServer, lab: Lab) -> Repository:
    return lab.client.repository(server.host, "team/app", origin="destination")


def test_a_blob_that_is_not_there_after_all_is_sent_again(
    server: ScriptedServer, repository: Repository
) -> None:
    """That everything was sent is no proof: where upload and blob are gone, it begins anew."""
    server.on("POST", MOUNT).reply(STARTED, NEW)
    server.on("PUT", PUT).reply(Reply(drops=True))
    server.on("GET", STATUS).reply(Reply(404))
    server.on("HEAD", r"/v2/team/app/blobs/.*").reply(Reply(404))
    server.on("PUT", r"/upload/new\?.*").reply(Reply(201))
    assert send(repository).opened == [0, 0]


def test_a_mount_is_tried_once(server: ScriptedServer, repository: Repository) -> None:
    """An upload that begins anew does not ask for the mount that was not granted."""
    server.on("POST", POST + r"\?.*from=team.*").reply(STARTED)
    server.on("POST", POST + ".*").reply(NEW)
    server.on("PUT", PUT).reply(Reply(drops=True))
    server.on("GET", STATUS).reply(Reply(404))
    server.on("HEAD", r"/v2/team/app/blobs/.*").reply(Reply(404))
    server.on("PUT", r"/upload/new\?.*").reply(Reply(201))
    send(repository, mount_from="team/other")
    assert len(server.requests("POST", ".*from=.*")) == 1


def test_what_was_joined_wrongly_is_not_joined_again(
    server: ScriptedServer, repository: Repository
) -> None:
    """After a registry put pieces together wrongly, a break leads to a new upload."""
    taker = Taker(server)
    newer = Reply(202, {"Location": "/upload/newer"})
    server.on("POST", MOUNT).reply(STARTED, NEW, newer)
    server.on("PUT", PUT).reply(taker.partial)
    server.on("GET", STATUS).reply(taker.status)
    server.on("PATCH", ".*").reply(taker.patch)
    server.on("PUT", r"/upload/2\?.*").reply(Reply.error(400, "DIGEST_INVALID"))
    server.on("PUT", r"/upload/new\?.*").reply(Reply(503))
    server.on("DELETE", "/upload/new").reply(Reply(204))
    server.on("PUT", r"/upload/newer\?.*").reply(Reply(201))
    assert send(repository).opened == [0, 300_000, 0, 0]
    assert server.requests("GET", "/upload/new") == []


def test_a_wrong_digest_of_a_whole_blob_is_final(
    server: ScriptedServer, repository: Repository, lab: Lab
) -> None:
    """Nothing was joined, so there is nothing to be sent better a second time."""
    server.on("POST", MOUNT).reply(STARTED)
    server.on("PUT", PUT).reply(Reply.error(400, "DIGEST_INVALID"))
    server.on("DELETE", ".*").reply(Reply(204))
    with pytest.raises(DigestMismatchError):
        send(repository)
    assert len(server.requests("PUT")) == 1
    assert lab.waits == []


@pytest.mark.parametrize(("least", "smallest"), [("", 65_536), ("600000", 600_000)])
def test_chunks_become_no_smaller_than_makes_sense(
    server: ScriptedServer, repository: Repository, least: str, smallest: int
) -> None:
    """A registry that finds everything too large is refused, at 64 KiB or at its own minimum."""
    server.on("POST", MOUNT).reply(
        Reply(202, {"Location": PLACE, "OCI-Chunk-Min-Length": least or "0"})
    )
    server.on("PUT", PUT).reply(Reply(413))
    server.on("GET", STATUS).reply(Reply(204))
    server.on("PATCH", ".*").reply(Reply(413))
    server.on("DELETE", ".*").reply(Reply(204))
    with pytest.raises(RegistryProtocolError) as caught:
        send(repository)
    assert caught.value.status == 413
    lengths = [int(seen.headers["content-length"]) for seen in server.requests("PATCH")]
    assert smallest <= min(lengths) < 2 * smallest
    assert len(lengths) < 8


@pytest.mark.parametrize("status", [404, 416])
def test_an_end_that_comes_too_early_is_asked_about(
    server: ScriptedServer, repository: Repository, status: int
) -> None:
    """A registry that is not ready for the last PUT says what it has, and gets it again."""
    taker = Taker(server)
    server.on("POST", MOUNT).reply(STARTED)
    server.on("PUT", PUT).reply(Reply(405))
    server.on("GET", ".*").reply(taker.status)
    server.on("PATCH", ".*").reply(taker.patch)
    server.on("PUT", ".*").reply(Reply(status), taker.finish)
    server.rules[1].reply(Reply(405), Reply(201))
    send(repository)
    assert len(taker.ranges) == 1


def test_each_token_may_expire(
    server: ScriptedServer, repository: Repository, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as there is progress in between, a body may be refused more than once."""
    monkeypatch.setattr(uploads, "CHUNK_LENGTH", 400_000)
    taker = Taker(server)
    realm = f'Bearer realm="{server.url}/token",service="lab"'
    expired = Reply(401, {"WWW-Authenticate": realm})
    names = iter(range(100))
    server.on("GET", "/token.*").reply(lambda _: Reply.json({"token": f"t{next(names)}"}))
    server.on("POST", MOUNT, authorization="Bearer .+").reply(STARTED)
    server.on("POST", MOUNT).reply(expired)
    server.on("PUT", PUT).reply(Reply(405))
    server.on("GET", ".*").reply(
        lambda _: Reply(204, {"Location": f"/upload/{len(taker.ranges)}", "Range": taker.range})
    )
    server.on("PATCH", ".*").reply(expired, taker.patch, expired, taker.patch)
    server.on("PUT", ".*").reply(taker.finish)
    send(repository)
    assert len(server.requests("GET", "/token.*")) == 3
    assert lab.waits == []


def test_a_single_byte_is_a_chunk(server: ScriptedServer, repository: Repository) -> None:
    """`0-0` after one byte was sent means that the registry has it, and not that it has none."""
    descriptor = Descriptor.of(b"x", "application/octet-stream")
    server.on("POST", POST + ".*").reply(STARTED)
    server.on("PUT", STATUS + ".*").reply(Reply(405), Reply(201))
    server.on("GET", STATUS).reply(Reply(204, {"Range": "0-0"}))
    server.on("PATCH", ".*").reply(Reply(202, {"Location": PLACE, "Range": "0-0"}))
    with repository.ingest(descriptor) as upload:
        upload.receive(Source(b"x"))
        upload.commit()
    assert [seen.body for seen in server.requests("PATCH")] == [b"x"]


@pytest.mark.parametrize(("status", "is_remembered"), [(405, True), (404, False), (416, False)])
def test_only_a_refusal_in_principle_is_remembered(
    server: ScriptedServer, repository: Repository, status: int, is_remembered: bool
) -> None:
    """A registry without whole uploads is not asked again; one that lost an upload is."""
    taker = Taker(server)

    def started(_: Seen) -> Reply:
        taker.stored, taker.ranges = b"", []
        return STARTED

    server.on("POST", POST + ".*").reply(started)
    server.on("PUT", PUT).reply(Reply(status))
    server.on("GET", STATUS).reply(taker.status)
    server.on("PATCH", ".*").reply(taker.patch)
    server.on("PUT", ".*").reply(taker.finish)
    for _ in range(2):
        send(repository)
    bodies = [seen for seen in server.requests("PUT") if len(seen.body) == SIZE]
    assert len(bodies) == (1 if is_remembered else 2)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_what_is_sent_is_not_redirected(
    server: ScriptedServer, repository: Repository, status: int
) -> None:
    """A POST goes nowhere else, whatever the registry says; the error names the method."""
    with ScriptedServer() as elsewhere:
        server.on("POST", ".*").reply(Reply(status, {"Location": f"{elsewhere.url}/x"}))
        with pytest.raises(RegistryProtocolError, match="for a POST"):
            send(repository)
        assert elsewhere.seen == []
    assert BLOB.size == SIZE
