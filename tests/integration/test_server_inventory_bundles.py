"""Bundles that are served tell in one inventory what lies in their files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.bundle.depot import BundleDepot
from airgap.bundle.reader import open_bundle
from airgap.content.overlay import OverlayDepot
from airgap.transfer.serving import import_names
from tests.support.builders import image, push
from tests.support.bundles import make_bundle
from tests.support.datafolders import opened
from tests.support.embedded import EmbeddedRegistry
from tests.support.told_inventories import PATH, ask, held, walked
from tests.support.wire import Wire


@pytest.fixture
def bundle(tmp_path: Path) -> Iterator[BundleDepot]:
    depot = BundleDepot([open_bundle(make_bundle().write(tmp_path))], import_names(), rest=0.0)
    yield depot
    depot.close()


def test_a_bundle_is_told_from_memory(bundle: BundleDepot) -> None:
    """What a walk finds is what it says; what was left out on purpose is not there."""
    with EmbeddedRegistry(depot=bundle) as registry, Wire(registry.host) as wire:
        inventory = ask(wire)
        content, images = walked(wire)
    assert {name: str(digest) for name, digest in inventory.images} == images
    told = held(inventory)
    # an image without a tag is found by nobody who walks
    assert content.items() <= told.items()
    assert set(told) - set(content) <= {d for d, (_, n) in told.items() if n == ("win",)}
    assert inventory.is_complete


def test_a_damaged_blob_is_not_there(tmp_path: Path) -> None:
    """Once it was found, nobody is told to rely on it."""
    made = make_bundle()
    extent = max(made.layout.blobs, key=lambda extent: extent.length)
    data = bytearray(made.data)
    data[extent.offset] ^= 1
    depot = BundleDepot([open_bundle(made.write(tmp_path, bytes(data)))], import_names(), rest=0.0)
    depot.start_checking()
    depot.finish_checking()
    with EmbeddedRegistry(depot=depot) as registry, Wire(registry.host) as wire:
        inventory = ask(wire)
    depot.close()
    assert inventory.find(extent.digest) is None
    assert inventory.blob_count == len(made.catalog.sizes()) - 1


def test_a_bundle_that_was_replaced_is_an_error(tmp_path: Path) -> None:
    """As for its blobs: what the file holds now, nobody knows."""
    path = make_bundle().write(tmp_path)
    depot = BundleDepot([open_bundle(path)], import_names(), rest=0.0)
    path.unlink()
    path.write_bytes(b"another one")
    with EmbeddedRegistry(depot=depot) as registry, Wire(registry.host) as wire:
        assert wire.ask("GET", PATH, status=500).code == "UNKNOWN"
        assert str(tmp_path) not in str(wire.ask("GET", PATH).body)
    depot.close()


def test_a_folder_over_a_bundle_tells_both(bundle: BundleDepot, tmp_path: Path) -> None:
    """A tag that was given another meaning above has that one."""
    depot = opened(tmp_path / "data")
    overlay = OverlayDepot(depot, [bundle])
    push(depot.repository("own"), image(seed=50), tag="1")
    other = push(overlay.repository("tool"), image(seed=51), tag="2")
    with EmbeddedRegistry(depot=overlay) as registry, Wire(registry.host) as wire:
        inventory = ask(wire)
        content, images = walked(wire)
    assert {name: str(digest) for name, digest in inventory.images} == images
    assert dict(inventory.images)["tool:2"] == other.digest
    depot.close()
    told = held(inventory)
    # what only the old meaning of the tag names is there still
    assert all(set(names) <= set(told[digest][1]) for digest, (_, names) in content.items())
    assert {"own", "tool", "team/app"} <= set(inventory.repositories)
    assert inventory.is_complete
