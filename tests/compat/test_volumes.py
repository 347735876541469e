"""Engines read each volume by itself: the images that are whole in it, and no other names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airgap.bundle.reader import open_bundle
from tests.compat.corpus import config_id
from tests.compat.engines import Containerd, Docker, Podman
from tests.compat.software import Program
from tests.support import builders
from tests.support.builders import Content
from tests.support.embedded import EmbeddedRegistry
from tests.support.transfers import export

pytestmark = pytest.mark.compat


@dataclass(frozen=True)
class Volumes:
    """Volumes, the images by their names, and which of these are whole in which volume."""

    paths: list[Path]
    images: dict[str, Content]
    whole: list[set[str]]


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Volumes]:
    """Two images that fit into a volume each, and one that is cut."""
    folder = tmp_path_factory.mktemp("volumes")
    with EmbeddedRegistry() as registry:
        images = {}
        for number, size in enumerate((500_000, 400_000, 1_700_000)):
            image = builders.image(layers=(size, 20_000), seed=number)
            builders.push(registry.repository(f"app{number}"), image, tag="1")
            images[f"{registry.host}/app{number}:1"] = image
        export(images, folder / "release.tar", volume_size=1 << 20)
        paths = sorted(folder.iterdir())
        with open_bundle(folder) as bundle:
            digests = [digest for digest, _ in bundle.catalog.blobs]
            homes = dict(zip(digests, bundle.volumes[1].layout.placement.homes, strict=True))
        whole = [
            {
                name
                for name, image in images.items()
                if {homes[b.descriptor.digest] for b in image.blobs} == {(number, number)}
            }
            for number in range(1, len(paths) + 1)
        ]
        assert sum(map(len, whole)) == 2
        yield Volumes(paths, images, whole)


def test_docker_loads_what_is_whole(docker: Docker, volumes: Volumes) -> None:
    """Each volume gives its images, and one without any is no error."""
    for path, names in zip(volumes.paths, volumes.whole, strict=True):
        docker.load(path)
        assert docker.images() == {name: config_id(volumes.images[name]) for name in names}
        docker.clear()


def test_podman_loads_what_is_whole(podman: Podman, volumes: Volumes) -> None:
    """Each volume that has an image gives it."""
    for path, names in zip(volumes.paths, volumes.whole, strict=True):
        if names:
            podman.load(path)
            assert podman.images() == {name: config_id(volumes.images[name]) for name in names}
            podman.clear()


def test_containerd_imports_what_is_whole(containerd: Containerd, volumes: Volumes) -> None:
    """Each volume that has an image gives it by its full name, unpacked."""
    for path, names in zip(volumes.paths, volumes.whole, strict=True):
        if names:
            containerd.load(path)
            found = {name: str(volumes.images[name].digest) for name in names}
            assert containerd.images() == found
            containerd.clear()


def test_skopeo_finds_what_is_whole(skopeo: Program, volumes: Volumes, tmp_path: Path) -> None:
    """By the full name, out of the volume that holds it."""
    for path, names in zip(volumes.paths, volumes.whole, strict=True):
        for name in names:
            out = tmp_path / path.name
            skopeo.run("copy", "--preserve-digests", f"oci-archive:{path}:{name}", f"dir:{out}")
            assert (out / "manifest.json").read_bytes() == volumes.images[name].raw
