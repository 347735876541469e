"""Several clients that push the same things at the same time, and documents made to hurt."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from airgap.oci import mediatype
from airgap.oci.digest import Digest
from tests.support import builders
from tests.support.wire import Wire

CLIENTS = 6
MANIFEST = {"Content-Type": mediatype.OCI_MANIFEST}


def together(registry, work):
    """Let every client do the same at the same time; gives what each got."""
    barrier = Barrier(CLIENTS, timeout=30)

    def one(number):
        with Wire(registry.host) as wire:
            barrier.wait()
            return work(wire, number)

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(one, range(CLIENTS)))


def test_clients_push_the_same_blob_at_once(registry):
    """All of them get a 201, in one repository and in several, and the blob is right in each."""
    data = builders.random_blob(3_000_000).data
    digest = Digest.of(data)

    def push(wire, number):
        repository = f"team/app{number % 2}"
        begun = wire.ask("POST", f"/v2/{repository}/blobs/uploads/", status=202)
        path = begun.headers["Location"]
        wire.ask("PATCH", path, iter([data[:1_000_000], data[1_000_000:]]), status=202)
        wire.ask("PUT", f"{path}?digest={digest}", status=201)
        return wire.ask("GET", f"/v2/{repository}/blobs/{digest}", status=200).body

    assert all(body == data for body in together(registry, push))


def test_clients_push_the_same_tag_at_once(registry):
    """All of them get a 201; the tag names one of the manifests, and each is there by digest."""
    store = registry.repository("team/app")
    image = builders.image()
    for blob in image.blobs:
        builders.push_blob(store, blob)

    def push(wire, number):
        raw = builders.dumps(json.loads(image.raw) | {"annotations": {"from": str(number)}})
        answer = wire.ask("PUT", "/v2/team/app/manifests/1.0", raw, MANIFEST, status=201)
        assert answer.headers["Docker-Content-Digest"] == str(Digest.of(raw))
        return raw

    pushed = together(registry, push)
    with Wire(registry.host) as wire:
        assert wire.ask("GET", "/v2/team/app/manifests/1.0", status=200).body in pushed
        for raw in pushed:
            path = f"/v2/team/app/manifests/{Digest.of(raw)}"
            assert wire.ask("GET", path, status=200).body == raw
        assert wire.ask("GET", "/v2/team/app/tags/list", status=200).json["tags"] == ["1.0"]


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 4_000_000,
        b'{"a":' * 600_000,
        b'{"schemaVersion":2,"config":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"schemaVersion":' + b"9" * 4_000_000 + b"}",
        b'{"schemaVersion":2,"layers":[' + b"{}," * 1_300_000 + b"{}]}",
        b'{"a":"' + b'\\"' * 2_000_000,
    ],
    ids=["lists", "objects", "inside", "number", "layers", "quotes"],
)
def test_a_document_made_to_hurt_is_refused(registry, raw):
    """Depth, numbers and counts without end get a 400 soon, and the registry goes on."""
    with Wire(registry.host) as wire:
        answer = wire.ask("PUT", "/v2/team/app/manifests/x", raw, MANIFEST, status=400)
        assert answer.code == "MANIFEST_INVALID"
        wire.ask("GET", "/v2/", status=200)
