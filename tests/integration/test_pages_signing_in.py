"""Signing in and out on the registry's pages."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from airgap.content.memory import MemoryDepot
from airgap.server.auth.guard import open_guard
from airgap.server.auth.passwords import hash_password
from airgap.server.auth.users import UserFolder
from tests.support import builders
from tests.support.pages import (
    Browser,
    FixedUsers,
    PageServer,
    alice_and_bob,
    serve_pages,
)


@pytest.fixture(name="users")
def make_users() -> FixedUsers:
    return alice_and_bob()


@pytest.fixture(name="server")
def open_server(users: FixedUsers) -> Iterator[PageServer]:
    depot = MemoryDepot()
    builders.push(depot.repository("secret/app"), builders.image(), tag="1.0")
    with serve_pages(depot=depot, guard=users) as server:
        yield server


@pytest.fixture(name="browser")
def open_browser(server: PageServer) -> Iterator[Browser]:
    with server.browser() as browser:
        yield browser


def test_one_signs_in_and_out(browser: Browser):
    """After signing in one sees what is one's own, and after signing out no more."""
    first = browser.get("/").visible
    assert "nothing to see without signing in" in first
    assert "Upload" not in first
    answer = browser.sign_in("alice", "wonder land", "/r/secret/app")
    assert (answer.status, answer.headers["Location"]) == (303, "/r/secret/app")
    page = browser.get("/r/secret/app")
    assert page.status == 200
    assert "Signed in as alice" in page.visible
    assert "Upload" in page.visible
    answer = browser.post("/sign-out", **{"form-token": browser.token("/")})
    assert answer.status == 303
    assert browser.get("/r/secret/app").status == 404


@pytest.mark.parametrize(
    ("name", "password"), [("alice", "guess-55"), ("nobody", "guess-55"), ("", ""), ("alice", "")]
)
def test_a_wrong_password_signs_nobody_in(browser: Browser, name: str, password: str):
    """The answer to a wrong name is the same as that to a wrong password."""
    answer = browser.sign_in(name, password)
    assert answer.status == 401
    assert "The name or the password is wrong." in answer.visible
    assert "WWW-Authenticate" not in answer.headers
    assert not [name for name in browser.cookies if "session" in name]
    assert password not in answer.text or not password


def test_a_form_of_another_site_signs_nobody_in(browser: Browser):
    """A form without this browser's token is refused, in and out."""
    fields = {"name": "alice", "password": "wonder land"}
    assert browser.post("/sign-in", **fields).status == 403
    token = browser.token("/sign-in")
    assert browser.post("/sign-in", **fields, **{"form-token": "0" * 64}).status == 403
    browser.cookies.clear()
    assert browser.post("/sign-in", **fields, **{"form-token": token}).status == 403
    assert browser.sign_in("alice", "wonder land").status == 303
    assert browser.post("/sign-out").status == 403
    # the token of before the sign-in is worth nothing after it
    assert browser.post("/sign-out", **{"form-token": token}).status == 403
    assert browser.get("/r/secret/app").status == 200


def test_cookies_are_for_no_script_and_no_other_site(browser: Browser):
    """Every cookie is HttpOnly and SameSite=Strict."""
    browser.sign_in("alice", "wonder land")
    assert len(browser.set_cookies) >= 2
    for line in browser.set_cookies:
        assert "; HttpOnly" in line
        assert "; SameSite=Strict" in line
        assert "; Path=/" in line
        assert "Domain" not in line
        assert "Secure" not in line


def test_under_tls_cookies_are_secure(tmp_path: Path, users: FixedUsers):
    """Under TLS every cookie is Secure, and no other host of the domain can set it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    with serve_pages(guard=users, ssl_context=context) as server:
        browser = Browser(server.url, ca=str(bundle))
        try:
            assert browser.sign_in("alice", "wonder land").status == 303
        finally:
            browser.close()
    for line in browser.set_cookies:
        assert line.startswith("__Host-")
        assert "; Secure" in line


def test_one_is_led_nowhere_else(browser: Browser):
    """After signing in one stays on this server, whatever the link said."""
    answer = browser.sign_in("alice", "wonder land", "//evil.example/")
    assert answer.headers["Location"] == "/"
    page = browser.get("/sign-in?next=https://evil.example/")
    assert "evil" not in page.text.replace(page.text.partition("<main")[0], "")


def test_a_session_ends_with_the_user(browser: Browser, users: FixedUsers):
    """Whoever was removed, or has another password since, is signed out."""
    browser.sign_in("alice", "wonder land")
    users.passwords["alice"] = "another"
    assert browser.get("/r/secret/app").status == 404
    browser.sign_in("alice", "another")
    assert browser.get("/r/secret/app").status == 200
    del users.passwords["alice"]
    assert browser.get("/r/secret/app").status == 404


def test_rights_count_at_once(browser: Browser, users: FixedUsers):
    """A right that is taken back is gone with the next page."""
    browser.sign_in("alice", "wonder land")
    assert browser.get("/r/secret/app").status == 200
    users.rules["alice"] = {}
    assert browser.get("/r/secret/app").status == 404


def test_another_secret_is_no_session(browser: Browser):
    """A made-up cookie is nobody's session."""
    browser.cookies["airgap-session"] = "x" * 43
    assert browser.get("/r/secret/app").status == 404


def test_without_users_nobody_signs_in():
    """Where there are no users there is no page to sign in."""
    with serve_pages() as server, server.browser() as browser:
        assert browser.get("/sign-in").status == 404
        assert browser.post("/sign-in", name="a", password="b").status == 404
        assert "Sign in" not in browser.get("/").visible


def test_the_users_of_the_registry_sign_in(tmp_path: Path):
    """The names and passwords of `airgap user` are those of the pages."""
    users = UserFolder(tmp_path / "users")
    users.add("carol", hash_password("a long password", cost=4), groups=["secret"])
    guard = open_guard(tmp_path / "users")
    depot = MemoryDepot()
    builders.push(depot.repository("secret/app"), builders.image(), tag="1.0")
    try:
        with serve_pages(depot=depot, guard=guard) as server:
            with server.browser() as browser:
                assert browser.get("/r/secret/app").status == 404
                assert browser.sign_in("carol", "wrong").status == 401
                assert browser.sign_in("carol", "a long password").status == 303
                assert browser.get("/r/secret/app").status == 200
    finally:
        guard.close()
