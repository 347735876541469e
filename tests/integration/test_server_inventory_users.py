"""With users, an inventory speaks of what the one who asks may pull."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import builders
from tests.support.accounts import Office, basic, bearer
from tests.support.builders import image, push
from tests.support.datafolders import opened
from tests.support.embedded import EmbeddedRegistry
from tests.support.told_inventories import PATH, ask
from tests.support.wire import Wire


@pytest.fixture
def registry(office: Office, tmp_path: Path) -> Iterator[EmbeddedRegistry]:
    depot = opened(tmp_path / "data")
    shared = builders.layer(400)
    for number, name in enumerate(("payments/app", "public/app", "sales/app")):
        push(depot.repository(name), image(layers=(shared, 100), seed=number), tag="1")
    with EmbeddedRegistry(depot=depot, guard=office.guard) as registry:
        yield registry
    depot.close()


@pytest.mark.parametrize(
    ("user", "names", "is_complete"),
    [
        ("root", ("payments/app", "public/app", "sales/app"), True),
        ("bob", ("payments/app", "public/app"), False),
        ("amy", ("public/app", "sales/app"), False),
    ],
)
def test_each_gets_what_that_one_may_pull(
    wire: Wire, user: str, names: tuple[str, ...], is_complete: bool
) -> None:
    """And is told whether there is more; a shared layer names no other repository."""
    inventory = ask(wire, basic(user))
    assert inventory.repositories == names
    assert {names for _, _, names in inventory.blobs()} == {names, *((n,) for n in names)}
    assert [name for name, _ in inventory.images] == [f"{name}:1" for name in names]
    assert (inventory.is_complete, inventory.by) == (is_complete, user)


def test_anonymous_needs_a_token_and_gets_what_is_public(wire: Wire) -> None:
    """As for the list of repositories; the challenge says which token."""
    refused = wire.ask("GET", PATH, status=401)
    challenge = refused.headers["WWW-Authenticate"]
    assert 'scope="registry:inventory:*"' in challenge
    got = wire.ask("GET", "/token?service=airgap&scope=registry:inventory:*", status=200)
    inventory = ask(wire, bearer(got.json["token"]))
    assert (inventory.repositories, inventory.is_complete) == (("public/app",), False)


@pytest.mark.parametrize("scope", ["registry:catalog:*", "repository:payments/app:pull", ""])
def test_a_token_for_something_else_does_not_open_it(wire: Wire, scope: str) -> None:
    """Not that for the list of names: the inventory tells more than names."""
    got = wire.ask("GET", f"/token?service=airgap&scope={scope}", headers=basic("bob"))
    refused = wire.ask("GET", PATH, headers=bearer(got.json["token"]), status=401)
    assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]


def test_a_token_for_it_opens_nothing_else(wire: Wire) -> None:
    """Neither a manifest nor the list of repositories."""
    got = wire.ask("GET", "/token?service=airgap&scope=registry:inventory:*", headers=basic("bob"))
    token = bearer(got.json["token"])
    assert ask(wire, token).by == "bob"
    for path in ("/v2/payments/app/manifests/1", "/v2/_catalog"):
        wire.ask("GET", path, headers=token, status=401)


def test_a_rule_that_is_taken_back_counts_at_once(wire: Wire, office: Office) -> None:
    """Also for a token that was given before."""
    got = wire.ask("GET", "/token?service=airgap&scope=registry:inventory:*", headers=basic("bob"))
    office.rules('repositories = ["public/**"]\npull = ["authenticated"]')
    office.advance()
    assert ask(wire, bearer(got.json["token"])).repositories == ("public/app",)


def test_a_wrong_password_gets_none(wire: Wire) -> None:
    """It is refused before anything is looked at."""
    wire.ask("GET", PATH, headers=basic("bob", "wrong"), status=401)
