"""The embedded registry gives out what it has, as clients ask for it."""

from __future__ import annotations

import http.client
import ssl
import threading
import urllib.request

import pytest
import trustme

from airgap.content.memory import MemoryDepot
from airgap.errors import StorageError, UnavailableError
from airgap.oci import mediatype
from airgap.oci.digest import Digest
from airgap.server.background import serve_in_thread
from airgap.server.settings import RegistrySettings
from tests.support import builders
from tests.support.builders import push, push_blob, random_blob
from tests.support.embedded import CutAnswer, Drop, EmbeddedRegistry, Lose, Status
from tests.support.wire import Wire

NAME = "team/app"


@pytest.fixture(params=["memory", "folder"])
def registry(request, tmp_path):
    folder = tmp_path / "data" if request.param == "folder" else None
    with EmbeddedRegistry(folder=folder) as registry:
        yield registry


@pytest.fixture
def store(registry):
    return registry.repository(NAME)


@pytest.fixture
def wire(registry):
    with Wire(registry.host) as wire:
        yield wire


def serving(**switches):
    """A registry in memory with switches."""
    return EmbeddedRegistry(settings=RegistrySettings(**switches))


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


def test_a_blob_is_reachable_only_where_it_is_linked(registry, store, wire):
    """A blob of one repository is unknown to the others."""
    found = random_blob(10)
    push_blob(registry.repository("elsewhere"), found)
    path = f"/v2/{NAME}/blobs/{found.descriptor.digest}"
    assert wire.ask("GET", path, status=404).code == "BLOB_UNKNOWN"
    wire.ask("HEAD", path, status=404)


@pytest.mark.parametrize("accept", [None, "*/*", "text/html", "application/json;q=1, x"])
def test_a_manifest_comes_with_its_stored_type(store, wire, accept):
    """Whatever a client says it accepts, it gets the bytes and the type that were pushed."""
    headers = {} if accept is None else {"Accept": accept}
    for content in (builders.multi_platform(), builders.image(docker=True)):
        push(store, content, tag="1.0")
        for reference in ("1.0", content.digest):
            path = f"/v2/{NAME}/manifests/{reference}"
            got = wire.ask("GET", path, headers=headers, status=200)
            asked = wire.ask("HEAD", path, headers=headers, status=200)
            assert (got.body, asked.body) == (content.raw, b"")
            for answer in (got, asked):
                assert answer.headers["Content-Type"] == content.descriptor.media_type
                assert answer.headers["Content-Length"] == str(len(content.raw))
                assert answer.headers["Docker-Content-Digest"] == str(content.digest)


@pytest.mark.parametrize("reference", ["nothing", ".INVALID", str(Digest.of(b"x"))])
def test_an_unknown_manifest_is_404(wire, reference):
    """So is a reference that could not be one."""
    path = f"/v2/{NAME}/manifests/{reference}"
    assert wire.ask("GET", path, status=404).code == "MANIFEST_UNKNOWN"
    wire.ask("HEAD", path, status=404)
    assert wire.ask("DELETE", path, status=404).code == "MANIFEST_UNKNOWN"


def put(wire, content, reference, *, status=201, raw=None, media_type=None):
    """Push a manifest."""
    return wire.ask(
        "PUT",
        f"/v2/{NAME}/manifests/{reference}",
        content.raw if raw is None else raw,
        {"Content-Type": media_type or content.descriptor.media_type},
        status=status,
    )


def test_a_manifest_is_pushed_by_tag_or_digest(store, wire):
    """The answer names the digest, and where the manifest is."""
    content = builders.image()
    for found in content.blobs:
        push_blob(store, found)
    for reference in ("1.0", content.digest):
        answer = put(wire, content, reference)
        assert answer.headers["Location"] == f"/v2/{NAME}/manifests/{content.digest}"
        assert answer.headers["Docker-Content-Digest"] == str(content.digest)
        assert "OCI-Subject" not in answer.headers
    assert store.resolve("1.0").digest == content.digest


def test_a_manifest_that_is_wrong_is_refused(store, wire):
    """Another digest, no JSON, another type, a bad tag: each gets its error, and nothing stays."""
    content, other = push(store, builders.image()), builders.image(seed=2)
    assert put(wire, content, other.digest, status=400).code == "DIGEST_INVALID"
    assert put(wire, content, "x", raw=b"{", status=400).code == "MANIFEST_INVALID"
    assert put(wire, content, "x", raw=b"[]", status=400).code == "MANIFEST_INVALID"
    assert (
        put(wire, content, "x", media_type=mediatype.OCI_INDEX, status=400).code
        == "MANIFEST_INVALID"
    )
    assert put(wire, content, "-x", status=400).code == "MANIFEST_INVALID"
    assert put(wire, other, "x", status=400).code == "MANIFEST_BLOB_UNKNOWN"
    assert list(store.tags()) == []


def test_a_manifest_may_have_4_mib_and_not_more(store, wire):
    """The limit holds with a length and without one, and the largest manifest is taken."""
    limit = RegistrySettings().max_manifest
    whole = builders.manifest(builders.blob(b"{}"), annotations={"x": ""})
    padding = "y" * (limit - len(whole.raw))
    largest = builders.manifest(builders.blob(b"{}"), annotations={"x": padding})
    assert len(largest.raw) == limit
    push_blob(store, largest.blobs[0])
    put(wire, largest, "largest")
    assert store.manifest("largest").raw == largest.raw
    for raw in (largest.raw + b" ", iter([largest.raw, b" "])):
        with Wire(wire_host(wire)) as own:
            answer = put(own, largest, "larger", raw=raw, status=413)
            assert answer.code == "SIZE_INVALID"


def wire_host(wire):
    """Where a connection leads."""
    return f"{wire._connection.host}:{wire._connection.port}"


def test_sparse_indexes_can_be_refused():
    """As the CNCF registry does it: an index is refused while a manifest of it is missing."""
    missing = builders.image(seed=1)
    there = builders.image(seed=2)
    sparse = builders.index([there], without=[missing])
    with serving(sparse_indexes=False) as registry, Wire(registry.host) as wire:
        push(registry.repository(NAME), there)
        answer = put(wire, sparse, "1.0", status=400)
        assert answer.code == "MANIFEST_BLOB_UNKNOWN"
        assert str(missing.digest) in answer.json["errors"][0]["detail"]
        push(registry.repository(NAME), missing)
        put(wire, sparse, "1.0")


def test_tags_are_listed_by_pages(store, wire):
    """Following the links gives every tag once, in lexical order."""
    tags = sorted(f"v{number}" for number in range(25))
    for tag in tags:
        push(store, builders.index([]), tag=tag)
    assert wire.ask("GET", f"/v2/{NAME}/tags/list", status=200).json == {"name": NAME, "tags": tags}
    path, got, pages = f"/v2/{NAME}/tags/list?n=10", [], 0
    while path and pages < 10:
        answer = wire.ask("GET", path, status=200)
        got += answer.json["tags"]
        pages += 1
        link = answer.headers.get("Link")
        path = link.partition("<")[2].partition(">")[0] if link else None
    assert (got, pages) == (tags, 3)
    answer = wire.ask("GET", f"/v2/{NAME}/tags/list?n=0", status=200)
    assert (answer.json["tags"], answer.headers.get("Link")) == ([], None)
    answer = wire.ask("GET", f"/v2/{NAME}/tags/list?n=2&last=v10x", status=200)
    assert answer.json["tags"] == ["v11", "v12"]
    wire.ask("GET", f"/v2/{NAME}/tags/list?n=x", status=400)


def test_repositories_are_listed_by_pages(registry, wire):
    """The catalog has the same pages as tags have."""
    for name in ("b", "a/x", "c"):
        push(registry.repository(name), builders.index([]))
    assert wire.ask("GET", "/v2/_catalog").json == {"repositories": ["a/x", "b", "c"]}
    answer = wire.ask("GET", "/v2/_catalog?n=2")
    assert answer.json == {"repositories": ["a/x", "b"]}
    assert answer.headers["Link"] == '</v2/_catalog?n=2&last=b>; rel="next"'


def test_referrers_are_listed_and_filtered(store, wire):
    """The list is an index; a filter is applied and said; an unknown digest has none."""
    content = push(store, builders.image())
    sbom = push(store, builders.sbom(content.descriptor))
    kind = "application/vnd.example.sig+json"
    signature = push(store, builders.artifact(kind, subject=content.descriptor))
    path = f"/v2/{NAME}/referrers/{content.digest}"
    answer = wire.ask("GET", path, status=200)
    assert answer.headers["Content-Type"] == mediatype.OCI_INDEX
    assert "OCI-Filters-Applied" not in answer.headers
    found = {entry["digest"]: entry for entry in answer.json["manifests"]}
    assert set(found) == {str(sbom.digest), str(signature.digest)}
    assert found[str(sbom.digest)]["annotations"] == dict(sbom.document.annotations)
    filtered = wire.ask("GET", f"{path}?artifactType={kind.replace('+', '%2B')}", status=200)
    assert filtered.headers["OCI-Filters-Applied"] == "artifactType"
    assert [entry["digest"] for entry in filtered.json["manifests"]] == [str(signature.digest)]
    empty = wire.ask("GET", f"/v2/{NAME}/referrers/{Digest.of(b'')}", status=200)
    assert empty.json["manifests"] == []


def test_a_push_with_a_subject_is_acknowledged(store, wire):
    """OCI-Subject tells the client that it need not keep a fallback tag."""
    content = push(store, builders.image())
    referrer = builders.sbom(content.descriptor)
    for found in referrer.blobs:
        push_blob(store, found)
    answer = put(wire, referrer, referrer.digest)
    assert answer.headers["OCI-Subject"] == str(content.digest)


def test_the_referrers_api_can_be_switched_off():
    """Without it there is a 404 and no OCI-Subject, as with older registries."""
    with serving(referrers=False) as registry, Wire(registry.host) as wire:
        store = registry.repository(NAME)
        content = push(store, builders.image())
        referrer = builders.sbom(content.descriptor)
        for found in referrer.blobs:
            push_blob(store, found)
        assert "OCI-Subject" not in put(wire, referrer, referrer.digest).headers
        wire.ask("GET", f"/v2/{NAME}/referrers/{content.digest}", status=404)


def test_referrers_come_by_pages_where_that_is_wanted():
    """Following the links gives every referrer once, with the filter kept."""
    with serving(referrers_page=2) as registry, Wire(registry.host) as wire:
        store = registry.repository(NAME)
        content = push(store, builders.image())
        pushed = {
            str(push(store, builders.sbom(content.descriptor, seed=n)).digest) for n in range(5)
        }
        path, got = f"/v2/{NAME}/referrers/{content.digest}?artifactType={builders.SPDX}", []
        for _ in range(4):
            answer = wire.ask("GET", path.replace("+", "%2B"), status=200)
            assert answer.headers["OCI-Filters-Applied"] == "artifactType"
            got += [entry["digest"] for entry in answer.json["manifests"]]
            link = answer.headers.get("Link")
            if link is None:
                break
            path = link.partition("<")[2].partition(">")[0]
        assert len(got) == 5
        assert set(got) == pushed


def test_what_was_pushed_can_be_deleted(store, wire):
    """Tags, manifests and blobs are gone after a 202, and asking again is 404."""
    content = push(store, builders.image(), tag="1.0")
    push(store, content, tag="2.0")
    blob_path = f"/v2/{NAME}/blobs/{content.blobs[0].descriptor.digest}"
    for path, code in (
        (f"/v2/{NAME}/manifests/1.0", "MANIFEST_UNKNOWN"),
        (f"/v2/{NAME}/manifests/{content.digest}", "MANIFEST_UNKNOWN"),
        (blob_path, "BLOB_UNKNOWN"),
    ):
        wire.ask("DELETE", path, status=202)
        assert wire.ask("GET", path, status=404).code == code
        assert wire.ask("DELETE", path, status=404).code == code
    wire.ask("GET", f"/v2/{NAME}/manifests/2.0", status=404)


def test_deleting_can_be_switched_off():
    """A registry that does not delete says 405."""
    with serving(deletes=False) as registry, Wire(registry.host) as wire:
        content = push(registry.repository(NAME), builders.image(), tag="1.0")
        for path in (
            f"/v2/{NAME}/manifests/1.0",
            f"/v2/{NAME}/blobs/{content.blobs[0].descriptor.digest}",
        ):
            assert wire.ask("DELETE", path, status=405).code == "UNSUPPORTED"
        wire.ask("HEAD", f"/v2/{NAME}/manifests/1.0", status=200)


def test_a_registry_can_speak_tls(tmp_path):
    """With a certificate everything works the same, large files included."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    found = random_blob(3_000_000)
    with EmbeddedRegistry(folder=tmp_path / "data", ssl_context=context) as registry:
        assert registry.url == f"https://{registry.host}"
        push_blob(registry.repository(NAME), found)
        url = f"{registry.url}/v2/{NAME}/blobs/{found.descriptor.digest}"
        with urllib.request.urlopen(url, context=client) as response:
            assert response.read() == found.data


class _Breaking:
    """A repository whose blobs break off after some bytes."""

    def __init__(self, repository, error):
        self._repository = repository
        self._error = error

    def open(self, descriptor, *, offset=0):
        return builders.opened(b"")

    def read_manifest(self, reference):
        raise self._error

    def __getattr__(self, name):
        return getattr(self._repository, name)


class _BreakingDepot(MemoryDepot):
    """A depot whose repositories fail."""

    def repository(self, name):
        return _Breaking(super().repository(name), StorageError("/secret/path: I/O error"))


def test_a_blob_that_breaks_off_does_not_look_whole():
    """The connection is cut, so that no client takes the beginning for the whole."""
    with EmbeddedRegistry(depot=_BreakingDepot()) as registry, Wire(registry.host) as wire:
        found = random_blob(100)
        push_blob(registry.repository(NAME), found)
        with pytest.raises((OSError, http.client.HTTPException)):
            wire.ask("GET", f"/v2/{NAME}/blobs/{found.descriptor.digest}")


def test_a_failure_of_the_storage_is_500_without_paths():
    """A client gets to know that the registry failed, but not where its files lie."""
    with EmbeddedRegistry(depot=_BreakingDepot()) as registry, Wire(registry.host) as wire:
        answer = wire.ask("GET", f"/v2/{NAME}/manifests/x", status=500)
        assert answer.code == "UNKNOWN"
        assert b"secret" not in answer.body


def test_a_slow_store_does_not_stall_other_requests():
    """While one request waits for the storage, others are answered."""
    entered, release = threading.Event(), threading.Event()

    class Slow(MemoryDepot):
        def repositories(self):
            entered.set()
            assert release.wait(30)
            return iter(())

    with EmbeddedRegistry(depot=Slow()) as registry:

        def ask() -> None:
            with Wire(registry.host) as wire:
                wire.ask("GET", "/v2/_catalog", status=200)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            assert entered.wait(30)
            with Wire(registry.host) as wire:
                wire.ask("GET", "/v2/", status=200)
        finally:
            release.set()
            thread.join()


def test_an_address_in_use_is_an_error():
    """A port that somebody else has is said in one line."""
    with EmbeddedRegistry() as registry:
        port = int(registry.host.partition(":")[2])
        with pytest.raises(UnavailableError, match="cannot listen"):
            with serve_in_thread(MemoryDepot(), port=port):
                pass


def test_faults_do_what_they_say(store, registry, wire):
    """The faults that other tests inject happen as often as asked, and are counted."""
    found = random_blob(1000)
    push_blob(store, found)
    path = f"/v2/{NAME}/blobs/{found.descriptor.digest}"
    registry.fail(Status(503, {"Retry-After": "1"}), Drop(), method="GET", path="/blobs/", after=1)
    assert wire.ask("GET", path, status=200).body == found.data
    assert wire.ask("GET", path, status=503).headers["Retry-After"] == "1"
    with pytest.raises((OSError, http.client.HTTPException)):
        wire.ask("GET", path)
    wire.close()
    assert wire.ask("GET", path, status=200).body == found.data
    registry.fail(CutAnswer(after=300), path="/blobs/")
    with pytest.raises(http.client.IncompleteRead) as caught:
        wire.ask("GET", path, headers={"Range": "bytes=500-"})
    assert caught.value.partial == found.data[500:800]
    wire.close()
    registry.fail(Lose(), method="POST")
    with pytest.raises((OSError, http.client.HTTPException)):
        wire.ask("POST", f"/v2/{NAME}/blobs/uploads/?mount={found.descriptor.digest}")
    assert registry.count("GET", "/blobs/") == 5
    assert registry.count("GET", "/blobs/", 503) == 1
    registry.clear()
    assert registry.seen == []
