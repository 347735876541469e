"""Patterns for repositories."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.server.auth.patterns import Pattern


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("app", "app", True),
        ("app", "app/x", False),
        ("app", "myapp", False),
        ("a.p", "axp", False),
        ("*", "app", True),
        ("*", "team/app", False),
        ("team/*", "team/app", True),
        ("team/*", "team/app/x", False),
        ("team/*", "team", False),
        ("team/app-*", "team/app-1", True),
        ("team/*-app", "team/my-app", True),
        ("team/a*c*e", "team/abcde", True),
        ("team/a*c*e", "team/abde", False),
        ("**", "a", True),
        ("**", "a/b/c", True),
        ("team/**", "team", True),
        ("team/**", "team/a/b", True),
        ("team/**", "teams/a", False),
        ("**/app", "app", True),
        ("**/app", "a/b/app", True),
        ("**/app", "a/b/app/c", False),
        ("a/**/z", "a/z", True),
        ("a/**/z", "a/b/c/z", True),
        ("a/**/z", "a", False),
        ("a/**/a", "a", False),
        ("**/x/**/y/**", "x/y", True),
        ("**/x/**/y/**", "y/x", False),
        ("**/x/y/**/x", "x/y/x", True),
        ("**/x/y/**/y/x", "x/y/x", False),
        ("**/**", "a", True),
    ],
)
def test_what_matches(pattern: str, name: str, *, matches: bool) -> None:
    """Stars stay within a part; two stars stand for parts, also for none."""
    assert (Pattern.parse(pattern).match(name) is not None) is matches


def test_placeholders_stand_for_one_part() -> None:
    """What they stand for is told."""
    found = Pattern.parse("{group}/own/{user}/**").match("payments/own/bob/x/y")
    assert found == {"group": "payments", "user": "bob"}
    assert Pattern.parse("{group}/**").match("payments") == {"group": "payments"}


@pytest.mark.parametrize(
    "text",
    ["", "/", "a/", "/a", "a//b", "Team/app", "a b", "***", "a**", "team-**", "{group}x", "{other}",
     "{group}/{group}", "**/{group}", "a/**/{user}", "[ab]", "a?", "x" * 256, "a\n"],
)  # fmt: skip
def test_what_is_no_pattern(text: str) -> None:
    """What could match nothing, or not clearly, is refused."""
    with pytest.raises(ValueError, match=r"."):
        Pattern.parse(text)


PARTS = st.lists(st.sampled_from(["a", "b", "ab", "*", "**", "a*", "*b"]), min_size=1, max_size=6)
NAMES = st.lists(st.sampled_from(["a", "b", "ab", "aab"]), min_size=1, max_size=6)


@given(PARTS, NAMES)
def test_patterns_are_what_a_regular_expression_would_be(
    parts: list[str], names: list[str]
) -> None:
    """The quick way of matching finds what the plain definition says."""
    plain = "".join(
        "(?:[^/]+/)*" if part == "**" else re.escape(part).replace(r"\*", "[^/]*") + "/"
        for part in parts
    )
    expected = re.fullmatch(plain, "/".join(names) + "/") is not None
    assert (Pattern.parse("/".join(parts)).match("/".join(names)) is not None) is expected


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("a*" * 100 + "b", "a" * 255),
        ("/".join(["**", "a"] * 40), "/".join(["a"] * 126 + ["b"])),
        ("/".join(["**"] * 80 + ["x"]), "/".join(["a"] * 127)),
    ],
)
def test_no_pattern_takes_long(pattern: str, name: str) -> None:
    """Whoever names a repository cannot make the server think for long."""
    started = time.process_time()
    assert Pattern.parse(pattern).match(name) is None
    assert time.process_time() - started < 1
