"""The registry client asks for an inventory once, and takes any other answer for there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.errors import RegistryProtocolError, UnavailableError
from airgap.record.inventory import Inventory
from airgap.record.inventory_format import MEDIA_TYPE
from airgap.registry.credentials import Credential
from airgap.registry.inventory import fetch_inventory
from tests.support.accounts import Office, open_office, secret
from tests.support.builders import image, push
from tests.support.datafolders import opened
from tests.support.embedded import EmbeddedRegistry
from tests.support.registry_client import Lab
from tests.support.scripted_server import Reply, ScriptedServer
from tests.support.told_inventories import PATH, fill

BODY = b"whatever an inventory is"
HTML = {"Content-Type": "text/html"}


def good(body: bytes = BODY, **more: object) -> Reply:
    return Reply(200, {"Content-Type": MEDIA_TYPE}, body, **more)  # type: ignore[arg-type]  # a reply's own


def test_it_comes_as_it_was_sent(server: ScriptedServer, lab: Lab) -> None:
    """By one request, which says what is wanted."""
    server.on("GET", PATH).reply(good())
    assert lab.client.inventory(server.host) == BODY
    [seen] = server.requests()
    assert seen.headers["accept"] == MEDIA_TYPE


@pytest.mark.parametrize(
    "reply",
    [
        Reply.error(404, "NAME_UNKNOWN"),
        Reply.error(405, "UNSUPPORTED"),
        Reply.error(400, "NAME_INVALID"),
        Reply.error(403, "DENIED"),
        Reply.error(401, "UNAUTHORIZED"),
        Reply(401, {"WWW-Authenticate": 'Basic realm="x"'}),
        Reply(404, HTML, b"<!doctype html>" + b" " * (1 << 20)),
        Reply(200, HTML, b"<!doctype html>" + b" " * (1 << 20)),
        Reply.json({"repositories": []}),
        Reply(200, {}, BODY),
        Reply(204),
        Reply(206, {"Content-Type": MEDIA_TYPE, "Content-Range": "bytes 0-3/9"}, b"part"),
        Reply(410),
        Reply(418),
        Reply(501),
    ],
    ids=lambda reply: f"{reply.status}-{len(reply.body)}",
)
def test_another_registry_has_none(server: ScriptedServer, lab: Lab, reply: Reply) -> None:
    """However it says so, it is asked once and nobody waits."""
    server.on("GET", PATH).reply(reply)
    assert lab.client.inventory(server.host) is None
    assert len(server.requests()) == 1
    assert lab.waits == []


@pytest.mark.parametrize(
    "location", ["/login", "http://10.0.0.1/login", "file:///etc/passwd", PATH]
)
def test_a_redirect_leads_to_none(server: ScriptedServer, lab: Lab, location: str) -> None:
    """To a page for people, elsewhere, or in circles."""
    where = location.replace("http://10.0.0.1", server.url)
    server.on("GET", PATH).reply(Reply(302, {"Location": where}))
    server.on("GET", "/login").reply(Reply(200, HTML, b"<!doctype html>"))
    assert lab.client.inventory(server.host) is None
    assert lab.waits == []


def test_a_token_is_tried_once(server: ScriptedServer, lab: Lab) -> None:
    """A registry that lets nobody there even with a token has none; no scope is made up for it."""
    challenge = f'Bearer realm="{server.url}/token",service="lab"'
    server.on("GET", PATH).reply(Reply(401, {"WWW-Authenticate": challenge}))
    server.on("GET", "/token.*").reply(Reply.json({"token": "one"}))
    assert lab.client.inventory(server.host) is None
    asked = [seen.path for seen in server.requests()]
    assert asked == [PATH, "/token?service=lab", PATH]


def test_what_is_too_large_is_refused(server: ScriptedServer, lab: Lab) -> None:
    """No more is read than an inventory may have, with and without a length."""
    endless = good(b"x" * (4 << 20), stall_after=2 << 20)
    more = b"x" * 1001
    for reply in (good(more), good(more, has_length=False), endless, good(b"x" * 1000)):
        server.on("GET", PATH).reply(reply)
        channel = lab.client._channel(server.host, "source")
        if len(reply.body) > 1000:
            with pytest.raises(RegistryProtocolError, match="more than 1000 bytes") as caught:
                fetch_inventory(channel, limit=1000)
            assert caught.value.origin == "source"
        else:
            assert fetch_inventory(channel, limit=1000) == reply.body
        server.rules.clear()
    assert lab.waits == []


def test_one_that_breaks_off_is_asked_again(server: ScriptedServer, lab: Lab) -> None:
    """What is shorter than it was announced is not taken for an inventory."""
    server.on("GET", PATH).reply(good(cut_after=5), Reply(drops=True), Reply(503), good())
    assert lab.client.inventory(server.host) == BODY
    assert len(server.requests()) == 4


def test_a_registry_that_is_away_is_an_error(server: ScriptedServer, lab: Lab) -> None:
    """It is not one without an inventory: nobody knows."""
    server.on("GET", PATH).reply(Reply(503))
    with pytest.raises(UnavailableError) as caught:
        lab.client.inventory(server.host)
    assert caught.value.origin == "source"


class TestOwnRegistry:
    """The embedded registry answers it."""

    @pytest.fixture
    def office(self, tmp_path: Path) -> Iterator[Office]:
        with open_office(tmp_path / "users", {"root": ["admins"], "bob": ["team"]}) as found:
            yield found

    @pytest.fixture
    def registry(self, tmp_path: Path, office: Office) -> Iterator[EmbeddedRegistry]:
        depot = opened(tmp_path / "data")
        fill(depot)
        push(depot.repository("public/app"), image(seed=30), tag="1")
        with EmbeddedRegistry(depot=depot, guard=office.guard) as registry:
            yield registry
        depot.close()

    @pytest.mark.parametrize(
        ("user", "count"), [("root", 5), ("bob", 2), ("", 1)], ids=["admin", "user", "anonymous"]
    )
    def test_with_the_right_token(
        self, registry: EmbeddedRegistry, lab: Lab, user: str, count: int
    ) -> None:
        """The challenge says which; with it, three requests are all."""
        lab.credentials.credential = Credential(user, secret(user)) if user else None
        raw = lab.client.inventory(registry.host)
        assert raw is not None
        inventory = Inventory.parse(raw)
        assert len(inventory.repositories) == count
        assert (inventory.place, inventory.by) == (registry.host, user)
        assert inventory.is_complete == (user == "root")
        assert registry.count("GET", PATH) == 2
        assert len(registry.seen) == 3

    def test_its_token_serves_again(self, registry: EmbeddedRegistry, lab: Lab) -> None:
        """A second inventory costs one request."""
        lab.client.inventory(registry.host)
        registry.clear()
        assert lab.client.inventory(registry.host) is not None
        assert len(registry.seen) == 1

    def test_a_wrong_password_gets_none(self, registry: EmbeddedRegistry, lab: Lab) -> None:
        """Whoever goes on by tags and manifests is told then that it is wrong."""
        lab.credentials.credential = Credential("bob", "wrong")
        assert lab.client.inventory(registry.host) is None


def test_a_depot_without_one_has_none(lab: Lab) -> None:
    """As any other registry."""
    with EmbeddedRegistry() as registry:
        assert lab.client.inventory(registry.host) is None
        assert len(registry.seen) == 1
