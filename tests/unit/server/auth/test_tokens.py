"""Tokens: what is signed, what is read, and what is refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import jwt
import pytest

from airgap.errors import SettingsError, StorageError
from airgap.server.access import Action
from airgap.server.auth import tokens as module
from airgap.server.auth.tokens import LIFETIME, TokenError, Tokens, load_key

KEY = bytes(range(32))
GRANTS = {"a/b": frozenset({Action.PULL})}
START = 1_700_000_000


class Mint:
    """Tokens whose clock is moved by hand."""

    def __init__(self, key: bytes = KEY, service: str = "here") -> None:
        self.now = float(START)
        self.tokens = Tokens(key, service, now=lambda: self.now)

    def token(self) -> str:
        return self.tokens.issue("bob", "stamp", GRANTS)


@pytest.fixture
def mint() -> Mint:
    return Mint()


def payload(**changes: Any) -> dict[str, Any]:
    """The claims of a good token, changed; None takes one away."""
    claims = {
        "iss": "here", "sub": "bob", "aud": "here", "iat": START, "nbf": START,
        "exp": START + 300, "jti": "1", "stamp": "stamp",
        "access": [{"type": "repository", "name": "a/b", "actions": ["pull"]}],
    } | changes  # fmt: skip
    return {name: value for name, value in claims.items() if value is not None}


def test_a_token_says_what_was_put_in(mint: Mint) -> None:
    """Whose it is, what it allows, and for how long."""
    claims = mint.tokens.read(mint.token())
    assert (claims.name, claims.stamp, claims.grants) == ("bob", "stamp", GRANTS)
    assert claims.expires == START + LIFETIME


def test_each_token_is_another_one(mint: Mint) -> None:
    """Every token has an id of its own."""
    assert mint.token() != mint.token()


def test_a_token_lasts_five_minutes(mint: Mint) -> None:
    """To the second, also where it is known from before."""
    token = mint.token()
    mint.now += LIFETIME - 1
    assert mint.tokens.read(token).name == "bob"
    mint.now += 1
    with pytest.raises(TokenError, match="expired"):
        mint.tokens.read(token)
    with pytest.raises(TokenError, match="expired"):
        Tokens(KEY, "here", now=lambda: mint.now).read(token)


def test_a_clock_that_was_turned_back_a_little_does_no_harm(mint: Mint) -> None:
    """A token from the future counts within a small leeway only."""
    token = mint.token()
    mint.now -= module.LEEWAY
    mint.tokens.read(token)
    mint.now -= 1
    with pytest.raises(TokenError, match="not valid yet"):
        mint.tokens.read(token)


@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
@pytest.mark.parametrize("algorithm", ["none", "HS512"])
def test_only_our_algorithm_counts(mint: Mint, algorithm: str) -> None:
    """Neither no signature at all nor another kind of it with the right key."""
    key = None if algorithm == "none" else KEY
    signed = jwt.encode(payload(), key, algorithm=algorithm)
    with pytest.raises(TokenError):
        mint.tokens.read(signed)
    with pytest.raises(TokenError):
        Mint(KEY).tokens.read(signed)


def test_the_claims_that_forgeries_start_from_are_good(mint: Mint) -> None:
    """Signed with our key they count; so each forgery fails for its own reason."""
    assert mint.tokens.read(jwt.encode(payload(), KEY, algorithm="HS256")).name == "bob"


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "elsewhere"},
        {"aud": "here#refresh"},
        {"aud": None},
        {"iss": "elsewhere"},
        {"iss": None},
        {"sub": None},
        {"exp": None},
        {"nbf": None},
        {"iat": None},
        {"jti": None},
        {"exp": START - 1},
        {"nbf": START + 60},
        {"exp": "never"},
        {"access": "everything"},
        {"access": [{"type": "repository", "name": "a", "actions": ["everything"]}]},
    ],
)
def test_other_claims_do_not_count(mint: Mint, changes: dict[str, Any]) -> None:
    """A token for another service, of another one, expired, or with something missing."""
    with pytest.raises(TokenError):
        mint.tokens.read(jwt.encode(payload(**changes), KEY, algorithm="HS256"))


def test_another_key_does_not_count(mint: Mint) -> None:
    """Another registry's token is a forgery here."""
    with pytest.raises(TokenError):
        mint.tokens.read(Mint(bytes(32)).token())


@pytest.mark.parametrize("part", [0, 1, 2])
def test_every_changed_byte_is_noticed(mint: Mint, part: int) -> None:
    """In the header, in the claims and in the signature, also after the token was read once."""
    token = mint.token()
    mint.tokens.read(token)
    parts = token.split(".")
    for position in range(0, len(parts[part]) - 1, 7):
        changed = list(parts)
        letter = "A" if parts[part][position] != "A" else "B"
        changed[part] = parts[part][:position] + letter + parts[part][position + 1 :]
        with pytest.raises(TokenError):
            mint.tokens.read(".".join(changed))


def test_a_wider_scope_is_noticed(mint: Mint) -> None:
    """Claims that somebody else wrote do not fit our signature."""
    header, claims, signature = mint.token().split(".")
    document = json.loads(base64.urlsafe_b64decode(claims + "=="))
    document["access"][0]["actions"] = ["pull", "push", "delete"]
    forged = base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")
    with pytest.raises(TokenError):
        mint.tokens.read(f"{header}.{forged}.{signature}")


@pytest.mark.parametrize("token", ["", "x", "..", "a.b.c", "\ud800", "x" * 10_000, "ä.b.c"])
def test_what_is_no_token(mint: Mint, token: str) -> None:
    """Garbage of any length is refused like a forgery."""
    with pytest.raises(TokenError):
        mint.tokens.read(token)


def test_a_token_must_fit_into_a_header(mint: Mint) -> None:
    """One for too much is not given."""
    grants = {f"team/{number:0200}": frozenset({Action.PULL}) for number in range(100)}
    with pytest.raises(TokenError, match="header"):
        mint.tokens.issue("bob", "", grants)


def test_refresh_tokens_and_tokens_are_not_taken_for_each_other(mint: Mint) -> None:
    """One that only gets others does not pull, and one that pulls gets no others."""
    refresh = mint.tokens.issue_refresh("bob", "stamp")
    assert mint.tokens.read_refresh(refresh).name == "bob"
    with pytest.raises(TokenError):
        mint.tokens.read(refresh)
    with pytest.raises(TokenError):
        mint.tokens.read_refresh(mint.token())
    mint.now += module.REFRESH_LIFETIME
    with pytest.raises(TokenError, match="expired"):
        mint.tokens.read_refresh(refresh)


def test_only_so_many_tokens_are_known(mint: Mint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, and a token that was forgotten is read anew."""
    monkeypatch.setattr(module, "MAX_KNOWN", 3)
    given = [mint.token() for _ in range(6)]
    for token in given * 2:
        assert mint.tokens.read(token).name == "bob"
    assert len(mint.tokens._known) == 3


def test_a_known_token_is_not_verified_again(mint: Mint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests with the same token cost one signature."""
    token = mint.token()
    first = mint.tokens.read(token)
    monkeypatch.setattr(mint.tokens, "_verified", None)
    assert mint.tokens.read(token) is first


def test_a_stamp_changes_with_the_password_and_the_user(mint: Mint) -> None:
    """And with the key, so that nobody can compute one."""
    stamps = {mint.tokens.stamp("bob", "a"), mint.tokens.stamp("bob", "b")}
    stamps |= {mint.tokens.stamp("boba", ""), Mint(bytes(32)).tokens.stamp("bob", "a")}
    assert len(stamps) == 4
    assert mint.tokens.stamp("bob", "a") in stamps


def test_a_key_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    """It lasts, so that tokens outlive a restart, and nobody else may read it."""
    folder = tmp_path / "data"
    key = load_key(folder)
    assert len(key) == 32
    assert load_key(folder) == key
    assert (folder / "keys/token.key").stat().st_mode & 0o777 == 0o600
    assert (folder / "keys").stat().st_mode & 0o777 == 0o700
    assert load_key(tmp_path / "other") != key


@pytest.mark.parametrize("content", [b"", b"short", b"zz" * 32, b"\xff" * 64, b"00" * 31])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    """A short key would be a weak one."""
    path = tmp_path / "keys/token.key"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(SettingsError):
        load_key(tmp_path)
    assert path.read_bytes() == content


def test_a_key_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """As an error of the storage."""
    (tmp_path / "keys/token.key").mkdir(parents=True)
    with pytest.raises(StorageError):
        load_key(tmp_path)
