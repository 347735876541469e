"""A registry with users: what each of them may do, asked over plain HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.oci.digest import Digest
from tests.support.accounts import Office, basic, open_office
from tests.support.builders import image, push, push_blob, random_blob
from tests.support.embedded import EmbeddedRegistry
from tests.support.wire import Wire

PEOPLE = {"root": ["admins"], "bob": ["payments"], "amy": ["sales"], "kim": []}
IMAGE = image()
MANIFEST = IMAGE.digest
LAYER = random_blob(100, seed=5)
SECRET = random_blob(100, seed=6)
RULES = (
    'repositories = ["**"]\nadmin = ["@admins"]',
    'repositories = ["{group}/**"]\npush = ["@{group}"]',
    'repositories = ["public/**"]\npull = ["anonymous"]\ndelete = ["kim"]',
    'repositories = ["inside/**"]\npull = ["authenticated"]',
)
REPOSITORIES = ("inside/app", "payments/app", "public/app", "sales/app")


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_office(tmp_path / "users", PEOPLE, RULES) as found:
        yield found


@pytest.fixture
def registry(office: Office) -> Iterator[EmbeddedRegistry]:
    with EmbeddedRegistry(guard=office.guard) as registry:
        for name in REPOSITORIES:
            push(registry.repository(name), IMAGE, tag="1")
        yield registry


def requests(name: str) -> list[tuple[str, str, str]]:
    """One request for each thing that can be done with a repository, and what it needs."""
    upload = f"/v2/{name}/blobs/uploads/"
    blob = f"/v2/{name}/blobs/{IMAGE.blobs[0].descriptor.digest}"
    return [
        ("pull", "GET", f"/v2/{name}/manifests/1"),
        ("pull", "HEAD", f"/v2/{name}/manifests/{MANIFEST}"),
        ("pull", "GET", blob),
        ("pull", "HEAD", blob),
        ("pull", "GET", f"/v2/{name}/tags/list"),
        ("pull", "GET", f"/v2/{name}/referrers/{MANIFEST}"),
        ("push", "POST", upload),
        ("push", "GET", f"{upload}0123456789abcdef0123456789abcdef"),
        ("push", "PATCH", f"{upload}0123456789abcdef0123456789abcdef"),
        ("push", "PUT", f"{upload}0123456789abcdef0123456789abcdef?digest={MANIFEST}"),
        ("push", "DELETE", f"{upload}0123456789abcdef0123456789abcdef"),
        ("push", "PUT", f"/v2/{name}/manifests/2"),
        ("delete", "DELETE", f"/v2/{name}/manifests/none"),
        ("delete", "DELETE", f"/v2/{name}/blobs/{Digest.of(b'none')}"),
    ]


MAY = {
    "root": {name: {"pull", "push", "delete"} for name in REPOSITORIES},
    "bob": {"payments/app": {"pull", "push"}, "public/app": {"pull"}, "inside/app": {"pull"}},
    "amy": {"sales/app": {"pull", "push"}, "public/app": {"pull"}, "inside/app": {"pull"}},
    "kim": {"public/app": {"pull", "delete"}, "inside/app": {"pull"}},
}


@pytest.mark.parametrize("user", MAY)
def test_every_endpoint_asks_the_rules(wire: Wire, user: str) -> None:
    """Each user gets through where a rule says so, and 403 DENIED everywhere else."""
    for name in (*REPOSITORIES, "no/such"):
        for action, method, path in requests(name):
            answer = wire.ask(method, path, headers=basic(user))
            may = action in MAY[user].get(name, set()) or user == "root"
            assert (answer.status != 403) is may, (user, method, path, answer.status)
            if not may and method != "HEAD":
                assert answer.code == "DENIED"
            assert answer.status != 401


def test_anonymous_is_asked_to_sign_in(wire: Wire) -> None:
    """Where anonymous may not, the answer is 401, and it says what a token must be for."""
    for name in (*REPOSITORIES, "no/such"):
        for action, method, path in requests(name):
            answer = wire.ask(method, path)
            may = name == "public/app" and action == "pull"
            assert (answer.status != 401) is may, (method, path, answer.status)
            if not may:
                wanted = {"push": "pull,push"}.get(action, action)
                [challenge] = answer.headers.get_all("WWW-Authenticate")
                assert challenge == (
                    f'Bearer realm="http://{wire.host}/token",service="airgap",'
                    f'scope="repository:{name}:{wanted}"'
                )


def test_nobody_learns_what_is_there(wire: Wire) -> None:
    """The answer for a repository that may not be seen is the same as for none."""
    for headers in ({}, basic("kim")):
        there = wire.ask("GET", "/v2/payments/app/manifests/1", headers=headers)
        nowhere = wire.ask("GET", "/v2/payments/none/manifests/1", headers=headers)
        assert there.status == nowhere.status
        assert there.body.replace(b"payments/app", b"") == nowhere.body.replace(
            b"payments/none", b""
        )


def test_the_list_of_repositories_shows_what_may_be_pulled(wire: Wire) -> None:
    """Everyone sees their own list, in pages as well."""
    for user, may in MAY.items():
        answer = wire.ask("GET", "/v2/_catalog", headers=basic(user), status=200)
        assert answer.json["repositories"] == sorted(may)
    first = wire.ask("GET", "/v2/_catalog?n=1", headers=basic("bob"), status=200)
    assert first.json["repositories"] == ["inside/app"]
    second = wire.ask("GET", "/v2/_catalog?n=2&last=inside/app", headers=basic("bob"), status=200)
    assert second.json["repositories"] == ["payments/app", "public/app"]
    assert second.headers["Link"] is None
    answer = wire.ask("GET", "/v2/_catalog", status=401)
    assert 'scope="registry:catalog:*"' in answer.headers["WWW-Authenticate"]


def test_the_registry_itself_asks_for_a_sign_in(wire: Wire) -> None:
    """That is how `docker login` finds out that there is something to log in to."""
    answer = wire.ask("GET", "/v2/", status=401)
    assert answer.headers.get_all("WWW-Authenticate") == [
        f'Bearer realm="http://{wire.host}/token",service="airgap"'
    ]
    assert answer.code == "UNAUTHORIZED"
    wire.ask("GET", "/v2/", headers=basic("kim"), status=200)


@pytest.mark.parametrize(
    "header",
    ["Basic !!!", "Basic", "Digest x", "Bearer", "Basic Ym9i", "Negotiate a", "\x80"],
)
def test_broken_credentials_are_no_anonymous_ones(wire: Wire, header: str) -> None:
    """Who sends something that makes no sense gets 401, even for what is public."""
    wire.ask("GET", "/v2/public/app/manifests/1", headers={"Authorization": header}, status=401)


def test_a_wrong_password_is_not_anonymous_either(wire: Wire) -> None:
    """For a user who exists and for one who does not, with the same answer."""
    path = "/v2/public/app/manifests/1"
    answers = [
        wire.ask("GET", path, headers=basic(name, "x"), status=401) for name in ("bob", "eve")
    ]
    assert answers[0].body == answers[1].body
    wire.ask("GET", path, headers=basic("bob"), status=200)


def test_guessing_is_answered_with_429(wire: Wire, office: Office) -> None:
    """With the time after which the next try is looked at; others go on."""
    statuses = [wire.ask("GET", "/v2/", headers=basic("bob", f"guess{n}")).status for n in range(8)]
    assert statuses == [401] * 5 + [429] * 3
    answer = wire.ask("GET", "/v2/", headers=basic("bob"), status=429)
    assert answer.code == "TOOMANYREQUESTS"
    assert answer.headers["Retry-After"] == "1"
    wire.ask("GET", "/v2/", headers=basic("amy"), status=200)
    office.advance(1)
    wire.ask("GET", "/v2/", headers=basic("bob"), status=200)


def mount(wire: Wire, to: str, blob: Digest, user: str, origin: str | None = None) -> int:
    where = f"&from={origin}" if origin else ""
    path = f"/v2/{to}/blobs/uploads/?mount={blob}{where}"
    return wire.ask("POST", path, headers=basic(user)).status


def test_mounts_need_pull_where_the_blob_is(wire: Wire, registry: EmbeddedRegistry) -> None:
    """A blob comes from a repository that the user may pull, else it must be sent."""
    blob = SECRET.descriptor.digest
    push_blob(registry.repository("sales/app"), SECRET)
    for origin in ("sales/app", None, "no/such", "_catalog", "../sales/app"):
        assert mount(wire, "payments/app", blob, "bob", origin) == 202
        assert (
            wire.ask("HEAD", f"/v2/payments/app/blobs/{blob}", headers=basic("bob")).status == 404
        )
    assert mount(wire, "payments/app", blob, "amy", "sales/app") == 403
    assert mount(wire, "sales/new", blob, "amy", "sales/app") == 201
    assert mount(wire, "sales/newer", blob, "amy") == 201
    push_blob(registry.repository("public/app"), SECRET)
    assert mount(wire, "payments/app", blob, "bob") == 201


def test_a_blob_is_reached_only_through_its_repositories(
    wire: Wire, registry: EmbeddedRegistry
) -> None:
    """Blobs are kept once, and still nobody gets at one by naming another repository."""
    push_blob(registry.repository("sales/app"), SECRET)
    path = f"/v2/payments/app/blobs/{SECRET.descriptor.digest}"
    for method in ("GET", "HEAD", "DELETE"):
        assert wire.ask(method, path, headers=basic("root")).status == 404


def test_an_upload_belongs_to_its_repository(wire: Wire) -> None:
    """Its id is of no use in another one, even for who may push there."""
    begun = wire.ask("POST", "/v2/sales/app/blobs/uploads/", headers=basic("amy"), status=202)
    upload = begun.headers["Docker-Upload-UUID"]
    wire.ask("GET", f"/v2/sales/app/blobs/uploads/{upload}", headers=basic("amy"), status=204)
    for name, user, status in (("payments/app", "bob", 404), ("sales/app", "bob", 403)):
        path = f"/v2/{name}/blobs/uploads/{upload}"
        wire.ask("GET", path, headers=basic(user), status=status)
        wire.ask("PATCH", path, LAYER.data, headers=basic(user), status=status)
