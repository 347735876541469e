"""Sessions of browsers, and the tokens of forms."""

from __future__ import annotations

import pytest

from airgap.server.pages import sessions
from airgap.server.pages.sessions import FormTokens, Sessions, local_path


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def test_a_session_is_found_by_its_secret_alone():
    """Who has the secret has the session; nobody else does."""
    known = Sessions(Clock())
    token = known.begin("alice", "stamp")
    session = known.find(token)
    assert session is not None
    assert (session.name, session.stamp) == ("alice", "stamp")
    assert known.find(token[:-1]) is None
    assert known.find("") is None
    assert known.begin("alice", "stamp") != token


def test_a_session_ends():
    """A session that was ended is not found again."""
    known = Sessions(Clock())
    token = known.begin("alice", "")
    known.end(token)
    assert known.find(token) is None


def test_a_session_that_nobody_uses_ends():
    """A session lives as long as it is used, and no longer than a week."""
    clock = Clock()
    known = Sessions(clock)
    token = known.begin("alice", "")
    clock.time += sessions.IDLE_SECONDS - 1
    assert known.find(token)
    clock.time += sessions.IDLE_SECONDS + 1
    assert known.find(token) is None
    token, began = known.begin("alice", ""), clock.time
    while clock.time - began <= sessions.MAX_SECONDS:
        assert known.find(token)
        clock.time += sessions.IDLE_SECONDS - 1
    assert known.find(token) is None


def test_sessions_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch):
    """Where there are too many, the one that was used least lately ends."""
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 2)
    known = Sessions(Clock())
    first, second = known.begin("a", ""), known.begin("b", "")
    assert known.find(first)
    third = known.begin("c", "")
    assert [bool(known.find(token)) for token in (first, second, third)] == [True, False, True]


def test_a_form_token_is_good_for_one_browser_and_one_session():
    """A token of another browser, of before a sign-in or of another server is refused."""
    tokens = FormTokens()
    token = tokens.make("form", "session")
    assert tokens.is_right(token, "form", "session")
    assert not tokens.is_right(token, "other", "session")
    assert not tokens.is_right(token, "form", "")
    assert not tokens.is_right("", "form", "session")
    assert not tokens.is_right("ä", "form", "session")
    assert not FormTokens().is_right(token, "form", "session")
    assert not tokens.is_right(tokens.make("", ""), "", "")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/r/team/app", "/r/team/app"),
        ("/?q=a&after=b", "/?q=a&after=b"),
        ("//evil.example", "/"),
        ("https://evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/a\r\nSet-Cookie: x=y", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
    ],
)
def test_after_signing_in_one_stays_here(text: str, path: str):
    """Where a link wants to lead elsewhere, it leads to the first page."""
    assert local_path(text) == path
