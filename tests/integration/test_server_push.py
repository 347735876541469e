"""The embedded registry takes blobs in every way that clients push them."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from airgap.content.repository import StoredRepository
from airgap.content.sessions import StoredUpload
from airgap.oci.digest import Digest
from airgap.server.settings import RegistrySettings
from tests.support.builders import blob, push_blob, random_blob
from tests.support.embedded import CutBody, EmbeddedRegistry
from tests.support.wire import Wire

UPLOADS = "/v2/team/app/blobs/uploads/"


def has(registry, data):
    """Whether the repository has exactly these bytes."""
    store = registry.repository("team/app")
    descriptor = blob(data).descriptor
    if not store.has_blob(descriptor):
        return False
    with store.open(descriptor) as chunks:
        return b"".join(chunks) == data


def begin(wire):
    """Begin an upload; gives its location."""
    answer = wire.ask("POST", UPLOADS, status=202)
    assert answer.headers["Docker-Upload-UUID"] in answer.headers["Location"]
    return answer.headers["Location"]


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_001])
def test_post_and_one_put(registry, wire, size):
    """The way of containerd and buildkit: the whole blob comes with the PUT."""
    data = random_blob(size).data
    digest = Digest.of(data)
    answer = wire.ask("PUT", f"{begin(wire)}?digest={digest}", data, status=201)
    assert answer.headers["Location"] == f"/v2/team/app/blobs/{digest}"
    assert answer.headers["Docker-Content-Digest"] == str(digest)
    assert has(registry, data)


def test_a_stream_without_a_length(registry, wire):
    """The way of docker and podman: one chunked PATCH with neither length nor range, then PUT."""
    data = random_blob(2_500_000).data
    pieces = (data[at : at + 70_000] for at in range(0, len(data), 70_000))
    answer = wire.ask("PATCH", begin(wire), pieces, status=202)
    assert answer.headers["Range"] == f"0-{len(data) - 1}"
    wire.ask("PUT", f"{answer.headers['Location']}?digest={Digest.of(data)}", status=201)
    assert has(registry, data)


def test_pieces_in_order(registry, wire):
    """Chunks with Content-Range, the last of them with the PUT."""
    data, location = random_blob(300).data, begin(wire)
    for start in (0, 100):
        ranged = {"Content-Range": f"{start}-{start + 99}"}
        answer = wire.ask("PATCH", location, data[start : start + 100], ranged, status=202)
        assert answer.headers["Range"] == f"0-{start + 99}"
        location = answer.headers["Location"]
    last = {"Content-Range": "200-299"}
    wire.ask("PUT", f"{location}?digest={Digest.of(data)}", data[200:], last, status=201)
    assert has(registry, data)


@pytest.mark.parametrize("content_range", ["100-199", "0-49", "51-149"])
def test_a_piece_out_of_order_is_refused(registry, wire, content_range):
    """A gap or an overlap is 416, says where to go on, and changes nothing."""
    data, location = random_blob(200).data, begin(wire)
    wire.ask("PATCH", location, data[:50], {"Content-Range": "0-49"}, status=202)
    answer = wire.ask("PATCH", location, b"x" * 100, {"Content-Range": content_range}, status=416)
    assert answer.code == "BLOB_UPLOAD_INVALID"
    assert answer.headers["Range"] == "0-49"
    wire.ask("PATCH", location, data[50:], {"Content-Range": "50-199"}, status=202)
    wire.ask("PUT", f"{location}?digest={Digest.of(data)}", status=201)
    assert has(registry, data)


def test_a_piece_of_another_length_is_refused(wire):
    """What Content-Range announces and what comes must be the same."""
    location = begin(wire)
    answer = wire.ask("PATCH", location, b"abc", {"Content-Range": "0-9"}, status=400)
    assert answer.code == "SIZE_INVALID"
    answer = wire.ask("PATCH", location, iter([b"abc"]), {"Content-Range": "0-9"}, status=400)
    assert answer.code == "SIZE_INVALID"
    answer = wire.ask("PATCH", location, b"abc", {"Content-Range": "nonsense"}, status=400)
    assert answer.code == "BLOB_UPLOAD_INVALID"


def test_one_single_post(registry, wire):
    """The whole blob may come with the POST."""
    data = random_blob(5_000).data
    wire.ask("POST", f"{UPLOADS}?digest={Digest.of(data)}", data, status=201)
    assert has(registry, data)
    answer = wire.ask("POST", f"{UPLOADS}?digest={Digest.of(data)}", b"other", status=400)
    assert answer.code == "DIGEST_INVALID"


@pytest.mark.parametrize("fault", [CutBody(1000), None])
def test_a_single_post_that_fails_leaves_nothing(tmp_path, fault):
    """Nobody knows the id of such an upload, so what arrived of it is thrown away."""
    data = random_blob(5_000).data
    with EmbeddedRegistry(folder=tmp_path) as registry, Wire(registry.host) as wire:
        if fault is not None:
            registry.fail(fault)
            with pytest.raises((ConnectionError, http.client.HTTPException)):
                wire.ask("POST", f"{UPLOADS}?digest={Digest.of(data)}", data)
        else:
            wire.ask("POST", f"{UPLOADS}?digest={Digest.of(b'')}", data, status=400)
    assert list((tmp_path / "uploads").iterdir()) == []


@pytest.mark.parametrize("query", ["", "&digest-algorithm=sha512"])
def test_a_blob_may_have_a_sha512_digest(registry, wire, query):
    """The digest of the last request decides by which algorithm a blob is known."""
    digest = Digest.of(b"content", "sha512")
    location = wire.ask("POST", f"{UPLOADS}?x=y{query}", status=202).headers["Location"]
    wire.ask("PUT", f"{location}?digest={digest}", b"content", status=201)
    assert wire.ask("GET", f"/v2/team/app/blobs/{digest}", status=200).body == b"content"


def test_unknown_algorithms_are_refused(wire):
    """A digest that the registry cannot check is 400."""
    assert wire.ask("POST", f"{UPLOADS}?digest-algorithm=md5", status=400).code == "DIGEST_INVALID"
    location = begin(wire)
    for digest in ("", "?digest=", "?digest=md5:00", "?digest=sha256:ABC"):
        assert wire.ask("PUT", location + digest, b"", status=400).code == "DIGEST_INVALID"


def test_a_wrong_digest_makes_nothing_visible(registry, wire):
    """The content must hash to the digest, or the upload is gone."""
    location, digest = begin(wire), Digest.of(b"right")
    answer = wire.ask("PUT", f"{location}?digest={digest}", b"wrong", status=400)
    assert answer.code == "DIGEST_INVALID"
    wire.ask("HEAD", f"/v2/team/app/blobs/{digest}", status=404)
    assert wire.ask("GET", location, status=404).code == "BLOB_UPLOAD_UNKNOWN"


def test_an_upload_says_how_far_it_is_and_can_be_thrown_away(wire):
    """GET gives the range that is there; after DELETE nobody knows the upload."""
    location = begin(wire)
    assert wire.ask("GET", location, status=204).headers["Range"] == "0-0"
    wire.ask("PATCH", location, b"0123456789", status=202)
    answer = wire.ask("GET", location, status=204)
    assert (answer.headers["Range"], answer.headers["Location"]) == ("0-9", location)
    wire.ask("DELETE", location, status=204)
    for method in ("GET", "PATCH", "DELETE"):
        assert wire.ask(method, location, status=404).code == "BLOB_UPLOAD_UNKNOWN"
    wire.ask("PUT", f"{location}?digest={Digest.of(b'')}", status=404)


def test_an_upload_belongs_to_its_repository(wire):
    """An id is of no use in another repository."""
    location = begin(wire).replace("team/app", "team/other")
    assert wire.ask("PATCH", location, b"x", status=404).code == "BLOB_UPLOAD_UNKNOWN"


@pytest.mark.parametrize("after", [0, 1, 700_000, 1_500_000])
def test_an_upload_goes_on_after_a_break(registry, wire, after):
    """What arrived before the connection broke is kept, and the rest is taken from there."""
    data, location = random_blob(2_000_000).data, begin(wire)
    registry.fail(CutBody(after), method="PUT")
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        wire.ask("PUT", f"{location}?digest={Digest.of(data)}", data)
    with Wire(registry.host) as second:
        held = 0
        if after:
            # the registry may still be writing when the client asks for the first time
            for _ in range(200):
                held = int(second.ask("GET", location, status=204).headers["Range"][2:]) + 1
                if held == after:
                    break
                time.sleep(0.01)
            assert held == after
        ranged = {"Content-Range": f"{held}-{len(data) - 1}"}
        second.ask("PATCH", location, data[held:], ranged, status=202)
        second.ask("PUT", f"{location}?digest={Digest.of(data)}", status=201)
    assert has(registry, data)


def test_a_hanging_request_does_not_keep_an_upload(registry, wire):
    """The client's next request takes an upload over from one whose connection is dead."""
    data, location = random_blob(200_000).data, begin(wire)
    host, _, port = registry.host.partition(":")
    with socket.create_connection((host, int(port))) as dead:
        head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
        dead.sendall(head.encode() + data[:50_000])
        # what the dead one sent may or may not count; the registry says where to go on
        answer = wire.ask("PATCH", location, b"", status=202)
        held = int(answer.headers["Range"][2:]) + 1
        held = 0 if held == 1 else held
        ranged = {"Content-Range": f"{held}-{len(data) - 1}"}
        wire.ask("PATCH", location, data[held:], ranged, status=202)
        dead.sendall(data[50_000:])
        assert dead.recv(1000).startswith(b"HTTP/1.1 400")
        wire.ask("PUT", f"{location}?digest={Digest.of(data)}", status=201)
    assert has(registry, data)


def test_who_comes_while_an_upload_is_finished_is_told_that_it_is_over(registry, wire, monkeypatch):
    """The one request finishes the upload; for the other there is none any more, and no error."""
    data, location = random_blob(200_000).data, begin(wire)
    wire.ask("PATCH", location, data, status=202)
    is_finishing, is_found = threading.Event(), threading.Event()
    commit, find = StoredUpload.commit, StoredRepository.find_upload

    def slow_commit(self, digest, /):
        is_finishing.set()
        assert is_found.wait(10)
        return commit(self, digest)

    def watched_find(self, upload_id, /):
        found = find(self, upload_id)
        if is_finishing.is_set():
            is_found.set()
        return found

    monkeypatch.setattr(StoredUpload, "commit", slow_commit)
    monkeypatch.setattr(StoredRepository, "find_upload", watched_find)
    path = f"{location}?digest={Digest.of(data)}"
    with ThreadPoolExecutor() as pool, Wire(registry.host) as other:
        first = pool.submit(other.ask, "PUT", path)
        assert is_finishing.wait(10)
        late = wire.ask("PUT", path, status=404)
        assert first.result(10).status == 201
    assert late.code == "BLOB_UPLOAD_UNKNOWN"
    assert has(registry, data)


def test_a_blob_is_mounted(registry, wire):
    """With a repository that has it, or with none named: 201 and no upload."""
    found = random_blob(1000)
    push_blob(registry.repository("team/base"), found)
    digest = found.descriptor.digest
    assert not has(registry, found.data)
    answer = wire.ask("POST", f"{UPLOADS}?mount={digest}&from=team/base", status=201)
    assert answer.headers["Location"] == f"/v2/team/app/blobs/{digest}"
    assert has(registry, found.data)
    wire.ask("POST", f"/v2/third/blobs/uploads/?mount={digest}", status=201)
    assert registry.repository("third").has_blob(found.descriptor)


@pytest.mark.parametrize("origin", ["&from=team/nothing", "&from=../x", "&from=A", ""])
def test_what_cannot_be_mounted_can_be_uploaded(registry, wire, origin):
    """A mount of what is not there begins an upload instead."""
    data = b"not there yet"
    digest = Digest.of(data)
    answer = wire.ask("POST", f"{UPLOADS}?mount={digest}{origin}", status=202)
    wire.ask("PUT", f"{answer.headers['Location']}?digest={digest}", data, status=201)
    assert has(registry, data)
    assert wire.ask("POST", f"{UPLOADS}?mount=nonsense", status=400).code == "DIGEST_INVALID"


def test_mounts_can_be_switched_off():
    """A registry that does not mount takes the blob as an upload."""
    with EmbeddedRegistry(settings=RegistrySettings(mounts=False)) as registry:
        found = random_blob(10)
        push_blob(registry.repository("a"), found)
        with Wire(registry.host) as wire:
            query = f"?mount={found.descriptor.digest}&from=a"
            wire.ask("POST", UPLOADS + query, status=202)


def test_the_least_length_of_a_piece_is_advertised():
    """A registry that wants larger pieces says so when an upload begins."""
    with EmbeddedRegistry(settings=RegistrySettings(chunk_min_length=1234)) as registry:
        with Wire(registry.host) as wire:
            answer = wire.ask("POST", UPLOADS, status=202)
            assert answer.headers["OCI-Chunk-Min-Length"] == "1234"


def test_errors_have_the_body_of_the_specification(wire):
    """An error is a JSON document with a list of codes, messages and details."""
    answer = wire.ask("GET", UPLOADS + "0" * 32, status=404)
    assert answer.headers["Content-Type"] == "application/json"
    assert json.loads(answer.body) == {
        "errors": [
            {
                "code": "BLOB_UPLOAD_UNKNOWN",
                "message": "blob upload unknown to registry",
                "detail": "0" * 32,
            }
        ]
    }
