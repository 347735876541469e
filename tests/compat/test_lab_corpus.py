"""Real images of real size, in a bundle of all of them; by hand, on a machine that has them.

AIRGAP_LAB=HOST:PORT:LIST names a registry and a file with the images in it, one a line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.compat import engines, software
from tests.compat.engines import Containerd, Docker, Podman
from tests.compat.registries import CncfRegistry
from tests.compat.software import Program

_LAB = os.environ.get("AIRGAP_LAB", "")

pytestmark = [
    pytest.mark.compat,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not _LAB, reason="AIRGAP_LAB=HOST:PORT:LIST names no registry with images"),
]

SECONDS = 1800


def patient(program: Program) -> Program:
    """The program, with more time."""
    return replace(program, seconds=SECONDS)


@pytest.fixture(scope="module")
def registry() -> str:
    """The registry."""
    return _LAB.rpartition(":")[0]


@pytest.fixture(scope="module")
def names(registry: str) -> list[str]:
    """The images."""
    listed = Path(_LAB.rpartition(":")[2]).read_text().split()
    return [f"{registry}/{name}" for name in listed]


@pytest.fixture(scope="module")
def manifests(names: list[str], crane: Program) -> dict[str, Any]:
    """The manifest of each, and its digest, as crane sees them at the source."""
    return {
        name: crane.run("manifest", name).json | {"digest": crane.run("digest", name).lines[0]}
        for name in names
    }


@pytest.fixture(scope="module")
def bundle(
    tmp_path_factory: pytest.TempPathFactory, airgap: Program, names: list[str]
) -> Iterator[Path]:
    """The bundle of all of them."""
    folder = tmp_path_factory.mktemp("lab")
    path = folder / "lab.tar"
    (folder / "images.txt").write_text("\n".join(names))
    patient(airgap).run("export", "images", "-f", folder / "images.txt", "-o", path)
    yield path
    path.unlink()


def test_it_is_sound(airgap: Program, bundle: Path) -> None:
    """Every blob has its digest, and nothing is missing."""
    patient(airgap).run("verify", "bundle", bundle)


def test_docker_loads_it(docker: Docker, bundle: Path, manifests: dict[str, Any]) -> None:
    """Each name stands for the image whose config was at the source."""
    Docker(patient(docker.client)).load(bundle)
    assert docker.images() == {n: m["config"]["digest"] for n, m in manifests.items()}


def test_podman_loads_it(
    tmp_path: Path, home: Path, bundle: Path, manifests: dict[str, Any]
) -> None:
    """Each name stands for the image whose config was at the source."""
    made = engines.podman(tmp_path, driver="overlay")  # vfs would need room for many copies
    podman = Podman(patient(made.client))
    try:
        podman.load(bundle)
        assert podman.images() == {n: m["config"]["digest"] for n, m in manifests.items()}
        podman.clear()
    finally:
        umount = Program((software.find("umount"),), home)
        umount.attempt("--lazy", tmp_path / "root" / "overlay")


def test_containerd_imports_it(
    containerd: Containerd, bundle: Path, manifests: dict[str, Any]
) -> None:
    """Each name stands for the manifest that it stood for at the source, unpacked."""
    replace(containerd, client=patient(containerd.client)).load(bundle)
    assert containerd.images() == {name: m["digest"] for name, m in manifests.items()}
    assert containerd.snapshots() > 0


def test_skopeo_copies_from_it(
    skopeo: Program, tmp_path: Path, bundle: Path, manifests: dict[str, Any]
) -> None:
    """The image with the fewest bytes is found by its name, in the form that its type asks for."""
    name, manifest = min(
        manifests.items(), key=lambda item: sum(layer["size"] for layer in item[1]["layers"])
    )
    is_docker = "docker" in manifest["mediaType"]
    transport = "docker-archive" if is_docker else "oci-archive"
    patient(skopeo).run("copy", f"{transport}:{bundle}:{name}", f"dir:{tmp_path / 'copy'}")
    config = manifest["config"]["digest"].partition(":")[2]
    assert (tmp_path / "copy" / config).exists()


def test_it_is_imported_and_found_valid(
    airgap: Program, crane: Program, tmp_path: Path, bundle: Path, names: list[str]
) -> None:
    """An empty CNCF registry has all of it afterwards, with the same digests."""
    with CncfRegistry(tmp_path / "inside") as inside:
        patient(airgap).run("import", "bundle", bundle, "--to", inside.host)
        for name in names:
            copy = inside.host + "/" + name.partition("/")[2]
            assert crane.run("digest", copy).out == crane.run("digest", name).out
            patient(crane).run("validate", "--fast", "--remote", copy)
