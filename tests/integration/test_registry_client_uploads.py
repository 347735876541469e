"""The registry client uploads blobs to servers that break, refuse and differ."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from airgap.content.store import Chunks
from airgap.errors import (
    CancelledError,
    ContentNotFoundError,
    DigestMismatchError,
    RegistryProtocolError,
    SizeMismatchError,
    UnauthorizedError,
    UnavailableError,
)
from airgap.oci.descriptor import Descriptor
from airgap.registry import uploads
from airgap.registry.credentials import Credential
from airgap.registry.options import ClientOptions
from airgap.registry.repository import Repository
from tests.support.registry_client import Lab, open_lab
from tests.support.scripted_server import Reply, ScriptedServer, Seen

CONTENT = bytes(range(256)) * 4096
SIZE = len(CONTENT)
BLOB = Descriptor.of(CONTENT, "application/octet-stream")
POST = r"/v2/team/app/blobs/uploads/"
MOUNT = POST + rf"\?mount={BLOB.digest}"
PLACE = "/upload/1?state=a%2Fb"
PUT = re.escape(f"{PLACE}&digest={BLOB.digest}")
STARTED = Reply(202, {"Location": PLACE})


@dataclass
class Source:
    """Content that counts how it is opened, and may break."""

    content: bytes = CONTENT
    opened: list[int] = field(default_factory=list)
    failure: BaseException | None = None

    @contextmanager
    def __call__(self, offset: int, /) -> Iterator[Chunks]:
        """Open it."""
        self.opened.append(offset)
        yield self._chunks(offset)

    def _chunks(self, offset: int) -> Chunks:
        for start in range(offset, len(self.content), 100_000):
            if self.failure is not None and start > 400_000:
                raise self.failure
            yield self.content[start : start + 100_000]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as found:
        yield found


@pytest.fixture
def lab() -> Iterator[Lab]:
    with open_lab() as found:
        yield found


@pytest.fixture
def repository(server: ScriptedServer, lab: Lab) -> Repository:
    return lab.client.repository(server.host, "team/app", origin="destination")


def send(repository: Repository, source: Source | None = None, **options: str) -> Source:
    source = source or Source()
    with repository.ingest(BLOB, **options) as upload:
        upload.receive(source)
        upload.commit()
        upload.commit()
        assert upload.offset == SIZE
    return source


class Taker:
    """A registry's upload that takes what comes, in order."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.stored = b""
        self.ranges: list[str] = []

    def patch(self, seen: Seen) -> Reply:
        """Take a chunk."""
        start = int(seen.headers["content-range"].partition("-")[0])
        self.ranges.append(seen.headers["content-range"])
        if start != len(self.stored):
            return Reply(416, {"Range": self.range})
        self.stored += seen.body
        return Reply(202, {"Location": f"/upload/{len(self.ranges) + 1}", "Range": self.range})

    def partial(self, seen: Seen) -> Reply:
        """Take what arrived of a body, and fail."""
        self.stored += seen.body[:300_000]
        return Reply(503)

    def status(self, _: Seen) -> Reply:
        """Say how much is there."""
        return Reply(204, {"Location": PLACE, "Range": self.range})

    def finish(self, _: Seen) -> Reply:
        """End it."""
        return Reply(201 if self.stored == CONTENT else 400)

    @property
    def range(self) -> str:
        """What is there."""
        return f"0-{max(0, len(self.stored) - 1)}"


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
