"""Signatures of bundles verify with openssl and cosign, and theirs verify with airgap."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from airgap.trust.keys import ALGORITHMS
from tests.compat import software
from tests.compat.cosign import ANY_LOG, NO_LOG, offline_cosign
from tests.compat.software import Done, Program
from tests.support.bundles import make_bundle

MADE = make_bundle()
OPENSSL_KEYS = {
    "ed25519": ("genpkey", "-algorithm", "ed25519"),
    "ed25519 encrypted": (
        *("genpkey", "-algorithm", "ed25519", "-aes-256-cbc", "-pass", "pass:word"),
    ),
    "p256": ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "p256 of ecparam": ("ecparam", "-name", "prime256v1", "-genkey"),
}


@pytest.fixture
def openssl(tmp_path: Path) -> Program:
    """Openssl, in the folder of the test."""
    return Program((software.find("openssl"),), tmp_path)


@pytest.fixture
def cosign(tmp_path: Path) -> Program:
    """Cosign without a way out of the machine, in the folder of the test."""
    return offline_cosign(tmp_path)


@pytest.fixture
def here(tmp_path: Path) -> Program:
    """Airgap, in the folder of the test."""
    return software.airgap(tmp_path)


@pytest.fixture(params=ALGORITHMS)
def signed(request: pytest.FixtureRequest, here: Program, tmp_path: Path) -> str:
    """A key, a bundle that is signed with it inside and beside, and the parts that others verify.

    Gives the algorithm.
    """
    MADE.write(tmp_path)
    here.run("key", "generate", "--type", request.param, "--no-passphrase")
    here.run("export", "images", "--from", "bundle.tar", "-o", "new.tar", "--sign", "release.key")
    here.run("sign", "bundle", "new.tar", "--key", "release.key", "-o", "catalog.sig")
    tar = Program((software.find("tar"),), tmp_path)
    (tmp_path / "catalog.json").write_text(tar.run("-xOf", "new.tar", "airgap/catalog.json").out)
    document = json.loads(tar.run("-xOf", "new.tar", "airgap/signatures.json").out)
    [inside] = document["signatures"]
    beside = (tmp_path / "catalog.sig").read_bytes()
    assert base64.b64decode(beside) == base64.b64decode(inside["signature"])
    (tmp_path / "catalog.raw").write_bytes(base64.b64decode(beside))
    return str(request.param)


def by_openssl(openssl: Program, algorithm: str) -> Done:
    """What openssl says of the signature of the catalog."""
    if algorithm == "ed25519":
        return openssl.attempt(
            *("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "release.pub"),
            *("-sigfile", "catalog.raw", "-in", "catalog.json"),
        )
    return openssl.attempt(
        *("dgst", "-sha256", "-verify", "release.pub", "-signature", "catalog.raw"), "catalog.json"
    )


def test_openssl_verifies_our_signatures(openssl: Program, signed: str, tmp_path: Path) -> None:
    """The signature of the catalog, by the key's algorithm; one changed byte is found."""
    assert by_openssl(openssl, signed).code == 0
    path = tmp_path / "catalog.json"
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    assert by_openssl(openssl, signed).code != 0


@pytest.mark.usefixtures("signed")
def test_cosign_verifies_our_signatures(cosign: Program, tmp_path: Path) -> None:
    """Without a log, and with no way to any server; one changed byte is found."""
    verify = ("verify-blob", "--key", "release.pub", "--signature", "catalog.sig", ANY_LOG)
    cosign.run(*verify, "catalog.json")
    path = tmp_path / "catalog.json"
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    assert cosign.attempt(*verify, "catalog.json").code != 0


@pytest.mark.usefixtures("signed")
def test_cosign_signs_with_our_keys(here: Program, cosign: Program, tmp_path: Path) -> None:
    """It imports them, and what it signs so is taken as a signature beside a bundle."""
    cosign.run("import-key-pair", "--key", "release.key", "--output-key-prefix", "theirs", "--yes")
    sign = ("sign-blob", "--key", "theirs.key", *NO_LOG, "--yes", "--new-bundle-format=false")
    (tmp_path / "catalog.json").write_bytes(MADE.catalog.raw)
    cosign.run(*sign, "--output-signature", "bundle.tar.cosign.sig", "catalog.json")
    here.run("verify", "bundle", "bundle.tar", "--trust", "release.pub")
    (tmp_path / "bundle.tar.cosign.sig").unlink()
    here.run("verify", "bundle", "bundle.tar", "--trust", "release.pub", code=21)


@pytest.mark.parametrize("kind", OPENSSL_KEYS)
def test_keys_and_signatures_of_openssl_are_taken(
    here: Program, openssl: Program, tmp_path: Path, kind: str
) -> None:
    """It signs for airgap, and airgap signs with its keys."""
    openssl.run(*OPENSSL_KEYS[kind], "-out", "release.key")
    openssl.run("pkey", "-in", "release.key", "-passin", "pass:word", "-pubout", "-out", "r.pub")
    (tmp_path / "word").write_text("word\n")
    MADE.write(tmp_path)
    (tmp_path / "catalog.json").write_bytes(MADE.catalog.raw)
    key = ("-passin", "pass:word", "-out", "theirs.raw")
    if kind.startswith("ed25519"):
        how = ("pkeyutl", "-sign", "-rawin", "-inkey", "release.key", "-in", "catalog.json")
        openssl.run(*how, *key)
    else:
        openssl.run("dgst", "-sha256", "-sign", "release.key", *key, "catalog.json")
    verify = ("verify", "bundle", "bundle.tar", "--trust", "r.pub")
    here.run(*verify, code=21)
    here.run(*verify, "--signature", "theirs.raw")
    word = ("--sign-passphrase-file", "word")
    here.run("sign", "bundle", "bundle.tar", "--key", "release.key", *word)
    here.run(*verify)
