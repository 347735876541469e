"""The registry client uploads blobs to servers that break, refuse and differ."""

from __future__ import annotations

import re

import pytest

from airgap.errors import (
    CancelledError,
    ContentNotFoundError,
    DigestMismatchError,
    RegistryProtocolError,
    SizeMismatchError,
    UnavailableError,
)
from airgap.oci.descriptor import Descriptor
from airgap.registry.credentials import Credential
from airgap.registry.options import ClientOptions
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
    Source,
    Taker,
    send,
)


@pytest.fixture
def repository(server: ScriptedServer, lab: Lab) -> Repository:
    return lab.client.repository(server.host, "team/app", origin="destination")


def test_a_blob_goes_out_with_one_put(server: ScriptedServer, repository: Repository) -> None:
    """One POST and one PUT send a blob, with its length and the state of the Location kept."""
    server.on("POST", MOUNT).reply(STARTED)
    server.on("PUT", PUT).reply(Reply(201))
    source = send(repository)
    _, put = server.requests()
    assert put.body == CONTENT
    assert put.headers["content-length"] == str(SIZE)
    assert put.headers["content-type"] == "application/octet-stream"
    assert source.opened == [0]


def test_an_absolute_location_is_used(server: ScriptedServer, repository: Repository) -> None:
    """A Location with scheme and host is as good as a relative one."""
    server.on("POST", MOUNT).reply(Reply(202, {"Location": f"{server.url}/up/x"}))
    server.on("PUT", rf"/up/x\?digest={BLOB.digest}").reply(Reply(201))
    send(repository)


def test_an_empty_blob_is_sent(server: ScriptedServer, repository: Repository) -> None:
    """A blob without bytes is finished at once."""
    empty = Descriptor.of(b"", "x")
    server.on("POST", POST + ".*").reply(STARTED)
    server.on("PUT", ".*").reply(Reply(201))
    with repository.ingest(empty) as upload:
        upload.receive(Source(b""))
        upload.commit()
    assert server.requests()[-1].headers["content-length"] == "0"


def test_an_empty_blob_is_checked(server: ScriptedServer, repository: Repository) -> None:
    """A source with bytes for an empty blob is refused before anything becomes visible."""
    empty = Descriptor.of(b"", "x")
    server.on("POST", POST + ".*").reply(STARTED)
    with pytest.raises(SizeMismatchError), repository.ingest(empty) as upload:
        upload.receive(Source(b"!"))
    assert server.requests("PUT") == []


def test_a_blob_that_is_there_is_not_sent(server: ScriptedServer, repository: Repository) -> None:
    """A 201 to the first POST means that nothing is to be sent, and the source stays closed."""
    server.on("POST", MOUNT).reply(Reply(201))
    source = send(repository)
    assert source.opened == []
    assert len(server.requests()) == 1


def test_a_mount_names_its_repository(server: ScriptedServer, repository: Repository) -> None:
    """A repository that has the blob is named, and a 201 ends it."""
    server.on("POST", MOUNT + "&from=other/app").reply(Reply(201))
    with repository.ingest(BLOB, mount_from="other/app") as upload:
        upload.receive(Source())
        assert upload.is_mounted


def test_an_unmountable_blob_is_sent(server: ScriptedServer, repository: Repository) -> None:
    """A 202 to a mount is the beginning of an upload."""
    server.on("POST", MOUNT + "&from=other/app").reply(STARTED)
    server.on("PUT", PUT).reply(Reply(201))
    send(repository, mount_from="other/app")
    assert len(server.requests()) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
@pytest.mark.parametrize("options", [{}, {"mount_from": "other/app"}])
def test_a_refused_mount_is_an_upload(
    server: ScriptedServer, repository: Repository, status: int, options: dict[str, str]
) -> None:
    """Whatever a registry says against a mount, the upload begins without it."""
    server.on("POST", MOUNT + ".*").reply(Reply(status))
    server.on("POST", POST).reply(STARTED)
    server.on("PUT", PUT).reply(Reply(201))
    send(repository, **options)


def test_refused_anonymous_mounts_are_not_tried_again(
    server: ScriptedServer, repository: Repository
) -> None:
    """A repository that refused a mount without a name is not asked for another."""
    server.on("POST", MOUNT).reply(Reply(400))
    server.on("POST", POST).reply(STARTED)
    server.on("PUT", PUT).reply(Reply(201))
    send(repository)
    send(repository)
    assert len(server.requests("POST", MOUNT)) == 1


@pytest.mark.parametrize(
    ("status", "expected"), [(201, True), (400, False), (401, False), (403, False), (404, False)]
)
def test_mount_says_whether_it_worked(
    server: ScriptedServer, repository: Repository, status: int, expected: bool
) -> None:
    """Only a 201 is a mount."""
    server.on("POST", MOUNT + "&from=other/app").reply(Reply(status))
    assert repository.mount(BLOB, from_repository="other/app") is expected


def test_mount_ends_the_upload_that_it_began(
    server: ScriptedServer, repository: Repository
) -> None:
    """A 202 began an upload that nobody wants; it is deleted."""
    server.on("POST", MOUNT + "&from=other/app").reply(STARTED)
    server.on("DELETE", re.escape(PLACE)).reply(Reply(204))
    assert repository.mount(BLOB, from_repository="other/app") is False
    assert len(server.requests("DELETE")) == 1


def test_an_upload_that_cannot_be_ended_is_no_failure(
    server: ScriptedServer, repository: Repository, lab: Lab
) -> None:
    """A registry that fails at the end of an unwanted upload is asked once, and cleans up later."""
    server.on("POST", MOUNT + "&from=other/app").reply(STARTED)
    server.on("DELETE", ".*").reply(Reply(503))
    assert repository.mount(BLOB, from_repository="other/app") is False
    assert len(server.requests()) == 2
    assert lab.waits == []


def test_giving_up_deletes_the_upload(
    server: ScriptedServer, repository: Repository, lab: Lab
) -> None:
    """After the retries the registry is told, and the error is the last one."""
    server.on("POST", POST + ".*").reply(STARTED)
    server.on("PUT", ".*").reply(Reply(502))
    server.on("GET", re.escape(PLACE)).reply(Reply(502))
    server.on("DELETE", re.escape(PLACE)).reply(Reply(204))
    with pytest.raises(UnavailableError, match="502") as caught:
        send(repository)
    assert caught.value.origin == "destination"
    assert len(lab.waits) == 5
    assert len(server.requests("DELETE")) == 1


def test_a_failure_of_the_source_is_its_own(
    server: ScriptedServer, repository: Repository, lab: Lab
) -> None:
    """What the source raises comes out as it is, also where it looks like the network's."""
    server.on("POST", MOUNT).reply(STARTED)
    server.on("PUT", PUT).reply(Reply(201))
    server.on("DELETE", ".*").reply(Reply(204))
    for failure in (
        UnavailableError("the source broke", origin="source"),
        BrokenPipeError("local"),
        ConnectionResetError(104, "local"),
        TimeoutError("local"),
        ValueError("a bug"),
    ):
        with pytest.raises(type(failure)) as caught:
            send(repository, Source(failure=failure))
        assert caught.value is failure
    assert lab.waits == []


def test_wrong_content_never_becomes_whole(server: ScriptedServer, repository: Repository) -> None:
    """The last chunk of content with another digest is not sent, and the upload is deleted."""
    server.on("POST", MOUNT).reply(STARTED)
    server.on("PUT", PUT).reply(Reply(201))
    server.on("DELETE", ".*").reply(Reply(204))
    wrong = CONTENT[:-1] + b"?"
    with pytest.raises(DigestMismatchError):
        send(repository, Source(wrong))
    assert all(len(seen.body) < SIZE for seen in server.requests("PUT"))
    assert len(server.requests("DELETE")) == 1


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"!"])
def test_content_of_another_size_is_refused(
    server: ScriptedServer, repository: Repository, content: bytes
) -> None:
    """Fewer or more bytes than the descriptor says are a size mismatch."""
    server.on("POST", MOUNT).reply(STARTED)
    server.on("PUT", PUT).reply(Reply(201))
    with pytest.raises(SizeMismatchError):
        send(repository, Source(content))


def test_a_registry_that_got_something_else_is_believed(
    server: ScriptedServer, repository: Repository
) -> None:
    """DIGEST_INVALID is an integrity error on the destination's side."""
    server.on("POST", MOUNT).reply(STARTED)
    server.on("PUT", PUT).reply(Reply.error(400, "DIGEST_INVALID"))
    with pytest.raises(DigestMismatchError) as caught:
        send(repository)
    assert caught.value.origin == "destination"


def test_pieces_that_do_not_fit_are_sent_once_more_as_a_whole(
    server: ScriptedServer, repository: Repository
) -> None:
    """DIGEST_INVALID after going on is the registry's mistake in joining; it gets all anew."""
    taker = Taker(server)
    server.on("POST", MOUNT).reply(STARTED, Reply(202, {"Location": "/upload/new"}))
    server.on("PUT", PUT).reply(taker.partial)
    server.on("GET", re.escape(PLACE)).reply(taker.status)
    server.on("PATCH", ".*").reply(taker.patch)
    server.on("PUT", r"/upload/2\?.*").reply(Reply.error(400, "DIGEST_INVALID"))
    server.on("PUT", r"/upload/new\?.*").reply(Reply(201))
    source = send(repository)
    assert source.opened == [0, 300_000, 0]


def test_commit_wants_a_whole_blob(server: ScriptedServer, repository: Repository) -> None:
    """A commit before everything was taken is an error."""
    with repository.ingest(BLOB) as upload:
        assert upload.offset == 0
        with pytest.raises(SizeMismatchError):
            upload.commit()


def test_a_cancelled_upload_says_nothing_more(
    server: ScriptedServer, repository: Repository, lab: Lab
) -> None:
    """After a cancellation no request is sent, not even to tidy up."""

    def cancel(_: Seen) -> Reply:
        lab.token.cancel()
        return STARTED

    server.on("POST", MOUNT).reply(cancel)
    with pytest.raises(CancelledError):
        send(repository)
    assert [seen.method for seen in server.requests()] in (["POST"], ["POST", "PUT"])


def test_an_upload_without_a_place_breaks_the_protocol(
    server: ScriptedServer, repository: Repository
) -> None:
    """A 202 must say where to send to."""
    server.on("POST", POST + ".*").reply(Reply(202))
    with pytest.raises(RegistryProtocolError, match="Location"):
        send(repository)


def test_an_unknown_repository_is_not_found(server: ScriptedServer, repository: Repository) -> None:
    """Registries that want repositories to be created first say so."""
    server.on("POST", POST + ".*").reply(Reply.error(404, "NAME_UNKNOWN", "create it first"))
    with pytest.raises(ContentNotFoundError, match="create it first"):
        send(repository)


def test_an_early_answer_is_read(server: ScriptedServer, repository: Repository) -> None:
    """A server that refuses before the body is through is understood, or tried again."""
    taker = Taker(server)
    server.on("POST", MOUNT).reply(STARTED)
    server.on("PUT", PUT).reply(Reply(413, reads_body=0), Reply(413))
    server.on("GET", re.escape(PLACE)).reply(taker.status)
    server.on("PATCH", ".*").reply(taker.patch)
    server.on("PUT", ".*").reply(taker.finish)
    send(repository)
    assert taker.stored == CONTENT


def test_a_location_elsewhere_gets_no_credentials(server: ScriptedServer, lab: Lab) -> None:
    """Another host is sent the blob without Authorization."""
    lab.credentials.credential = Credential("user", "secret")
    with ScriptedServer() as storage:
        storage.on("PUT", ".*").reply(Reply(201))
        server.on("POST", MOUNT, authorization="Basic .*").reply(
            Reply(202, {"Location": f"{storage.url}/blob"})
        )
        server.on("POST", MOUNT).reply(Reply(401, {"WWW-Authenticate": "Basic realm=x"}))
        send(lab.client.repository(server.host, "team/app", origin="destination"))
        [seen] = storage.requests()
        assert seen.body == CONTENT
        assert "authorization" not in seen.headers


def test_both_sides_have_connections_of_their_own(server: ScriptedServer) -> None:
    """A thread that reads from a registry can write to the same one, with one connection each."""
    server.on("GET", r"/v2/team/app/blobs/.*").reply(Reply(body=CONTENT))
    server.on("POST", r"/v2/copy/app/.*").reply(STARTED)
    server.on("PUT", PUT).reply(Reply(201))
    with open_lab(ClientOptions(timeout=5.0, jobs=1)) as lab:
        source = lab.client.repository(server.host, "team/app", origin="source")
        target = lab.client.repository(server.host, "copy/app", origin="destination")
        with target.ingest(BLOB) as upload:
            upload.receive(lambda offset: source.open(BLOB, offset=offset))
            upload.commit()
    assert server.requests("PUT")[0].body == CONTENT
