"""The registry client reads blobs from a server that breaks, stalls and lies."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from airgap.errors import (
    CancelledError,
    ContentNotFoundError,
    RegistryProtocolError,
    SizeMismatchError,
    UnavailableError,
)
from airgap.oci.descriptor import Descriptor
from airgap.registry.credentials import Credential
from airgap.registry.options import ClientOptions
from airgap.registry.repository import Repository
from airgap.run.events import RetryScheduled
from tests.support.registry_client import Lab, open_lab
from tests.support.scripted_server import Reply, ScriptedServer, Seen

CONTENT = bytes(range(256)) * 1200
BLOB = Descriptor.of(CONTENT, "application/octet-stream")
PATH = r"/v2/team/app/blobs/.*"


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
    return lab.client.repository(server.host, "team/app", origin="source")


def ranged(seen: Seen, **changes: object) -> Reply:
    """Answer what a good server answers."""
    found = re.fullmatch(r"bytes=(\d+)-", seen.headers.get("range", ""))
    if found is None:
        return Reply(body=CONTENT, **changes)  # type: ignore[arg-type]
    start = int(found[1])
    headers = {"Content-Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"}
    return Reply(206, headers, CONTENT[start:], **changes)  # type: ignore[arg-type]


def read(repository: Repository, offset: int = 0) -> bytes:
    with repository.open(BLOB, offset=offset) as chunks:
        return b"".join(chunks)


def test_a_blob_comes_with_one_request(server: ScriptedServer, repository: Repository) -> None:
    """A blob is read with a single GET that asks for no compression and no range."""
    server.on("GET", PATH).reply(ranged)
    assert read(repository) == CONTENT
    [seen] = server.requests()
    assert seen.headers["accept-encoding"] == "identity"
    assert "range" not in seen.headers
    assert "authorization" not in seen.headers


def test_chunks_are_never_larger_than_asked_for(server: ScriptedServer, lab: Lab) -> None:
    """Chunks grow up to CHUNK_SIZE and not beyond."""
    content = b"x" * (5 << 20)
    blob = Descriptor.of(content, "x")
    server.on("GET", PATH).reply(Reply(body=content))
    with lab.client.repository(server.host, "team/app", origin="source").open(blob) as chunks:
        sizes = [len(chunk) for chunk in chunks]
    assert sum(sizes) == len(content)
    assert max(sizes) == 1 << 20


def test_slow_lines_get_small_reads(server: ScriptedServer, lab: Lab) -> None:
    """Where a read takes long, the next one asks for less, so that a break loses little."""
    content = b"x" * (1 << 20)
    blob = Descriptor.of(content, "x")
    server.on("GET", PATH).reply(Reply(body=content))

    def slow_clock() -> float:
        lab.now += 1.0
        return lab.now

    object.__setattr__(lab.client.network, "clock", slow_clock)
    with lab.client.repository(server.host, "team/app", origin="source").open(blob) as chunks:
        sizes = [len(chunk) for chunk in chunks]
    assert sum(sizes) == len(content)
    assert max(sizes[2:]) == 4096


@pytest.mark.parametrize("offset", [1, 1000, len(CONTENT) - 1])
def test_a_blob_is_read_from_an_offset(
    server: ScriptedServer, repository: Repository, offset: int
) -> None:
    """An offset becomes a range, and exactly the bytes from there on come."""
    server.on("GET", PATH).reply(ranged)
    assert read(repository, offset) == CONTENT[offset:]
    assert [seen.headers["range"] for seen in server.requests()] == [f"bytes={offset}-"]


def test_an_offset_at_the_end_asks_nothing(server: ScriptedServer, repository: Repository) -> None:
    """Nothing is asked where nothing is left to read."""
    assert read(repository, len(CONTENT)) == b""
    assert server.requests() == []


def test_an_empty_blob_is_asked_for(server: ScriptedServer, lab: Lab) -> None:
    """An empty blob is read by a request, since it may not be there."""
    empty = Descriptor.of(b"", "x")
    repository = lab.client.repository(server.host, "team/app", origin="source")
    server.on("GET", PATH).reply(Reply(body=b""))
    with repository.open(empty) as chunks:
        assert list(chunks) == []
    assert len(server.requests()) == 1


@pytest.mark.parametrize("has_length", [True, False])
def test_a_cut_download_goes_on_with_a_range(
    server: ScriptedServer, repository: Repository, lab: Lab, has_length: bool
) -> None:
    """A body that ends early is continued from the byte reached, told by length or by a close."""
    cut = Reply(body=CONTENT, cut_after=100_000, has_length=has_length)
    server.on("GET", PATH).reply(cut, ranged)
    assert read(repository) == CONTENT
    first, second = server.requests()
    start = int(second.headers["range"].removeprefix("bytes=").removesuffix("-"))
    assert "range" not in first.headers
    assert 0 < start <= 100_000
    assert len(lab.waits) == 1
    assert [type(event) for event in lab.events] == [RetryScheduled]


def test_a_stalled_download_goes_on(server: ScriptedServer) -> None:
    """A connection without a byte for the timeout is given up, and the rest is asked for anew."""
    server.on("GET", PATH).reply(Reply(body=CONTENT, stall_after=70_000), ranged)
    with open_lab(ClientOptions(timeout=0.2)) as lab:
        repository = lab.client.repository(server.host, "team/app", origin="source")
        assert read(repository) == CONTENT
    assert len(server.requests()) == 2


def test_progress_begins_the_count_anew(
    server: ScriptedServer, repository: Repository, lab: Lab
) -> None:
    """More breaks than retries are mended while every attempt brings something."""

    def cut_again(seen: Seen) -> Reply:
        whole = ranged(seen)
        return Reply(whole.status, whole.headers, whole.body, cut_after=65_536)

    # each reply holds one first read of 64 KiB; there are five of those in the content
    server.on("GET", PATH).reply(cut_again)
    with open_lab(ClientOptions(timeout=5.0, retries=1)) as impatient:
        other = impatient.client.repository(server.host, "team/app", origin="source")
        assert read(other) == CONTENT
    assert len(server.requests()) >= 4


def test_a_break_for_good_is_unavailable(
    server: ScriptedServer, repository: Repository, lab: Lab
) -> None:
    """A server that only breaks off is given up after the retries, with exit 12 and its side."""
    server.on("GET", PATH).reply(Reply(body=CONTENT, cut_after=0))
    with pytest.raises(UnavailableError, match="tried 6 times") as caught:
        read(repository)
    assert len(server.requests()) == 6
    assert len(lab.waits) == 5
    assert lab.waits == sorted(lab.waits)
    assert caught.value.origin == "source"


def test_a_server_without_ranges_sends_all_again(
    server: ScriptedServer, repository: Repository
) -> None:
    """A 200 to a ranged request is read from its beginning, and what is here is dropped."""
    server.on("GET", PATH).reply(Reply(body=CONTENT, cut_after=100_000), Reply(body=CONTENT))
    assert read(repository) == CONTENT


def test_another_length_is_noticed_when_going_on(
    server: ScriptedServer, repository: Repository
) -> None:
    """A 200 of another length to a ranged request is other content."""
    server.on("GET", PATH).reply(Reply(body=CONTENT, cut_after=9), Reply(body=CONTENT + b"!"))
    with pytest.raises(SizeMismatchError) as caught:
        read(repository)
    assert caught.value.actual == str(len(CONTENT) + 1)


def test_a_range_from_elsewhere_is_not_taken(
    server: ScriptedServer, repository: Repository
) -> None:
    """A 206 that begins at another byte is dropped, and all of the blob is read instead."""
    lie = Reply(206, {"Content-Range": f"bytes 0-9/{len(CONTENT)}"}, CONTENT[:10])
    server.on("GET", PATH, range=".+").reply(lie)
    server.on("GET", PATH).reply(ranged)
    assert read(repository, 1000) == CONTENT[1000:]
    assert "range" not in server.requests()[-1].headers


def test_a_range_of_another_total_is_refused(
    server: ScriptedServer, repository: Repository
) -> None:
    """A 206 that speaks of another size than the descriptor is an integrity error."""
    lie = Reply(206, {"Content-Range": "bytes 5-9/10"}, b"56789")
    server.on("GET", PATH).reply(lie)
    with pytest.raises(SizeMismatchError):
        read(repository, 5)


def test_a_refused_range_is_asked_for_as_a_whole(
    server: ScriptedServer, repository: Repository
) -> None:
    """After a 416 the whole blob is asked for."""
    server.on("GET", PATH, range=".+").reply(Reply(416))
    server.on("GET", PATH).reply(ranged)
    assert read(repository, 1000) == CONTENT[1000:]


@pytest.mark.parametrize("extra", [1, 100_000])
@pytest.mark.parametrize("has_length", [True, False])
def test_more_bytes_than_promised_are_refused(
    server: ScriptedServer, repository: Repository, extra: int, has_length: bool
) -> None:
    """A body that is longer than the descriptor says is an integrity error, told or not."""
    server.on("GET", PATH).reply(Reply(body=CONTENT + b"x" * extra, has_length=has_length))
    with pytest.raises(SizeMismatchError) as caught:
        read(repository)
    assert caught.value.expected == str(len(CONTENT))
    assert caught.value.origin == "source"


def test_fewer_bytes_than_promised_are_refused(
    server: ScriptedServer, repository: Repository
) -> None:
    """A Content-Length below the size of the descriptor is an integrity error."""
    server.on("GET", PATH).reply(Reply(body=CONTENT[:-1]))
    with pytest.raises(SizeMismatchError):
        read(repository)


def test_an_unknown_blob_is_not_found(server: ScriptedServer, repository: Repository) -> None:
    """A 404 names the blob and is not tried again."""
    server.on("GET", PATH).reply(Reply.error(404, "BLOB_UNKNOWN"))
    with pytest.raises(ContentNotFoundError, match="BLOB_UNKNOWN"):
        read(repository)
    assert len(server.requests()) == 1


def test_a_cancelled_run_stops_between_chunks(
    server: ScriptedServer, repository: Repository, lab: Lab
) -> None:
    """After a cancellation no further chunk comes."""
    server.on("GET", PATH).reply(ranged)
    with pytest.raises(CancelledError), repository.open(BLOB) as chunks:
        next(chunks)
        lab.token.cancel()
        next(chunks)


def test_half_read_blobs_leave_no_connection_behind(server: ScriptedServer) -> None:
    """Whoever stops reading gives the connection's place back, so that others are not stuck."""
    server.on("GET", PATH).reply(ranged)
    with open_lab(ClientOptions(timeout=5.0, jobs=1)) as lab:
        repository = lab.client.repository(server.host, "team/app", origin="source")
        for _ in range(3):
            with repository.open(BLOB) as chunks:
                next(chunks)
        assert read(repository) == CONTENT


def test_connections_are_used_again(server: ScriptedServer, repository: Repository) -> None:
    """Answers that were read, also unwelcome ones, leave their connection for the next request."""
    server.on("GET", PATH).reply(Reply.error(404, "BLOB_UNKNOWN"), ranged)
    server.on("HEAD", PATH).reply(ranged)
    with pytest.raises(ContentNotFoundError):
        read(repository)
    assert repository.has_blob(BLOB)
    assert read(repository) == CONTENT
    assert read(repository) == CONTENT
    # one more is the question whether TLS is spoken
    assert server.connections == 2


def test_has_blob_compares_the_size(server: ScriptedServer, repository: Repository) -> None:
    """A blob that is there with another size is an integrity error, not a presence."""
    server.on("HEAD", PATH).reply(Reply(body=CONTENT), Reply(404), Reply(body=b"x"))
    assert repository.has_blob(BLOB)
    assert not repository.has_blob(BLOB)
    with pytest.raises(SizeMismatchError):
        repository.has_blob(BLOB)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_without_credentials(
    server: ScriptedServer, lab: Lab, status: int
) -> None:
    """Another host gets the range but no Authorization; so real storages are used."""
    with ScriptedServer() as storage:
        storage.on("GET", "/signed.*").reply(ranged)
        server.on("GET", PATH, authorization="Basic .*").reply(
            Reply(status, {"Location": f"{storage.url}/signed?key=1"})
        )
        server.on("GET", PATH).reply(Reply(401, {"WWW-Authenticate": 'Basic realm="x"'}))
        repository = _with_password(lab, server)
        assert read(repository, 7) == CONTENT[7:]
        [seen] = storage.requests()
        assert "authorization" not in seen.headers
        assert seen.headers["range"] == "bytes=7-"
        assert seen.headers["host"] == storage.host


def test_a_redirect_to_itself_keeps_the_credentials(server: ScriptedServer, lab: Lab) -> None:
    """A redirect within the registry's own scheme, host and port carries Authorization."""
    server.on("GET", PATH).reply(
        Reply(401, {"WWW-Authenticate": 'Basic realm="x"'}), Reply(307, {"Location": "/elsewhere"})
    )
    server.on("GET", "/elsewhere", authorization="Basic .*").reply(ranged)
    assert read(_with_password(lab, server)) == CONTENT


def _with_password(lab: Lab, server: ScriptedServer) -> Repository:
    lab.credentials.credential = Credential("user", "secret")
    return lab.client.repository(server.host, "team/app", origin="source")


def test_an_expired_link_is_asked_for_anew(
    server: ScriptedServer, repository: Repository, lab: Lab
) -> None:
    """A storage that refuses its link is asked again by a fresh link of the registry."""
    with ScriptedServer() as storage:
        storage.on("GET", "/old").reply(Reply(403, {}, b"<Error>expired</Error>"))
        storage.on("GET", "/new").reply(ranged)
        server.on("GET", PATH).reply(
            Reply(307, {"Location": f"{storage.url}/old"}),
            Reply(307, {"Location": f"{storage.url}/new"}),
        )
        assert read(repository) == CONTENT
    assert len(lab.waits) == 1


def test_a_redirect_in_circles_ends(server: ScriptedServer, repository: Repository) -> None:
    """At most five redirects are followed, then the registry breaks the protocol."""
    server.on("GET", ".*").reply(lambda seen: Reply(307, {"Location": f"{seen.path}x"}))
    with pytest.raises(RegistryProtocolError, match="redirected") as caught:
        read(repository)
    assert len(server.requests()) == 6
    assert caught.value.exit_code == 13


@pytest.mark.parametrize(
    "location", ["ftp://x/y", "http://host:port/", "http://user:pw@127.0.0.1/x", "ht\x0btp"]
)
def test_a_redirect_to_nonsense_is_refused(
    server: ScriptedServer, repository: Repository, location: str
) -> None:
    """A redirect to what is no http url, or to one with credentials, is not followed."""
    server.on("GET", PATH).reply(Reply(307, {"Location": location}))
    with pytest.raises(RegistryProtocolError) as caught:
        read(repository)
    assert "pw" not in caught.value.message
    assert len(server.requests()) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_moods_of_a_server_pass(
    server: ScriptedServer, repository: Repository, lab: Lab, status: int
) -> None:
    """Answers that may be another next time are waited for."""
    server.on("GET", PATH).reply(Reply(status), ranged)
    assert read(repository) == CONTENT
    assert len(lab.waits) == 1


def test_retry_after_is_obeyed(server: ScriptedServer, repository: Repository, lab: Lab) -> None:
    """The pause is at least what the server asks for."""
    server.on("GET", PATH).reply(Reply(429, {"Retry-After": "7"}), ranged)
    assert read(repository) == CONTENT
    assert lab.waits[0] >= 7


def test_a_long_retry_after_ends_the_run(
    server: ScriptedServer, repository: Repository, lab: Lab
) -> None:
    """A pause above max_wait is not waited for; the error says when to go on."""
    server.on("GET", PATH).reply(Reply(429, {"Retry-After": "3600"}))
    with pytest.raises(UnavailableError, match="3600 seconds") as caught:
        read(repository)
    assert caught.value.retry_after == 3600
    assert "--max-wait" in (caught.value.hint or "")
    assert lab.waits == []
    assert len(server.requests()) == 1


def test_a_dropped_connection_is_tried_again(
    server: ScriptedServer, repository: Repository, lab: Lab
) -> None:
    """A connection that closes without an answer is opened anew."""
    server.on("GET", PATH).reply(Reply(drops=True), ranged)
    assert read(repository) == CONTENT


def test_a_refused_connection_names_the_host(lab: Lab) -> None:
    """Nobody listening is unavailable, and the message says where."""
    with ScriptedServer() as gone:
        host = gone.host
    with pytest.raises(UnavailableError, match=re.escape(host)) as caught:
        read(lab.client.repository(host, "team/app", origin="source"))
    assert caught.value.hint
    assert len(lab.waits) == 5


def test_an_unknown_host_is_named_at_once(lab: Lab) -> None:
    """A host that has no address is not tried again."""
    with pytest.raises(UnavailableError, match=r"registry\.invalid"):
        read(lab.client.repository("registry.invalid", "team/app", origin="source"))
    assert lab.waits == []


def test_a_warning_is_shown_once(server: ScriptedServer, repository: Repository, lab: Lab) -> None:
    """Each text of a Warning header is passed on once, without control characters."""
    headers = {"Warning": '299 - "going\x1baway"'}
    server.on("HEAD", PATH).reply(Reply(200, headers, CONTENT))
    for _ in range(3):
        assert repository.has_blob(BLOB)
    [notice] = lab.events
    assert notice.message == f"{server.host}: going away"  # type: ignore[union-attr]
