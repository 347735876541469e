"""Whatever of its blobs a bundle leaves to the receiver, it is whole, and says exactly what."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from airgap.bundle import closure
from airgap.bundle.catalog import Catalog
from airgap.bundle.check import check_bundle
from airgap.bundle.engines import runnable_manifests
from airgap.bundle.reader import open_bundle
from airgap.bundle.summary import summarize
from airgap.oci.digest import Digest
from airgap.oci.layout import REF_NAME
from airgap.run import Run
from tests.support.bundles import differential, make_bundle, unpack
from tests.support.volume_sets import split

WHOLE = make_bundle(layer_size=600)
LEFT = st.sets(st.sampled_from(sorted(WHOLE.contents)))


def whole_names(left: set[Digest]) -> set[str]:
    """The images that an engine can run from a bundle which leaves these blobs out."""
    return {
        image.reference.tagged
        for image in WHOLE.catalog.images
        if runnable_manifests(image.digest, WHOLE.documents)
        and not left & closure.reachable([image.digest], WHOLE.documents)
    }


@given(left=LEFT)
def test_what_is_left_and_what_travels_is_the_whole(left: set[Digest]) -> None:
    """No blob is lost between the two, and every image says how much of it is left."""
    made = differential(WHOLE, left)
    found = Catalog.parse(made.catalog.raw)
    assert found == made.catalog == differential(WHOLE, sorted(left, reverse=True)).catalog
    assert found.held_sizes().keys() == left
    assert found.sizes() | found.held_sizes() == WHOLE.catalog.sizes()
    assert not found.sizes().keys() & found.held_sizes().keys()
    assert list(closure.gaps(found, made.documents)) == []
    summary = summarize(found, made.documents, made.contents.get)
    before = summarize(WHOLE.catalog, WHOLE.documents, WHOLE.contents.get)
    assert summary.content_size + summary.held_size == before.content_size
    for image, whole in zip(summary.images, before.images, strict=True):
        assert image.size + image.held_size == whole.size
        assert image.held_blobs == len(left & closure.reachable([image.digest], WHOLE.documents))


@given(left=LEFT)
def test_engines_see_the_images_that_are_whole_and_no_others(left: set[Digest]) -> None:
    """By both of the files that they read."""
    parts = unpack(differential(WHOLE, left).data)
    entries = json.loads(parts["index.json"])["manifests"]
    named = {e["annotations"][REF_NAME] for e in entries if "annotations" in e}
    assert named == whole_names(left)
    for entry in json.loads(parts["manifest.json"]):
        assert {entry["Config"], *entry["Layers"]} <= parts.keys()


@given(left=LEFT, limit=st.sampled_from([None, 400, 900]))
def test_a_bundle_that_leaves_anything_is_found_whole(left: set[Digest], limit: int | None) -> None:
    """In one file and in volumes: every byte is checked, and nothing is missed."""
    made = differential(WHOLE, left)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if limit is None:
            made.write(folder)
        else:
            split(made, limit).write(folder)
        report = check_bundle(folder, run=Run(), jobs=1)
        assert report.findings == ()
        assert report.bytes_checked == report.size
        assert (report.blobs, len(report.notes)) == (len(made.contents), 1 if left else 0)
        with open_bundle(folder) as reader:
            assert reader.catalog == made.catalog
            for digest, content in made.contents.items():
                assert reader.read_blob(digest) == content
