"""What cosign signs, airgap verifies: images in both forms, catalogs with keys and identities."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.trust.keys import PrivateKey
from tests.compat.cosign import ANY_LOG, NO_LOG, offline_cosign
from tests.compat.registries import CncfRegistry
from tests.compat.software import Program
from tests.support import builders
from tests.support.sigstore import IDENTITY, ISSUER, Sigstore

pytestmark = pytest.mark.compat

IMAGE = builders.multi_platform(seed=40)
BARE = builders.image(seed=41)


@pytest.fixture
def cosign(tmp_path: Path) -> Program:
    """Cosign with two key pairs: cosign.pub is ECDSA, ed.pub is Ed25519 and made by us."""
    home = tmp_path / "cosign"
    home.mkdir()
    tool = offline_cosign(home)
    (home / "ed.pem").write_bytes(PrivateKey.generate("ed25519").to_pem())
    tool.run("import-key-pair", "--key", "ed.pem", "--output-key-prefix", "ed", "-y")
    return tool


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[CncfRegistry]:
    """A registry with an index of two platforms and their attestations, and a plain image."""
    with CncfRegistry(tmp_path / "outside") as registry:
        registry.push("team/app", *_each(IMAGE), tags=("1.0",))
        registry.push("team/bare", BARE, tags=("1.0",))
        yield registry


def _each(content: builders.Content) -> tuple[builders.Content, ...]:
    return tuple(content.walk())


def sign(cosign: Program, name: str, *options: str) -> None:
    """Sign an image with cosign."""
    cosign.run("sign", "--key", "cosign.key", *NO_LOG, "--yes", *options, name)


@pytest.mark.parametrize("form", ["true", "false"], ids=["referrer", "tag"])
def test_images_that_cosign_signed_travel(
    airgap: Program,
    cosign: Program,
    outside: CncfRegistry,
    inside: CncfRegistry,
    tmp_path: Path,
    form: str,
) -> None:
    """Export and import take them, and cosign finds the signature on the other side, too."""
    name, bundle = f"{outside.host}/team/app", tmp_path / "b.tar"
    demand = ("--require-signature", cosign.home / "cosign.pub")
    export = ("export", "images", f"{name}:1.0", "-o", bundle, *demand)
    airgap.run(*export, code=21)
    sign(cosign, f"{name}@{IMAGE.digest}", f"--new-bundle-format={form}")
    airgap.run(*export)
    airgap.run("import", "bundle", bundle, "--to", inside.host, *demand)
    there = f"{inside.host}/team/app@{IMAGE.digest}"
    cosign.run("verify", "--key", "cosign.pub", ANY_LOG, there)


@pytest.mark.parametrize("form", ["true", "false"], ids=["referrer", "tag"])
def test_a_recursive_signature_is_one_of_each_manifest(
    airgap: Program, cosign: Program, outside: CncfRegistry, tmp_path: Path, form: str
) -> None:
    """With --recursive each platform is signed, so one alone travels with its own signature."""
    name = f"{outside.host}/team/app"
    sign(cosign, f"{name}@{IMAGE.digest}", "--recursive", f"--new-bundle-format={form}")
    copied = f"{outside.host}/team/copy"
    # In another repository only the signatures of the platforms lie beside the index.
    outside.push("team/copy", *_each(IMAGE), tags=("1.0",))
    for child in IMAGE.children:
        sign(cosign, f"{copied}@{child.digest}", f"--new-bundle-format={form}")
    demand = ("--require-signature", cosign.home / "cosign.pub")
    for number, reference in enumerate((f"{name}:1.0", f"{copied}:1.0")):
        airgap.run("export", "images", reference, "-o", tmp_path / f"{number}.tar", *demand)


def test_what_cosign_signs_with_ed25519_nobody_verifies(
    airgap: Program, cosign: Program, outside: CncfRegistry, tmp_path: Path
) -> None:
    """Cosign 3.1 signs images so that it does not verify it itself (sigstore/cosign#5074)."""
    name = f"{outside.host}/team/bare"
    signed = f"{name}@{BARE.digest}"
    cosign.run("sign", "--key", "ed.key", *NO_LOG, "--yes", signed)
    if cosign.attempt("verify", "--key", "ed.pub", ANY_LOG, signed).code == 0:
        pytest.fail("cosign verifies Ed25519 now: say so in docs/howto/image-signatures.md")
    demand = ("--require-signature", cosign.home / "ed.pub")
    airgap.run("export", "images", f"{name}:1.0", "-o", tmp_path / "b.tar", *demand, code=21)


def test_what_is_not_signed_is_listed_and_nothing_travels(
    airgap: Program, cosign: Program, outside: CncfRegistry, tmp_path: Path
) -> None:
    """One image without a signature keeps the signed one back."""
    names = [f"{outside.host}/team/{name}:1.0" for name in ("app", "bare")]
    sign(cosign, f"{outside.host}/team/app@{IMAGE.digest}")
    demand = ("--require-signature", cosign.home / "cosign.pub")
    done = airgap.run("export", "images", *names, "-o", tmp_path / "b.tar", *demand, code=21)
    assert f"failed: {names[1]}: has no signature" in done.err
    assert names[0] not in done.err
    assert not (tmp_path / "b.tar").exists()


def test_an_attestation_is_no_signature(
    airgap: Program, cosign: Program, outside: CncfRegistry, tmp_path: Path
) -> None:
    """Cosign 3 takes an SBOM that the key signed for a signature of the image; we do not."""
    (cosign.home / "sbom.json").write_text(json.dumps({"spdxVersion": "SPDX-2.3", "name": "x"}))
    name = f"{outside.host}/team/bare"
    attest = ("--type", "spdxjson", "--predicate", "sbom.json", f"{name}@{BARE.digest}")
    cosign.run("attest", "--key", "cosign.key", *NO_LOG, "--yes", *attest)
    demand = ("--require-signature", cosign.home / "cosign.pub")
    bundle = tmp_path / "b.tar"
    done = airgap.run("export", "images", f"{name}:1.0", "-o", bundle, *demand, code=21)
    assert f"failed: {name}:1.0: has a signature of something else" in done.err


@pytest.mark.parametrize("key", ["cosign", "ed"])
@pytest.mark.parametrize("form", ["true", "false"], ids=["bundle", "older-bundle"])
def test_a_catalog_that_cosign_signed_into_a_bundle_is_trusted(
    airgap: Program,
    cosign: Program,
    outside: CncfRegistry,
    inside: CncfRegistry,
    tmp_path: Path,
    key: str,
    form: str,
) -> None:
    """What `cosign sign-blob --bundle` writes beside a bundle counts as a signature by the key."""
    bundle = tmp_path / "b.tar"
    airgap.run("export", "images", f"{outside.host}/team/bare:1.0", "-o", bundle)
    catalog = _catalog(bundle, tmp_path)
    beside = bundle.with_name(f"{bundle.name}.sigstore.json")
    trust = ("--trust", cosign.home / f"{key}.pub")
    airgap.run("import", "bundle", bundle, "--to", inside.host, *trust, code=21)
    options = (f"--new-bundle-format={form}", "--bundle", beside)
    cosign.run("sign-blob", "--key", f"{key}.key", *NO_LOG, "--yes", *options, catalog)
    airgap.run("import", "bundle", bundle, "--to", inside.host, *trust)


@pytest.mark.parametrize("is_stamped", [False, True], ids=["log-time", "time-stamp"])
def test_cosign_and_airgap_take_the_same_signature_of_an_identity(
    airgap: Program,
    cosign: Program,
    outside: CncfRegistry,
    inside: CncfRegistry,
    tmp_path: Path,
    is_stamped: bool,
) -> None:
    """The Sigstore of our tests is one: cosign verifies with its root what airgap verifies."""
    pytest.importorskip("sigstore")
    bundle = tmp_path / "b.tar"
    airgap.run("export", "images", f"{outside.host}/team/bare:1.0", "-o", bundle)
    catalog = _catalog(bundle, tmp_path)
    sigstore, root = Sigstore(), tmp_path / "trusted_root.json"
    root.write_bytes(sigstore.root())
    beside = bundle.with_name(f"{bundle.name}.sigstore.json")
    beside.write_text(json.dumps(sigstore.sign(catalog.read_bytes(), is_stamped=is_stamped)))
    for identity, fails in ((IDENTITY, False), ("mallory@example.com", True)):
        who = ("--certificate-identity", identity, "--certificate-oidc-issuer", ISSUER)
        trust = (*who, "--trusted-root", root)
        theirs = cosign.attempt("verify-blob", "--bundle", beside, *trust, catalog)
        assert (theirs.code != 0) is fails, theirs.err
        code = 21 if fails else 0
        airgap.run("import", "bundle", bundle, "--to", inside.host, *trust, code=code)


def _catalog(bundle: Path, folder: Path) -> Path:
    """The catalog of a bundle, as tar gives it."""
    with tarfile.open(bundle) as tar:
        member = tar.extractfile("airgap/catalog.json")
        assert member is not None
        (folder / "catalog.json").write_bytes(member.read())
    return folder / "catalog.json"
