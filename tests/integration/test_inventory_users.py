"""With users a walk finds what the one who asks may pull; a refusal is never an empty place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airgap.errors import UnauthorizedError
from airgap.registry.credentials import Credential
from airgap.transfer.inventory_findings import WalkOptions
from airgap.transfer.inventory_registry import (
    InventoryOptions,
    InventoryOrigin,
    InventoryReport,
    take_inventory,
)
from tests.support import builders
from tests.support.accounts import Office, secret
from tests.support.embedded import EmbeddedRegistry, Status
from tests.support.inventories import MADE
from tests.support.registry_client import FixedCredentials, open_lab


@pytest.fixture
def registry(office: Office) -> Iterator[EmbeddedRegistry]:
    """A registry in which bob sees two repositories of three."""
    with EmbeddedRegistry(guard=office.guard) as found:
        found.fault = lambda seen: Status(404) if "_airgap" in seen.path else None
        for number, name in enumerate(("payments/app", "public/app", "sales/app")):
            builders.push(found.repository(name), builders.image(seed=number), tag="1")
        yield found


def take(host: str, credential: Credential | None, *names: str, **walk: bool) -> InventoryReport:
    options = InventoryOptions(InventoryOrigin(MADE), names, WalkOptions(**walk))
    with open_lab(credentials=FixedCredentials(credential)) as lab:
        return take_inventory(lab.client, host, options=options, run=lab.client.network.run)


def user(name: str) -> Credential:
    return Credential(name, secret(name))


def test_each_gets_what_that_one_may_pull(registry: EmbeddedRegistry) -> None:
    """The list of repositories has a scope of its own, and each repository has one."""
    everything = ("payments/app", "public/app", "sales/app")
    assert take(registry.host, user("root")).inventory.repositories == everything
    assert take(registry.host, user("bob")).inventory.repositories == everything[:2]


def test_a_wrong_password_is_no_empty_registry(registry: EmbeddedRegistry) -> None:
    """It is refused, and named repositories are, too."""
    wrong = Credential("bob", "wrong")
    with pytest.raises(UnauthorizedError):
        take(registry.host, wrong)
    with pytest.raises(UnauthorizedError):
        take(registry.host, wrong, "payments/app")


def test_a_repository_of_others_is_left_out_by_name_only_on_wish(
    registry: EmbeddedRegistry,
) -> None:
    """What a user may not read is not claimed, and listed where it was named."""
    names = ("payments/app", "sales/app")
    with pytest.raises(UnauthorizedError):
        take(registry.host, user("bob"), *names)
    report = take(registry.host, user("bob"), *names, keep_going=True)
    assert report.inventory.repositories == ("payments/app",)
    assert [failure.name for failure in report.failed] == ["sales/app"]
