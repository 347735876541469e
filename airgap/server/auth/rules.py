"""The rules of `access.toml`: who may do what with which repositories. Pure."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airgap.errors import SettingsError
from airgap.server.access import Action
from airgap.server.auth.names import ANONYMOUS, AUTHENTICATED, check_group, check_user
from airgap.server.auth.patterns import Pattern

VERSION = 1
MAX_RULES = 10_000

DEFAULT_TEXT = """\
# Who may do what in this registry. A change counts at once, without a restart;
# `airgap access check USER REPOSITORY ACTION` says what comes of it.
#
# A rule names repositories and says who may do what with them:
#
#   repositories  patterns for names: * stands for anything between two slashes,
#                 ** for any number of parts (also none); {group} and {user} stand
#                 for one part, which the lists may name
#   pull          who may read
#   push          who may write, and read
#   delete        who may delete, and read
#   admin         who may do all of that; with repositories = ["**"] also run the registry
#
# The lists hold users ("alice"), groups ("@payments"), "authenticated" (whoever has
# signed in) and "anonymous" (everyone, signed in or not). Users stand in the file
# htpasswd, groups in the file groups, both beside this one.
#
# All rules count together: what one gives, no other takes away.
# What no rule gives is refused.

version = 1

# Admins may do everything.
[[rule]]
repositories = ["**"]
admin = ["@admins"]

# A group has the repositories below its name: payments/app belongs to the group payments.
[[rule]]
repositories = ["{group}/**"]
push = ["@{group}"]

# To let everyone pull what lies below public/:
#
# [[rule]]
# repositories = ["public/**"]
# pull = ["anonymous"]
"""
"""What `user add` writes where there is no `access.toml`, and what counts without one."""

_GIVEN_BY: Mapping[Action, tuple[Action, ...]] = {
    Action.PULL: (Action.PULL, Action.PUSH, Action.DELETE, Action.ADMIN),
    Action.PUSH: (Action.PUSH, Action.ADMIN),
    Action.DELETE: (Action.DELETE, Action.ADMIN),
    Action.ADMIN: (Action.ADMIN,),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        patterns: Of the repositories that it is about.
        who: Who may do what, as it was written.
        line: Where it begins in the file; 0 where nobody knows.
    """

    patterns: tuple[Pattern, ...]
    who: Mapping[Action, tuple[str, ...]]
    line: int = 0

    def gives(self, name: str, groups: frozenset[str], action: Action, repository: str) -> bool:
        """Whether it lets somebody do something; an empty name is anonymous."""
        lists = [self.who[given] for given in _GIVEN_BY[action] if given in self.who]
        if not lists:
            return False
        return any(
            _is_meant(word, name, groups, found)
            for pattern in self.patterns
            if (found := pattern.match(repository)) is not None
            for words in lists
            for word in words
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules of a file."""

    rules: tuple[Rule, ...]

    def allow(self, name: str, groups: frozenset[str], action: Action, repository: str) -> bool:
        """Whether somebody may do something; an empty name is anonymous."""
        return self.giving(name, groups, action, repository) is not None

    def giving(
        self, name: str, groups: frozenset[str], action: Action, repository: str
    ) -> Rule | None:
        """The first rule that lets somebody do something."""
        for rule in self.rules:
            if rule.gives(name, groups, action, repository):
                return rule
        return None

    def is_admin(self, name: str, groups: frozenset[str]) -> bool:
        """Whether somebody may do everything with every repository."""
        return bool(name) and any(
            _is_meant(word, name, groups, {})
            for rule in self.rules
            if any(pattern.is_everything for pattern in rule.patterns)
            for word in rule.who.get(Action.ADMIN, ())
        )


def parse_rules(text: str, *, what: str) -> Rules:
    """Read `access.toml`, strictly: a rule with a mistake in it must not mean something else.

    Args:
        text: The file.
        what: What it is called in errors.

    Raises:
        SettingsError: It is not what it should be; says where.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise SettingsError(f"{what} is not a TOML file: {reason}") from error
    for key in document.keys() - {"version", "rule"}:
        raise SettingsError(f"{what}: unknown key {key!r}", hint="rules begin with [[rule]]")
    version = document.get("version")
    if version != VERSION or isinstance(version, bool):
        raise SettingsError(
            f"{what}: version is {version!r}" if version is not None else f"{what}: no version",
            hint=f"this airgap reads files that say: version = {VERSION}",
        )
    rules = document.get("rule", [])
    if not isinstance(rules, list) or len(rules) > MAX_RULES:
        raise SettingsError(f"{what}: rule must be a list of at most {MAX_RULES} tables")
    lines = [number for number, line in enumerate(text.split("\n"), 1) if _begins_rule(line)]
    return Rules(
        tuple(
            _parse_rule(rule, what=what, number=number, line=_item(lines, number - 1))
            for number, rule in enumerate(rules, 1)
        )
    )


def _begins_rule(line: str) -> bool:
    return line.partition("#")[0].replace(" ", "").strip() == "[[rule]]"


def _item(lines: Sequence[int], index: int) -> int:
    return lines[index] if index < len(lines) else 0


def _parse_rule(rule: object, *, what: str, number: int, line: int) -> Rule:
    where = f"{what}, rule {number}" + (f" (line {line})" if line else "")
    if not isinstance(rule, dict):
        raise SettingsError(f"{where}: is no table", hint="rules begin with [[rule]]")
    actions = {str(action) for action in Action}
    for key in rule.keys() - {"repositories", *actions}:
        raise SettingsError(
            f"{where}: unknown key {key!r}",
            hint="a rule has repositories, pull, push, delete and admin",
        )
    patterns = tuple(_patterns(rule, where))
    who = {Action(key): tuple(_words(rule, key, where, patterns)) for key in rule if key in actions}
    return Rule(patterns, who, line)


def _texts(rule: Mapping[str, Any], key: str, where: str) -> list[str]:
    value = rule.get(key)
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise SettingsError(f"{where}: {key} must be a list of texts", hint=f'{key} = ["…"]')
    return value


def _patterns(rule: Mapping[str, Any], where: str) -> Iterator[Pattern]:
    texts = _texts(rule, "repositories", where)
    if not texts:
        raise SettingsError(f"{where}: repositories is empty", hint='"**" stands for all')
    for text in texts:
        try:
            yield Pattern.parse(text)
        except ValueError as error:
            raise SettingsError(
                f"{where}: repositories: {error}",
                hint="write names in lower case, with * within a part and ** for parts",
            ) from error


def _words(
    rule: Mapping[str, Any], key: str, where: str, patterns: Sequence[Pattern]
) -> Iterator[str]:
    for word in _texts(rule, key, where):
        if word in ("{user}", "@{group}"):
            placeholder = word.removeprefix("@")
            if not all(pattern.has(placeholder) for pattern in patterns):
                raise SettingsError(
                    f"{where}: {key} names {word}, and a pattern has no {placeholder}"
                )
        elif word not in (ANONYMOUS, AUTHENTICATED):
            try:
                _check_name(word)
            except SettingsError as error:
                raise SettingsError(f"{where}: {key}: {error.message}", hint=error.hint) from error
        if word == ANONYMOUS and key != Action.PULL:
            raise SettingsError(
                f"{where}: {key} is given to anonymous",
                hint="who pushes or deletes must have signed in; name authenticated instead",
            )
        yield word


def _check_name(word: str) -> None:
    if word.startswith("@"):
        check_group(word[1:])
    else:
        check_user(word)


def _is_meant(word: str, name: str, groups: frozenset[str], found: Mapping[str, str]) -> bool:
    if word == ANONYMOUS:
        return True
    if not name:
        return False
    if word == AUTHENTICATED:
        return True
    if word == "{user}":
        return found.get("user") == name
    if word == "@{group}":
        return found.get("group") in groups
    return word[1:] in groups if word.startswith("@") else word == name
