"""Content that several repositories share is fetched once, from any that has it."""

from __future__ import annotations

from tests.support import builders
from tests.support.embedded import EmbeddedRegistry
from tests.support.transfers import (
    assert_holds,
    assert_sound,
    bring,
    export,
)


def test_layers_shared_over_repositories_and_registries_are_fetched_once(tmp_path, outside, inside):
    """One blob of two registries is fetched from one of them, and mounted inside."""
    layer = builders.layer(5000)
    with EmbeddedRegistry() as other:
        for registry, name, seed in ((outside, "a", 1), (outside, "b", 2), (other, "c", 3)):
            image = builders.image(layers=(layer, 100), seed=seed)
            builders.push(registry.repository(name), image, tag="1")
        names = [f"{outside.host}/a:1", f"{outside.host}/b:1", f"{other.host}/c:1"]
        export(names, tmp_path / "b.tar")
        blob = f"/blobs/{layer.descriptor.digest}"
        assert outside.count("GET", blob) + other.count("GET", blob) == 1
    result = bring(tmp_path / "b.tar", inside.host)
    assert result.blobs_mounted == 2
    for name, seed in (("a", 1), ("b", 2), ("c", 3)):
        assert_holds(inside, name, builders.image(layers=(layer, 100), seed=seed), "1")


def test_a_blob_that_one_repository_lost_comes_from_another(tmp_path, outside):
    """Every repository that names a blob is asked before it counts as missing."""
    layer = builders.layer(500)
    for name, seed in (("a", 1), ("b", 2)):
        builders.push(outside.repository(name), builders.image(layers=(layer,), seed=seed), tag="1")
    outside.repository("a").delete_blob(layer.descriptor.digest)
    export([f"{outside.host}/a:1", f"{outside.host}/b:1"], tmp_path / "b.tar")
    assert_sound(tmp_path / "b.tar")


def test_a_manifest_that_one_repository_lost_comes_from_another(tmp_path, outside):
    """The same for manifests, in whatever order they are asked for."""
    child = builders.image()
    for number, name in enumerate(("a", "b", "c")):
        index = builders.index([child], annotations={"n": str(number)})
        builders.push(outside.repository(name), index, tag="1")
    for name in ("a", "b"):
        outside.repository(name).delete_manifest(child.digest)
    names = [f"{outside.host}/{name}:1" for name in "abc"]
    for order in (names, names[::-1]):
        export(order, tmp_path / "b.tar", overwrite=True)
        assert_sound(tmp_path / "b.tar")


def test_a_manifest_that_comes_later_from_another_repository_counts(tmp_path, outside):
    """It does not matter whether the repository that lacks it was asked and answered before."""
    child = builders.image()
    shallow = builders.index([child])
    deep = builders.index([builders.index([shallow], annotations={"n": "1"})])
    builders.push(outside.repository("a"), shallow, tag="1")
    builders.push(outside.repository("b"), deep, tag="1")
    outside.repository("a").delete_manifest(child.digest)
    names = [f"{outside.host}/{name}:1" for name in "ab"]
    for order in (names, names[::-1]):
        result = export(order, tmp_path / "b.tar", overwrite=True, jobs=1)
        assert len(result.plan.images) == 2
        assert_sound(tmp_path / "b.tar")
