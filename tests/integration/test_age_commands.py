"""Encryption as people type it: export, verify and import, with keys, files and passphrases."""

from __future__ import annotations

import pyrage
import pytest

from airgap.trust.keys import PrivateKey
from tests.support import builders
from tests.support.command_line import airgap, assert_refused
from tests.support.signing import write_public

KEY = pyrage.x25519.Identity.generate()
IMAGE = builders.image(layers=(2_500_000, 900_000), seed=3)


@pytest.fixture
def name(outside):
    """An image of about three volumes."""
    builders.push(outside.repository("app"), IMAGE, tag="1")
    return f"{outside.host}/app:1"


@pytest.fixture
def key(tmp_path):
    """The file of a secret key."""
    path = tmp_path / "key.txt"
    path.write_text(f"{KEY}\n")
    return path


def assert_there(inside):
    assert inside.repository("app").resolve("1").digest == IMAGE.digest


def test_volumes_for_a_recipient_are_verified_without_the_key_and_imported_with_it(
    name, inside, tmp_path, key
):
    """The whole way over the gap."""
    folder = tmp_path / "stick"
    folder.mkdir()
    to = ("--encrypt-to", KEY.to_public(), "--volume-size", "1100000")
    done = airgap("export", "images", name, "-o", folder / "r.tar", *to)
    assert done.code == 0, done.err
    done = airgap("verify", "bundle", folder)
    assert done.code == 0, done.err
    done = airgap("import", "bundle", folder, "--to", inside.host, "--identity", key)
    assert done.code == 0, done.err
    assert_there(inside)


def test_damage_is_told_with_its_volume_and_the_exit_code_of_damage(name, tmp_path):
    """By who has no key."""
    recipients = tmp_path / "team.txt"
    recipients.write_text(f"# us\n{KEY.to_public()}\n")
    done = airgap("export", "images", name, "-o", tmp_path / "r.tar", "--encrypt-to", recipients)
    assert done.code == 0, done.err
    path = tmp_path / "r.tar.age"
    raw = bytearray(path.read_bytes())
    raw[1_000_000] ^= 1
    path.write_bytes(raw)
    done = airgap("verify", "bundle", path)
    assert done.code == 20
    assert "r.tar.age does not have the bytes that were written" in done.out


@pytest.mark.parametrize("option", ["--trust", "--signature"])
def test_signatures_that_nobody_can_check_are_not_passed_over(name, tmp_path, option, monkeypatch):
    """Whoever demands them is told, and not that all is well; settings only warn."""
    path = tmp_path / "b.tar"
    assert airgap("export", "images", name, "-o", path, "--encrypt-to", KEY.to_public()).code == 0
    [public] = write_public(tmp_path, release=PrivateKey.generate("ed25519"))
    verify = ("verify", "bundle", f"{path}.age")
    assert_refused(airgap(*verify, option, public), 2, "settings", "is encrypted")
    monkeypatch.setenv("AIRGAP_TRUST", str(public))
    done = airgap(*verify)
    assert (done.code, "checked by its import" in done.err) == (0, True)


def test_a_bundle_with_a_passphrase_goes_over_with_its_key_file(name, inside, tmp_path):
    """The passphrase stands in a file on both sides."""
    word = tmp_path / "word"
    word.write_text("open sesame\n")
    path = tmp_path / "r.tar"
    done = airgap("export", "images", name, "-o", path, "--passphrase-file", word)
    assert done.code == 0, done.err
    take = ("import", "bundle", tmp_path / "r.tar.age", "--to", inside.host)
    keyed = (*take, "--identity", tmp_path / "r.key.age")
    assert_refused(airgap(*keyed), 2, "settings", "terminal")
    wrong = tmp_path / "wrong"
    wrong.write_text("open barley\n")
    assert_refused(airgap(*keyed, "--passphrase-file", wrong), 11, "unauthorized")
    done = airgap(*keyed, "--passphrase-file", word)
    assert done.code == 0, done.err
    assert_there(inside)


def test_an_encrypted_bundle_without_an_identity_asks_for_one(name, inside, tmp_path, key):
    """And an identity with a plain bundle, which needs none, does no harm."""
    path = tmp_path / "r.tar"
    done = airgap("export", "images", name, "-o", path, "--encrypt-to", KEY.to_public())
    assert done.code == 0, done.err
    take = ("import", "bundle", "--to", inside.host)
    assert_refused(airgap(*take, tmp_path / "r.tar.age"), 2, "settings", "--identity")
    done = airgap("export", "images", name, "-o", path)
    assert done.code == 0, done.err
    done = airgap(*take, path, "--identity", key)
    assert done.code == 0, done.err
    assert_there(inside)


def test_recipients_and_a_passphrase_exclude_each_other(name, tmp_path):
    """As the age format has it."""
    word = tmp_path / "word"
    word.write_text("open sesame\n")
    both = ("--encrypt-to", KEY.to_public(), "--passphrase-file", word)
    done = airgap("export", "images", name, "-o", tmp_path / "r.tar", *both)
    assert_refused(done, 2, "settings", "not both")
    done = airgap("export", "images", name, "-o", tmp_path / "r.tar", "--passphrase")
    assert_refused(done, 2, "settings", "terminal")


@pytest.mark.parametrize("command", ["inspect", "serve"])
def test_a_command_that_needs_plain_files_says_that_these_are_encrypted(tmp_path, command):
    """In a folder and by name, with what to do."""
    sealed = tmp_path / "release.tar.age"
    sealed.write_bytes(b"age-encryption.org/v1\n-> X25519 x\n" + bytes(2000))
    for path in (tmp_path, sealed):
        arguments = [command, path] if command == "serve" else [command, "bundle", path]
        done = airgap(*arguments)
        assert done.code == 22, done.err
        assert "is encrypted" in done.err
        assert "--identity" in done.err


def test_an_encrypted_pipe_is_refused_with_what_makes_it_plain(inside, key):
    """That `import bundle` reads files with --identity helps nobody who gave it one."""
    sealed = b"age-encryption.org/v1\n-> X25519 x\n" + bytes(2000)
    take = ("import", "bundle", "-", "--to", inside.host, "--identity", key)
    assert_refused(airgap(*take, stdin=sealed), 22, "bundle-format", "`age -d -i KEY FILE`", "pipe")


def test_an_identity_opens_no_bundle_that_an_inventory_is_taken_of(tmp_path, key):
    """The option is for --missing-for, and is not ignored beside --from."""
    sealed = tmp_path / "release.tar.age"
    sealed.write_bytes(b"age-encryption.org/v1\n-> X25519 x\n" + bytes(2000))
    take = ("export", "inventory", "--from", sealed, "-o", tmp_path / "i", "--identity", key)
    assert_refused(airgap(*take), 2, "settings", "--missing-for", "age -d")
