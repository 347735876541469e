"""Registries that lie, go in circles or answer nonsense get no inventory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.errors import (
    AirgapError,
    InvalidContentError,
    RegistryProtocolError,
    UnavailableError,
)
from airgap.oci.digest import Digest
from airgap.record.inventory_format import MEDIA_TYPE as KIND
from airgap.registry import catalog
from airgap.transfer import inventory_repository
from tests.support import builders
from tests.support.inventories import make_inventory
from tests.support.inventory_walks import take
from tests.support.scripted_server import Reply, ScriptedServer


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as found:
        yield found


def script(server: ScriptedServer, reply: Reply, *, tags: Reply | None = None) -> None:
    server.on("GET", r"/v2/_catalog.*").reply(Reply.json({"repositories": ["app"]}))
    server.on("GET", r"/v2/app/tags/.*").reply(tags or Reply.json({"tags": ["1"]}))
    server.on("GET", r"/v2/app/manifests/.*").reply(reply)


IMAGE = builders.image()
TYPE = IMAGE.descriptor.media_type


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (
            Reply(
                200,
                {"Content-Type": TYPE, "Docker-Content-Digest": str(Digest.of(b"another"))},
                IMAGE.raw,
            ),
            AirgapError,
        ),
        (Reply(200, {"Content-Type": "text/html"}, b"<html>"), InvalidContentError),
        (Reply(200, {"Content-Type": TYPE}, b"{" * 100_000), InvalidContentError),
        (Reply(200, {"Content-Type": TYPE}, b"[]"), InvalidContentError),
        (Reply(200, {"Content-Type": TYPE}, b" " * (5 << 20)), InvalidContentError),
        (Reply.json({"schemaVersion": 1}), InvalidContentError),
    ],
)
def test_lies_are_refused_and_never_kept(
    server: ScriptedServer, tmp_path: Path, reply: Reply, kind: type[AirgapError]
) -> None:
    """Another digest than told, HTML, deep and huge documents, old formats."""
    script(server, reply)
    with pytest.raises(kind):
        take(server.host, tmp_path)
    assert not [path for path in tmp_path.rglob("manifests/*/*") if path.is_file()]


def test_pages_of_tags_in_circles_are_refused(server: ScriptedServer) -> None:
    """A Link that leads back is an error and not an endless walk."""
    link = '</v2/app/tags/list?n=1000>; rel="next"'
    script(
        server,
        Reply(200, {"Content-Type": TYPE}, IMAGE.raw),
        tags=Reply.json({"tags": ["1"]}, Link=link),
    )
    with pytest.raises(RegistryProtocolError, match="circles"):
        take(server.host)


def test_lists_without_end_are_refused(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More tags or repositories than anybody has are not kept in memory."""
    script(
        server, Reply(200, {"Content-Type": TYPE}, IMAGE.raw), tags=Reply.json({"tags": ["1", "2"]})
    )
    monkeypatch.setattr(inventory_repository, "MAX_TAGS", 1)
    with pytest.raises(RegistryProtocolError, match="more than 1 tags"):
        take(server.host)
    monkeypatch.setattr(catalog, "MAX_REPOSITORIES", 0)
    with pytest.raises(RegistryProtocolError, match="more than 0 repositories"):
        take(server.host)


def test_tags_are_walked_over_all_pages(server: ScriptedServer) -> None:
    """One request a page and one a tag."""
    script(server, Reply(200, {"Content-Type": TYPE}, IMAGE.raw))
    server.rules.insert(0, server.on("GET", r"/v2/app/tags/list\?n=1000"))
    link = '</v2/app/tags/list?last=b>; rel="next"'
    server.rules[0].reply(Reply.json({"tags": ["a", "b"]}, Link=link))
    report = take(server.host)
    assert [image.name for image in report.inventory.images] == ["app:1", "app:a", "app:b"]
    assert len(server.requests("GET", "/v2/app/tags/.*")) == 2
    assert len(server.requests("GET", "/v2/app/manifests/.*")) == 3


def test_a_chain_of_indexes_without_end_is_refused(server: ScriptedServer) -> None:
    """What lies in each other deeper than any tool makes is an attack."""
    contents = [IMAGE]
    for _ in range(12):
        contents.append(builders.index([contents[-1]]))
    server.on("GET", r"/v2/_catalog.*").reply(Reply.json({"repositories": ["app"]}))
    server.on("GET", r"/v2/app/tags/.*").reply(Reply.json({"tags": ["1"]}))
    for content in contents:
        reply = Reply(200, {"Content-Type": content.descriptor.media_type}, content.raw)
        server.on("GET", f"/v2/app/manifests/{content.digest}").reply(reply)
    server.on("GET", "/v2/app/manifests/1").reply(reply)
    with pytest.raises(InvalidContentError, match="deep"):
        take(server.host)


def test_two_sizes_of_one_blob_leave_it_out(server: ScriptedServer) -> None:
    """A manifest that lies about a layer of another one does not make it pass for held."""
    raw = IMAGE.raw
    blob = IMAGE.blobs[1].descriptor
    lie = raw.replace(f'"size": {blob.size}'.encode(), f'"size": {blob.size + 1}'.encode())
    assert lie != raw
    server.on("GET", r"/v2/_catalog.*").reply(Reply.json({"repositories": ["app"]}))
    server.on("GET", r"/v2/app/tags/.*").reply(Reply.json({"tags": ["1", "2"]}))
    server.on("GET", "/v2/app/manifests/1").reply(Reply(200, {"Content-Type": TYPE}, raw))
    server.on("GET", "/v2/app/manifests/2").reply(Reply(200, {"Content-Type": TYPE}, lie))
    report = take(server.host)
    assert report.inventory.find(blob.digest) is None
    assert report.inventory.find(IMAGE.digest) is not None
    assert not report.inventory.is_complete


def test_an_inventory_of_nonsense_breaks_the_protocol(server: ScriptedServer) -> None:
    """A registry that answers with something else under the name of an inventory is told so."""
    media_type = "application/vnd.airgap.inventory.v1"
    server.on("GET", "/v2/_airgap/inventory").reply(
        Reply(200, {"Content-Type": media_type}, b"{}\n")
    )
    with pytest.raises(RegistryProtocolError) as caught:
        take(server.host)
    assert "--repository" in str(caught.value.hint)


def test_a_registry_that_is_not_there_is_unavailable() -> None:
    """Nothing that could be taken for an empty inventory comes of it."""
    with ScriptedServer() as gone:
        host = gone.host
    with pytest.raises(UnavailableError):
        take(host)


def test_another_record_than_its_own_inventory_is_refused() -> None:
    """A registry that calls the inventory of a bundle its own is not believed."""
    for raw in (make_inventory(kind="bundle", place="").raw, b"{}", b"\0" * 1000):
        with ScriptedServer() as lying:
            lying.on("GET", "/v2/_airgap/inventory").reply(Reply(200, {"Content-Type": KIND}, raw))
            with pytest.raises(RegistryProtocolError, match="makes no sense"):
                take(lying.host)
