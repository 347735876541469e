"""Liveness and readiness."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from aiohttp.test_utils import make_mocked_request

from airgap.errors import StorageError
from airgap.server.health import Health, writable


def ask(health: Health, path: str = "/readyz"):
    """The status and the document of one probe."""

    async def run():
        request = make_mocked_request("GET", path)
        answer = await (health.healthz if path == "/healthz" else health.readyz)(request)
        return answer.status, answer.body

    status, body = asyncio.run(run())
    return status, json.loads(body) if path == "/readyz" else body


def test_a_server_lives_whatever_does_not_work():
    """Liveness asks for nothing, so that a full disk leads to no restart."""

    def fails() -> None:
        raise StorageError("no")

    assert ask(Health({"storage": fails}), "/healthz") == (200, b"ok\n")


def test_a_server_is_ready_when_all_works():
    """Readiness is 200 where every check goes through."""
    status, value = ask(Health({"storage": lambda: None}))
    assert (status, value) == (200, {"status": "ready", "checks": {"storage": "ok"}})


def test_what_fails_is_named_and_not_explained(caplog):
    """Readiness is 503 with the name of what failed; the reason goes to the log only."""

    def fails() -> None:
        raise StorageError("the secret path is full")

    status, value = ask(Health({"storage": fails, "other": lambda: None}))
    assert status == 503
    assert value["checks"] == {"storage": "failed", "other": "ok"}
    assert "secret" in caplog.text
    assert "secret" not in json.dumps(value)


def test_a_check_that_hangs_has_failed():
    """A check that does not end in time counts as failed, and is not begun once more meanwhile."""
    release, begun = threading.Event(), []

    def hangs() -> None:
        begun.append(1)
        release.wait(20)

    async def run():
        health = Health({"storage": hangs}, seconds=0.05)
        request = make_mocked_request("GET", "/readyz")
        answers = [await health.readyz(request) for _ in range(3)]
        release.set()
        return answers

    answers = asyncio.run(run())
    assert [answer.status for answer in answers] == [503, 503, 503]
    assert len(begun) == 1


def test_a_server_that_stops_is_not_ready():
    """While the last transfers finish, no new ones should be sent."""
    health = Health()
    assert ask(health)[0] == 200
    health.is_stopping = True
    assert ask(health) == (503, {"status": "not ready", "checks": {"server": "stopping"}})


def test_a_folder_that_takes_files_is_writable(tmp_path):
    """The check leaves nothing behind, and fails by name where there is no folder."""
    writable(tmp_path)()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StorageError, match="gone"):
        writable(tmp_path / "gone")()
