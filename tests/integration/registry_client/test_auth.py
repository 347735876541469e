"""The registry client becomes authorized, and keeps credentials where they belong."""

from __future__ import annotations

import threading
from base64 import b64encode
from urllib.parse import parse_qs, urlsplit

import pytest

from airgap.errors import RegistryProtocolError, UnauthorizedError, UnavailableError
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.registry.credentials import Credential
from airgap.registry.options import ClientOptions
from airgap.registry.repository import Repository
from airgap.run.events import Notice
from tests.support.registry_client import Lab, open_lab
from tests.support.scripted_server import Reply, Rule, ScriptedServer

BLOB = Descriptor.of(b"content", mediatype.OCTET_STREAM)
BLOBS = r"/v2/[^?]*/blobs/sha256:.*"
SECRET = "hunter2"
BASIC = "Basic " + b64encode(f"user:{SECRET}".encode()).decode()


def challenge(realm: str, **parameters: str) -> Reply:
    text = "".join(f',{name}="{value}"' for name, value in parameters.items())
    return Reply(401, {"WWW-Authenticate": f'Bearer realm="{realm}"{text}'})


def protect(server: ScriptedServer, token: str = "one", **parameters: str) -> Rule:
    """Blobs want a token; the rule of the token server is given back."""
    server.on("HEAD", BLOBS, authorization=f"Bearer {token}").reply(Reply(body=b"content"))
    server.on("HEAD", BLOBS).reply(challenge(f"{server.url}/token", service="lab", **parameters))
    return server.on("GET", "/token.*").reply(Reply.json({"token": token}))


def test_an_anonymous_token_is_fetched_once(server: ScriptedServer, repository: Repository) -> None:
    """Without credentials a token is asked for without any, and used for all that follows."""
    protect(server)
    assert repository.has_blob(BLOB)
    assert repository.has_blob(BLOB)
    assert [seen.method for seen in server.requests()] == ["HEAD", "GET", "HEAD", "HEAD"]
    [token] = server.requests("GET")
    assert parse_qs(urlsplit(token.path).query) == {
        "service": ["lab"],
        "scope": ["repository:team/app:pull"],
    }
    assert "authorization" not in token.headers


def test_the_token_server_gets_the_password(
    server: ScriptedServer, repository: Repository, lab: Lab
) -> None:
    """With credentials the token is asked for by Basic, and the registry sees the token only."""
    lab.credentials.credential = Credential("user", SECRET)
    protect(server)
    assert repository.has_blob(BLOB)
    [token] = server.requests("GET")
    assert token.headers["authorization"] == BASIC
    assert all(seen.headers.get("authorization") != BASIC for seen in server.requests("HEAD"))


def test_the_challenges_scope_is_asked_for_too(
    server: ScriptedServer, repository: Repository
) -> None:
    """A registry that names its scope otherwise than by the path gets both."""
    protect(server, scope="repository:prefix/team/app:pull repository:team/app:push")
    assert repository.has_blob(BLOB)
    [token] = server.requests("GET")
    assert parse_qs(urlsplit(token.path).query)["scope"] == [
        "repository:prefix/team/app:pull",
        "repository:team/app:pull,push",
    ]


def test_a_destination_asks_to_push(server: ScriptedServer, lab: Lab) -> None:
    """The side that is written to asks for one token that covers reading and writing."""
    protect(server)
    assert lab.client.repository(server.host, "team/app", origin="destination").has_blob(BLOB)
    [token] = server.requests("GET")
    assert "scope=repository%3Ateam%2Fapp%3Apull%2Cpush" in token.path


def test_an_identity_token_is_exchanged(
    server: ScriptedServer, repository: Repository, lab: Lab
) -> None:
    """An identity token is posted as a refresh token (OAuth2), and access_token is understood."""
    lab.credentials.credential = Credential(identity_token=SECRET)
    protect(server)
    server.on("POST", "/token").reply(Reply.json({"access_token": "one", "expires_in": 300}))
    assert repository.has_blob(BLOB)
    [post] = server.requests("POST")
    form = {name: values[0] for name, values in parse_qs(post.body.decode()).items()}
    assert form == {
        "grant_type": "refresh_token",
        "service": "lab",
        "client_id": "airgap",
        "scope": "repository:team/app:pull",
        "refresh_token": SECRET,
    }


@pytest.mark.parametrize(("lifetime", "expected"), [({}, 60), ({"expires_in": 600}, 600)])
def test_an_expired_token_is_replaced_before_it_is_used(
    server: ScriptedServer,
    repository: Repository,
    lab: Lab,
    lifetime: dict[str, int],
    expected: int,
) -> None:
    """A token is fetched anew shortly before its time is over, without a refused request."""
    protect(server).reply(Reply.json({"token": "one", **lifetime}))
    assert repository.has_blob(BLOB)
    lab.now = expected * 0.85
    assert repository.has_blob(BLOB)
    assert len(server.requests("GET")) == 1
    lab.now = expected * 0.95
    assert repository.has_blob(BLOB)
    assert len(server.requests("GET")) == 2
    assert [seen.headers.get("authorization") for seen in server.requests("HEAD")] == [
        None,
        *["Bearer one"] * 3,
    ]


def test_a_token_that_is_refused_is_replaced_once(
    server: ScriptedServer, repository: Repository, lab: Lab
) -> None:
    """A 401 in the middle gets one fresh token, and no retry is counted."""
    protect(server)
    assert repository.has_blob(BLOB)
    server.rules.clear()
    protect(server, "two")
    assert repository.has_blob(BLOB)
    assert lab.waits == []
    assert len(server.requests("GET")) == 2


def test_a_second_refusal_says_how_to_log_in(
    server: ScriptedServer, repository: Repository, lab: Lab
) -> None:
    """A fresh token that is refused as well ends it: exit 11, and the hint names the host."""
    server.on("HEAD", BLOBS).reply(challenge(f"{server.url}/token"))
    server.on("GET", "/token.*").reply(Reply.json({"token": "one"}))
    with pytest.raises(UnauthorizedError) as caught:
        repository.has_blob(BLOB)
    assert caught.value.exit_code == 11
    assert f"airgap login {server.host}" in (caught.value.hint or "")
    assert len(server.requests("HEAD")) == 2
    assert lab.waits == []


def test_basic_is_used_from_then_on(
    server: ScriptedServer, repository: Repository, lab: Lab
) -> None:
    """A registry that wants Basic gets it after the first refusal, and at once later."""
    lab.credentials.credential = Credential("user", SECRET)
    server.on("HEAD", BLOBS, authorization="Basic .*").reply(Reply(body=b"content"))
    server.on("HEAD", BLOBS).reply(Reply(401, {"WWW-Authenticate": 'BASIC Realm="lab"'}))
    assert repository.has_blob(BLOB)
    assert repository.has_blob(BLOB)
    assert [seen.headers.get("authorization") for seen in server.requests()] == [None, BASIC, BASIC]


@pytest.mark.parametrize("credential", [None, Credential("user", SECRET)])
@pytest.mark.parametrize("header", ['Basic realm="lab"', "Negotiate", ""])
def test_no_way_in_is_unauthorized(
    server: ScriptedServer,
    repository: Repository,
    lab: Lab,
    credential: Credential | None,
    header: str,
) -> None:
    """Wrong or missing credentials, or a scheme that is not known, end at once."""
    lab.credentials.credential = credential
    headers = {"WWW-Authenticate": header} if header else {}
    server.on("HEAD", BLOBS).reply(Reply(401, headers))
    with pytest.raises(UnauthorizedError) as caught:
        repository.has_blob(BLOB)
    assert SECRET not in repr(caught.value)
    assert len(server.requests()) <= 2


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_token_server_that_refuses_is_unauthorized(
    server: ScriptedServer, repository: Repository, lab: Lab, status: int
) -> None:
    """What the token server says is passed on, never what it was sent."""
    lab.credentials.credential = Credential("user", SECRET)
    protect(server).reply(Reply.json({"errors": [{"code": "DENIED", "message": "no"}]}, status))
    with pytest.raises(UnauthorizedError, match="DENIED") as caught:
        repository.has_blob(BLOB)
    assert SECRET not in str(caught.value)
    assert BASIC.partition(" ")[2] not in str(caught.value)


@pytest.mark.parametrize("status", [429, 503])
def test_a_token_server_that_is_busy_is_waited_for(
    server: ScriptedServer, repository: Repository, lab: Lab, status: int
) -> None:
    """A 429 or 503 of the token server is tried again by the same loop."""
    protect(server).reply(Reply(status), Reply.json({"token": "one"}))
    assert repository.has_blob(BLOB)
    assert len(lab.waits) == 1


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, {"Content-Type": "text/html"}, b"<html>"),
        Reply.json({}),
        Reply.json({"token": 5}),
        Reply.json({"token": "a\r\nX-Evil: 1"}),
        Reply.json([]),
        Reply(200, {}, b"{" + b" " * (1 << 20) + b"}"),
        Reply(302, {"Location": "/elsewhere"}),
    ],
)
def test_a_token_server_that_answers_nonsense_breaks_the_protocol(
    server: ScriptedServer, repository: Repository, reply: Reply
) -> None:
    """HTML, no token, a token that is none, too much, or a redirect: exit 13."""
    protect(server).reply(reply)
    with pytest.raises(RegistryProtocolError):
        repository.has_blob(BLOB)


@pytest.mark.parametrize(
    "realm", ["http://token.example/x", "ftp://127.0.0.1/x", "http://u:p@127.0.0.1/x", "nonsense"]
)
def test_an_unsafe_realm_gets_nothing(
    server: ScriptedServer, repository: Repository, lab: Lab, realm: str
) -> None:
    """A realm in the clear on another host, or one that is no url, is not asked."""
    lab.credentials.credential = Credential("user", SECRET)
    server.on("HEAD", BLOBS).reply(challenge(realm))
    with pytest.raises(RegistryProtocolError, match="realm"):
        repository.has_blob(BLOB)


def test_forbidden_is_unauthorized(server: ScriptedServer, repository: Repository) -> None:
    """A 403 needs no fresh token: the account may not."""
    server.on("HEAD", BLOBS).reply(Reply(403))
    with pytest.raises(UnauthorizedError):
        repository.has_blob(BLOB)
    assert len(server.requests()) == 1


def test_each_repository_has_its_own_token(server: ScriptedServer, lab: Lab) -> None:
    """A token for one repository is not sent for another."""
    protect(server)
    for name in ("team/app", "team/other"):
        assert lab.client.repository(server.host, name, origin="source").has_blob(BLOB)
    assert [seen.headers.get("authorization") for seen in server.requests("HEAD")] == [
        None,
        "Bearer one",
        None,
        "Bearer one",
    ]


def test_a_mount_asks_to_pull_from_the_other(server: ScriptedServer, lab: Lab) -> None:
    """The token of a mount covers both repositories; a refused token is a refused mount."""
    uploads = r"/v2/team/app/blobs/uploads/.*"
    server.on("POST", uploads, authorization="Bearer one").reply(Reply(201))
    server.on("POST", uploads).reply(challenge(f"{server.url}/token"))
    server.on("GET", "/token.*").reply(Reply.json({"token": "one"}), Reply(403))
    repository = lab.client.repository(server.host, "team/app", origin="destination")
    assert repository.mount(BLOB, from_repository="other/app")
    assert not repository.mount(BLOB, from_repository="third/app")
    first = server.requests("GET")[0]
    assert parse_qs(urlsplit(first.path).query)["scope"] == [
        "repository:other/app:pull",
        "repository:team/app:pull,push",
    ]


def test_many_threads_fetch_one_token(server: ScriptedServer, repository: Repository) -> None:
    """Threads that are refused at the same time share one fresh token."""
    protect(server).reply(Reply.json({"token": "one"}))
    server.rules[-1].answers[0].delay = 0.05  # type: ignore[union-attr]
    found: list[bool] = []
    threads = [
        threading.Thread(target=lambda: found.append(repository.has_blob(BLOB))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4
    assert len(server.requests("GET")) == 1


def test_a_token_server_may_share_the_registrys_only_connection(server: ScriptedServer) -> None:
    """With one connection a token from the same host does not wait for the refused request."""
    protect(server)
    with open_lab(ClientOptions(timeout=5.0, jobs=1)) as lab:
        assert lab.client.repository(server.host, "team/app", origin="source").has_blob(BLOB)


def test_a_login_is_checked_with_the_given_credential(server: ScriptedServer, lab: Lab) -> None:
    """check_login asks /v2/ with what it is given, and not with what is stored."""
    lab.credentials.credential = Credential("somebody", "else")
    server.on("GET", "/v2/", authorization="Bearer one").reply(Reply.json({}))
    server.on("GET", "/v2/").reply(challenge(f"{server.url}/token", service="lab"))
    server.on("GET", r"/token\?.*", authorization=BASIC).reply(Reply.json({"token": "one"}))
    server.on("GET", r"/token\?.*").reply(Reply(401))
    lab.client.check_login(server.host, Credential("user", SECRET))
    with pytest.raises(UnauthorizedError):
        lab.client.check_login(server.host, Credential("user", "wrong"))


def test_a_login_by_basic_is_checked(server: ScriptedServer, lab: Lab) -> None:
    """A registry with Basic takes or refuses the password itself."""
    server.on("GET", "/v2/", authorization=BASIC).reply(Reply.json({}))
    server.on("GET", "/v2/").reply(Reply(401, {"WWW-Authenticate": "Basic realm=lab"}))
    lab.client.check_login(server.host, Credential("user", SECRET))
    with pytest.raises(UnauthorizedError):
        lab.client.check_login(server.host, Credential("user", "wrong"))


def test_a_login_to_what_is_no_registry_fails(server: ScriptedServer, lab: Lab) -> None:
    """An answer other than 200 is not a login."""
    server.on("GET", "/v2/").reply(Reply(500))
    with pytest.raises(UnavailableError):
        lab.client.check_login(server.host, Credential("user", SECRET))


@pytest.mark.parametrize("is_open", [True, False])
def test_a_login_that_could_not_be_tried_is_told_of(
    server: ScriptedServer, lab: Lab, is_open: bool
) -> None:
    """A registry that asks nobody at /v2/ says nothing about a password, and the user is told."""
    first = Reply() if is_open else Reply(401, {"WWW-Authenticate": "Basic realm=x"})
    server.on("GET", "/v2/").reply(first, Reply())
    lab.client.check_login(server.host, Credential("user", SECRET))
    told = [event.code for event in lab.events if isinstance(event, Notice)]
    assert told == (["login-unchecked"] if is_open else [])
