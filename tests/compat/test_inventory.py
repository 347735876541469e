"""The inventory of the CNCF registry: all that it holds, with few requests, the next time fewer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.record.inventory import Inventory
from tests.compat.registries import CncfRegistry
from tests.support import builders
from tests.support.command_line import airgap

pytestmark = pytest.mark.compat

MULTI = builders.multi_platform()
SINGLE = builders.image(layers=(1000, 777), seed=3)
REPOSITORIES = 1100
"""More than the registry lists on one page."""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CncfRegistry]:
    """A registry with an index, two copies of an image, a signature and a fallback tag."""
    with CncfRegistry(tmp_path_factory.mktemp("registry")) as found:
        found.push("team/app", *MULTI.walk(), tags=("1.0", "latest"))
        found.push("base", SINGLE, tags=("3",))
        found.push("copy", SINGLE, tags=("3",))
        sbom = builders.sbom(SINGLE.descriptor)
        listed = builders.index([sbom])
        found.push("base", sbom, listed, tags=(f"sha256-{SINGLE.digest.hex}",))
        yield found


def take(registry: CncfRegistry, path: Path) -> tuple[Inventory, list[str]]:
    """The inventory, and the requests for it."""
    before = len(registry.requests())
    done = airgap("export", "inventory", "--from", registry.host, "-o", path)
    assert done.code == 0, done.err
    return Inventory.parse(path.read_bytes()), registry.requests()[before:]


def count(requests: list[str], *words: str) -> int:
    """How many requests have all these words."""
    return sum(all(word in line for word in words) for line in requests)


def test_everything_is_found_with_one_request_a_tag_list_and_a_manifest(
    registry: CncfRegistry, tmp_path: Path
) -> None:
    """And the next run fetches no manifest again."""
    first, requests = take(registry, tmp_path / "1.inventory")
    for name, content in (("team/app", MULTI), ("base", SINGLE), ("copy", SINGLE)):
        for part in content.walk():
            held = first.find(part.digest)
            assert held is not None
            assert name in held.repositories
            for blob in part.blobs:
                held = first.find(blob.descriptor.digest)
                assert held is not None
                assert (held.size, name in held.repositories) == (blob.descriptor.size, True)
    assert first.is_complete
    children = len(list(MULTI.walk())) - 1
    assert count(requests, "/tags/list") == 3
    assert count(requests, "GET", "/manifests/") == 2 + 3 + children + 1
    assert count(requests, "HEAD") == 0
    assert count(requests, "/blobs/") == 0
    assert count(requests, "/referrers/") == 1
    second, requests = take(registry, tmp_path / "2.inventory")
    assert second.content_digest == first.content_digest
    assert count(requests, "GET", "/manifests/") == 0
    assert count(requests, "HEAD", "/manifests/") == 5
    assert count(requests, "/tags/list") == 3


def test_its_list_of_repositories_is_read_to_its_end(
    registry: CncfRegistry, tmp_path: Path
) -> None:
    """Page by page, in the registry's own order."""
    image = builders.image(layers=(10,), seed=9)
    registry.push("many/r0000", image, tags=("1",))
    # What lies there are links to blobs: copies are repositories that others might have pushed.
    folder = registry.folder / "data/docker/registry/v2/repositories/many"
    for number in range(1, REPOSITORIES):
        shutil.copytree(folder / "r0000", folder / f"r{number:04}")
    found, requests = take(registry, tmp_path / "3.inventory")
    held = found.find(image.digest)
    assert held is not None
    assert len(held.repositories) == REPOSITORIES
    assert count(requests, "/v2/_catalog") >= 2
