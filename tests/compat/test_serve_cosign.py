"""Cosign signs, attaches and verifies with a key of its own, and asks nobody outside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat import software
from tests.compat.corpus import Corpus
from tests.compat.cosign import ANY_LOG, NO_LOG, offline_cosign
from tests.compat.registries import CncfRegistry
from tests.compat.serving import MEMBER, Served, is_refused, serve
from tests.compat.software import Program

pytestmark = pytest.mark.compat


@pytest.fixture(scope="module")
def served(folders: pytest.TempPathFactory) -> Iterator[Served]:
    """A registry with TLS and users."""
    with serve(folders.mktemp("served")) as running:
        yield running


@pytest.fixture
def cosign(served: Served, tmp_path: Path) -> Program:
    """Cosign, signed in, with a key pair in its home."""
    tool = offline_cosign(tmp_path, {"SSL_CERT_FILE": str(served.authority)})
    login = ("login", served.host, "-u", MEMBER, "--password-stdin")
    with served.password() as stdin:
        tool.run(*login, stdin=stdin)
    return tool


@pytest.fixture
def image(served: Served, source: CncfRegistry, corpus: Corpus, cosign: Program) -> str:
    """The name by digest of an image in the registry, in a repository of this test alone."""
    crane = Program((software.find("crane"),), cosign.home, cosign.environment)
    repository = f"{served.host}/payments/{cosign.home.name.replace('_', '-')}"
    crane.run("copy", f"{source.host}/team/plain:1.0", f"{repository}:1")
    return f"{repository}@{corpus.plain.digest}"


def signers(cosign: Program, image: str, key: str = "cosign.pub") -> list[str]:
    """The digests for which `cosign verify` finds a signature with a key."""
    done = cosign.run("verify", "--key", key, ANY_LOG, image)
    return [found["critical"]["image"]["docker-manifest-digest"] for found in done.json]


@pytest.mark.parametrize("as_bundle", [True, False], ids=["referrer", "tag"])
def test_signs_and_verifies(
    cosign: Program, served: Served, image: str, corpus: Corpus, as_bundle: bool
) -> None:
    """A signature goes to the registry as a referrer or under a tag, and is found there."""
    verify = ("verify", "--key", "cosign.pub", ANY_LOG, image)
    assert cosign.attempt(*verify).code != 0
    kind = f"--new-bundle-format={str(as_bundle).lower()}"
    cosign.run("sign", "--key", "cosign.key", *NO_LOG, kind, "--yes", image)
    assert signers(cosign, image) == [str(corpus.plain.digest)]
    repository = image.partition("/")[2].partition("@")[0]
    listed = json.loads(served.get(f"{repository}/referrers/{corpus.plain.digest}"))
    assert len(listed["manifests"]) == int(as_bundle)
    tag = f"{str(corpus.plain.digest).replace(':', '-')}.sig"
    assert served.has(f"{repository}/manifests/{tag}") is not as_bundle
    cosign.run("generate-key-pair", "--output-key-prefix", "other")
    assert cosign.attempt("verify", "--key", "other.pub", *verify[3:]).code != 0


def test_attests(cosign: Program, image: str) -> None:
    """An attestation of an SBOM is attached, and `verify-attestation` gives it back."""
    (cosign.home / "sbom.json").write_text(json.dumps({"spdxVersion": "SPDX-2.3", "name": "x"}))
    kind = ("--type", "spdxjson")
    sign = ("--key", "cosign.key", *NO_LOG, "--yes")
    cosign.run("attest", *sign, *kind, "--predicate", "sbom.json", image)
    check = ("--key", "cosign.pub", ANY_LOG)
    done = cosign.run("verify-attestation", *check, *kind, image)
    assert "payload" in done.out


def test_attaches(cosign: Program, image: str) -> None:
    """`cosign attach sbom` adds one, and `cosign download sbom` gives the same bytes."""
    sbom = json.dumps({"spdxVersion": "SPDX-2.3", "name": "attached"})
    (cosign.home / "sbom.json").write_text(sbom)
    cosign.run("attach", "sbom", "--sbom", "sbom.json", "--type", "spdx", image)
    assert sbom in cosign.run("download", "sbom", image).out
    assert "sbom" in cosign.run("tree", image).out.lower()


def test_is_refused_elsewhere(
    cosign: Program, served: Served, source: CncfRegistry, corpus: Corpus
) -> None:
    """Who may not push to a repository cannot sign there."""
    image = f"{served.host}/others/app@{corpus.plain.digest}"
    command = ("sign", "--key", "cosign.key", *NO_LOG, "--yes", image)
    assert is_refused(cosign, *command)
