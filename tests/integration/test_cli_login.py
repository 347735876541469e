"""`airgap login` and `airgap logout`."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.support.command_line import airgap
from tests.support.scripted_server import Reply, ScriptedServer, Seen

GOOD = "Basic " + base64.b64encode(b"me:s3cret").decode()


@pytest.fixture
def registry() -> Iterator[ScriptedServer]:
    """A registry that knows one user."""

    def answer(seen: Seen) -> Reply:
        if seen.headers.get("authorization") == GOOD:
            return Reply.json({})
        return Reply(401, {"WWW-Authenticate": 'Basic realm="here"'})

    with ScriptedServer() as server:
        server.on("GET", "/v2/").reply(answer)
        yield server


def config() -> Path:
    return Path(os.environ["DOCKER_CONFIG"]) / "config.json"


def test_a_login_is_tried_and_kept_as_docker_does(registry: ScriptedServer) -> None:
    """A password from standard input is checked, stored with mode 0600, and erased by logout."""
    done = airgap("login", registry.host, "-u", "me", "--password-stdin", stdin=b"s3cret\n")
    assert (done.code, done.out) == (0, f"logged in to {registry.host} as me\n")
    assert "s3cret" not in done.err
    auth = base64.b64encode(b"me:s3cret").decode()
    assert json.loads(config().read_text())["auths"][registry.host] == {"auth": auth}
    assert config().stat().st_mode & 0o777 == 0o600
    assert airgap("logout", registry.host).out == f"logged out of {registry.host}\n"
    assert json.loads(config().read_text())["auths"] == {}
    assert airgap("logout", registry.host).out == f"not logged in to {registry.host}\n"


def test_a_wrong_password_is_not_kept(registry: ScriptedServer) -> None:
    """What the registry refuses is 11, and nothing is written."""
    done = airgap("login", registry.host, "-u", "me", "--password-stdin", stdin=b"wrong")
    assert done.code == 11
    assert "wrong" not in done.err
    assert "does not allow the login" in done.err
    assert "hint: check the name and the password" in done.err
    assert not config().exists()


def test_on_a_terminal_name_and_password_are_asked_for(
    registry: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are prompted for on standard error, the password hidden."""
    asked: list[tuple[str, bool]] = []

    def prompt(text: str, *, type: object, err: bool, hide_input: bool = False) -> str:  # noqa: A002
        assert err
        asked.append((text, hide_input))
        return "s3cret" if hide_input else "me"

    monkeypatch.setattr(click, "prompt", prompt)
    done = airgap("login", registry.host, "--json", terminal=True)
    assert done.code == 0
    assert asked == [("Username", False), ("Password", True)]
    assert done.lines[-1] == {
        "type": "result", "command": "login", "registry": registry.host, "username": "me",
    }  # fmt: skip


def test_leaving_the_prompt_is_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C at a prompt exits with 130."""

    def prompt(*_: object, **__: object) -> str:
        raise click.Abort

    monkeypatch.setattr(click, "prompt", prompt)
    done = airgap("login", "registry.invalid", terminal=True)
    assert done.code == 130
    assert "interrupted" in done.err


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"\xff\xfe", b"x" * 70_000], ids=["empty", "line", "bytes", "long"]
)
def test_nonsense_for_a_password_is_refused(content: bytes) -> None:
    """An empty, binary or endless password is a usage error before any request."""
    done = airgap("login", "127.0.0.1:9", "-u", "me", "--password-stdin", stdin=content)
    assert done.code == 2


def test_a_damaged_docker_config_is_not_overwritten(registry: ScriptedServer) -> None:
    """A config.json that makes no sense is an error and stays as it is."""
    config().parent.mkdir(parents=True)
    config().write_text("{")
    done = airgap("login", registry.host, "-u", "me", "--password-stdin", stdin=b"s3cret")
    assert done.code == 2
    assert config().read_text() == "{"
