"""The embedded registry takes, gives out and deletes manifests."""

from __future__ import annotations

import pytest

from airgap.oci import mediatype
from airgap.oci.digest import Digest
from airgap.server.settings import RegistrySettings
from tests.support import builders
from tests.support.builders import push, push_blob
from tests.support.embedded import EmbeddedRegistry
from tests.support.wire import Wire

NAME = "team/app"


def serving(**switches):
    """A registry in memory with switches."""
    return EmbeddedRegistry(settings=RegistrySettings(**switches))


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


def test_a_manifest_may_have_4_mib_and_not_more(registry, store, wire):
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
        with Wire(registry.host) as own:
            answer = put(own, largest, "larger", raw=raw, status=413)
            assert answer.code == "SIZE_INVALID"


def test_a_manifest_gets_several_tags_at_once(store, wire):
    """A push by digest names tags beside it, which the answer confirms one by one."""
    for algorithm in ("sha256", "sha512"):
        found = builders.blob(b"{}", mediatype.OCI_CONFIG)
        content = builders.manifest(found, algorithm=algorithm)
        push_blob(store, found)
        tags = [f"{algorithm}-{number}" for number in range(3)]
        query = "&".join(f"tag={tag}" for tag in tags)
        answer = put(wire, content, f"{content.digest}?{query}")
        assert answer.headers.get_all("OCI-Tag") == tags
        assert [store.resolve(tag).digest for tag in tags] == [content.digest] * 3
        assert put(wire, content, f"{content.digest}?tag=-x&tag=y", status=400).code == (
            "MANIFEST_INVALID"
        )
        many = "&".join(f"tag=t{number}" for number in range(101))
        put(wire, content, f"{content.digest}?{many}", status=400)
    assert len(list(store.tags())) == 6


def test_an_image_may_lack_some_of_its_layers(store, wire):
    """One layer that is elsewhere is allowed and said; without any, or a config, it is not."""
    content = builders.image(layers=(100, 200))
    config, first, second = content.blobs
    for found in (None, config, second):
        if found is not None:
            push_blob(store, found)
        if found is not second:
            answer = put(wire, content, "1.0", status=400)
            assert answer.code == "MANIFEST_BLOB_UNKNOWN"
            assert str(first.descriptor.digest) in answer.json["errors"][0]["detail"]
    answer = put(wire, content, "1.0")
    assert str(first.descriptor.digest) in answer.headers["Warning"]
    assert answer.headers["Warning"].startswith('299 - "')
    push_blob(store, first)
    assert "Warning" not in put(wire, content, "1.0").headers


def test_sparse_images_can_be_refused():
    """With the switch, every layer has to be there."""
    content = builders.image(layers=(100, 200))
    with serving(sparse_images=False) as registry, Wire(registry.host) as wire:
        for found in content.blobs[:-1]:
            push_blob(registry.repository(NAME), found)
        assert put(wire, content, "1.0", status=400).code == "MANIFEST_BLOB_UNKNOWN"


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


def test_a_push_with_a_subject_is_acknowledged(store, wire):
    """OCI-Subject tells the client that it need not keep a fallback tag."""
    content = push(store, builders.image())
    referrer = builders.sbom(content.descriptor)
    for found in referrer.blobs:
        push_blob(store, found)
    answer = put(wire, referrer, referrer.digest)
    assert answer.headers["OCI-Subject"] == str(content.digest)


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
