"""Names of users and groups."""

from __future__ import annotations

import pytest

from airgap.errors import SettingsError
from airgap.server.auth.names import check_group, check_user


@pytest.mark.parametrize(
    "name", ["a", "bob", "Bob.Smith", "ci+deploy", "amy@site.example", "x" * 64]
)
def test_names_that_users_may_have(name: str) -> None:
    """Names as people and mail systems have them."""
    assert check_user(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "-x", "x-", "a:b", "a b", "a\nb", "@team", "#bob", "ä", "x" * 65, "{user}",
     "anonymous", "authenticated"],
)  # fmt: skip
def test_names_that_users_may_not_have(name: str) -> None:
    """What would break the files, or means something else in rules."""
    with pytest.raises(SettingsError):
        check_user(name)


@pytest.mark.parametrize("name", ["payments", "a", "team-1", "a__b", "x.y"])
def test_names_that_groups_may_have(name: str) -> None:
    """A group's name can be the first part of a repository."""
    assert check_group(name) == name


@pytest.mark.parametrize(
    "name", ["", "Payments", "a/b", "a..b", "-a", "a:", "{group}", "x" * 65, "a\n"]
)
def test_names_that_groups_may_not_have(name: str) -> None:
    """What is no part of a repository's name is none of a group either."""
    with pytest.raises(SettingsError):
        check_group(name)
