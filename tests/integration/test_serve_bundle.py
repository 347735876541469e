"""The registry serves bundles in place: everything can be pulled, nothing can be changed."""

from __future__ import annotations

import http.client
import os
import time

import pytest

from airgap.bundle.depot import BundleDepot
from airgap.bundle.reader import open_bundle
from airgap.content.memory import MemoryDepot
from airgap.content.overlay import OverlayDepot
from airgap.oci.digest import Digest
from airgap.oci.manifest import parse_manifest
from airgap.transfer.serving import import_names
from tests.support import builders
from tests.support.builders import random_blob
from tests.support.bundles import (
    BundleBuilder,
    assemble,
    flip,
    make_bundle,
    named,
)
from tests.support.embedded import EmbeddedRegistry
from tests.support.transfers import bring
from tests.support.wire import Wire

APP = "team/app"


@pytest.fixture(scope="module")
def made():
    return make_bundle(layer_size=3_000_000)


@pytest.fixture
def path(made, tmp_path):
    return made.write(tmp_path)


@pytest.fixture
def depot(path):
    depot = BundleDepot([open_bundle(path)], import_names(), rest=0.0)
    yield depot
    depot.close()


@pytest.fixture
def registry(depot):
    with EmbeddedRegistry(depot=depot) as registry:
        yield registry


def test_a_served_bundle_is_what_an_import_makes_of_it(wire, made, path):
    """Names, manifests, blobs and referrers are the same as in a registry it is imported into."""
    with EmbeddedRegistry() as inside, Wire(inside.host) as other:
        bring(path, inside.host)
        names = wire.ask("GET", "/v2/_catalog", status=200).json["repositories"]
        assert names == other.ask("GET", "/v2/_catalog", status=200).json["repositories"]
        paths = [f"/v2/{name}/tags/list" for name in names]
        for name in names:
            tags = wire.ask("GET", f"/v2/{name}/tags/list").json["tags"]
            digests = [*made.documents, Digest.of(b"no such thing")]
            paths += [f"/v2/{name}/manifests/{reference}" for reference in [*tags, *digests]]
            paths += [f"/v2/{name}/referrers/{digest}" for digest in digests]
            blobs = [*made.contents, *made.documents]
            paths += [f"/v2/{name}/blobs/{digest}" for digest in blobs]
        statuses = []
        for asked in paths:
            ours, theirs = wire.ask("GET", asked), other.ask("GET", asked)
            assert (ours.status, ours.body) == (theirs.status, theirs.body), asked
            for header in ("Content-Type", "Docker-Content-Digest", "ETag"):
                assert ours.headers.get(header) == theirs.headers.get(header)
            statuses.append(ours.status)
        assert set(statuses) == {200, 404}
        assert statuses.count(200) > 40


def test_parts_of_a_blob_come_from_their_place_in_the_file(wire, depot, made):
    """One range and several are cut out of the bundle; HEAD says how much there is."""
    digest = max(made.contents, key=lambda digest: len(made.contents[digest]))
    data = made.contents[digest]
    path = f"/v2/{APP}/blobs/{digest}"
    assert wire.ask("HEAD", path, status=200).headers["Content-Length"] == str(len(data))
    answer = wire.ask("GET", path, headers={"Range": "bytes=1000-2000000"}, status=206)
    assert answer.body == data[1000:2000001]
    answer = wire.ask("GET", path, headers={"Range": "bytes=0-9,-10"}, status=206)
    assert data[:10] in answer.body
    assert data[-10:] in answer.body
    assert wire.ask("GET", path, status=200).body == data


@pytest.mark.parametrize(
    ("method", "place"),
    [
        ("POST", "blobs/uploads/"),
        ("POST", "blobs/uploads/?mount={digest}&from=tool"),
        ("PATCH", "blobs/uploads/1234"),
        ("PUT", "blobs/uploads/1234?digest={digest}"),
        ("DELETE", "blobs/uploads/1234"),
        ("PUT", "manifests/1.4"),
        ("DELETE", "manifests/1.4"),
        ("DELETE", "manifests/{digest}"),
        ("DELETE", "blobs/{digest}"),
    ],
)
def test_a_write_is_unsupported(wire, method, place):
    """405 with the code of the specification, and the methods that there are."""
    place = place.format(digest=Digest.of(b"x"))
    answer = wire.ask(method, f"/v2/{APP}/{place}", b"{}", status=405)
    assert answer.code == "UNSUPPORTED"
    assert set(answer.headers.get("Allow", "").split(", ")) <= {"GET", "HEAD", ""}
    wire.ask("GET", f"/v2/{APP}/manifests/1.4", status=200)


def test_a_bundle_of_100_gb_is_ready_at_once(tmp_path):
    """Only its front is read, so a registry over it answers in less than a second."""
    size, count = 500_000_000, 200
    layers = [
        builders.Blob(replace_size(random_blob(16, seed=number).descriptor, size), b"")
        for number in range(count)
    ]
    config = builders.blob(b"{}")
    image = builders.manifest(config, layers)
    made = assemble(
        {image.digest: image.document},
        {config.descriptor.digest: config.data},
        images=[named("example.com/large:1", image.document)],
        absent=[(layer.descriptor.digest, size) for layer in layers],
    )
    path = tmp_path / "large.tar"
    with path.open("wb") as file:
        file.truncate(made.layout.size)
        file.write(made.layout.front)
        for offset, frame in made.layout.frames():
            file.seek(offset)
            file.write(frame)
    assert path.stat().st_size > 100_000_000_000
    began = time.monotonic()
    depot = BundleDepot([open_bundle(path)], import_names())
    depot.start_checking()
    with EmbeddedRegistry(depot=depot) as registry, Wire(registry.host) as wire:
        wire.ask("GET", "/v2/large/manifests/1", status=200)
        assert time.monotonic() - began < 1
        blob = layers[-1].descriptor.digest
        answer = wire.ask("GET", f"/v2/large/blobs/{blob}", headers={"Range": "bytes=-9"})
        assert (answer.status, answer.body) == (206, bytes(9))
    depot.close()


def replace_size(descriptor, size):
    """A descriptor of more bytes than there are."""
    return type(descriptor)(descriptor.media_type, descriptor.digest, size)


def test_a_damaged_blob_is_500(made, tmp_path):
    """Once the check in the background has found it, and for every way of asking."""
    digest = max(made.contents, key=lambda digest: len(made.contents[digest]))
    extent = next(e for e in made.layout.blobs if e.digest == digest)
    path = made.write(tmp_path, flip(made.data, extent.offset + 99))
    depot = BundleDepot([open_bundle(path)], import_names(), rest=0.0)
    depot.start_checking()
    depot.finish_checking()
    with EmbeddedRegistry(depot=depot) as registry, Wire(registry.host) as wire:
        for method in ("GET", "HEAD"):
            wire.ask(method, f"/v2/{APP}/blobs/{digest}", status=500)
        wire.ask("GET", f"/v2/{APP}/manifests/1.4", status=200)
    depot.close()


@pytest.mark.parametrize("how", ["cut", "replaced"])
def test_a_bundle_that_changes_between_requests_is_500(wire, path, made, how):
    """Bytes of another file are never sent; what is in memory still is."""
    digest = max(made.contents, key=lambda digest: len(made.contents[digest]))
    wire.ask("GET", f"/v2/{APP}/blobs/{digest}", status=200)
    if how == "cut":
        os.truncate(path, path.stat().st_size // 2)
    else:
        other = path.with_name("other")
        other.write_bytes(bytes(path.stat().st_size))
        other.replace(path)
    answer = wire.ask("GET", f"/v2/{APP}/blobs/{digest}", status=500)
    assert str(path).encode() not in answer.body
    wire.ask("GET", f"/v2/{APP}/manifests/1.4", status=200)


@pytest.mark.parametrize("how", ["cut", "changed"])
def test_a_bundle_that_changes_while_it_is_sent_does_not_look_whole(tmp_path, how):
    """The connection breaks before the last bytes, so that no client takes it for complete."""
    bundle = BundleBuilder()
    layer = random_blob(30_000_000)
    image = builders.manifest(builders.blob(b"{}"), [layer])
    bundle.add(image, "example.com/a:1")
    path = bundle.build().write(tmp_path)
    depot = BundleDepot([open_bundle(path)], import_names())
    with EmbeddedRegistry(depot=depot) as registry:
        connection = http.client.HTTPConnection(registry.host, timeout=30)
        connection.request("GET", f"/v2/a/blobs/{layer.descriptor.digest}")
        response = connection.getresponse()
        got = response.read(1000)
        if how == "cut":
            os.truncate(path, 20_000_000)
        else:
            with path.open("r+b") as file:
                file.seek(25_000_000)
                file.write(b"something else")
        with pytest.raises((ConnectionError, http.client.IncompleteRead)):
            got += response.read()
        connection.close()
    depot.close()


def test_a_client_of_a_mirror_may_name_the_registry_that_it_means(path):
    """With `--keep-host` the host's images are found by `ns`; else it makes no difference."""
    depot = BundleDepot([open_bundle(path)], import_names(keep_host=True))
    with EmbeddedRegistry(depot=depot) as registry, Wire(registry.host) as wire:
        wire.ask("GET", f"/v2/{APP}/manifests/1.4", status=404)
        for method in ("GET", "HEAD"):
            answer = wire.ask(method, f"/v2/{APP}/manifests/1.4?ns=example.com", status=200)
            assert answer.headers["OCI-Namespace"] == "example.com"
        for namespace in ("other.example", "..", "%0d%0ax", "a/b", ""):
            answer = wire.ask("GET", f"/v2/{APP}/manifests/1.4?ns={namespace}", status=404)
            assert "OCI-Namespace" not in answer.headers
        full = f"/v2/example.com/{APP}/manifests/1.4?ns=example.com"
        answer = wire.ask("GET", full, status=200)
        assert "OCI-Namespace" not in answer.headers
    depot.close()


def test_what_is_pushed_lies_over_a_bundle(path):
    """A push goes above and hides a tag; what lies below is still there and is not deleted."""
    lower = BundleDepot([open_bundle(path)], import_names())
    upper = MemoryDepot()
    depot = OverlayDepot(upper, [lower])
    with EmbeddedRegistry(depot=depot) as registry, Wire(registry.host) as wire:
        base = f"/v2/{APP}"
        old = wire.ask("GET", f"{base}/manifests/1.4", status=200)
        index = parse_manifest(old.body, old.headers["Content-Type"])
        headers = {"Content-Type": old.headers["Content-Type"]}
        wire.ask("PUT", f"{base}/manifests/stable", old.body, headers, status=201)
        assert upper.repository(APP).resolve("stable").digest == index.descriptor.digest
        blob = builders.blob(b"{}")
        digest = blob.descriptor.digest
        wire.ask("POST", f"{base}/blobs/uploads/?digest={digest}", blob.data, status=201)
        new = builders.manifest(blob, [])
        headers = {"Content-Type": new.descriptor.media_type}
        wire.ask("PUT", f"{base}/manifests/1.4", new.raw, headers, status=201)
        assert wire.ask("GET", f"{base}/manifests/1.4", status=200).body == new.raw
        tags = wire.ask("GET", f"{base}/tags/list", status=200).json["tags"]
        assert tags[:2] == ["1.4", "latest"]
        assert tags[-1] == "stable"
        for reference in ("latest", "1.4", index.descriptor.digest):
            answer = wire.ask("DELETE", f"{base}/manifests/{reference}", status=405)
            assert answer.code == "UNSUPPORTED"
        wire.ask("DELETE", f"{base}/manifests/stable", status=202)
        layer = lower.repository("tool").manifest("2").layers[0]
        mount = f"/v2/mine/blobs/uploads/?mount={layer.digest}"
        wire.ask("POST", f"{mount}&from=tool", status=201)
        wire.ask("POST", mount.replace("mine", "third"), status=201)
        assert upper.repository("third").has_blob(layer)
    depot.close()
