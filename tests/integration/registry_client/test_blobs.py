"""The registry client reads blobs from a server that breaks, stalls and lies."""

from __future__ import annotations

import pytest

from airgap.errors import (
    CancelledError,
    ContentNotFoundError,
    SizeMismatchError,
    UnavailableError,
)
from airgap.oci.descriptor import Descriptor
from airgap.registry.options import ClientOptions
from airgap.registry.repository import Repository
from airgap.run.events import RetryScheduled
from tests.support.downloading import BLOB, CONTENT, PATH, ranged, read
from tests.support.registry_client import Lab, open_lab
from tests.support.scripted_server import Reply, ScriptedServer, Seen


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


def test_a_refusal_is_no_content_whatever_it_says(
    server: ScriptedServer, repository: Repository
) -> None:
    """The body of a 416 is not taken for the blob, though its Content-Range would fit."""
    rest = f"bytes 1000-{len(CONTENT) - 1}/{len(CONTENT)}"
    server.on("GET", PATH, range=".+").reply(Reply(416, {"Content-Range": rest}, CONTENT[::-1]))
    server.on("GET", PATH).reply(ranged)
    assert read(repository, 1000) == CONTENT[1000:]


def test_a_range_of_an_unknown_total_is_taken(
    server: ScriptedServer, repository: Repository
) -> None:
    """A server need not say how much there is in all (RFC 9110, section 14.4)."""
    part = Reply(206, {"Content-Range": f"bytes 1000-{len(CONTENT) - 1}/*"}, CONTENT[1000:])
    server.on("GET", PATH).reply(part)
    assert read(repository, 1000) == CONTENT[1000:]
    assert len(server.requests()) == 1


def test_a_server_may_learn_ranges_while_its_answer_is_dropped(
    server: ScriptedServer, repository: Repository
) -> None:
    """A 200 that breaks before the byte that is wanted leaves nothing to be dropped of a 206."""
    server.on("GET", PATH).reply(Reply(body=CONTENT, cut_after=50_000), ranged)
    assert read(repository, 100_000) == CONTENT[100_000:]


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


def test_a_storage_that_lost_a_blob_does_not_have_it(
    server: ScriptedServer, repository: Repository
) -> None:
    """A link to a storage that answers 410 counts as absent, so that the blob is sent again."""
    with ScriptedServer() as storage:
        storage.on("HEAD", ".*").reply(Reply(410))
        server.on("HEAD", PATH).reply(Reply(307, {"Location": f"{storage.url}/gone"}))
        assert not repository.has_blob(BLOB)


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
