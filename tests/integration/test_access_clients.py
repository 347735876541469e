"""airgap's own client signs in to airgap's own registry, pushes, mounts and pulls."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from airgap.errors import ContentNotFoundError, UnauthorizedError
from airgap.registry.credentials import Credential
from tests.support.accounts import Office, secret
from tests.support.builders import image, push
from tests.support.command_line import airgap
from tests.support.embedded import EmbeddedRegistry
from tests.support.registry_client import Lab, open_lab

IMAGE = image()
PEOPLE = {"bob": ["payments", "sales"], "amy": ["sales"]}


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path / "users", PEOPLE)


@pytest.fixture
def registry(office: Office) -> Iterator[EmbeddedRegistry]:
    with EmbeddedRegistry(guard=office.guard) as registry:
        yield registry
    office.guard.close()


@pytest.fixture
def lab() -> Iterator[Lab]:
    with open_lab() as found:
        yield found


def as_user(lab: Lab, name: str) -> None:
    lab.credentials.credential = Credential(name, secret(name))


def test_login_keeps_what_the_registry_takes(registry: EmbeddedRegistry) -> None:
    """`airgap login` goes the way of `docker login`; a wrong password is 11 and not kept."""
    config = Path(os.environ["DOCKER_CONFIG"]) / "config.json"
    arguments = ("login", registry.host, "-u", "bob", "--password-stdin")
    assert airgap(*arguments, stdin=b"wrong").code == 11
    assert not config.exists()
    done = airgap(*arguments, stdin=secret("bob").encode())
    assert (done.code, done.err) == (0, "")
    assert registry.host in json.loads(config.read_text())["auths"]


def test_push_mount_and_pull_with_a_password(registry: EmbeddedRegistry, lab: Lab) -> None:
    """Tokens are fetched once for each kind of access, and everything goes by them."""
    as_user(lab, "bob")
    app = lab.client.repository(registry.host, "payments/app", origin="destination")
    push(app, IMAGE, tag="1")
    assert app.manifest("1").raw == IMAGE.raw
    other = lab.client.repository(registry.host, "sales/app", origin="destination")
    for blob in IMAGE.blobs:
        assert other.mount(blob.descriptor, from_repository="payments/app")
    assert list(app.tags()) == ["1"]
    assert registry.count("GET", "/token") <= 4
    assert {seen.headers.get("Authorization", "Bearer").split()[0] for seen in registry.seen
            if not seen.path.startswith("/token")} == {"Bearer"}  # fmt: skip


def test_a_mount_from_elsewhere_is_not_made(registry: EmbeddedRegistry, lab: Lab) -> None:
    """The client is told to send the blob, which works."""
    push(registry.repository("payments/app"), IMAGE, tag="1")
    as_user(lab, "amy")
    mine = lab.client.repository(registry.host, "sales/app", origin="destination")
    for blob in IMAGE.blobs:
        assert not mine.mount(blob.descriptor, from_repository="payments/app")
    push(mine, IMAGE, tag="1")
    assert mine.manifest("1").raw == IMAGE.raw


@pytest.mark.parametrize("name", ["payments/app", "payments/none"])
def test_whoever_may_not_is_told(registry: EmbeddedRegistry, lab: Lab, name: str) -> None:
    """A user and anonymous alike, whether the repository is there or not."""
    push(registry.repository("payments/app"), IMAGE, tag="1")
    for user in ("amy", ""):
        lab.credentials.credential = Credential(user, secret(user)) if user else None
        repository = lab.client.repository(registry.host, name, origin="source")
        with pytest.raises(UnauthorizedError):
            repository.manifest("1")
    with open_lab() as another:
        as_user(another, "bob")
        mine = another.client.repository(registry.host, "payments/none", origin="source")
        with pytest.raises(ContentNotFoundError):
            mine.manifest("1")


def test_an_identity_token_in_place_of_a_password(
    registry: EmbeddedRegistry, office: Office, lab: Lab
) -> None:
    """What `docker login` keeps where a registry gives refresh tokens."""
    push(registry.repository("payments/app"), IMAGE, tag="1")
    signer = office.guard._tokens
    token = signer.issue_refresh("bob", office.guard.stamp("bob"))
    lab.credentials.credential = Credential(identity_token=token)
    repository = lab.client.repository(registry.host, "payments/app", origin="source")
    assert repository.manifest("1").raw == IMAGE.raw
    assert registry.count("POST", "/token") == 1


def test_a_token_that_expires_is_renewed(
    registry: EmbeddedRegistry, office: Office, lab: Lab
) -> None:
    """In the middle of the work, without anybody noticing."""
    as_user(lab, "bob")
    app = lab.client.repository(registry.host, "payments/app", origin="destination")
    push(app, IMAGE, tag="1")
    for _ in range(3):
        office.advance(400)
        assert app.manifest("1").raw == IMAGE.raw


def test_users_that_change_while_others_work(registry: EmbeddedRegistry, office: Office) -> None:
    """Who is not concerned by a change never gets a refusal."""
    push(registry.repository("payments/app"), IMAGE, tag="1")

    def pull(_: int) -> int:
        with open_lab() as mine:
            as_user(mine, "bob")
            repository = mine.client.repository(registry.host, "payments/app", origin="source")
            return sum(repository.manifest("1").raw == IMAGE.raw for _ in range(20))

    with ThreadPoolExecutor(4) as pool:
        pulls = pool.map(pull, range(4))
        for number in range(15):
            office.add(f"user{number}")
            office.users.remove(f"user{number}")
            office.advance(1)
        assert list(pulls) == [20] * 4
