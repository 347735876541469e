"""The registry client goes on with uploads that broke, in chunks where it must."""

from __future__ import annotations

import re

import pytest

from airgap.errors import (
    UnauthorizedError,
    UnavailableError,
)
from airgap.registry import uploads
from airgap.registry.repository import Repository
from tests.support.registry_client import Lab, open_lab
from tests.support.scripted_server import Reply, ScriptedServer, Seen
from tests.support.uploading import (
    BLOB,
    CONTENT,
    MOUNT,
    PLACE,
    POST,
    PUT,
    SIZE,
    STARTED,
    Taker,
    send,
)


@pytest.fixture
def repository(server: ScriptedServer, lab: Lab) -> Repository:
    return lab.client.repository(server.host, "team/app", origin="destination")


def test_a_broken_upload_goes_on(server: ScriptedServer, repository: Repository, lab: Lab) -> None:
    """After a break the server is asked how much it has, and the rest follows from there."""
    taker = Taker(server)
    server.on("POST", MOUNT).reply(STARTED)
    server.on("PUT", PUT).reply(taker.partial)
    server.on("GET", re.escape(PLACE)).reply(taker.status)
    server.on("PATCH", re.escape(PLACE)).reply(taker.patch)
    server.on("PUT", rf"/upload/2\?digest={BLOB.digest}").reply(taker.finish)
    source = send(repository)
    assert source.opened == [0, 300_000]
    assert taker.ranges == [f"300000-{SIZE - 1}"]
    assert taker.stored == CONTENT
    assert len(lab.waits) == 1


def test_a_connection_that_dies_in_the_body_goes_on(
    server: ScriptedServer, repository: Repository
) -> None:
    """A reset while sending is continued like any other break."""
    taker = Taker(server)
    server.on("POST", MOUNT).reply(STARTED)
    server.on("PUT", PUT).reply(Reply(drops=True, reads_body=1000))
    server.on("GET", re.escape(PLACE)).reply(taker.status)
    server.on("PATCH", re.escape(PLACE)).reply(taker.patch)
    server.on("PUT", r"/upload/2\?.*").reply(taker.finish)
    server.rules[1].reply(Reply(drops=True, reads_body=1000), Reply(405))
    send(repository)
    assert taker.stored == CONTENT


def test_an_upload_that_is_gone_begins_anew(server: ScriptedServer, repository: Repository) -> None:
    """A server that forgot the upload gets a new one from the first byte."""
    server.on("POST", MOUNT).reply(STARTED)
    server.on("POST", POST).reply(Reply(202, {"Location": "/upload/new"}))
    server.on("POST", POST + ".*").reply(Reply(202, {"Location": "/upload/new"}))
    server.rules[0].reply(STARTED, Reply(202, {"Location": "/upload/new"}))
    server.on("PUT", PUT).reply(Reply(drops=True, reads_body=1000))
    server.on("GET", re.escape(PLACE)).reply(Reply.error(404, "BLOB_UPLOAD_UNKNOWN"))
    server.on("HEAD", r"/v2/team/app/blobs/.*").reply(Reply(404))
    server.on("PUT", r"/upload/new\?digest=.*").reply(Reply(201))
    source = send(repository)
    assert source.opened == [0, 0]


def test_a_lost_answer_is_found_out(server: ScriptedServer, repository: Repository) -> None:
    """Where all was sent and the upload is gone, the blob is looked for before it is sent anew."""
    server.on("POST", MOUNT).reply(STARTED)
    server.on("PUT", PUT).reply(Reply(drops=True))
    server.on("GET", re.escape(PLACE)).reply(Reply(404))
    server.on("HEAD", rf"/v2/team/app/blobs/{BLOB.digest}").reply(Reply(body=CONTENT))
    source = send(repository)
    assert source.opened == [0]


def test_an_upload_that_is_whole_is_only_finished(
    server: ScriptedServer, repository: Repository
) -> None:
    """Where the server has all bytes after a break, only the last PUT is repeated."""
    server.on("POST", MOUNT).reply(STARTED)
    server.on("PUT", PUT).reply(Reply(503), Reply(201))
    server.on("GET", re.escape(PLACE)).reply(Reply(204, {"Range": f"0-{SIZE - 1}"}))
    source = send(repository)
    assert source.opened == [0]
    assert server.requests()[-1].headers["content-length"] == "0"


def test_a_server_that_has_more_than_was_sent_is_not_believed(
    server: ScriptedServer, repository: Repository
) -> None:
    """A Range beyond what was sent leads to a new upload."""
    server.on("POST", MOUNT).reply(STARTED, Reply(202, {"Location": "/upload/new"}))
    server.on("PUT", PUT).reply(Reply(503, reads_body=1000))
    server.on("GET", re.escape(PLACE)).reply(Reply(204, {"Range": f"0-{SIZE * 2}"}))
    server.on("PUT", r"/upload/new\?.*").reply(Reply(201))
    send(repository)


@pytest.mark.parametrize("status", [404, 405, 411, 413, 415, 416, 501])
def test_a_refused_put_is_sent_in_chunks(
    server: ScriptedServer,
    repository: Repository,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
) -> None:
    """A registry that takes no whole blob gets chunks, in order, each at the Location given."""
    monkeypatch.setattr(uploads, "CHUNK_LENGTH", 400_000)
    taker = Taker(server)
    server.on("POST", MOUNT).reply(STARTED)
    server.on("PUT", PUT).reply(Reply(status))
    server.on("GET", re.escape(PLACE)).reply(taker.status)
    server.on("PATCH", ".*").reply(taker.patch)
    server.on("PUT", ".*").reply(taker.finish)
    source = send(repository)
    assert taker.ranges == ["0-399999", "400000-799999", f"800000-{SIZE - 1}"]
    assert [seen.path for seen in server.requests("PATCH")] == [PLACE, "/upload/2", "/upload/3"]
    assert source.opened == [0, 0]


def test_the_smallest_chunk_is_obeyed(
    server: ScriptedServer, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OCI-Chunk-Min-Length is a lower limit for all chunks but the last."""
    monkeypatch.setattr(uploads, "CHUNK_LENGTH", 1000)
    taker = Taker(server)
    started = Reply(202, {"Location": PLACE, "OCI-Chunk-Min-Length": "600000"})
    server.on("POST", MOUNT).reply(started)
    server.on("PUT", PUT).reply(Reply(405))
    server.on("GET", re.escape(PLACE)).reply(taker.status)
    server.on("PATCH", ".*").reply(taker.patch)
    server.on("PUT", ".*").reply(taker.finish)
    send(repository)
    assert taker.ranges == ["0-599999", f"600000-{SIZE - 1}"]


@pytest.mark.parametrize("status", [200, 201, 204])
def test_odd_answers_to_chunks_are_taken(
    server: ScriptedServer, repository: Repository, status: int
) -> None:
    """Some registries answer a chunk with another 2xx, without a Range or a Location."""
    server.on("POST", MOUNT).reply(STARTED)
    server.on("PUT", PUT).reply(Reply(415), Reply(201))
    server.on("GET", re.escape(PLACE)).reply(Reply(204))
    server.on("PATCH", re.escape(PLACE)).reply(Reply(status))
    send(repository)
    assert server.requests("PATCH")[0].body == CONTENT


def test_a_chunk_that_was_taken_in_part_goes_on(
    server: ScriptedServer, repository: Repository
) -> None:
    """A Range that lies behind what was sent is where the next chunk begins."""
    taker = Taker(server)

    def half(seen: Seen) -> Reply:
        taker.stored = seen.body[:123_456]
        return Reply(202, {"Location": PLACE, "Range": taker.range})

    server.on("POST", MOUNT).reply(STARTED)
    server.on("PUT", PUT).reply(Reply(405))
    server.on("GET", re.escape(PLACE)).reply(taker.status)
    server.on("PATCH", ".*").reply(half, taker.patch)
    server.on("PUT", ".*").reply(taker.finish)
    source = send(repository)
    assert source.opened == [0, 0, 123_456]


def test_chunks_that_are_too_large_become_smaller(
    server: ScriptedServer, repository: Repository
) -> None:
    """A 413 to a chunk is answered with smaller ones."""
    taker = Taker(server)

    def picky(seen: Seen) -> Reply:
        return taker.patch(seen) if len(seen.body) <= 300_000 else Reply(413)

    server.on("POST", MOUNT).reply(STARTED)
    server.on("PUT", PUT).reply(Reply(413))
    server.on("GET", re.escape(PLACE)).reply(taker.status)
    server.on("PATCH", ".*").reply(picky)
    server.on("PUT", ".*").reply(taker.finish)
    with open_lab() as lab:
        send(lab.client.repository(server.host, "team/app", origin="destination"))
    assert taker.stored == CONTENT


def test_a_registry_that_goes_in_circles_is_left(
    server: ScriptedServer, repository: Repository
) -> None:
    """A registry that answers 416 to everything does not hold us for ever."""
    server.on("POST", POST + ".*").reply(STARTED)
    server.on("PUT", PUT).reply(Reply(405))
    server.on("GET", re.escape(PLACE)).reply(Reply(204))
    server.on("PATCH", ".*").reply(Reply(416))
    server.on("DELETE", ".*").reply(Reply(204))
    with pytest.raises(UnavailableError):
        send(repository)
    assert len(server.requests("DELETE")) == 1


def bearer(server: ScriptedServer) -> Reply:
    realm = f'Bearer realm="{server.url}/token",service="lab"'
    return Reply(401, {"WWW-Authenticate": realm})


def test_a_token_that_expires_in_the_body_is_renewed(
    server: ScriptedServer, repository: Repository, lab: Lab
) -> None:
    """A 401 to a body gets a fresh token and goes on from the server's Range, with no retry."""
    taker = Taker(server)
    server.on("GET", "/token.*").reply(Reply.json({"token": "one"}), Reply.json({"token": "two"}))
    server.on("POST", MOUNT, authorization="Bearer one").reply(STARTED)
    server.on("POST", MOUNT).reply(bearer(server))
    server.on("PUT", PUT).reply(bearer(server))
    server.on("GET", re.escape(PLACE), authorization="Bearer two").reply(taker.status)
    server.on("PATCH", ".*", authorization="Bearer two").reply(taker.patch)
    server.on("PUT", r"/upload/2\?.*", authorization="Bearer two").reply(taker.finish)
    server.rules[3].reply(bearer(server), Reply(405))
    send(repository)
    assert taker.stored == CONTENT
    assert lab.waits == []


def test_a_second_refusal_of_the_body_ends_it(
    server: ScriptedServer, repository: Repository
) -> None:
    """A fresh token that is refused as well is unauthorized, exit 11."""
    server.on("GET", "/token.*").reply(Reply.json({"token": "one"}))
    server.on("POST", MOUNT, authorization="Bearer one").reply(STARTED)
    server.on("POST", MOUNT).reply(bearer(server))
    server.on("PUT", PUT).reply(bearer(server))
    server.on("GET", re.escape(PLACE)).reply(Reply(204))
    server.on("DELETE", ".*").reply(Reply(204))
    with pytest.raises(UnauthorizedError):
        send(repository)
