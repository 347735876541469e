"""The embedded registry tells in one inventory what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.oci.digest import Digest
from airgap.record.inventory import Inventory
from airgap.record.inventory_format import MEDIA_TYPE
from airgap.server.datafolder import DataDepot
from airgap.server.gc import collect_garbage
from tests.support import builders
from tests.support.builders import image, push, push_blob, random_blob
from tests.support.datafolders import DAY, Clock, opened
from tests.support.embedded import EmbeddedRegistry
from tests.support.served import served
from tests.support.told_inventories import PATH, ask, fill, held, walked
from tests.support.wire import Wire


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def depot(tmp_path: Path, clock: Clock) -> Iterator[DataDepot]:
    depot = opened(tmp_path / "data", clock)
    yield depot
    depot.close()


@pytest.fixture
def registry(depot: DataDepot) -> Iterator[EmbeddedRegistry]:
    with EmbeddedRegistry(depot=depot) as registry:
        yield registry


def test_it_is_what_a_walk_finds(depot: DataDepot, wire: Wire) -> None:
    """Digests, sizes, who holds them and what tags name are what the registry's API tells."""
    fill(depot)
    inventory = ask(wire)
    content, images = walked(wire)
    assert held(inventory) == content
    assert {name: str(digest) for name, digest in inventory.images} == images
    assert any(len(names) > 1 for _, names in content.values())
    assert any(digest.startswith("sha512:") for digest in content)
    assert (inventory.kind, inventory.place, inventory.by) == ("registry", wire.host, "")
    assert inventory.is_complete


def test_an_empty_registry_holds_nothing(wire: Wire) -> None:
    """And says so, completely."""
    inventory = ask(wire)
    assert (inventory.blob_count, inventory.images, inventory.is_complete) == (0, (), True)


def test_what_is_on_its_way_does_not_count(depot: DataDepot, wire: Wire) -> None:
    """Neither an unfinished upload nor a blob that no manifest of its repository names yet."""
    content = push(depot.repository("a"), image(), tag="1")
    before = held(ask(wire))
    push_blob(depot.repository("a"), random_blob(100))
    push_blob(depot.repository("b"), content.blobs[0])
    started = wire.ask("POST", "/v2/a/blobs/uploads/", status=202).headers["Location"]
    wire.ask("PATCH", started, b"half", {"Content-Range": "0-3"}, status=202)
    assert held(ask(wire)) == before
    assert str(content.blobs[0].descriptor.digest) in before


def test_what_was_deleted_is_gone_at_once(depot: DataDepot, wire: Wire, clock: Clock) -> None:
    """Before garbage is collected and afterwards, and what stays is told."""
    shared = builders.layer(500)
    one = push(depot.repository("a"), image(layers=(shared, 200), seed=1), tag="1")
    two = push(depot.repository("a"), image(layers=(shared,), seed=2), tag="2")
    kept = {str(part) for part in (two.digest, *(blob.descriptor.digest for blob in two.blobs))}
    wire.ask("DELETE", f"/v2/a/manifests/{one.digest}", status=202)
    assert held(ask(wire)).keys() == kept
    clock.advance(DAY)
    assert collect_garbage(depot).blobs == 3
    inventory = ask(wire)
    assert held(inventory).keys() == kept
    assert [name for name, _ in inventory.images] == ["a:2"]


def test_what_speaks_of_a_deleted_image_goes_with_it(depot: DataDepot, wire: Wire) -> None:
    """Its SBOM and signature wait for collection only, unless a tag of their own names them."""
    store = depot.repository("a")
    app = push(store, image(), tag="1")
    push(store, builders.sbom(app.descriptor, seed=1))
    named = push(store, builders.sbom(app.descriptor, seed=2), tag="sbom")
    tag, signature = builders.cosign_signature(app.descriptor)
    push(store, signature, tag=tag)
    wire.ask("DELETE", f"/v2/a/manifests/{app.digest}", status=202)
    inventory = ask(wire)
    assert [(str(name), digest) for name, digest in inventory.images] == [("a:sbom", named.digest)]
    here = {named.digest, *(blob.descriptor.digest for blob in named.blobs)}
    assert held(inventory).keys() == set(map(str, here))


def test_head_tells_the_type_and_makes_none(depot: DataDepot, wire: Wire) -> None:
    """No length is promised, for nobody knows it yet."""
    fill(depot)
    answer = wire.ask("HEAD", PATH, status=200)
    assert answer.headers["Content-Type"] == MEDIA_TYPE
    assert "Content-Length" not in answer.headers
    assert answer.body == b""
    assert ask(wire).blob_count


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_it_is_only_read(wire: Wire, method: str) -> None:
    """Other methods are told which there are."""
    answer = wire.ask(method, PATH, status=405)
    assert (answer.headers["Allow"], answer.code) == ("GET, HEAD", "UNSUPPORTED")


def test_no_repository_lies_there(wire: Wire) -> None:
    """Neither a push to that name nor a list of its tags is taken."""
    for path in (f"{PATH}/tags/list", f"{PATH}/manifests/1", "/v2/_airgap/manifests/inventory"):
        assert wire.ask("GET", path, status=400).code == "NAME_INVALID"
    assert wire.ask("POST", f"{PATH}/blobs/uploads/", status=400).code == "NAME_INVALID"


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?n=1&last=zzz", {}),
        ("?repository=../../etc&place=evil%0d%0aX-Evil:%201", {}),
        ("?ns=docker.io", {}),
        ("?" + "&".join(f"a{n}={n}" for n in range(500)), {}),
        ("", {"Range": "bytes=5-9"}),
        ("", {"If-None-Match": "*"}),
        ("", {"Accept": "text/html"}),
        ("", {"Accept-Encoding": "gzip, br"}),
    ],
)
def test_nothing_that_is_asked_beside_it_changes_it(
    depot: DataDepot, wire: Wire, query: str, headers: dict[str, str]
) -> None:
    """Parameters, ranges and conditions are of no account: it is given whole or not at all."""
    fill(depot)
    answer = wire.ask("GET", PATH + query, headers=headers, status=200)
    assert "X-Evil" not in answer.headers
    assert Inventory.parse(answer.body).content_digest == ask(wire).content_digest


@pytest.mark.parametrize("host", ["not a host", "a/b", "x" * 300, 'evil"name', "*", "[::1", ""])
def test_a_host_that_is_none_is_left_out(depot: DataDepot, wire: Wire, host: str) -> None:
    """Who calls the registry something odd gets an inventory of a place without a name."""
    fill(depot)
    inventory = ask(wire, {"Host": host})
    assert inventory.place == ""
    assert inventory.blob_count


def test_a_depot_that_cannot_tell_has_none() -> None:
    """It answers as to any path that it does not know."""
    with EmbeddedRegistry() as registry, Wire(registry.host) as wire:
        push(registry.repository("a"), image(), tag="1")
        assert wire.ask("GET", PATH, status=404).code == "NAME_UNKNOWN"
        wire.ask("HEAD", PATH, status=404)


def test_it_is_counted_and_logged_by_its_name(tmp_path: Path) -> None:
    """Monitoring sees it as a resource of its own, and the log has its path."""
    log = tmp_path / "access.log"
    with served("--data", tmp_path / "data", "--access-log", log) as process:
        with Wire(process.host) as wire:
            inventory = ask(wire)
            numbers = wire.ask("GET", "/metrics", status=200).body.decode()
    assert inventory.place == process.host
    assert 'airgap_requests_total{method="GET",resource="inventory",status="200"} 1.0' in numbers
    assert f'"path":"{PATH}","status":200,"bytes":{len(inventory.raw)}' in log.read_text()


def test_what_cannot_be_read_is_an_error(depot: DataDepot, wire: Wire) -> None:
    """A database that fails gives no inventory, and above all no short one."""
    fill(depot)
    depot.metadata.writer.run(lambda connection: connection.exec_driver_sql("DROP TABLE edges"))
    assert wire.ask("GET", PATH, status=500).code == "UNKNOWN"


def test_a_digest_that_stands_twice_is_told_once(depot: DataDepot, wire: Wire) -> None:
    """A manifest that was pushed as a blob, too, and is named as one by another manifest."""
    app = push(depot.repository("a"), image(), tag="1")
    raw = builders.blob(app.document.raw, app.descriptor.media_type)
    push(depot.repository("a"), builders.manifest(builders.blob(b"{}"), [raw]), tag="2")
    inventory = ask(wire)
    found = inventory.find(Digest.of(app.document.raw))
    assert found is not None
    assert (found.size, found.repositories) == (len(app.document.raw), ("a",))
