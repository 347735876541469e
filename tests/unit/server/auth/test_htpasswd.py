"""Password files as other tools write them."""

from __future__ import annotations

import pytest

from airgap.server.auth.htpasswd import PasswordFile

HASH = "$2y$05$" + "a" * 53
OTHER = "$2b$12$" + "b" * 53


def stored(text: str) -> dict[str, str]:
    return {e.name: e.stored for e in PasswordFile.parse(text).entries if e.stored}


@pytest.mark.parametrize("kind", ["2a", "2b", "2y"])
def test_all_names_of_bcrypt_are_taken(kind: str) -> None:
    """The three prefixes that tools write for the same hash mean the same."""
    assert stored(f"bob:${kind}$10${'x' * 53}\n") == {"bob": f"${kind}$10${'x' * 53}"}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("$apr1$abc$defghijklmnopqrstuvwx.", "apr1"),
        ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "SHA-1"),
        ("{SSHA}abc", "SHA-1"),
        ("$1$abc$def", "MD5"),
        ("$5$abc$def", "SHA-256"),
        ("$6$abc$def", "SHA-512"),
        ("$2y$05$tooshort", "damaged"),
        ("$2y$31$" + "a" * 53, "cost 31"),
        ("$2y$00$" + "a" * 53, "cost 00"),
        ("rl.WbpM5Ed3Q2", "only bcrypt"),
        ("secret", "only bcrypt"),
        ("", "only bcrypt"),
    ],
)
def test_other_hashes_are_refused_by_name(value: str, says: str) -> None:
    """A line without a bcrypt hash lets nobody in, is named, and does not stop the others."""
    found = PasswordFile.parse(f"bob:{value}\namy:{HASH}\n")
    bob, amy = found.entries
    assert (bob.name, bob.line, bob.stored) == ("bob", 1, "")
    assert says in bob.problem
    assert amy.stored == HASH


@pytest.mark.parametrize("line", ["no colon", ":nobody", "\x07bell:" + HASH])
def test_what_is_no_entry_is_told(line: str) -> None:
    """A line that names nobody is an entry with a problem, so that the file is not empty."""
    [entry] = PasswordFile.parse(line).entries
    assert entry.problem
    assert not entry.stored


def test_comments_and_empty_lines_are_no_entries() -> None:
    """Nothing but comments means no users."""
    assert PasswordFile.parse("# us\n\n   \n#bob:x\n").entries == ()


def test_the_first_of_two_lines_counts() -> None:
    """As for Apache; the second one is named."""
    first, second = PasswordFile.parse(f"bob:{HASH}\nbob:{OTHER}\n").entries
    assert first.stored == HASH
    assert "further up" in second.problem


def test_only_line_feeds_end_a_line() -> None:
    """A name cannot smuggle in a line by a character that only Python takes for an end."""
    found = PasswordFile.parse(f"bob\x0beve:{HASH}\n")
    assert stored(found.text()) == {}
    assert len(found.lines) == 1


def test_fields_behind_the_hash_and_windows_ends_are_allowed() -> None:
    """Some tools write a comment behind a second colon, and some end lines as Windows does."""
    assert stored(f"bob:{HASH}:Bob from sales\r\n") == {"bob": HASH}


def test_a_change_touches_one_line_only() -> None:
    """Comments, foreign hashes, order and ends of all other lines stay as they are."""
    text = f"# ours\r\n\neve:$apr1$x$y\nbob:{HASH}\nbob:{OTHER}\nzoe:{HASH}"
    changed = PasswordFile.parse(text).with_hash("bob", OTHER).text()
    assert changed == f"# ours\r\n\neve:$apr1$x$y\nbob:{OTHER}\nzoe:{HASH}"
    added = PasswordFile.parse(text).with_hash("amy", OTHER).text()
    assert added == f"{text}\namy:{OTHER}\n"
    gone = PasswordFile.parse(text).without("bob").text()
    assert gone == f"# ours\r\n\neve:$apr1$x$y\nzoe:{HASH}"
    assert PasswordFile.parse(text).without("nobody").text() == text


def test_a_foreign_line_is_replaced_by_a_password() -> None:
    """A user with a hash that is not taken can be given a password."""
    assert stored(PasswordFile.parse("eve:$apr1$x$y\n").with_hash("eve", HASH).text()) == {
        "eve": HASH
    }


def test_no_hash_is_shown() -> None:
    """What ends up in a log or traceback holds no hash."""
    assert HASH not in repr(PasswordFile.parse(f"bob:{HASH}"))
