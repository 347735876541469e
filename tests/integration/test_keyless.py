"""Bundles that somebody signed with Sigstore: taken with a trusted root, and without a network."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest

from airgap.bundle.catalog import Catalog
from airgap.trust.keys import PrivateKey
from tests.support import builders
from tests.support.command_line import airgap, assert_refused
from tests.support.signing import trust_file
from tests.support.sigstore import IDENTITY, ISSUER, Sigstore
from tests.support.transfers import assert_holds, catalog_of, pack_into, sent

pytest.importorskip("sigstore")
IMAGE = builders.image(seed=5)


@pytest.fixture(scope="module")
def sigstore():
    """A Sigstore of our own."""
    return Sigstore()


@pytest.fixture
def bundle(tmp_path):
    """A bundle that nobody signed."""
    folder = tmp_path / "usb"
    folder.mkdir()
    return pack_into(folder, {"team/app:1.0": IMAGE})


@pytest.fixture
def trusting(sigstore, tmp_path):
    """The options that trust an identity."""
    root = tmp_path / "trusted_root.json"
    root.write_bytes(sigstore.root())

    def options(identity=IDENTITY, issuer=ISSUER):
        return (
            "--certificate-identity", identity,
            "--certificate-oidc-issuer", issuer,
            "--trusted-root", root,
        )  # fmt: skip

    return options


def sign(sigstore, path, catalog: Catalog, **who) -> None:
    """Write a signature of a catalog as `cosign sign-blob --bundle` does."""
    path.write_text(json.dumps(sigstore.sign(catalog.raw, **who)))


def test_a_bundle_that_an_identity_signed_is_taken(bundle, sigstore, trusting, inside):
    """The signature lies beside the bundle; verify and import take it."""
    sign(sigstore, bundle.with_name(f"{bundle.name}.sigstore.json"), catalog_of(bundle))
    assert airgap("verify", "bundle", bundle, *trusting()).code == 0
    done = airgap("import", "bundle", bundle, "--to", inside.host, *trusting())
    assert done.code == 0, done.err
    assert_holds(inside, "team/app", IMAGE, "1.0")


def test_an_identity_is_demanded_beside_keys_that_are_trusted(bundle, trusting, inside, tmp_path):
    """A key of the user's trust file does not sign in its stead."""
    key = PrivateKey.generate("ed25519")
    trust = trust_file(tmp_path, ("release", key, ""))
    signature = bundle.with_name(f"{bundle.name}.release.sig")
    signature.write_bytes(b64encode(key.sign(catalog_of(bundle).raw)))
    arguments = ("import", "bundle", bundle, "--to", inside.host, "--trust", trust)
    done = airgap(*arguments, *trusting())
    assert_refused(done, 21, "signature", "certificate-identity")
    assert sent(inside) == []
    assert airgap(*arguments).code == 0


def test_a_pipe_gets_its_signature_by_name(bundle, sigstore, trusting, inside, tmp_path):
    """What cannot lie beside a pipe is named."""
    sign(sigstore, tmp_path / "release.sigstore.json", catalog_of(bundle))
    arguments = ("import", "bundle", "-", "--to", inside.host, *trusting())
    raw = bundle.read_bytes()
    assert_refused(airgap(*arguments, stdin=raw), 21, "signature", "is not signed")
    assert sent(inside) == []
    named = ("--signature", tmp_path / "release.sigstore.json")
    assert airgap(*arguments, *named, stdin=raw).code == 0
    assert_holds(inside, "team/app", IMAGE, "1.0")


@pytest.mark.parametrize(
    ("who", "text"),
    [
        ({"identity": "mallory@example.com"}, "do not match"),
        ({"issuer": "https://other.example.com"}, "vouches"),
    ],
)
def test_a_bundle_that_somebody_else_signed_is_refused(
    bundle, sigstore, trusting, inside, who, text
):
    """Everybody can sign with Sigstore; nothing is sent unless it was who was named."""
    sign(sigstore, bundle.with_name(f"{bundle.name}.sigstore.json"), catalog_of(bundle))
    done = airgap("import", "bundle", bundle, "--to", inside.host, *trusting(**who))
    assert_refused(done, 21, "signature", text)
    assert sent(inside) == []
    assert airgap("verify", "bundle", bundle, *trusting(**who)).code == 21


def test_the_signature_of_another_bundle_is_refused(bundle, sigstore, trusting, inside, tmp_path):
    """A right signature is right for one catalog only."""
    (tmp_path / "other").mkdir()
    other = pack_into(tmp_path / "other", {"team/app:1.0": builders.image(seed=6)})
    sign(sigstore, bundle.with_name(f"{bundle.name}.sigstore.json"), catalog_of(other))
    done = airgap("import", "bundle", bundle, "--to", inside.host, *trusting())
    assert_refused(done, 21, "signature", "digest mismatch")
    assert sent(inside) == []


def test_the_signature_of_another_sigstore_is_refused(bundle, trusting, inside):
    """By the given root alone it is judged who may vouch."""
    sign(Sigstore(), bundle.with_name(f"{bundle.name}.sigstore.json"), catalog_of(bundle))
    done = airgap("import", "bundle", bundle, "--to", inside.host, *trusting())
    assert_refused(done, 21, "signature")
    assert sent(inside) == []


@pytest.mark.parametrize("left_out", [0, 2, 4])
def test_the_three_options_belong_together(bundle, trusting, inside, left_out):
    """Without an issuer or a root, an identity says nothing."""
    given = list(trusting())
    name = given[left_out]
    del given[left_out : left_out + 2]
    done = airgap("import", "bundle", bundle, "--to", inside.host, *given)
    assert_refused(done, 2, "settings", f"{name} is missing")


def test_a_root_that_is_none_is_a_mistake_in_the_settings(bundle, inside, tmp_path, trusting):
    """It is said before the bundle is judged."""
    (tmp_path / "trusted_root.json").write_text("{}")
    done = airgap("import", "bundle", bundle, "--to", inside.host, *trusting())
    assert_refused(done, 2, "settings", "is not a trusted root")
