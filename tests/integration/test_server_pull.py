"""The embedded registry gives out blobs, whole and in part."""

from __future__ import annotations

from email import message_from_bytes
from email.policy import HTTP

import pytest

from airgap.oci import mediatype
from tests.support import builders
from tests.support.builders import push, push_blob, random_blob

NAME = "team/app"


@pytest.mark.parametrize("path", ["/v2/", "/v2"])
def test_a_registry_says_that_it_is_one(wire, path):
    """The base endpoint answers 200, and every answer names the version of the API."""
    assert wire.ask("GET", path, status=200).json == {}
    assert wire.ask("HEAD", path, status=200).body == b""
    answer = wire.ask("GET", "/v2/nothing/tags/list", status=404)
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert answer.code == "NAME_UNKNOWN"


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_a_blob_is_sent_whole(store, wire, size):
    """GET gives the bytes, HEAD the same headers without them."""
    found = random_blob(size)
    push_blob(store, found)
    path = f"/v2/{NAME}/blobs/{found.descriptor.digest}"
    got, asked = wire.ask("GET", path, status=200), wire.ask("HEAD", path, status=200)
    assert (got.body, asked.body) == (found.data, b"")
    for answer in (got, asked):
        assert answer.headers["Content-Length"] == str(size)
        assert answer.headers["Content-Type"] == mediatype.OCTET_STREAM
        assert answer.headers["Docker-Content-Digest"] == str(found.descriptor.digest)
        assert answer.headers["ETag"] == f'"{found.descriptor.digest}"'
        assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=1048570-1048590", 1048570, 1048591),
        ("bytes=2000000-", 2000000, 2500000),
        ("bytes=-7", 2499993, 2500000),
        ("bytes=100-99999999", 100, 2500000),
    ],
)
def test_a_part_of_a_blob_is_sent(store, wire, asked, start, end):
    """A range gives 206 with exactly those bytes, and the connection can be used again."""
    found = random_blob(2_500_000)
    push_blob(store, found)
    path = f"/v2/{NAME}/blobs/{found.descriptor.digest}"
    answer = wire.ask("GET", path, headers={"Range": asked}, status=206)
    assert answer.body == found.data[start:end]
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/2500000"
    assert wire.ask("GET", path, status=200).body == found.data


def test_a_range_beyond_the_end_is_refused(store, wire):
    """416 says how large the blob is."""
    found = random_blob(10)
    push_blob(store, found)
    path = f"/v2/{NAME}/blobs/{found.descriptor.digest}"
    answer = wire.ask("GET", path, headers={"Range": "bytes=10-"}, status=416)
    assert answer.headers["Content-Range"] == "bytes */10"


def test_conditions_are_honoured(store, wire):
    """The same ETag is 304; a range of another ETag gives the whole blob."""
    found = random_blob(10)
    push_blob(store, found)
    path, etag = f"/v2/{NAME}/blobs/{found.descriptor.digest}", f'"{found.descriptor.digest}"'
    assert wire.ask("GET", path, headers={"If-None-Match": etag}, status=304).body == b""
    ranged = {"Range": "bytes=5-", "If-Range": etag}
    assert wire.ask("GET", path, headers=ranged, status=206).body == found.data[5:]
    ranged = {"Range": "bytes=5-", "If-Range": '"other"'}
    assert wire.ask("GET", path, headers=ranged, status=200).body == found.data


def test_several_parts_of_a_blob_are_sent_as_one_body(store, wire):
    """Each part says where it belongs, and the connection can be used again."""
    found = random_blob(2_500_000)
    push_blob(store, found)
    path = f"/v2/{NAME}/blobs/{found.descriptor.digest}"
    asked = {"Range": "bytes=-3,100-1200000,5-5"}
    answer = wire.ask("GET", path, headers=asked, status=206)
    assert "Content-Range" not in answer.headers
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    parts = message_from_bytes(head + answer.body, policy=HTTP).get_payload()
    spans = [(2499997, 2500000), (100, 1200001), (5, 6)]
    assert [part["Content-Range"] for part in parts] == [
        f"bytes {start}-{end - 1}/2500000" for start, end in spans
    ]
    boundary = answer.headers["Content-Type"].partition("boundary=")[2].encode()
    pieces = answer.body.split(b"\r\n--" + boundary)[1:-1]
    for piece, (start, end) in zip(pieces, spans, strict=True):
        assert piece.partition(b"\r\n\r\n")[2] == found.data[start:end]
    assert (
        wire.ask("GET", path, headers={"Range": "bytes=0-3,2-9"}, status=206).body
        == (found.data[:10])
    )
    assert wire.ask("GET", path, status=200).body == found.data


def test_a_range_that_ends_before_it_begins_is_refused(store, wire):
    """Such a range is a mistake, of which the client gets to know."""
    found = random_blob(1000)
    push_blob(store, found)
    path = f"/v2/{NAME}/blobs/{found.descriptor.digest}"
    wire.ask("GET", path, headers={"Range": "bytes=500-0"}, status=416)


def test_conditions_hold_for_manifests_and_for_head(store, wire):
    """304 comes for every tag of a list, for the star, and without a body."""
    content = push(store, builders.index([]), tag="1.0")
    blob = random_blob(10)
    push_blob(store, blob)
    for path, etag in (
        (f"/v2/{NAME}/manifests/1.0", f'"{content.digest}"'),
        (f"/v2/{NAME}/blobs/{blob.descriptor.digest}", f'"{blob.descriptor.digest}"'),
    ):
        for method in ("GET", "HEAD"):
            for condition in (etag, f'W/"x", W/{etag}', "*"):
                headers = {"If-None-Match": condition}
                answer = wire.ask(method, path, headers=headers, status=304)
                assert (answer.body, answer.headers["ETag"]) == (b"", etag)
            wire.ask(method, path, headers={"If-None-Match": '"x"'}, status=200)


def test_a_blob_is_reachable_only_where_it_is_linked(registry, store, wire):
    """A blob of one repository is unknown to the others."""
    found = random_blob(10)
    push_blob(registry.repository("elsewhere"), found)
    path = f"/v2/{NAME}/blobs/{found.descriptor.digest}"
    assert wire.ask("GET", path, status=404).code == "BLOB_UNKNOWN"
    wire.ask("HEAD", path, status=404)
