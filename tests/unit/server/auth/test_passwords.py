"""Hashes of passwords."""

from __future__ import annotations

import pytest

from airgap.errors import SettingsError
from airgap.server.auth.htpasswd import PasswordFile
from airgap.server.auth.passwords import (
    COST,
    check_password,
    hash_password,
    is_possible,
    matches,
    nobodys_hash,
)


def test_a_hash_is_one_that_other_tools_know() -> None:
    """It has the prefix of Apache's tools, the cost that was asked for, and another salt each."""
    first, second = hash_password("secret", cost=4), hash_password("secret", cost=4)
    assert first.startswith("$2y$04$")
    assert first != second
    assert PasswordFile.parse(f"bob:{first}\n").entries[0].stored == first
    assert matches("secret", first)
    assert not matches("Secret", first)


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
def test_hashes_of_other_tools_are_known(prefix: str) -> None:
    """The same hash under another prefix lets the same password in."""
    assert matches("secret", prefix + hash_password("secret", cost=4)[4:])


def test_the_cost_of_new_hashes_is_not_small() -> None:
    """What airgap writes takes about a tenth of a second to check."""
    assert 10 <= COST <= 12


def test_nobody_has_the_password_of_nobody() -> None:
    """The hash for users who do not exist is one that bcrypt really computes."""
    assert nobodys_hash(4)[4:6] == "04"
    assert not matches("x", nobodys_hash(4))


@pytest.mark.parametrize("password", ["", "x" * 73, "ä" * 37, "a\0b"])
def test_impossible_passwords_are_refused(password: str) -> None:
    """bcrypt would cut them silently."""
    assert not is_possible(password)
    with pytest.raises(SettingsError) as caught:
        check_password(password)
    assert len(password) < 2 or password not in caught.value.message
    with pytest.raises(SettingsError):
        hash_password(password, cost=4)


@pytest.mark.parametrize("password", ["x", "x" * 72, "ä" * 36, "a:b c\td"])
def test_possible_passwords(password: str) -> None:
    """Up to 72 bytes of anything, colons and spaces as well."""
    assert check_password(password) == password
    assert matches(password, hash_password(password, cost=4))
