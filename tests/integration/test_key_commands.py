"""`airgap key` and `airgap sign`: keys are made, shown and taken back, and sign bundles."""

from __future__ import annotations

import json
import stat
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from airgap.trust.keys import ALGORITHMS, PrivateKey, PublicKey
from airgap.trust.revocations import RevocationList
from airgap.trust.signatures import Signatures
from airgap.trust.trust_file import TrustFile
from tests.support import builders
from tests.support.bundles import make_bundle
from tests.support.command_line import airgap, assert_refused
from tests.support.embedded import EmbeddedRegistry
from tests.support.transfers import catalog_of

MADE = make_bundle()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where keys are made."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def generate(*arguments):
    done = airgap("key", "generate", "--no-passphrase", *arguments)
    assert done.code == 0, done.err
    return done


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_new_key_lies_in_two_files(folder, algorithm):
    """The private one is its owner's, and both are of the kind that was asked for."""
    done = airgap("key", "generate", "--type", algorithm, "--no-passphrase", "--json")
    result = done.lines[-1]
    key = PrivateKey.parse((folder / "release.key").read_bytes())
    assert stat.S_IMODE((folder / "release.key").stat().st_mode) == 0o600
    assert PublicKey.parse((folder / "release.pub").read_bytes()) == key.public
    assert (result["key"], result["algorithm"]) == (str(key.id), algorithm)
    assert (result["private"], result["public"]) == ("release.key", "release.pub")
    assert result["is_encrypted"] is False


def test_a_key_is_never_replaced(folder):
    """Whoever runs the command twice keeps the first key."""
    generate("-o", "a.key")
    before = (folder / "a.key").read_bytes()
    done = airgap("key", "generate", "--no-passphrase", "-o", "a.key")
    assert_refused(done, 40, "conflict", "a.key is there already")
    assert (folder / "a.key").read_bytes() == before


def test_the_lines_for_trust_toml_trust_the_key_as_was_said(folder):
    """With the dates, which stand nowhere else."""
    done = generate(
        "--name", "release 2026", "--not-before", "2026-01-01", "--not-after", "2126-12-31"
    )
    lines = done.out.partition("trust.toml:\n")[2]
    [entry] = TrustFile.parse(lines.encode(), what="shown").keys
    assert (entry.name, entry.file) == ("release 2026", "release.pub")
    assert entry.not_before == datetime(2026, 1, 1, tzinfo=UTC)
    assert entry.not_after.date().isoformat() == "2126-12-31"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--not-before", "2026-02-01", "--not-after", "2026-01-01"), "lies before"),
        (("--not-after", "2020-01-01"), "2020-01-01 is past"),
        (("--name", "rele\u0430se"), "no name of a key"),
        (("-o", "\u202e.key"), "no name of a key"),
        (("--passphrase-file", "word", "--passphrase"), "leave one of the options out"),
    ],
)
def test_what_makes_no_sense_makes_no_key(folder, arguments, says):
    """Nothing is written then."""
    done = airgap("key", "generate", *arguments)
    assert_refused(done, 2, "settings", says)
    assert list(folder.iterdir()) == []


def test_without_a_terminal_a_passphrase_must_come_from_somewhere(folder):
    """No key is left open because nobody could be asked."""
    done = airgap("key", "generate")
    assert_refused(done, 2, "settings", "no terminal", "AIRGAP_KEY_PASSPHRASE")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("way", ["file", "environment", "terminal"])
def test_a_passphrase_comes_from_a_file_the_environment_or_a_terminal(folder, way, monkeypatch):
    """It opens the key, and nothing that is printed shows it."""
    (folder / "word").write_text("correct horse\n")
    arguments = ["key", "generate"]
    stdin, terminal = b"", False
    if way == "file":
        arguments += ["--passphrase-file", "word"]
    elif way == "environment":
        monkeypatch.setenv("AIRGAP_KEY_PASSPHRASE", "correct horse")
    else:
        monkeypatch.setattr(
            "airgap.cli.signing_options.click.prompt", lambda *_, **__: "correct horse"
        )
        terminal = True
    done = airgap(*arguments, stdin=stdin, terminal=terminal)
    assert done.code == 0, done.err
    assert "correct horse" not in done.out + done.err
    raw = (folder / "release.key").read_bytes()
    assert b"ENCRYPTED" in raw
    assert PrivateKey.parse(raw, "correct horse").public == PublicKey.parse(
        (folder / "release.pub").read_bytes()
    )


def test_who_asks_to_be_asked_is_not_answered_by_the_environment(folder, monkeypatch):
    """--passphrase means the terminal, whatever else is set."""
    monkeypatch.setenv("AIRGAP_KEY_PASSPHRASE", "of another key")
    monkeypatch.setattr("airgap.cli.signing_options.click.prompt", lambda *_, **__: "typed")
    done = airgap("key", "generate", "--passphrase", terminal=True)
    assert done.code == 0, done.err
    raw = (folder / "release.key").read_bytes()
    assert PrivateKey.parse(raw, "typed").public.to_pem() == (folder / "release.pub").read_bytes()


def test_a_wrong_passphrase_is_said_in_one_line(folder):
    """With exit 2, for every command that signs."""
    (folder / "word").write_text("right\n")
    (folder / "wrong").write_text("wrong\n")
    assert airgap("key", "generate", "--passphrase-file", "word").code == 0
    MADE.write(folder)
    for command in (
        ("key", "show", "release.key", "--passphrase-file", "wrong"),
        ("sign", "bundle", "bundle.tar", "--key", "release.key", "--sign-passphrase-file", "wrong"),
    ):
        assert_refused(airgap(*command), 2, "settings", "the passphrase does not open it")
    right = ("sign", "bundle", "bundle.tar", "--key", "release.key")
    assert airgap(*right, "--sign-passphrase-file", "word").code == 0


def test_the_id_of_a_key_is_shown_from_either_file(folder):
    """It is what openssl and sha256sum make of the public key."""
    generate()
    shown = [airgap("key", "show", name).out.split() for name in ("release.key", "release.pub")]
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", "release.pub", "-outform", "DER"],
        capture_output=True,
        check=True,
    ).stdout
    digest = subprocess.run(["sha256sum"], input=der, capture_output=True, check=True).stdout
    wanted = "sha256:" + digest.split()[0].decode()
    assert shown == [[wanted, "ed25519,", "private"], [wanted, "ed25519,", "public"]]


@pytest.mark.parametrize("command", [("key", "show"), ("sign", "bundle", "bundle.tar", "--key")])
def test_a_file_that_holds_no_key_is_refused(folder, command):
    """By name, without its content."""
    (folder / "x.key").write_text("my secret notes\n")
    done = airgap(*command, "x.key")
    assert_refused(done, 2, "settings", "x.key is not a key in PEM")
    assert "secret" not in done.err


def test_revoking_makes_lists_with_rising_serials(folder):
    """What was revoked once stays in the list, and reasons are kept."""
    for name in ("a", "b", "security"):
        generate("-o", f"{name}.key")
    b = PublicKey.parse((folder / "b.pub").read_bytes())
    revoke = ("key", "revoke", "--list", "revoked.json", "--sign", "security.key")
    done = airgap(*revoke, "a.pub", "--reason", "stolen with a laptop")
    assert done.code == 0, done.err
    assert "stolen with a laptop" in done.out
    assert airgap(*revoke, str(b.id)).code == 0
    found = RevocationList.parse((folder / "revoked.json").read_bytes().strip())
    security = PublicKey.parse((folder / "security.pub").read_bytes())
    assert found.is_signed_by(security)
    assert found.serial == 2
    assert sorted(one.reason for one in found.revoked) == ["", "stolen with a laptop"]
    assert airgap(*revoke, "a.pub", "--serial", "40").code == 0
    assert_refused(airgap(*revoke, "a.pub", "--serial", "40"), 2, "settings", "not above 40")


def test_each_revoker_has_a_list_of_its_own(folder):
    """Another key does not take a list over, and does not change it."""
    for name in ("a", "security", "other"):
        generate("-o", f"{name}.key")
    revoke = ("key", "revoke", "a.pub", "--list", "revoked.json", "--sign")
    assert airgap(*revoke, "security.key").code == 0
    before = (folder / "revoked.json").read_bytes()
    assert_refused(airgap(*revoke, "other.key"), 2, "settings", "not signed by this revoker")
    assert (folder / "revoked.json").read_bytes() == before


def test_signing_a_bundle_leaves_it_as_it_is(folder):
    """The signature lies beside it, and the same command gives the same bytes."""
    path = MADE.write(folder)
    generate("--type", "ecdsa-p256")
    for _ in range(2):
        done = airgap("sign", "bundle", path, "--key", "release.key", "--json")
        assert done.code == 0, done.err
    assert path.read_bytes() == MADE.data
    [signature] = folder.glob("bundle.tar.*.sig")
    result = done.lines[-1]
    assert result["signatures"] == [{"path": str(signature), "key": result["signatures"][0]["key"]}]
    assert result["bundle_id"] == str(MADE.catalog.id)


def test_a_signature_file_that_is_something_else_is_not_replaced(folder):
    """Neither one of another bundle nor a file with that name by chance."""
    path = MADE.write(folder)
    generate()
    (folder / "a.sig").write_text("mine")
    sign = ("sign", "bundle", path, "--key", "release.key")
    assert_refused(airgap(*sign, "-o", "a.sig"), 40, "conflict", "a.sig is there already")
    assert (folder / "a.sig").read_text() == "mine"
    other = airgap(*sign, "--expect", "sha256:" + "0" * 64)
    assert_refused(other, 20, "digest-mismatch")
    two = (*sign, "--key", "release.key", "-o", "b.sig")
    assert_refused(airgap(*two), 2, "settings", "one file takes one signature")


def test_an_encrypted_bundle_is_signed_by_who_can_open_it(folder):
    """And the signature is that of the plain catalog."""
    import pyrage

    identity = pyrage.x25519.Identity.generate()
    (folder / "identity").write_text(f"{identity}\n")
    path = MADE.write(folder)
    made = airgap(
        "export", "images", "--from", path, "-o", "sealed.tar",
        "--encrypt-to", str(identity.to_public()),
    )  # fmt: skip
    assert made.code == 0, made.err
    generate()
    [sealed] = folder.glob("sealed.tar*")
    done = airgap("sign", "bundle", sealed, "--key", "release.key", "--identity", "identity")
    assert done.code == 0, done.err
    trust = ("--trust", "release.pub", "--identity", "identity")
    with EmbeddedRegistry() as inside:
        done = airgap("import", "bundle", sealed, "--to", inside.host, *trust)
        assert done.code == 0, done.err
        [signature] = folder.glob("sealed.tar*.sig")
        signature.unlink()
        inside.clear()
        done = airgap("import", "bundle", sealed, "--to", inside.host, *trust)
        assert_refused(done, 21, "signature", "is not signed")
        assert inside.count() == 0


@pytest.fixture
def source():
    """A registry with an image."""
    with EmbeddedRegistry() as registry:
        builders.push(registry.repository("app"), builders.image(), tag="1")
        yield registry


def test_an_export_is_signed_and_brings_revocations(folder, source):
    """The same keys and images give the same bytes, in whatever order the keys are named."""
    for name, kind in (("one", "ed25519"), ("two", "ecdsa-p256"), ("old", "ed25519")):
        generate("-o", f"{name}.key", "--type", kind)
    revoke = ("key", "revoke", "old.pub", "--list", "revoked.json", "--sign", "one.key")
    assert airgap(*revoke).code == 0
    image = f"{source.host}/app:1"
    for name, keys in (("a.tar", ("one", "two")), ("b.tar", ("two", "one", "two"))):
        signing = [text for key in keys for text in ("--sign", f"{key}.key")]
        done = airgap(
            "export", "images", image, "-o", name, *signing, "--revocations", "revoked.json"
        )
        assert done.code == 0, done.err
    assert Path("a.tar").read_bytes() == Path("b.tar").read_bytes()
    catalog = catalog_of(Path("a.tar"))
    found = Signatures.parse(catalog.signatures)
    assert {s.key for s in found.by_key} == {
        PublicKey.parse(Path(f"{name}.pub").read_bytes()).id for name in ("one", "two")
    }
    assert json.loads(found.revocations) == json.loads(Path("revoked.json").read_text())
    assert airgap("verify", "bundle", "a.tar", "--trust", "two.pub", "--trust", "one.pub",
                  "--require", "2").code == 0  # fmt: skip


def test_volumes_pipes_and_encrypted_exports_are_signed_alike(folder, source):
    """Each carries the signatures in its front."""
    generate()
    image = f"{source.host}/app:1"
    sign = ("--sign", "release.key")
    done = airgap("export", "images", image, "-o", "-", *sign)
    assert done.code == 0, done.err
    Path("piped.tar").write_bytes(done.stdout)
    big = f"{source.host}/big:1"
    builders.push(source.repository("big"), builders.image(layers=(1_500_000, 1_500_000)), tag="1")
    split = airgap("export", "images", big, "-o", "v.tar", "--volume-size", "1100000", *sign)
    assert split.code == 0, split.err
    for bundle in (["piped.tar"], sorted(Path().glob("v*.tar"))):
        assert airgap("verify", "bundle", *bundle, "--trust", "release.pub").code == 0
    last = sorted(Path().glob("v*.tar"))[-1]
    done = airgap("inspect", "bundle", last)
    assert "key sha256:" in done.out


def test_a_signed_bundle_can_be_packed_in_another_way_without_its_key(folder, source):
    """What is in it stays the same, and so its signatures stay right."""
    generate()
    builders.push(source.repository("big"), builders.image(layers=(1_500_000, 1_500_000)), tag="1")
    big = f"{source.host}/big:1"
    assert airgap("export", "images", big, "-o", "one.tar", "--sign", "release.key").code == 0
    take = ("export", "images", "--trust", "release.pub", "--from")
    assert airgap(*take, "one.tar", "-o", "v.tar", "--volume-size", "1100000").code == 0
    volumes = sorted(Path().glob("v.*.tar"))
    assert len(volumes) > 1
    assert airgap("verify", "bundle", *volumes, "--trust", "release.pub").code == 0
    merge = [text for path in volumes for text in ("--from", path)]
    assert airgap(*take[:-1], *merge, "-o", "again.tar").code == 0
    assert Path("again.tar").read_bytes() == Path("one.tar").read_bytes()


def test_an_export_with_a_damaged_list_of_revoked_keys_is_refused(folder, source):
    """Before anything is asked of a registry."""
    generate()
    Path("revoked.json").write_text("{}")
    done = airgap("export", "images", f"{source.host}/app:1", "-o", "a.tar",
                  "--sign", "release.key", "--revocations", "revoked.json")  # fmt: skip
    assert_refused(done, 21, "signature", "list of revoked keys revoked.json is damaged")
    assert source.count() == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("generate", "-o", "."), (". is a folder", "-o release.key")),
        (("generate", "--not-after", "soon"), ("'soon' is no day", "2027-01-31")),
        (("revoke", "sha256:12", "--list", "l", "--sign", "k"), ("whole id", "key show")),
        (("show", "long"), ("a key is smaller", "key generate")),
    ],
)
def test_what_is_no_key_or_day_is_said_with_what_is_wanted(folder, arguments, says):
    """And not in the words of the system or of a format."""
    (folder / "long").write_bytes(bytes(70_000))
    (folder / "k").write_bytes(PrivateKey.generate("ed25519").to_pem())
    assert_refused(airgap("key", *arguments), 2, "settings", *says)


def test_another_file_is_not_taken_for_a_list_of_revoked_keys(folder):
    """It stays as it is, and the error names it."""
    assert airgap("key", "generate", "--no-passphrase", "-o", "k.key").code == 0
    for content in (b"not mine", bytes(2_000_000)):
        (folder / "mine").write_bytes(content)
        done = airgap("key", "revoke", "k.pub", "--list", "mine", "--sign", "k.key")
        assert_refused(done, 21, "signature", "keys mine ", "`airgap key revoke` makes such a list")
        assert (folder / "mine").read_bytes() == content


def test_a_private_key_of_cosign_is_told_from_its_public_half(folder):
    """Whoever demands signatures by it needs the other file."""
    label = b"ENCRYPTED SIGSTORE PRIVATE KEY"
    (folder / "cosign.key").write_bytes(
        b"-----BEGIN %s-----\neyJr\n-----END %s-----\n" % (label, label)
    )
    MADE.write(folder)
    done = airgap("verify", "bundle", "bundle.tar", "--trust", "cosign.key")
    assert_refused(done, 2, "settings", "a public one is needed", "cosign.pub")
