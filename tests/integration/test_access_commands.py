"""`airgap user` and `airgap access`, and what a running registry makes of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.server.auth import passwords
from airgap.server.auth.guard import GuardOptions, open_guard
from airgap.server.auth.users import UserFolder
from tests.support.accounts import basic
from tests.support.builders import image, push
from tests.support.command_line import Outcome, airgap
from tests.support.embedded import EmbeddedRegistry
from tests.support.wire import Wire


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder, with hashes that cost little."""
    strong = passwords.hash_password
    monkeypatch.setattr("airgap.cli.user.hash_password", lambda text: strong(text, cost=4))
    return tmp_path / "data"


def add(data: Path, name: str, *more: str, password: str = "secret") -> Outcome:
    return airgap(
        "user", "add", name, *more, "--password-stdin", "--data", data, stdin=password.encode()
    )


def test_users_come_and_go(data: Path) -> None:
    """Add, list, change and remove, each with its line for people."""
    assert add(data, "amy", "--admin").out.splitlines()[0] == "added amy to admins"
    assert add(data, "bob", "-g", "payments", "--group", "sales").code == 0
    assert add(data, "kim").out.splitlines()[0] == "added kim, in no group"
    assert airgap("user", "list", "--data", data).out == (
        f"amy  admin; admins\nbob  payments, sales\nkim  -\n{data}: 3 users\n"
    )
    done = airgap("user", "password", "bob", "--password-stdin", "--data", data, stdin=b"other\n")
    assert done.out == "bob has a new password\n"
    assert passwords.matches("other", UserFolder(data).load().passwords["bob"])
    assert airgap("user", "remove", "bob", "--data", data).out == "removed bob\n"
    airgap("user", "remove", "kim", "--data", data)
    assert "no users any more" in airgap("user", "remove", "amy", "--data", data).out


def test_users_as_json(data: Path) -> None:
    """Each command has one result in JSON, without the password."""
    [line] = airgap(
        "user", "add", "amy", "--admin", "--password-stdin", "--data", data, "--json",
        stdin=b"secret",
    ).lines  # fmt: skip
    assert line == {
        "type": "result", "command": "user add", "data": str(data), "user": "amy",
        "groups": ["admins"],
    }  # fmt: skip
    [line] = airgap("user", "list", "--data", data, "--json").lines
    [user] = line["users"]
    assert user == {"name": "amy", "groups": ["admins"], "is_admin": True, "problem": ""}


@pytest.mark.parametrize(
    ("arguments", "password", "code", "says"),
    [
        (("add", "amy"), "secret", 40, "there is a user amy"),
        (("add", "a:b"), "secret", 2, "not the name of a user"),
        (("add", "anonymous"), "secret", 2, "not the name of a user"),
        (("add", "bob", "-g", "A/B"), "secret", 2, "not the name of a group"),
        (("add", "bob"), "", 2, "the password is empty"),
        (("add", "bob"), "x" * 73, 2, "more than 72 bytes"),
        (("password", "bob"), "secret", 10, "there is no user 'bob'"),
    ],
)
def test_mistakes(
    data: Path, arguments: tuple[str, ...], password: str, code: int, says: str
) -> None:
    """They are told with the documented exit code, and change nothing."""
    add(data, "amy")
    before = UserFolder(data).load()
    done = airgap("user", *arguments, "--password-stdin", "--data", data, stdin=password.encode())
    assert done.code == code
    assert says in done.err
    assert "x" * 73 not in done.err
    assert UserFolder(data).load() == before


def test_removing_nobody(data: Path) -> None:
    """10, as everything that is not there."""
    assert airgap("user", "remove", "bob", "--data", data).code == 10
    assert airgap("user", "list", "--data", data).out == f"{data}: 0 users\n"


def test_a_password_is_typed_twice(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal it is asked for and never shown; without one it must come by a pipe."""
    asked = []

    def prompt(text: str, **options: object) -> str:
        asked.append((text, options["hide_input"], options["confirmation_prompt"], options["err"]))
        return "secret"

    monkeypatch.setattr("click.prompt", prompt)
    assert airgap("user", "add", "amy", "--data", data, terminal=True).code == 0
    assert asked == [("Password", True, True, True)]
    done = airgap("user", "add", "bob", "--data", data)
    assert done.code == 2
    assert "airgap user add bob --password-stdin" in done.err


def test_the_default_folder_is_the_users_own(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG's data folder, where --data does not say otherwise."""
    monkeypatch.setenv("XDG_DATA_HOME", str(data))
    airgap("user", "add", "amy", "--password-stdin", stdin=b"secret")
    assert (data / "airgap/htpasswd").exists()
    assert airgap("user", "list").out.startswith("amy")


def test_rules_are_shown(data: Path) -> None:
    """What counts, where it stands, and what means nothing."""
    shown = airgap("access", "show", "--data", data).out
    assert "admin: @admins" in shown
    assert "these are the defaults" in shown
    assert "there are no users" in shown
    add(data, "amy")
    (data / "htpasswd").write_text((data / "htpasswd").read_text() + "eve:{SHA}x\n")
    shown = airgap("access", "show", "--data", data).out
    assert "{group}/**\n  push: @{group}\n" in shown
    assert "SHA-1" in shown
    [line] = airgap("access", "show", "--data", data, "--json").lines
    assert line["rules"][0]["repositories"] == ["**"]
    assert line["rules"][0]["admin"] == ["@admins"]
    assert line["is_default"] is False
    (data / "access.toml").write_text("version = 1\nrul = []\n")
    done = airgap("access", "show", "--data", data)
    assert (done.code, "unknown key 'rul'" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("user", "repository", "action", "code"),
    [
        ("amy", "x/y", "delete", 0),
        ("bob", "payments/app", "push", 0),
        ("bob", "payments/app", "delete", 11),
        ("bob", "x/y", "pull", 11),
        ("anonymous", "payments/app", "pull", 11),
        ("eve", "payments/app", "pull", 11),
        ("nobody", "payments/app", "pull", 10),
        ("bob", "Payments", "pull", 2),
        ("bob", "payments/app", "dance", 2),
    ],
)
def test_access_is_checked(data: Path, user: str, repository: str, action: str, code: int) -> None:
    """0 where something is allowed, and 11 where it is not."""
    add(data, "amy", "--admin")
    add(data, "bob", "-g", "payments")
    (data / "htpasswd").write_text((data / "htpasswd").read_text() + "eve:$1$a$b\n")
    done = airgap("access", "check", user, repository, action, "--data", data)
    assert done.code == code
    if code == 0:
        assert f"{user} may {action} {repository}: {data / 'access.toml'}, line" in done.out
    else:
        assert done.err.startswith("error[")
    if code in (0, 11) and user != "eve":
        checked = airgap("access", "check", user, repository, action, "--data", data, "--json")
        assert checked.lines[0]["is_allowed"] is (code == 0)


def test_without_users_everyone_may(data: Path) -> None:
    """As the server does it on this machine."""
    done = airgap("access", "check", "anonymous", "x/y", "push", "--data", data)
    assert done.code == 0
    assert "as long as there are no users" in done.out


@pytest.fixture
def running(data: Path) -> Iterator[Wire]:
    """A registry that runs on the data folder, and looks at its files all the time."""
    ticks = iter(range(1_000_000))
    guard = open_guard(data, GuardOptions(clock=lambda: float(next(ticks)) * 2))
    with EmbeddedRegistry(guard=guard) as registry, Wire(registry.host) as wire:
        push(registry.repository("payments/app"), image(), tag="1")
        yield wire
    guard.close()


def test_changes_count_without_a_restart(data: Path, running: Wire) -> None:
    """From open to closed, a user's groups, a new password, and a removal."""
    path = "/v2/payments/app/manifests/1"
    running.ask("GET", path, status=200)
    add(data, "amy", "--admin")
    running.ask("GET", path, status=401)
    running.ask("GET", path, headers=basic("amy", "secret"), status=200)
    add(data, "bob")
    running.ask("GET", path, headers=basic("bob", "secret"), status=403)
    (data / "groups").write_text("payments: bob\n")
    running.ask("GET", path, headers=basic("bob", "secret"), status=200)
    airgap("user", "password", "bob", "--password-stdin", "--data", data, stdin=b"new")
    running.ask("GET", path, headers=basic("bob", "secret"), status=401)
    running.ask("GET", path, headers=basic("bob", "new"), status=200)
    airgap("user", "remove", "bob", "--data", data)
    running.ask("GET", path, headers=basic("bob", "new"), status=401)
    airgap("user", "remove", "amy", "--data", data)
    running.ask("GET", path, status=401)


def test_processes_that_add_users_at_the_same_time(data: Path) -> None:
    """All of them are there in the end, in whole lines."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "airgap", "user", "add", f"user{number}", "--password-stdin",
             "--group", "team", "--data", str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        for number in range(4)
    ]  # fmt: skip
    for process in started:
        assert process.stdin is not None
        process.stdin.write(b"secret")
        process.stdin.close()
    assert [process.wait(60) for process in started] == [0] * 4
    found = UserFolder(data).load()
    assert sorted(found.passwords) == [f"user{number}" for number in range(4)]
    assert all(groups == {"team"} for groups in found.groups.values())
    assert found.problems == ()
