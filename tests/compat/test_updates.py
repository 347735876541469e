"""Engines read a signed update: the images that are whole in it, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compat import software
from tests.compat.corpus import config_id
from tests.compat.engines import Containerd, Docker, Podman
from tests.compat.software import Program
from tests.format import version1_update
from tests.support import builders
from tests.support.builders import Content
from tests.support.bundles import BundleBuilder, differential, signed

pytestmark = pytest.mark.compat

WHOLE = "registry.example/team/whole:1"
HELD = builders.layer(40_000, seed=3)


@pytest.fixture(scope="module")
def image() -> Content:
    """The image that travels whole."""
    return builders.image(layers=(30_000, 20_000), seed=1)


@pytest.fixture(scope="module")
def update(tmp_path_factory: pytest.TempPathFactory, image: Content) -> Path:
    """A signed bundle of that image, and of another one whose layer is left to the receiver."""
    bundle = BundleBuilder()
    bundle.add(image, WHOLE)
    bundle.add(builders.image(layers=(HELD, 500), seed=2), "registry.example/team/part:1")
    made = signed(differential(bundle.build(), [HELD.descriptor.digest]))
    return made.write(tmp_path_factory.mktemp("update"))


def test_docker_loads_what_is_whole(docker: Docker, update: Path, image: Content) -> None:
    """The image that lacks a layer is not in its list, and what airgap adds is passed over."""
    docker.load(update)
    assert docker.images() == {WHOLE: config_id(image)}


def test_podman_loads_what_is_whole(podman: Podman, update: Path, image: Content) -> None:
    """The same."""
    podman.load(update)
    assert podman.images() == {WHOLE: config_id(image)}


def test_containerd_imports_what_is_whole(
    containerd: Containerd, update: Path, image: Content
) -> None:
    """By its full name, unpacked."""
    containerd.load(update)
    assert containerd.images() == {WHOLE: str(image.digest)}


def test_skopeo_finds_what_is_whole(
    skopeo: Program, update: Path, image: Content, tmp_path: Path
) -> None:
    """By its full name, with the bytes of the manifest."""
    out = tmp_path / "out"
    skopeo.run("copy", "--preserve-digests", f"oci-archive:{update}:{WHOLE}", f"dir:{out}")
    assert (out / "manifest.json").read_bytes() == image.raw


def test_openssl_verifies_the_signature_that_lies_in_a_bundle(home: Path, tmp_path: Path) -> None:
    """With nothing but tar and openssl: the catalog as it stands there is what was signed."""
    tar = Program((software.find("tar"),), home)
    openssl = Program((software.find("openssl"),), home)
    members = ("airgap/catalog.json", "airgap/signatures.json")
    tar.run("-x", "-f", version1_update.PATH, "-C", tmp_path, *members)
    (tmp_path / "key.pub").write_bytes(version1_update.KEY)
    text = (tmp_path / members[1]).read_text()
    (tmp_path / "signature.b64").write_text(text.rpartition('"signature":"')[2].partition('"')[0])
    openssl.run(
        *("base64", "-d", "-A", "-in", tmp_path / "signature.b64"),
        *("-out", tmp_path / "signature"),
    )
    check = (
        *("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", tmp_path / "key.pub"),
        *("-sigfile", tmp_path / "signature", "-in", tmp_path / members[0]),
    )
    assert "Verified Successfully" in openssl.run(*check).out
    with (tmp_path / members[0]).open("ab") as catalog:
        catalog.write(b"\n")
    assert openssl.attempt(*check).code != 0
