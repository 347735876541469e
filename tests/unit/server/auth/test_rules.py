"""The rules of access.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.errors import SettingsError
from airgap.server.access import Action
from airgap.server.auth.rules import DEFAULT_TEXT, Rules, parse_rules

NONE: frozenset[str] = frozenset()


def rules(*bodies: str) -> Rules:
    text = "version = 1\n" + "".join(f"[[rule]]\n{body}\n" for body in bodies)
    return parse_rules(text, what="access.toml")


def actions(found: Rules, name: str, repository: str, *groups: str) -> set[str]:
    """All that somebody may do with a repository."""
    return {a for a in Action if found.allow(name, frozenset(groups), a, repository)}


@pytest.mark.parametrize(
    ("given", "may"),
    [
        ("pull", {"pull"}),
        ("push", {"pull", "push"}),
        ("delete", {"pull", "delete"}),
        ("admin", {"pull", "push", "delete", "admin"}),
    ],
)
def test_what_an_action_brings_along(given: str, may: set[str]) -> None:
    """Who may write or delete may read, and an admin may do everything."""
    found = rules(f'repositories = ["team/*"]\n{given} = ["bob"]')
    assert actions(found, "bob", "team/app") == may
    assert actions(found, "bob", "other/app") == set()
    assert actions(found, "amy", "team/app") == set()
    assert actions(found, "", "team/app") == set()


@pytest.mark.parametrize(
    ("word", "bob", "amy", "nobody"),
    [
        ("bob", True, False, False),
        ("@team", True, False, False),
        ("@other", False, False, False),
        ("authenticated", True, True, False),
        ("anonymous", True, True, True),
    ],
)
def test_who_is_meant(word: str, *, bob: bool, amy: bool, nobody: bool) -> None:
    """Users, groups, whoever has signed in, and everyone."""
    found = rules(f'repositories = ["**"]\npull = ["{word}"]')
    assert bool(actions(found, "bob", "x", "team")) is bob
    assert bool(actions(found, "amy", "x")) is amy
    assert bool(actions(found, "", "x")) is nobody


def test_a_user_called_like_a_group_is_not_the_group() -> None:
    """Names of users and groups cannot be taken for each other."""
    found = rules('repositories = ["**"]\npull = ["@team", "team2"]')
    assert actions(found, "team", "x") == set()
    assert actions(found, "x", "x", "team2") == set()


def test_placeholders_mean_the_part_that_matched() -> None:
    """A group has the repositories below its name, and a user those of a home."""
    found = rules(
        'repositories = ["{group}/**"]\npush = ["@{group}"]',
        'repositories = ["home/{user}/*"]\nadmin = ["{user}"]',
    )
    assert actions(found, "bob", "payments/app", "payments") == {"pull", "push"}
    assert actions(found, "bob", "sales/app", "payments") == set()
    assert "admin" in actions(found, "bob", "home/bob/x")
    assert actions(found, "amy", "home/bob/x") == set()
    assert actions(found, "", "home/bob/x") == set()


def test_rules_add_up() -> None:
    """What one rule gives no other takes away, and the first that gives it is told."""
    found = rules(
        'repositories = ["a/*"]\npull = ["anonymous"]',
        'repositories = ["a/b"]\npush = ["bob"]',
        'repositories = ["a/c"]\npull = []',
    )
    assert actions(found, "bob", "a/b") == {"pull", "push"}
    assert actions(found, "", "a/c") == {"pull"}
    giving = found.giving("bob", NONE, Action.PUSH, "a/b")
    assert giving is not None
    assert giving.line == 5


def test_the_default() -> None:
    """Admins everything, a group what lies below its name, anonymous nothing."""
    found = parse_rules(DEFAULT_TEXT, what="default")
    assert actions(found, "root", "any/thing", "admins") == set(Action)
    assert actions(found, "bob", "payments/app", "payments") == {"pull", "push"}
    assert actions(found, "bob", "other/app", "payments") == set()
    assert actions(found, "bob", "payments/app") == set()
    assert actions(found, "", "payments/app") == set()
    assert found.is_admin("root", frozenset({"admins"}))
    assert not found.is_admin("bob", frozenset({"payments"}))


def test_only_admin_of_everything_is_an_admin() -> None:
    """Who may do everything with some repositories does not run the registry."""
    found = rules(
        'repositories = ["a/**"]\nadmin = ["bob"]', 'repositories = ["**"]\npush = ["amy"]'
    )
    assert not found.is_admin("bob", NONE)
    assert not found.is_admin("amy", NONE)
    assert not rules('repositories = ["**"]\nadmin = ["authenticated"]').is_admin("", NONE)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no version"),
        ("version = 2", "version is 2"),
        ("version = true", "version is True"),
        ('version = "1"', "version is '1'"),
        ("version = 1\nrules = []", "unknown key 'rules'"),
        ("version = 1\n[rule]\n", "must be a list"),
        ("version = 1\nrule = [1]", "rule 1: is no table"),
        ("version = 1\n[[rule]", "line 2"),
        ("version = 1\n[[rule]]\npull = []", "rule 1 (line 2): repositories must be a list"),
        ("version = 1\n[[rule]]\nrepositories = []", "repositories is empty"),
        ("version = 1\n[[rule]]\nrepositories = 'a'", "repositories must be a list"),
        ("version = 1\n[[rule]]\nrepositories = [1]", "repositories must be a list"),
        ("version = 1\n[[rule]]\nrepositories = ['A']", "matches no repository"),
        ("version = 1\n[[rule]]\nrepositories = ['a']\npul = []", "unknown key 'pul'"),
        ("version = 1\n[[rule]]\nrepositories = ['a']\npull = 'bob'", "pull must be a list"),
        ("version = 1\n[[rule]]\nrepositories = ['a']\npull = ['']", "not the name of a user"),
        ("version = 1\n[[rule]]\nrepositories = ['a']\npull = ['*']", "not the name of a user"),
        ("version = 1\n[[rule]]\nrepositories = ['a']\npull = ['@A']", "not the name of a group"),
        ("version = 1\n[[rule]]\nrepositories = ['a']\npull = ['{user}']", "has no {user}"),
        ("version = 1\n[[rule]]\nrepositories = ['{group}', 'a']\npull = ['@{group}']",
         "has no {group}"),
        ("version = 1\n[[rule]]\nrepositories = ['a']\npush = ['anonymous']", "push is given"),
        ("version = 1\n[[rule]]\nrepositories = ['a']\nadmin = ['anonymous']", "admin is given"),
        ("version = 1\n# x\n[[rule]]\nrepositories = ['a']\n\n[[ rule ]] # y\nrepositories = ['B']",
         "rule 2 (line 6)"),
        ("a = " + "[" * 5000, "not a TOML file"),
    ],
)  # fmt: skip
def test_mistakes_are_named(text: str, says: str) -> None:
    """A file with a mistake is refused as a whole, with the place of the mistake."""
    with pytest.raises(SettingsError) as caught:
        parse_rules(text, what="access.toml")
    assert caught.value.message.startswith("access.toml")
    assert says in caught.value.message
    assert "\n" not in caught.value.message


def test_the_example_of_the_documentation() -> None:
    """What the guide shows is a file that counts, and means what the guide says."""
    guide = (Path(__file__).parents[4] / "docs/howto/users.md").read_text()
    found = parse_rules(guide.partition("```toml\n")[2].partition("```")[0], what="guide")
    assert actions(found, "", "base/debian") == {"pull"}
    assert actions(found, "bob", "payments/app", "payments") == {"pull", "push"}
    assert found.is_admin("alice", frozenset({"admins"}))
