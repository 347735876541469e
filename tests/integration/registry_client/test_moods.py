"""The registry client follows redirects, waits for busy servers and names dead ones."""

from __future__ import annotations

import re

import pytest

from airgap.errors import (
    RegistryProtocolError,
    UnavailableError,
)
from airgap.registry.credentials import Credential
from airgap.registry.repository import Repository
from tests.support.downloading import BLOB, CONTENT, PATH, ranged, read
from tests.support.registry_client import Lab
from tests.support.scripted_server import Reply, ScriptedServer


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_without_credentials(
    server: ScriptedServer, lab: Lab, status: int
) -> None:
    """Another host gets the range but no Authorization; so real storages are used."""
    with ScriptedServer() as storage:
        storage.on("GET", "/signed.*").reply(ranged)
        server.on("GET", PATH, authorization="Basic .*").reply(
            Reply(status, {"Location": f"{storage.url}/signed?key=1"})
        )
        server.on("GET", PATH).reply(Reply(401, {"WWW-Authenticate": 'Basic realm="x"'}))
        repository = _with_password(lab, server)
        assert read(repository, 7) == CONTENT[7:]
        [seen] = storage.requests()
        assert "authorization" not in seen.headers
        assert seen.headers["range"] == "bytes=7-"
        assert seen.headers["host"] == storage.host


def test_a_redirect_to_itself_keeps_the_credentials(server: ScriptedServer, lab: Lab) -> None:
    """A redirect within the registry's own scheme, host and port carries Authorization."""
    server.on("GET", PATH).reply(
        Reply(401, {"WWW-Authenticate": 'Basic realm="x"'}), Reply(307, {"Location": "/elsewhere"})
    )
    server.on("GET", "/elsewhere", authorization="Basic .*").reply(ranged)
    assert read(_with_password(lab, server)) == CONTENT


def _with_password(lab: Lab, server: ScriptedServer) -> Repository:
    lab.credentials.credential = Credential("user", "secret")
    return lab.client.repository(server.host, "team/app", origin="source")


def test_an_expired_link_is_asked_for_anew(
    server: ScriptedServer, repository: Repository, lab: Lab
) -> None:
    """A storage that refuses its link is asked again by a fresh link of the registry."""
    with ScriptedServer() as storage:
        storage.on("GET", "/old").reply(Reply(403, {}, b"<Error>expired</Error>"))
        storage.on("GET", "/new").reply(ranged)
        server.on("GET", PATH).reply(
            Reply(307, {"Location": f"{storage.url}/old"}),
            Reply(307, {"Location": f"{storage.url}/new"}),
        )
        assert read(repository) == CONTENT
    assert len(lab.waits) == 1


def test_a_redirect_in_circles_ends(server: ScriptedServer, repository: Repository) -> None:
    """At most five redirects are followed, then the registry breaks the protocol."""
    server.on("GET", ".*").reply(lambda seen: Reply(307, {"Location": f"{seen.path}x"}))
    with pytest.raises(RegistryProtocolError, match="redirected") as caught:
        read(repository)
    assert len(server.requests()) == 6
    assert caught.value.exit_code == 13
    assert "who runs the registry" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "location", ["ftp://x/y", "http://host:port/", "http://user:pw@127.0.0.1/x", "ht\x0btp"]
)
def test_a_redirect_to_nonsense_is_refused(
    server: ScriptedServer, repository: Repository, location: str
) -> None:
    """A redirect to what is no http url, or to one with credentials, is not followed."""
    server.on("GET", PATH).reply(Reply(307, {"Location": location}))
    with pytest.raises(RegistryProtocolError) as caught:
        read(repository)
    assert "pw" not in caught.value.message
    assert len(server.requests()) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_moods_of_a_server_pass(
    server: ScriptedServer, repository: Repository, lab: Lab, status: int
) -> None:
    """Answers that may be another next time are waited for."""
    server.on("GET", PATH).reply(Reply(status), ranged)
    assert read(repository) == CONTENT
    assert len(lab.waits) == 1


def test_retry_after_is_obeyed(server: ScriptedServer, repository: Repository, lab: Lab) -> None:
    """The pause is at least what the server asks for."""
    server.on("GET", PATH).reply(Reply(429, {"Retry-After": "7"}), ranged)
    assert read(repository) == CONTENT
    assert lab.waits[0] >= 7


def test_a_long_retry_after_ends_the_run(
    server: ScriptedServer, repository: Repository, lab: Lab
) -> None:
    """A pause above max_wait is not waited for; the error says when to go on."""
    server.on("GET", PATH).reply(Reply(429, {"Retry-After": "3600"}))
    with pytest.raises(UnavailableError, match="3600 seconds") as caught:
        read(repository)
    assert caught.value.retry_after == 3600
    assert "--max-wait" in (caught.value.hint or "")
    assert lab.waits == []
    assert len(server.requests()) == 1


def test_a_dropped_connection_is_tried_again(
    server: ScriptedServer, repository: Repository, lab: Lab
) -> None:
    """A connection that closes without an answer is opened anew."""
    server.on("GET", PATH).reply(Reply(drops=True), ranged)
    assert read(repository) == CONTENT


def test_a_refused_connection_names_the_host(lab: Lab) -> None:
    """Nobody listening is unavailable, and the message says where."""
    with ScriptedServer() as gone:
        host = gone.host
    with pytest.raises(UnavailableError, match=re.escape(host)) as caught:
        read(lab.client.repository(host, "team/app", origin="source"))
    assert caught.value.hint
    assert len(lab.waits) == 5


def test_an_unknown_host_is_named_at_once(lab: Lab) -> None:
    """A host that has no address is not tried again."""
    with pytest.raises(UnavailableError, match=r"registry\.invalid"):
        read(lab.client.repository("registry.invalid", "team/app", origin="source"))
    assert lab.waits == []


def test_a_warning_is_shown_once(server: ScriptedServer, repository: Repository, lab: Lab) -> None:
    """Each text of a Warning header is passed on once, without control characters."""
    headers = {"Warning": '299 - "going\x1baway"'}
    server.on("HEAD", PATH).reply(Reply(200, headers, CONTENT))
    for _ in range(3):
        assert repository.has_blob(BLOB)
    [notice] = lab.events
    assert notice.message == f"{server.host}: going away"  # type: ignore[union-attr]
