"""Challenges: what registries write into WWW-Authenticate."""

from __future__ import annotations

import time

import pytest

from airgap.registry.challenge import Access, Challenge, merge_scopes, parse_challenges


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], ()),
        ([""], ()),
        (["Basic"], (Challenge("basic"),)),
        (['Basic realm="a b"'], (Challenge("basic", {"realm": "a b"}),)),
        (["basic REALM=lab"], (Challenge("basic", {"realm": "lab"}),)),
        (
            ['Bearer realm="https://a/t?x=1,2",service="s",scope="repository:a/b:pull,push"'],
            (
                Challenge(
                    "bearer",
                    {
                        "realm": "https://a/t?x=1,2",
                        "service": "s",
                        "scope": "repository:a/b:pull,push",
                    },
                ),
            ),
        ),
        (
            ['Bearer realm = "r" , service= s, Basic realm="b"'],
            (
                Challenge("bearer", {"realm": "r", "service": "s"}),
                Challenge("basic", {"realm": "b"}),
            ),
        ),
        (
            ["Negotiate", 'Basic realm="b"'],
            (Challenge("negotiate"), Challenge("basic", {"realm": "b"})),
        ),
        (["Negotiate, Basic"], (Challenge("negotiate"), Challenge("basic"))),
        ([r'Bearer realm="a\"b\\c"'], (Challenge("bearer", {"realm": 'a"b\\c'}),)),
        (['Bearer realm=""'], (Challenge("bearer", {"realm": ""}),)),
        (['Bearer realm="a",realm="b"'], (Challenge("bearer", {"realm": "a"}),)),
        (['realm="without a scheme"'], ()),
    ],
)
def test_challenges_are_read(headers: list[str], expected: tuple[Challenge, ...]) -> None:
    """Several challenges, quoted texts, any case and odd spaces are understood."""
    assert parse_challenges(headers) == expected


def test_a_quote_that_is_never_closed_gives_no_realm() -> None:
    """A broken header leaves the scheme without what could not be read."""
    assert parse_challenges(['Bearer realm="never closed'])[0] == Challenge("bearer")


@pytest.mark.parametrize(
    "text", ['a="' * 50_000, "a" * 100_000 + '"', "a=" * 50_000, '"\\' * 50_000]
)
def test_hostile_headers_take_no_time(text: str) -> None:
    """A header made to be slow to read is read in a moment."""
    started = time.monotonic()
    parse_challenges([text] * 100)
    assert time.monotonic() - started < 5


def test_access_becomes_scopes() -> None:
    """What a request needs is written the way token servers read it."""
    assert Access().scopes == frozenset()
    assert Access(lists_repositories=True).scopes == {"registry:catalog:*"}
    assert Access("a/b").scopes == {"repository:a/b:pull"}
    assert Access("a/b", write=True).scopes == {"repository:a/b:pull,push"}
    assert Access("a/b", write=True, mount_from="c").scopes == {
        "repository:a/b:pull,push",
        "repository:c:pull",
    }
    assert Access("a", write=True, mount_from="a").scopes == {"repository:a:pull,push"}


def test_scopes_are_joined_by_resource() -> None:
    """Each resource stands once with all its actions, in an order that does not change."""
    assert merge_scopes(
        ["repository:b:push,pull", "repository:a:pull"], ["repository:b:pull", "nonsense", ""]
    ) == ("repository:a:pull", "repository:b:pull,push")
    assert merge_scopes() == ()
