"""Bundles that are brought to the registry's pages: what crosses, what goes on, what is refused."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airgap.content.folder import FolderDepot
from airgap.content.memory import MemoryDepot
from airgap.server.pages import arriving
from tests.support import builders
from tests.support.bundles import BundleBuilder, MadeBundle, flip, make_bundle
from tests.support.pages import Browser, PageServer, alice_and_bob, serve_pages

PIECE = 64 * 1024


@pytest.fixture(name="made", scope="module")
def made_bundle() -> MadeBundle:
    return make_bundle(layer_size=900_000)


@pytest.fixture(name="server")
def open_server(tmp_path: Path) -> Iterator[PageServer]:
    depot = FolderDepot(tmp_path / "data", durable=False)
    try:
        with serve_pages(depot=depot) as server:
            yield server
    finally:
        depot.close()


@pytest.fixture(name="browser")
def open_browser(server: PageServer) -> Iterator[Browser]:
    with server.browser() as browser:
        yield browser


class Bringer:
    """Does what the page's script does."""

    def __init__(self, browser: Browser, data: bytes) -> None:
        self.browser = browser
        self.data = data
        self.sent = 0
        self.headers = {"X-Airgap-Form-Token": browser.token("/upload")}

    def begin(self, status: int = 201, **question: Any) -> dict[str, Any]:
        question = {"name": "release.tar", "size": len(self.data), "mark": "1"} | question
        return self.ask("POST", "/-/arrivals", json.dumps(question).encode(), status=status)

    def ask(
        self, method: str, path: str, body: bytes | None = None, *, status: int = 200
    ) -> dict[str, Any]:
        answer = self.browser.request(method, path, body=body, headers=self.headers)
        assert answer.status == status, answer.text
        value = json.loads(answer.body)
        assert isinstance(value, dict)
        return value

    def step(self, state: dict[str, Any]) -> dict[str, Any]:
        path = f"/-/arrivals/{state['id']}"
        want = state["want"]
        if want is None:
            return self.ask("GET", path)
        piece = self.data[want["offset"] : want["offset"] + min(want["size"], PIECE)]
        self.sent += len(piece)
        return self.ask("PUT", f"{path}?offset={want['offset']}", piece)

    def bring(self, state: dict[str, Any], *, until: int | None = None) -> dict[str, Any]:
        """Send what is wanted to the end, or until so many bytes were sent."""
        for _ in range(1000):
            if state["state"] in ("done", "failed", "cancelled"):
                return state
            if until is not None and self.sent >= until:
                return state
            state = self.step(state)
        raise AssertionError("the arrival does not end")


def is_empty(server: PageServer) -> bool:
    return list(server.depot.repositories()) == []


def test_a_bundle_is_brought(server: PageServer, browser: Browser, made: MadeBundle):
    """What a browser sends as it is asked to becomes images, and is remembered."""
    bringer = Bringer(browser, made.data)
    state = bringer.bring(bringer.begin())
    assert state["state"] == "done", state
    assert state["arrival"]["bundle"] == str(made.catalog.id)
    assert bringer.sent < len(made.data) + arriving.MAX_KEPT * PIECE
    assert server.depot.repository("team/app").resolve("1.4") is not None
    noted = next(server.ledger.arrivals())
    assert (noted.bundle, noted.name, noted.who) == (made.catalog.id, "release.tar", "")
    assert noted.when is not None
    assert "release.tar" in browser.get("/bundles").visible
    assert "Came with release.tar" in browser.get("/r/team/app:1.4").visible


def test_it_has_the_names_that_were_asked_for(
    server: PageServer, browser: Browser, made: MadeBundle
):
    """The form's choices are those of `import bundle`."""
    bringer = Bringer(browser, made.data)
    state = bringer.bring(bringer.begin(prefix="mirror", keepHost=True))
    assert state["state"] == "done"
    names = list(server.depot.repositories())
    assert all(name.startswith("mirror/example.com/") for name in names)
    assert names


def test_a_closed_page_goes_on_where_it_was(server: PageServer, browser: Browser, made: MadeBundle):
    """A page that chooses the same file again is asked for what is missing and no more."""
    first = Bringer(browser, made.data)
    before = first.bring(first.begin(), until=len(made.data) // 2)
    assert before["state"] == "content"
    seen = browser.get("/upload").visible
    assert "release.tar" in seen
    assert "is not finished" in seen
    second = Bringer(browser, made.data)
    state = second.begin()
    assert state["id"] == before["id"]
    assert state["want"] == before["want"]
    assert second.bring(state)["state"] == "done"
    assert "is not finished" not in browser.get("/upload").visible


def test_a_restarted_server_is_not_sent_what_it_has(tmp_path: Path):
    """After a restart blobs that are whole are not wanted, and a broken one from where it was."""
    bundle = BundleBuilder()
    layers = [builders.layer(900_000, number) for number in range(3)]
    bundle.add(builders.image(layers=layers), "example.com/big:1")
    made = bundle.build()

    def run(*, until: int | None = None) -> tuple[Bringer, dict[str, Any]]:
        depot = FolderDepot(tmp_path / "data", durable=False)
        try:
            with serve_pages(depot=depot) as server, server.browser() as browser:
                bringer = Bringer(browser, made.data)
                return bringer, bringer.bring(bringer.begin(), until=until)
        finally:
            depot.close()

    _, state = run(until=1_800_000)
    assert state["state"] == "content"
    again, state = run()
    assert state["state"] == "done"
    assert again.sent < 1_700_000
    third, state = run()
    assert state["state"] == "done"
    assert third.sent < 700_000
    assert [image["outcome"] for image in state["arrival"]["images"]] == ["present"]


def test_bytes_of_another_place_are_not_taken(browser: Browser, made: MadeBundle):
    """A piece that is sent twice, or out of turn, is answered with what is wanted."""
    bringer = Bringer(browser, made.data)
    state = bringer.begin()
    path, want = f"/-/arrivals/{state['id']}", state["want"]
    answer = bringer.ask("PUT", f"{path}?offset={want['offset'] + 1}", b"x", status=409)
    assert answer["want"] == want
    state = bringer.step(state)
    again = bringer.ask("PUT", f"{path}?offset=0", made.data[:100], status=409)
    assert again["want"] == state["want"]
    for offset in ("", "-1", "x", "9" * 30, "%C2%B2"):
        bringer.ask("PUT", f"{path}?offset={offset}", b"x", status=400)
    assert bringer.bring(again)["state"] == "done"


def test_a_connection_that_breaks_in_a_piece_loses_nothing(
    server: PageServer, browser: Browser, made: MadeBundle
):
    """What came of a piece before its connection broke is not wanted again."""
    bringer = Bringer(browser, made.data)
    state = bringer.begin()
    while state["want"]["size"] < 100_000 or state["state"] == "front":
        state = bringer.step(state)
    want, path = state["want"], f"/-/arrivals/{state['id']}"
    host, _, port = server.host.partition(":")
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    head = (
        f"PUT {path}?offset={want['offset']} HTTP/1.1\r\nHost: {server.host}\r\n"
        f"Cookie: {cookie}\r\nX-Airgap-Form-Token: {bringer.headers['X-Airgap-Form-Token']}\r\n"
        f"Content-Length: {want['size']}\r\n\r\n"
    )
    part = made.data[want["offset"] : want["offset"] + 50_000]
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + part)
    for _ in range(100):
        state = bringer.ask("GET", path)
        if state["want"]["offset"] > want["offset"]:
            break
    assert want["offset"] < state["want"]["offset"] <= want["offset"] + len(part)
    assert bringer.bring(state)["state"] == "done"


def test_a_damaged_bundle_says_what_is_wrong(
    server: PageServer, browser: Browser, made: MadeBundle
):
    """A flipped bit in a layer ends the arrival with its error, and no tag is set."""
    data = flip(made.data, made.layout.blobs[-1].offset)
    bringer = Bringer(browser, data)
    state = bringer.bring(bringer.begin())
    assert state["state"] == "failed"
    assert state["error"]["code"] == "digest-mismatch"
    assert all(list(server.depot.repository(n).tags()) == [] for n in server.depot.repositories())
    assert list(server.ledger.arrivals()) == []


def test_another_file_is_refused(server: PageServer, browser: Browser):
    """What is no bundle is refused with the words of the command line."""
    bringer = Bringer(browser, b"\x89PNG" * 1000)
    state = bringer.bring(bringer.begin())
    assert state["state"] == "failed"
    assert state["error"]["code"] == "bundle-format"
    assert is_empty(server)


def test_a_cancelled_arrival_can_be_begun_again(
    server: PageServer, browser: Browser, made: MadeBundle
):
    """Giving up keeps what came, and sets no tag."""
    bringer = Bringer(browser, made.data)
    state = bringer.bring(bringer.begin(), until=600_000)
    ended = bringer.ask("DELETE", f"/-/arrivals/{state['id']}")
    assert ended["state"] == "cancelled"
    assert server.depot.repository("team/app").resolve("1.4") is None
    again = bringer.begin()
    assert again["id"] != state["id"]
    assert bringer.bring(again)["state"] == "done"


@pytest.mark.parametrize(
    "question",
    [
        {"size": 0}, {"size": -1}, {"size": True}, {"size": "9"}, {"size": 1 << 60}, {"name": ""},
        {"name": "a\nb"}, {"name": "x" * 300}, {"prefix": "../x"}, {"prefix": "UP"}, {"prefix": 1},
        {"onExistingTag": "burn"}, {"sparse": "x"}, {"mark": 1},
    ],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_refused(browser: Browser, question: dict[str, Any]):
    """Names, sizes and choices that cannot be are answered with 400 and begin nothing."""
    bringer = Bringer(browser, b"x" * 100)
    assert bringer.begin(400, **question)["error"]["message"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"<html>", b'{"name":' + b"[" * 500])
def test_a_body_that_is_no_question_is_refused(browser: Browser, body: bytes):
    """What is no JSON object is answered with 400."""
    Bringer(browser, b"").ask("POST", "/-/arrivals", body, status=400)


def test_without_a_token_nothing_is_brought(server: PageServer, browser: Browser):
    """A request that another site made begins, feeds and ends nothing."""
    bringer = Bringer(browser, b"x" * 100)
    state = bringer.begin()
    for headers in ({}, {"X-Airgap-Form-Token": "0" * 64}):
        bringer.headers = headers
        bringer.begin(403)
        for method in ("GET", "PUT", "DELETE"):
            bringer.ask(method, f"/-/arrivals/{state['id']}?offset=0", status=403)
    assert len(server.desk.running("")) == 1


def test_who_may_not_push_everywhere_changes_nothing(made: MadeBundle):
    """A bundle that would write where its bringer may not push is refused before it is sent."""
    with serve_pages(depot=MemoryDepot(), guard=alice_and_bob()) as server:
        with server.browser() as browser:
            browser.sign_in("alice", "wonder land")
            bringer = Bringer(browser, made.data)
            state = bringer.bring(bringer.begin())
            assert state["state"] == "failed"
            assert state["error"]["code"] == "unauthorized"
            assert "charts/demo" in state["error"]["message"]
            assert is_empty(server)
            state = bringer.bring(bringer.begin(prefix="secret"))
            assert state["state"] == "done"
            assert all(name.startswith("secret/") for name in server.depot.repositories())
            assert next(server.ledger.arrivals()).who == "alice"


def test_others_do_not_reach_an_arrival(made: MadeBundle):
    """Who does not bring a bundle neither sees nor feeds nor ends it; anonymous brings none."""
    with serve_pages(guard=alice_and_bob()) as server:
        with server.browser() as alice, server.browser() as bob:
            alice.sign_in("alice", "wonder land")
            bob.sign_in("bob", "builder")
            hers = Bringer(alice, made.data)
            state = hers.begin(prefix="secret")
            his = Bringer(bob, made.data)
            for method in ("GET", "PUT", "DELETE"):
                his.ask(method, f"/-/arrivals/{state['id']}?offset=0", status=404)
            assert "is not finished" not in bob.get("/upload").visible
            assert hers.bring(state)["state"] == "done"
        with server.browser() as nobody:
            assert "by those who signed in" in nobody.get("/upload").visible
            bringer = Bringer.__new__(Bringer)
            bringer.browser, bringer.data = nobody, b"x"
            bringer.headers = {"X-Airgap-Form-Token": nobody.token("/sign-in")}
            assert bringer.begin(403)["error"]["message"]


def test_no_room_is_said_before_anything_is_sent(made: MadeBundle):
    """Where the disk has no room for what is missing, nothing is written."""
    with serve_pages(free_bytes=1000) as server, server.browser() as browser:
        bringer = Bringer(browser, made.data)
        state = bringer.bring(bringer.begin())
        assert state["error"]["code"] == "storage-full"
        assert is_empty(server)


def test_there_is_a_limit_to_how_many_arrive(
    browser: Browser, made: MadeBundle, monkeypatch: pytest.MonkeyPatch
):
    """One bundle too many is asked to wait."""
    monkeypatch.setattr(arriving, "MAX_RUNNING", 2)
    bringer = Bringer(browser, made.data)
    for number in range(2):
        bringer.begin(mark=str(number + 10))
    assert "already" in bringer.begin(503, mark="20")["error"]["message"]


def test_the_same_file_is_begun_anew_for_another_name(browser: Browser, made: MadeBundle):
    """Who chooses other options for a file gives the first try up."""
    bringer = Bringer(browser, made.data)
    first = bringer.begin()
    second = bringer.begin(prefix="mirror")
    assert second["id"] != first["id"]
    assert bringer.ask("GET", f"/-/arrivals/{first['id']}")["state"] == "cancelled"
    assert bringer.bring(second)["state"] == "done"


def test_a_bug_in_an_import_is_not_shown(caplog: pytest.LogCaptureFixture):
    """What goes wrong inside stands in the log and not on the page."""

    def broken(*_: object, **__: object) -> None:
        raise ValueError("inner workings")

    with serve_pages(importer=broken) as server, server.browser() as browser:
        bringer = Bringer(browser, b"x" * 10)
        state = bringer.bring(bringer.begin())
    assert state["state"] == "failed"
    assert "inner" not in json.dumps(state)
    assert "inner workings" in caplog.text


def test_closing_the_desk_ends_every_arrival(server: PageServer, browser: Browser):
    """A server that ends leaves no arrival that still writes."""
    bringer = Bringer(browser, b"x" * 100)
    state = bringer.begin()
    server.desk.close()
    found = server.desk.find(state["id"], "")
    assert found is not None
    assert found.state == "cancelled"
