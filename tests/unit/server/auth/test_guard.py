"""The guard of users: files that change under it, and a registry without users."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from airgap.errors import SettingsError, StorageError
from airgap.server.access import ANONYMOUS, CATALOG, INVENTORY, REGISTRY, Action, Principal
from airgap.server.auth import guard as module
from airgap.server.auth.guard import open_guard
from airgap.server.errors import WireError
from tests.support.accounts import Office, basic, secret

PULL, PUSH, ADMIN = Action.PULL, Action.PUSH, Action.ADMIN
NAMES = {"root": ["admins"], "bob": ["payments"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "users"


def request(headers: Mapping[str, str] | None = None, *, remote: str = "127.0.0.1") -> web.Request:
    """A request that came from an address."""
    transport = Mock()
    transport.get_extra_info.side_effect = {"peername": (remote, 1234)}.get
    return make_mocked_request("GET", "/v2/", headers=headers, transport=transport)


def identify(office: Office, *arguments: object, **options: object) -> Principal:
    return asyncio.run(office.guard.identify(request(*arguments, **options)))


def status(office: Office, *arguments: object, **options: object) -> int:
    with pytest.raises(WireError) as caught:
        identify(office, *arguments, **options)
    return caught.value.status


def may(office: Office, name: str, action: Action, repository: str) -> bool:
    principal = office.guard.principal(name)
    assert principal is not None
    return office.guard.may(principal, action, repository)


# -- without users ---------------------------------------------------------------------------


def test_without_users_this_machine_may_do_everything(folder: Path) -> None:
    """Also run the registry, and whatever credentials a client still has."""
    office = Office(folder)
    assert not office.guard.has_users
    for headers in ({}, basic("old"), {"Authorization": "Bearer old"}):
        principal = identify(office, headers)
        for place in ("a/b", REGISTRY, CATALOG):
            assert office.guard.may(principal, ADMIN, place)


@pytest.mark.parametrize(
    ("remote", "headers"),
    [("10.0.0.1", {}), ("2001:db8::1", {}), ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}),
     ("::1", {"Forwarded": "for=127.0.0.1"})],
)  # fmt: skip
def test_without_users_nobody_else_may_do_anything(
    folder: Path, remote: str, headers: Mapping[str, str]
) -> None:
    """Neither from another machine nor through a proxy."""
    office = Office(folder)
    assert status(office, headers, remote=remote) == 403
    assert status(office, {**headers, **basic("bob")}, remote=remote) == 403


def test_the_first_user_closes_the_registry(folder: Path) -> None:
    """Without a restart, within a second."""
    office = Office(folder)
    office.add("root", groups=["admins"])
    assert identify(office).is_admin
    office.advance(1)
    assert office.guard.has_users
    assert identify(office) == ANONYMOUS
    assert not office.guard.may(ANONYMOUS, PULL, "a/b")
    assert not office.guard.may(ANONYMOUS, PULL, REGISTRY)
    assert identify(office, basic("root")).is_admin


@pytest.mark.parametrize("how", ["removed", "empty", "comments", "gone"])
def test_a_registry_that_had_users_stays_closed(folder: Path, how: str) -> None:
    """A password file that is being written must not open the registry for a moment."""
    office = Office(folder, NAMES)
    path = office.users.passwords
    if how == "removed":
        office.users.remove("root")
        office.users.remove("bob")
    elif how == "gone":
        path.unlink()
    else:
        path.write_text("" if how == "empty" else "# nobody\n")
    office.advance()
    assert office.guard.has_users
    assert identify(office) == ANONYMOUS
    assert not office.guard.may(ANONYMOUS, PULL, "a/b")
    assert status(office, basic("root")) == 401


@pytest.mark.parametrize("line", ["eve:$apr1$x$y\n", "eve\n"])
def test_users_who_cannot_sign_in_are_users(folder: Path, line: str) -> None:
    """A password file that airgap cannot read a hash in does not leave the registry open."""
    folder.mkdir()
    (folder / "htpasswd").write_text(line)
    office = Office(folder)
    assert office.guard.has_users
    assert identify(office) == ANONYMOUS
    assert office.guard.principal("eve") is None
    assert status(office, basic("eve", "x")) == 401


def test_everyone_may_pull_where_that_was_asked_for(folder: Path) -> None:
    """Without users from everywhere, also without signing in, and nothing else."""
    office = Office(folder, anonymous_pull=True)
    for remote in ("10.0.0.1", "127.0.0.1"):
        principal = identify(office, remote=remote)
        for place in ("a/b", REGISTRY):
            assert office.guard.may(principal, PULL, place)
        assert not any(office.guard.may(principal, a, "a/b") for a in Action if a is not PULL)
        assert not office.guard.may(principal, ADMIN, REGISTRY)


def test_everyone_may_pull_beside_users(folder: Path) -> None:
    """Users have what the rules give beside that, and clients are asked to sign in."""
    office = Office(folder, NAMES, anonymous_pull=True)
    assert office.guard.may(ANONYMOUS, PULL, "a/b")
    assert not office.guard.may(ANONYMOUS, PULL, REGISTRY)
    assert may(office, "bob", PULL, "a/b")
    assert may(office, "bob", PUSH, "payments/app")
    assert not may(office, "bob", PUSH, "a/b")


# -- users -----------------------------------------------------------------------------------


def test_who_a_user_is(folder: Path) -> None:
    """Name, groups, and whether the user may do everything."""
    office = Office(folder, NAMES)
    assert identify(office, basic("bob")) == Principal("bob", frozenset({"payments"}))
    assert identify(office, basic("root")) == Principal(
        "root", frozenset({"admins"}), is_admin=True
    )


def test_two_credentials_are_none(folder: Path) -> None:
    """Two headers might mean one thing to a proxy and another one here."""
    office = Office(folder, NAMES)
    twice = CIMultiDict([*basic("bob").items(), *basic("bob").items()])
    assert status(office, twice) == 401


def test_only_admins_run_the_registry(folder: Path) -> None:
    """Whoever may do something may speak with it and list; not more."""
    office = Office(folder, NAMES)
    assert may(office, "root", ADMIN, REGISTRY)
    assert not may(office, "bob", ADMIN, REGISTRY)
    assert not may(office, "bob", PUSH, REGISTRY)
    assert not may(office, "bob", PUSH, CATALOG)
    assert not may(office, "bob", PUSH, INVENTORY)
    assert may(office, "bob", PULL, REGISTRY)
    assert may(office, "bob", PULL, CATALOG)
    assert may(office, "bob", PULL, INVENTORY)


def test_a_token_of_an_admin_is_no_more_than_it_says(folder: Path) -> None:
    """Not even for an admin, and never to run the registry."""
    office = Office(folder, NAMES)
    root = office.guard.principal("root")
    assert root is not None
    narrow = Principal(root.name, root.groups, is_admin=True, grants={"a": frozenset({PULL})})
    assert office.guard.may(narrow, PULL, "a")
    refused = ((PUSH, "a"), (PULL, "b"), (ADMIN, REGISTRY), (PULL, CATALOG), (PULL, INVENTORY))
    for action, place in refused:
        assert not office.guard.may(narrow, action, place)
    lists = Principal(root.name, root.groups, is_admin=True, grants={CATALOG: frozenset({PULL})})
    assert office.guard.may(lists, PULL, CATALOG)
    assert not office.guard.may(lists, PULL, INVENTORY)


def test_files_are_looked_at_once_a_second(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many requests come, and read only when they have changed."""
    office = Office(folder, NAMES)
    looked, loaded = [], []
    users = office.guard._users
    signature, load = users.signature, users.load
    monkeypatch.setattr(users, "signature", lambda: looked.append(1) or signature())
    monkeypatch.setattr(users, "load", lambda: loaded.append(1) or load())
    for _ in range(10):
        for _ in range(10):
            office.guard.principal("bob")
        office.advance(1)
    assert len(looked) == 9
    assert not loaded
    office.users.passwords.touch()
    office.guard.principal("bob")
    assert len(loaded) == 1


def test_what_was_decided_is_forgotten_with_the_rules(folder: Path) -> None:
    """A change of the rules, of groups or of users counts within a second."""
    office = Office(folder, NAMES)
    assert may(office, "bob", PUSH, "payments/app")
    office.rules('repositories = ["sales/*"]\npull = ["@payments"]')
    assert may(office, "bob", PUSH, "payments/app")
    office.advance(1)
    assert not may(office, "bob", PUSH, "payments/app")
    assert may(office, "bob", PULL, "sales/app")
    office.users.groups.write_text("payments:\n")
    office.advance(1)
    assert not may(office, "bob", PULL, "sales/app")


@pytest.mark.parametrize("content", ["version = 1\n[[rule", "version = 9\n", "\x00"])
def test_rules_with_a_mistake_change_nothing(
    folder: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The last good ones count, the mistake is told once, and a repair counts."""
    office = Office(folder, NAMES)
    office.users.access.write_text(content)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            office.advance()
            assert may(office, "bob", PUSH, "payments/app")
    assert len(caplog.records) == 1
    assert "access.toml" in caplog.text
    office.rules('repositories = ["**"]\npull = ["bob"]')
    office.advance()
    assert not may(office, "bob", PUSH, "payments/app")


def test_a_server_does_not_start_with_a_mistake(folder: Path) -> None:
    """Where nothing good is known yet, the mistake is an error."""
    folder.mkdir()
    (folder / "access.toml").write_text("version = 9\n")
    with pytest.raises(SettingsError):
        open_guard(folder)
    (folder / "access.toml").unlink()
    (folder / "htpasswd").mkdir()
    with pytest.raises(StorageError):
        open_guard(folder)


def test_lines_that_mean_nothing_are_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At the start and after a change."""
    folder.mkdir()
    (folder / "htpasswd").write_text("eve:{SHA}x\n")
    office = Office(folder)
    assert "line 1: 'eve' has a SHA-1 hash" in caplog.text
    caplog.clear()
    office.users.groups.write_text("odd\n")
    office.advance()
    office.guard.principal("bob")
    assert "groups, line 1" in caplog.text


def test_a_password_that_changes_while_it_is_checked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is what the file says when the check is over."""
    office = Office(folder, NAMES)

    async def slow(*_: object, **__: object) -> bool:
        office.set_password("bob", "new")
        office.advance()
        return True

    monkeypatch.setattr(office.guard._checker, "check", slow)
    assert status(office, basic("bob")) == 401


def test_failed_sign_ins_are_noted_without_the_password(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """On one line, whatever the name holds."""
    office = Office(folder, NAMES)
    assert status(office, basic("bob\nroot", "guess"), remote="10.1.2.3") == 401
    assert r"'bob\nroot' from 10.1.2.3" in caplog.text
    assert "guess" not in caplog.text


def test_signing_in_without_a_header(folder: Path) -> None:
    """For the page: the same check, users as of now, and stamps that end sessions."""
    office = Office(folder, NAMES)
    found = asyncio.run(office.guard.sign_in("bob", secret("bob"), address="::1"))
    assert found == office.guard.principal("bob")
    with pytest.raises(WireError):
        asyncio.run(office.guard.sign_in("bob", "wrong", address="::1"))
    before = office.guard.stamp("bob")
    assert before
    assert office.guard.stamp("nobody") == ""
    office.set_password("bob", "new")
    office.advance()
    assert office.guard.stamp("bob") not in ("", before)
    office.users.remove("bob")
    office.advance()
    assert office.guard.stamp("bob") == ""
    assert office.guard.principal("bob") is None
    office.guard.close()


def test_memory_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many repositories are asked for, only so many decisions are kept."""
    monkeypatch.setattr(module, "MAX_DECISIONS", 10)
    office = Office(folder, NAMES)
    for number in range(100):
        assert not may(office, "bob", PULL, f"x/{number}")
    assert len(office.guard._state.decisions) <= 10


def test_threads_may_ask_while_files_change(folder: Path) -> None:
    """Nobody sees an error or half of a change."""
    office = Office(folder, NAMES)
    stop, wrong = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            try:
                if not may(office, "bob", PUSH, "payments/app"):
                    wrong.append("refused")
            except Exception as error:
                wrong.append(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(20):
        office.add(f"user{number}")
        office.advance()
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert office.guard.principal("user19") is not None


def test_a_key_that_cannot_be_kept(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Users in a folder that takes no writes are let in; their tokens end with the process."""
    office = Office(folder, NAMES)
    (folder / "keys/token.key").unlink()
    (folder / "keys").rmdir()
    (folder / "keys").write_text("no folder")
    again = office.open()
    assert again.has_users
    assert again.stamp("bob") != office.guard.stamp("bob")
    assert "will not outlive" in caplog.text
