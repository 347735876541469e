from datetime import UTC, datetime, timedelta, timezone

import pytest

from airgap.errors import SettingsError
from airgap.trust.trust_file import KeyEntry, TrustFile, is_name, key_snippet


def parse(text):
    return TrustFile.parse(text.encode(), what="trust.toml")


def key(line=""):
    return f'[[key]]\nname = "a"\nfile = "a.pub"\n{line}\n'


def test_all_that_a_trust_file_says_is_read():
    """Keys in files and in the file itself, dates, revokers, identities, a list, a number."""
    found = parse(
        'require = 2\nrevocations = "revoked.json"\n'
        '[[key]]\nname = "release 2026"\nfile = "r.pub"\nnot-before = 2026-01-01\n'
        "not-after = 2026-12-31\n"
        '[[key]]\nname = "security"\npem = "-----BEGIN"\nrevoker = true\n'
        '[[identity]]\nname = "ci"\nidentity = "i"\nissuer = "s"\nroot = "root.json"\n'
    )
    assert (found.require, found.revocations) == (2, "revoked.json")
    assert found.keys == (
        KeyEntry(
            "release 2026",
            "r.pub",
            "",
            datetime(2026, 1, 1, tzinfo=UTC),
            datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        ),
        KeyEntry("security", "", "-----BEGIN", is_revoker=True),
    )
    assert [(i.name, i.identity, i.issuer, i.root) for i in found.identities] == [
        ("ci", "i", "s", "root.json")
    ]


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2026-01-01T12:00:00Z", datetime(2026, 1, 1, 12, tzinfo=UTC)),
        ("2026-01-01T12:00:00", datetime(2026, 1, 1, 12, tzinfo=UTC)),
        (
            "2026-01-01T12:00:00+02:00",
            datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2))),
        ),
    ],
)
def test_a_time_counts_to_the_moment(text, when):
    """With its offset, and without one in UTC."""
    found = parse(key(f"not-before = {text}\nnot-after = {text}")).keys[0]

    assert (found.not_before, found.not_after) == (when, when)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("key = 1", "key must be a list of tables"),
        ("[key]\nname = 'a'", "key must be a list of tables"),
        ("require = 0", "require must be"),
        ("require = 101", "require must be"),
        ("require = true", "require must be"),
        ("require = '1'", "require must be"),
        ("requires = 1", "unknown key 'requires'"),
        (key("not_after = 2026-01-01"), "unknown key 'not_after'"),
        (key("not-after = '2026-01-01'"), "not-after must be a date"),
        (key("not-after = 12:00:00"), "not-after must be a date"),
        (key("not-after = 2026-01-01\nnot-before = 2026-01-02"), "before it begins"),
        (key("revoker = 'yes'"), "revoker must be true or false"),
        (key("pem = 'x'"), "needs one of file and pem"),
        ("[[key]]\nname = 'a'", "needs one of file and pem"),
        ("[[key]]\nfile = 'a'", "name must be a text"),
        ("[[key]]\nname = 'a'\nfile = ''", "file must be a text"),
        (key() + key(), "names 'a' twice"),
        (key() + key().replace('"a"', '"A"'), "names 'a' twice"),
        ("revocations = 1", "revocations must be a text"),
        ("[[identity]]\nname = 'a'\nidentity = 'b'\nissuer = 'c'", "root must be a text"),
        ("[[identity]]\nname = 'a'\nsubject = 'b'", "unknown key 'subject'"),
        ("no toml", "not a TOML file"),
        ("\x1b = 1", "not a TOML file"),
        ("#" * (1024 * 1024 + 1), "more than"),
    ],
)
def test_what_is_not_known_or_wrong_is_refused(text, says):
    """By name, so that a mistyped date does not make a key count for ever."""
    with pytest.raises(SettingsError, match=says) as caught:
        parse(text)
    assert caught.value.message.startswith("trust.toml")
    assert caught.value.message.isprintable()


def test_a_file_that_is_no_text_is_refused():
    """It is not guessed what it was to be."""
    with pytest.raises(SettingsError, match="not a TOML file"):
        TrustFile.parse(b"\xff", what="trust.toml")


@pytest.mark.parametrize(
    "name",
    [
        "rele\u0430se",  # a Cyrillic letter
        "\u202eesaeler",  # from right to left
        "release\u200b",  # with nothing in it
        "\uff52\uff45lease",  # full width
        "relea\u0301se",  # with an accent of its own
        " release",
        "",
        "x" * 65,
        "a\nb",
    ],
)
def test_a_name_that_looks_like_another_one_is_refused(name):
    """Names are shown to people who decide by them; the error shows what they are made of."""
    assert not is_name(name)
    text = f'[[key]]\nname = "{name}"\nfile = "a.pub"\n'.replace("a\nb", "a\\nb")
    with pytest.raises(SettingsError) as caught:
        parse(text)
    assert caught.value.message.isascii()


def test_the_lines_that_are_shown_for_a_new_key_are_read_again():
    """Whoever copies them trusts the key as was said."""
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 31, 23, tzinfo=UTC)
    lines = key_snippet("release", "release.pub", start, end)

    assert parse("\n".join(lines)).keys == (KeyEntry("release", "release.pub", "", start, end),)
    assert parse("\n".join(key_snippet("a", "b", None, None))).keys == (KeyEntry("a", "b"),)
