"""Tokens: how clients get them, and what they are good for, asked over plain HTTP."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jwt
import pytest

from airgap.server.auth.tokens import LIFETIME, REFRESH_LIFETIME
from tests.support.accounts import START, Office, basic, bearer, secret
from tests.support.builders import image, push, push_blob, random_blob
from tests.support.embedded import EmbeddedRegistry
from tests.support.wire import Answer, Wire

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MANIFEST = "/v2/payments/app/manifests/1"
PUBLIC = "/v2/public/app/manifests/1"


@pytest.fixture
def registry(office: Office) -> Iterator[EmbeddedRegistry]:
    with EmbeddedRegistry(guard=office.guard) as registry:
        for name in ("payments/app", "public/app", "sales/app"):
            push(registry.repository(name), image(), tag="1")
        yield registry


def ask_token(wire: Wire, *scopes: str, user: str = "", **fields: str) -> Answer:
    query = [("service", "airgap"), *fields.items(), *(("scope", scope) for scope in scopes)]
    return wire.ask("GET", f"/token?{urlencode(query)}", headers=basic(user) if user else {})


def token(wire: Wire, *scopes: str, user: str = "", **fields: str) -> str:
    answer = ask_token(wire, *scopes, user=user, **fields)
    assert answer.status == 200, answer.body
    return answer.json["token"]


def post(wire: Wire, **fields: str) -> Answer:
    return wire.ask("POST", "/token", urlencode(fields).encode(), headers=FORM)


def granted(given: str) -> dict[str, list[str]]:
    """What a token says that it is for."""
    claims: dict[str, Any] = jwt.decode(given, options={"verify_signature": False})
    return {entry["name"]: entry["actions"] for entry in claims["access"]}


def test_the_way_of_docker(wire: Wire) -> None:
    """A 401 names the place for tokens; a token from there opens what was asked for."""
    challenge = wire.ask("GET", MANIFEST, status=401).headers["WWW-Authenticate"]
    assert f'realm="http://{wire.host}/token"' in challenge
    answer = ask_token(wire, "repository:payments/app:pull", user="bob", account="bob")
    assert answer.status == 200
    assert answer.json["access_token"] == answer.json["token"]
    assert answer.json["expires_in"] == LIFETIME
    assert answer.json["issued_at"] == "2023-11-14T22:13:22Z"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "refresh_token" not in answer.json
    wire.ask("GET", MANIFEST, headers=bearer(answer.json["token"]), status=200)


def test_a_token_grants_what_was_asked_for_and_the_rules_give(wire: Wire) -> None:
    """Never more than either of the two."""
    wanted = ("repository:payments/app:pull,push,delete", "repository:sales/app:pull",
              "repository:public/app:pull,push")  # fmt: skip
    assert granted(token(wire, *wanted, user="bob")) == {
        "payments/app": ["pull", "push"],
        "public/app": ["pull"],
    }
    assert granted(token(wire, " ".join(wanted), user="bob")) == granted(
        token(wire, *wanted, user="bob")
    )
    assert granted(token(wire, *wanted)) == {"public/app": ["pull"]}
    assert granted(token(wire, "repository:x/y:*", user="root")) == {
        "x/y": ["delete", "pull", "push"]
    }
    assert granted(token(wire, user="root")) == {}


def test_a_token_is_for_its_repository_and_actions_only(wire: Wire) -> None:
    """Its owner may do more, and needs another token for that: the answer says which."""
    given = bearer(token(wire, "repository:payments/app:pull", user="root"))
    for method, path, scope in (
        ("GET", "/v2/sales/app/manifests/1", "repository:sales/app:pull"),
        ("POST", "/v2/payments/app/blobs/uploads/", "repository:payments/app:pull,push"),
        ("DELETE", MANIFEST, "repository:payments/app:delete"),
        ("GET", "/v2/_catalog", "registry:catalog:*"),
    ):
        answer = wire.ask(method, path, headers=given, status=401)
        [challenge] = answer.headers.get_all("WWW-Authenticate")
        assert f'scope="{scope}"' in challenge
        assert 'error="insufficient_scope"' in challenge
    wire.ask("GET", MANIFEST, headers=given, status=200)
    wire.ask("GET", "/v2/", headers=given, status=200)


def test_no_token_helps_whoever_may_not(wire: Wire) -> None:
    """A user is told so at once, instead of being sent for token after token."""
    given = bearer(token(wire, "repository:sales/app:pull", user="bob"))
    answer = wire.ask("GET", "/v2/sales/app/manifests/1", headers=given, status=403)
    assert answer.code == "DENIED"


def test_anonymous_gets_tokens_too(wire: Wire) -> None:
    """Clients without a password ask for one, and pull with it what is public."""
    given = bearer(token(wire, "repository:public/app:pull", "registry:catalog:*"))
    wire.ask("GET", PUBLIC, headers=given, status=200)
    wire.ask("GET", "/v2/", headers=given, status=200)
    listed = wire.ask("GET", "/v2/_catalog", headers=given, status=200)
    assert listed.json["repositories"] == ["public/app"]
    answer = wire.ask("GET", MANIFEST, headers=given, status=401)
    assert 'scope="repository:payments/app:pull"' in answer.headers["WWW-Authenticate"]


def test_a_list_needs_a_token_for_lists(wire: Wire) -> None:
    """It shows all that the user may pull, though the token is for none of it."""
    given = bearer(token(wire, "registry:catalog:*", user="bob"))
    listed = wire.ask("GET", "/v2/_catalog", headers=given, status=200)
    assert listed.json["repositories"] == ["payments/app", "public/app"]
    wire.ask("GET", MANIFEST, headers=given, status=401)


def test_a_token_expires(wire: Wire, office: Office) -> None:
    """After five minutes it counts no more, and the answer says why."""
    given = bearer(token(wire, "repository:payments/app:pull", user="bob"))
    office.advance(LIFETIME - 1)
    wire.ask("GET", MANIFEST, headers=given, status=200)
    office.advance(1)
    answer = wire.ask("GET", MANIFEST, headers=given, status=401)
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert 'scope="repository:payments/app:pull"' in answer.headers["WWW-Authenticate"]


def test_forged_tokens(wire: Wire) -> None:
    """Without a signature, with another key, with changed claims: all the same 401."""
    good = token(wire, "repository:payments/app:pull", user="bob")
    claims = jwt.decode(good, options={"verify_signature": False})
    wider = claims | {"access": [{"type": "repository", "name": "sales/app", "actions": ["pull"]}]}
    header, _, signature = good.split(".")
    body = jwt.encode(wider, "x" * 32).split(".")[1]
    forged = [
        jwt.encode(wider, None, algorithm="none"),
        jwt.encode(wider, "x" * 32, algorithm="HS256"),
        f"{header}.{body}.{signature}",
        f"{header}.{body}.",
        good[:-5],
        good + "x",
        good.replace(".", "", 1),
    ]
    for attempt in forged:
        for path in ("/v2/sales/app/manifests/1", MANIFEST, PUBLIC, "/v2/"):
            wire.ask("GET", path, headers=bearer(attempt), status=401)
    wire.ask("GET", MANIFEST, headers=bearer(good), status=200)


def test_a_token_of_another_registry(wire: Wire, tmp_path: Path) -> None:
    """Each registry has its own key, even with the same users and the same name."""
    other = Office(tmp_path / "other", {"bob": ["payments"]})
    with EmbeddedRegistry(guard=other.guard) as elsewhere, Wire(elsewhere.host) as there:
        foreign = token(there, "repository:payments/app:pull", user="bob")
    wire.ask("GET", MANIFEST, headers=bearer(foreign), status=401)
    other.guard.close()


def test_rules_count_when_a_token_is_used(wire: Wire, office: Office) -> None:
    """What was taken away since is gone at once, and what was given needs a new token."""
    given = bearer(token(wire, "repository:payments/app:pull,push", user="bob"))
    wire.ask("GET", MANIFEST, headers=given, status=200)
    office.rules('repositories = ["payments/**"]\npull = ["bob"]')
    office.advance()
    wire.ask("GET", MANIFEST, headers=given, status=200)
    wire.ask("POST", "/v2/payments/app/blobs/uploads/", headers=given, status=403)
    office.rules('repositories = ["sales/**"]\npull = ["bob"]')
    office.advance()
    wire.ask("GET", MANIFEST, headers=given, status=403)
    wire.ask("GET", "/v2/sales/app/manifests/1", headers=given, status=401)


def test_a_removed_user_has_no_token(wire: Wire, office: Office) -> None:
    """Neither after the removal nor when another one of that name comes."""
    given = bearer(token(wire, "repository:payments/app:pull", user="bob"))
    refresh = ask_token(wire, user="bob", offline_token="true").json["refresh_token"]
    office.users.remove("bob")
    office.advance()
    wire.ask("GET", MANIFEST, headers=given, status=401)
    wire.ask("GET", PUBLIC, headers=given, status=401)
    assert post(wire, grant_type="refresh_token", refresh_token=refresh).status == 401
    office.add("bob", "another", groups=["payments"])
    office.advance()
    wire.ask("GET", MANIFEST, headers=given, status=401)
    wire.ask("GET", MANIFEST, headers=basic("bob", "another"), status=200)


def test_a_new_password_ends_old_tokens(wire: Wire, office: Office) -> None:
    """Whoever had stolen one is out; the old password is, too, though it was just in use."""
    given = bearer(token(wire, "repository:payments/app:pull", user="bob"))
    refresh = ask_token(wire, user="bob", offline_token="true").json["refresh_token"]
    office.set_password("bob", "new")
    office.advance()
    wire.ask("GET", MANIFEST, headers=given, status=401)
    wire.ask("GET", MANIFEST, headers=basic("bob"), status=401)
    assert post(wire, grant_type="refresh_token", refresh_token=refresh).status == 401
    wire.ask("GET", MANIFEST, headers=basic("bob", "new"), status=200)


def test_tokens_outlive_a_restart(wire: Wire, office: Office) -> None:
    """The key lies in the folder."""
    given = bearer(token(wire, "repository:payments/app:pull", user="bob"))
    again = office.open()
    with EmbeddedRegistry(guard=again) as registry, Wire(registry.host) as there:
        push(registry.repository("payments/app"), image(), tag="1")
        there.ask("GET", MANIFEST, headers=given, status=200)
    again.close()


def test_passwords_by_post(wire: Wire) -> None:
    """OAuth2 as containerd asks: name and password in a form, scopes in one field."""
    answer = post(
        wire, grant_type="password", service="airgap", client_id="test", username="bob",
        password=secret("bob"), scope="repository:payments/app:pull,push repository:sales/app:pull",
        access_type="offline",
    )  # fmt: skip
    assert answer.status == 200
    assert granted(answer.json["access_token"]) == {"payments/app": ["pull", "push"]}
    assert answer.json["token_type"] == "Bearer"
    renewed = post(
        wire, grant_type="refresh_token", service="airgap", client_id="test",
        refresh_token=answer.json["refresh_token"], scope="repository:payments/app:pull",
    )  # fmt: skip
    wire.ask("GET", MANIFEST, headers=bearer(renewed.json["access_token"]), status=200)


def test_a_refresh_token_is_good_for_tokens_only(wire: Wire, office: Office) -> None:
    """It opens nothing by itself, a token is none, and it ends after a year."""
    answer = ask_token(wire, "repository:payments/app:pull", user="bob", offline_token="true")
    refresh = answer.json["refresh_token"]
    wire.ask("GET", MANIFEST, headers=bearer(refresh), status=401)
    wrong = post(wire, grant_type="refresh_token", refresh_token=answer.json["token"])
    assert wrong.status == 401
    assert "refresh_token" not in ask_token(wire, offline_token="true").json
    office.advance(REFRESH_LIFETIME)
    assert post(wire, grant_type="refresh_token", refresh_token=refresh).status == 401


@pytest.mark.parametrize(("user", "password"), [("bob", "wrong"), ("eve", "x"), ("bob", "x" * 73)])
def test_wrong_passwords_get_no_token(wire: Wire, user: str, password: str) -> None:
    """Neither by GET nor by POST; the challenge is not one that leads back here."""
    answers = [
        wire.ask("GET", "/token?service=airgap", headers=basic(user, password), status=401),
        post(wire, grant_type="password", username=user, password=password),
    ]
    for answer in answers:
        assert answer.status == 401
        assert answer.code == "UNAUTHORIZED"
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        assert "token" not in answer.json


def test_guessing_at_the_token_endpoint_is_slowed_down(wire: Wire) -> None:
    """By the same count as everywhere else."""
    for number in range(3):
        wire.ask("GET", "/token", headers=basic("bob", f"guess{number}"), status=401)
        post(wire, grant_type="password", username="bob", password=f"other{number}")
    answer = wire.ask("GET", "/token", headers=basic("bob", "more"), status=429)
    assert int(answer.headers["Retry-After"]) >= 1
    assert post(wire, grant_type="password", username="bob", password="more").status == 429
    wire.ask("GET", MANIFEST, headers=basic("bob", "more"), status=429)


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/token?service=elsewhere", None, {}, 400),
        ("GET", "/token?service=a&service=b", None, {}, 400),
        ("GET", "/token?" + "&".join(["scope=repository:a:pull"] * 101), None, {}, 400),
        ("GET", "/token?" + "&".join(f"x{n}=1" for n in range(300)), None, {}, 400),
        ("GET", "/token?scope=" + quote("repository:" + "x" * 3000 + ":pull"), None, {}, 200),
        ("GET", "/token", None, {"Authorization": "Bearer x"}, 401),
        ("GET", "/token", None, {"Authorization": "Basic x"}, 401),
        ("POST", "/token", b"", FORM, 400),
        ("POST", "/token", b"grant_type=magic", FORM, 400),
        ("POST", "/token", b"grant_type=password&grant_type=password", FORM, 400),
        ("POST", "/token", b"grant_type=password", FORM, 401),
        ("POST", "/token", b"grant_type=refresh_token", FORM, 401),
        ("POST", "/token", b"\xff=\xff&grant_type=refresh_token&refresh_token=\xff", FORM, 401),
        ("POST", "/token", b"{}", {"Content-Type": "application/json"}, 415),
        ("POST", "/token", b"x" * 70_000, FORM, 413),
        ("PUT", "/token", b"", {}, 405),
        ("DELETE", "/token", None, {}, 405),
    ],
)
def test_requests_that_make_no_sense(
    wire: Wire, method: str, path: str, body: bytes | None, headers: dict[str, str], status: int
) -> None:
    """They get the right status and never a token for anything."""
    answer = wire.ask(method, path, body, headers, status=status)
    if status == 200:
        assert granted(answer.json["token"]) == {}
    else:
        assert "errors" in answer.json
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("host", "realm"),
    [
        ("registry.internal:5000", "http://registry.internal:5000/token"),
        ("[::1]:80", "http://[::1]:80/token"),
        ('evil" scope="x', None),
        ("a/b", None),
        ("", None),
    ],
)
def test_the_realm_is_where_the_client_reached_us(wire: Wire, host: str, realm: str | None) -> None:
    """By the name that the client used, if it is one."""
    answer = wire.ask("GET", "/v2/", headers={"Host": host})
    if answer.status == 400:  # the web framework refuses it by itself
        return
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge == f'Bearer realm="{realm or f"http://{wire.host}/token"}",service="airgap"'


def test_behind_a_proxy_the_realm_is_the_url_that_was_given(tmp_path: Path) -> None:
    """Whatever Host says."""
    office = Office(tmp_path, {"bob": []}, external_url="https://registry.internal/")
    with EmbeddedRegistry(guard=office.guard) as registry, Wire(registry.host) as wire:
        answer = wire.ask("GET", "/v2/", headers={"X-Forwarded-For": "10.0.0.1"}, status=401)
        assert 'realm="https://registry.internal/token"' in answer.headers["WWW-Authenticate"]
    office.guard.close()


def test_mounts_by_token(wire: Wire, registry: EmbeddedRegistry) -> None:
    """A token must be for the other repository as well; who may not pull there has to send it."""
    blob = random_blob(100, seed=9)
    digest = blob.descriptor.digest
    push_blob(registry.repository("sales/app"), blob)
    path = f"/v2/sales/new/blobs/uploads/?mount={digest}&from=sales/app"
    challenge = wire.ask("POST", path, status=401).headers["WWW-Authenticate"]
    scopes = "repository:sales/new:pull,push repository:sales/app:pull"
    assert f'scope="{scopes}"' in challenge
    narrow = bearer(token(wire, "repository:sales/new:pull,push", user="amy"))
    challenge = wire.ask("POST", path, headers=narrow, status=401).headers["WWW-Authenticate"]
    assert f'scope="{scopes}"' in challenge
    assert 'error="insufficient_scope"' in challenge
    wide = bearer(token(wire, scopes, user="amy"))
    wire.ask("POST", path, headers=wide, status=201)
    stranger = bearer(token(wire, "repository:payments/app:pull,push", scopes, user="bob"))
    elsewhere = f"/v2/payments/app/blobs/uploads/?mount={digest}"
    wire.ask("POST", f"{elsewhere}&from=sales/app", headers=stranger, status=202)
    wire.ask("POST", elsewhere, headers=stranger, status=202)


def test_what_stands_in_a_token(wire: Wire) -> None:
    """The claims that others know, and nothing about the password."""
    given = token(wire, "repository:payments/app:pull", user="bob")
    header, claims, _ = (urlsafe_b64decode(part + "==") for part in given.split("."))
    assert json.loads(header) == {"alg": "HS256", "typ": "JWT"}
    document = json.loads(claims)
    assert document["sub"] == "bob"
    assert document["aud"] == document["iss"] == "airgap"
    assert document["exp"] - document["nbf"] == LIFETIME
    assert document["iat"] == document["nbf"] == START + 2
    assert document["jti"]
    assert secret("bob").encode() not in claims
