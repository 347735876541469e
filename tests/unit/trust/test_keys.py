import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from airgap.errors import SettingsError
from airgap.oci.digest import Digest
from airgap.trust.keys import ALGORITHMS, PrivateKey, PublicKey, is_encrypted


def pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_verifies_what_its_other_half_signed_and_nothing_else(algorithm):
    """Another text, another key and a changed signature are all refused."""
    key, other = PrivateKey.generate(algorithm), PrivateKey.generate(algorithm)
    signature = key.sign(b"data")

    assert key.public.verify(b"data", signature)
    assert not key.public.verify(b"Data", signature)
    assert not other.public.verify(b"data", signature)
    assert not key.public.verify(b"data", signature[:-1])
    assert not key.public.verify(b"data", b"")
    assert not key.public.verify(b"data", bytes([signature[0] ^ 1]) + signature[1:])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_same_bytes_give_the_same_signature(algorithm):
    """Signing is deterministic for both algorithms, so a bundle can be made again."""
    key = PrivateKey.generate(algorithm)

    assert key.sign(b"data") == key.sign(b"data")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("passphrase", [None, "word", "wörd with spaces"])
def test_a_key_is_read_back_from_its_file(algorithm, passphrase):
    """With and without a passphrase the file gives the same key."""
    key = PrivateKey.generate(algorithm)
    raw = key.to_pem(passphrase)

    assert PrivateKey.parse(raw, passphrase).id == key.id
    assert is_encrypted(raw) is (passphrase is not None)
    assert PublicKey.parse(key.public.to_pem()) == key.public


def test_a_wrong_or_missing_passphrase_is_a_clear_error():
    """Neither error shows the key or the passphrase."""
    raw = PrivateKey.generate("ed25519").to_pem("word")

    with pytest.raises(SettingsError, match=r"^release\.key: the passphrase does not open it$"):
        PrivateKey.parse(raw, "another", what="release.key")
    for missing in (None, ""):
        with pytest.raises(SettingsError, match=r"^release\.key is encrypted$"):
            PrivateKey.parse(raw, missing, what="release.key")


def test_the_id_is_the_digest_of_the_public_key_in_der():
    """Anybody can compute it with openssl and sha256sum."""
    key = PrivateKey.generate("ecdsa-p256").public

    assert key.id == Digest.of(key.der)


def test_a_compressed_point_has_the_id_of_the_whole_one():
    """One key in two encodings is one key, so it cannot count twice."""
    key = ec.generate_private_key(ec.SECP256R1())
    found = subprocess.run(
        ["openssl", "ec", "-pubout", "-conv_form", "compressed"],
        input=pem(key),
        capture_output=True,
        check=True,
    )
    assert found.stdout != public_pem(key)
    assert PublicKey.parse(found.stdout).id == PublicKey.parse(public_pem(key)).id


@pytest.mark.parametrize(
    "command",
    [
        ["genpkey", "-algorithm", "ed25519"],
        ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        ["ecparam", "-name", "prime256v1", "-genkey"],
        ["ecparam", "-name", "prime256v1", "-genkey", "-noout"],
    ],
)
def test_keys_of_openssl_are_read(command):
    """What genpkey and ecparam write, also with the curve's block before the key."""
    raw = subprocess.run(["openssl", *command], capture_output=True, check=True).stdout
    key = PrivateKey.parse(raw)

    assert key.public.verify(b"data", key.sign(b"data"))


OTHERS = {
    "RSA": rsa.generate_private_key(65537, 2048),
    "secp384r1": ec.generate_private_key(ec.SECP384R1()),
    "Ed448": ed448.Ed448PrivateKey.generate(),
    "another kind": dsa.generate_private_key(2048),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_kinds_of_keys_are_refused_by_name(name):
    """RSA, other curves and the rest, public and private."""
    for read, raw in (
        (PrivateKey.parse, pem(OTHERS[name])),
        (PublicKey.parse, public_pem(OTHERS[name])),
    ):
        with pytest.raises(SettingsError, match=name) as caught:
            read(raw)
        assert "Ed25519 and ECDSA P-256" in caught.value.hint


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "a certificate$"),
        (
            b"-----BEGIN CERTIFICATE REQUEST-----\nAA\n-----END CERTIFICATE REQUEST-----\n",
            "request",
        ),
        (
            b"-----BEGIN PGP PUBLIC KEY BLOCK-----\nA\n-----END PGP PUBLIC KEY BLOCK-----\n",
            "OpenPGP",
        ),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nA\n-----END OPENSSH PRIVATE KEY-----\n", "SSH"),
        (b"ssh-ed25519 AAAA me@here\n", "SSH"),
        (b"-----BEGIN RSA PRIVATE KEY-----\nAA\n-----END RSA PRIVATE KEY-----\n", "RSA"),
        (
            b"-----BEGIN {0}-----\nAA\n-----END {0}-----\n".replace(
                b"{0}", b"ENCRYPTED SIGSTORE PRIVATE KEY"
            ),
            "cosign's own",
        ),
        (b"-----BEGIN SOMETHING ELSE-----\nAA\n-----END SOMETHING ELSE-----\n", "SOMETHING ELSE"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n", "cut short"),
        (b"", "not a key in PEM"),
        (b"\x30\x82\x01", "not a key in PEM"),
        (b"x" * 70_000, "more than"),
    ],
)
def test_what_is_no_key_is_refused_by_name(raw, says):
    """Each thing that somebody may take for a key is named, for both kinds of files."""
    for read in (PublicKey.parse, PrivateKey.parse):
        with pytest.raises(SettingsError, match=says):
            read(raw)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_private_key_in_a_public_one_s_place_is_refused_without_showing_it(algorithm):
    """And the other way round; no line of the file stands in the error."""
    key = PrivateKey.generate(algorithm)
    raw = key.to_pem()

    with pytest.raises(SettingsError, match="holds a private key") as caught:
        PublicKey.parse(raw, what="release.key")
    said = f"{caught.value.message} {caught.value.hint} {caught.value.__cause__}"
    assert not any(line in said for line in raw.decode().splitlines())
    with pytest.raises(SettingsError, match="holds a public key"):
        PrivateKey.parse(key.public.to_pem())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_damaged_key_is_refused_without_showing_it(algorithm):
    """A changed body is an error in one line, whatever the library says."""
    raw = PrivateKey.generate(algorithm).to_pem()
    for read, text in (
        (PrivateKey.parse, raw),
        (PublicKey.parse, PrivateKey.generate(algorithm).public.to_pem()),
    ):
        lines = text.splitlines()
        damaged = b"\n".join([lines[0], lines[1][8:], *lines[2:]]) + b"\n"
        with pytest.raises(SettingsError, match=r"is damaged|holds"):
            read(damaged)


def test_two_keys_in_one_file_are_refused():
    """Which of them is meant is not guessed."""
    one, two = PrivateKey.generate("ed25519"), PrivateKey.generate("ed25519")

    with pytest.raises(SettingsError, match="2 keys"):
        PublicKey.parse(one.public.to_pem() + two.public.to_pem())


def test_a_private_key_is_not_shown():
    """Neither its text nor its value tells what it is made of."""
    key = PrivateKey.generate("ed25519")

    assert "_key" not in repr(key)
