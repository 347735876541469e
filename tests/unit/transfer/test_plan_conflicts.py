"""Names and sizes that contradict each other in what an export found."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from airgap.bundle.closure import gaps, unreferenced
from airgap.errors import (
    ConflictError,
    SizeMismatchError,
)
from airgap.oci.manifest import parse_manifest
from airgap.oci.reference import Reference
from airgap.transfer.plan import select_export
from airgap.transfer.resolution import Selection
from tests.support import builders
from tests.support.transfers import Finds

APP = "example.com/team/app"


def select(finds, selection=None, **options):
    selected = select_export(finds.resolution(), selection or Selection(), **options)
    assert not list(gaps(selected.catalog, selected.documents))
    assert not unreferenced(selected.catalog, selected.documents)
    assert [(f.descriptor.digest, f.descriptor.size) for f in selected.fetches] == list(
        selected.catalog.blobs
    )
    return selected


def test_one_name_cannot_stand_for_two_digests():
    """A tag pinned to two digests is refused: the bundle could hold only one under it."""
    finds = Finds()
    for seed in (1, 2):
        image = builders.image(seed=seed)
        finds.image(f"{APP}:1@{image.digest}", image)
    with pytest.raises(ConflictError, match="two digests"):
        select(finds)


def test_a_name_given_twice_with_one_digest_is_one_image():
    """A tag, and the same tag pinned to what it names, are one image of the bundle."""
    image = builders.image()
    finds = Finds()
    finds.image(f"{APP}:1", image)
    finds.image(f"{APP}:1@{image.digest}", image)
    assert [i.reference.tagged for i in select(finds).catalog.images] == [f"{APP}:1"]


def test_two_names_of_one_digest_are_two_images_and_one_content():
    """Names cost nothing: the content lies in the bundle once."""
    image = builders.image()
    finds = Finds()
    finds.image(f"{APP}:1", image)
    finds.image(f"{APP}:latest", image)
    finds.image(f"{APP}@{image.digest}", image)
    selected = select(finds)
    assert [i.reference for i in selected.catalog.images] == [
        Reference.parse(f"{APP}:1"),
        Reference.parse(f"{APP}:latest"),
        Reference.parse(f"{APP}@{image.digest}"),
    ]
    assert len(selected.fetches) == len(image.blobs)


def test_two_sizes_for_one_blob_fail_the_image_that_comes_later():
    """A bundle holds one blob of one size, so a manifest that says another cannot be right."""
    layer = builders.layer(500)
    lying = replace(layer, descriptor=replace(layer.descriptor, size=layer.descriptor.size + 1))
    finds = Finds()
    finds.image(f"{APP}:1", builders.image(layers=(layer,), seed=1))
    finds.image(f"{APP}:2", builders.image(layers=(lying,), seed=2))
    [(reference, error)] = select(finds).failed
    assert reference.tag == "2"
    assert isinstance(error, SizeMismatchError)


def test_an_entry_with_a_wrong_size_fails_its_index():
    """An index that lies about a manifest's size would make a bundle that does not verify."""
    image = builders.image()
    entry = replace(image.entry, size=image.entry.size + 1)
    value = {"schemaVersion": 2, "manifests": [entry.to_json()]}
    raw = json.dumps(value).encode()
    document = parse_manifest(raw, "application/vnd.oci.image.index.v1+json")
    finds = Finds()
    finds.image(f"{APP}:1", builders.Content(document, children=(image,)))
    finds.image(f"{APP}:2", image)
    [(reference, error)] = select(finds).failed
    assert reference.tag == "1"
    assert isinstance(error, SizeMismatchError)
