"""Keys of the age format, as people give them."""

import sys
from pathlib import Path

import pyrage
import pytest

from airgap.content.age import Identities, Recipients, new_key, read_passphrase
from airgap.errors import ContentNotFoundError, SettingsError, UnauthorizedError

SSH = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN alice@rust"


def _no_passphrase(path: Path) -> str:
    raise AssertionError(path)


def test_recipients_come_from_texts_and_files_each_once(tmp_path: Path) -> None:
    """Comments and empty lines of a file are passed over."""
    one, two = (str(pyrage.x25519.Identity.generate().to_public()) for _ in range(2))
    file = tmp_path / "team.txt"
    file.write_text(f"# the team\n\n{one}\n{SSH}\n")
    assert Recipients.parse([two, str(file), one]).lines == (two, one, SSH)


@pytest.mark.parametrize("text", ["age1nonsense", "ssh-ed25519 AAAA", "ssh-dss AAAA"])
def test_what_is_no_recipient_is_refused_by_its_text(text: str) -> None:
    """A key that cannot be used is no reason for a stack trace."""
    with pytest.raises(SettingsError, match="is no recipient"):
        Recipients.parse([text])


@pytest.mark.parametrize("damage", [0, 1])
def test_a_secret_key_that_is_given_as_a_recipient_is_not_shown(
    tmp_path: Path, damage: int
) -> None:
    """Neither as a text nor out of a file, whole or damaged."""
    secret = str(pyrage.x25519.Identity.generate())[: 74 - damage]
    file = tmp_path / "key.txt"
    file.write_text(secret)
    for given in (secret, secret.lower(), str(file)):
        with pytest.raises(SettingsError) as caught:
            Recipients.parse([given])
        assert secret[16:40].lower() not in f"{caught.value.message} {caught.value.hint}".lower()


def test_a_file_of_recipients_that_is_not_there_or_empty_is_refused(tmp_path: Path) -> None:
    """Nothing is ever encrypted to nobody."""
    with pytest.raises(ContentNotFoundError):
        Recipients.parse([str(tmp_path / "none")])
    (tmp_path / "empty").write_text("# nobody\n")
    with pytest.raises(SettingsError, match="no recipients"):
        Recipients.parse([str(tmp_path / "empty")])


@pytest.mark.parametrize("limit", [1 << 20, 700_000_000, (1 << 32) - 1, 5_000_001])
@pytest.mark.parametrize("count", [1, 3])
def test_an_encrypted_file_is_never_larger_than_the_room_it_was_planned_for(
    limit: int, count: int
) -> None:
    """The overhead is a header, and 16 bytes for each 64 KiB; little of the medium is wasted."""
    keys = [pyrage.x25519.Identity.generate() for _ in range(count)]
    recipients = Recipients.parse([str(key.to_public()) for key in keys])
    room = recipients.room(limit)
    header = len(pyrage.encrypt(b"", [key.to_public() for key in keys])) - 16
    assert limit - 40_000 < header + room + 16 * -(-room // 65536) + 65536 * (limit // 10**8)
    assert header + room + 16 * -(-room // 65536) <= limit


def test_identities_come_from_files_of_age_keygen(tmp_path: Path) -> None:
    """The recipients of identities are those that age-keygen writes beside them."""
    key = pyrage.x25519.Identity.generate()
    file = tmp_path / "key.txt"
    file.write_text(f"# created: today\n# public key: {key.to_public()}\n{key}\n")
    found = Identities.read([file], _no_passphrase)
    assert found.texts == (str(key),)
    assert found.recipients.lines == (str(key.to_public()),)
    assert str(key) not in repr(found)


def test_a_file_that_holds_no_identity_is_refused_without_its_content(tmp_path: Path) -> None:
    """What stands in it may be a damaged secret."""
    file = tmp_path / "key.txt"
    file.write_text("AGE-SECRET-KEY-1SECRET\n")
    with pytest.raises(SettingsError, match="key 1 of the file is no identity") as caught:
        Identities.read([file], _no_passphrase)
    assert "SECRET" not in caught.value.message.upper().replace(str(file).upper(), "")
    file.write_text("# nothing\n")
    with pytest.raises(SettingsError, match="holds no identity"):
        Identities.read([file], _no_passphrase)


def test_a_key_behind_a_passphrase_opens_with_it_only(tmp_path: Path) -> None:
    """It is an identity file as `age -p` makes it."""
    recipients, raw = new_key("correct horse")
    file = tmp_path / "key.age"
    file.write_bytes(raw)
    assert Identities.read([file], lambda _: "correct horse").recipients == recipients
    with pytest.raises(UnauthorizedError, match="does not open it"):
        Identities.read([file], lambda _: "wrong")


def test_a_passphrase_is_one_line_of_a_file(tmp_path: Path) -> None:
    """An empty one would protect nothing."""
    file = tmp_path / "pass"
    file.write_bytes(b"a b\r\n")
    assert read_passphrase(file) == "a b"
    for wrong in (b"", b"\n", b"a\nb\n", b"\xff"):
        file.write_bytes(wrong)
        with pytest.raises(SettingsError):
            read_passphrase(file)


def test_without_pyrage_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever does not encrypt does not need it."""
    monkeypatch.setitem(sys.modules, "pyrage", None)
    with pytest.raises(SettingsError) as caught:
        Recipients.parse([SSH])
    assert caught.value.hint == "pip install 'airgap[age]'"
