"""Content of every kind travels from one registry to another, through a bundle, unchanged."""

from __future__ import annotations

import io

import pytest

from airgap.content import posix
from airgap.errors import ContentNotFoundError
from airgap.oci import mediatype
from airgap.oci.manifest import parse_manifest
from airgap.oci.platform import Platform
from tests.support import builders
from tests.support.builders import AMD64, ARM64, WINDOWS
from tests.support.embedded import EmbeddedRegistry
from tests.support.transfers import (
    assert_holds,
    assert_sound,
    bring,
    bytes_of,
    catalog_of,
    export,
    sent,
)


def opaque():
    """A manifest of a type that nobody knows, over types that nobody knows."""
    config = builders.blob(b"binary \x00 config", "application/vnd.example.config")
    layer = builders.blob(b"stuff", "application/x.unknown+weird")
    return builders.manifest(config, [layer], artifact_type="application/vnd.example.thing")


def unknown_manifest():
    """A document of a media type that is none of the registered ones."""
    media_type = "application/vnd.example.manifest.v9+json"
    body = builders.blob(b"a body", "application/vnd.example.body")
    value = {"mediaType": media_type, "layers": [body.descriptor.to_json()], "extra": [1, 2]}
    return builders.Content(parse_manifest(builders.dumps(value), media_type), (body,))


def sha512_image():
    layer = builders.layer(400, algorithm="sha512")
    config = builders.blob(b'{"os":"linux","architecture":"amd64"}', mediatype.OCI_CONFIG, "sha512")
    return builders.manifest(config, [layer])


def empty_layer():
    empty = builders.blob(b"", "application/vnd.example.empty")
    return builders.artifact("application/vnd.example.holey", [empty, builders.blob(b"full")])


def twice_the_same_layer():
    layer = builders.layer(300)
    return builders.image(layers=(layer, layer, 100))


KINDS = {
    "image": lambda: builders.image(layers=(1000, 2000)),
    "docker schema 2": lambda: builders.image(docker=True),
    "docker list": lambda: builders.multi_platform(docker=True),
    "index with attestations": builders.multi_platform,
    "nested index": lambda: builders.index(
        [builders.multi_platform(seed=1), builders.image(seed=2)]
    ),
    "empty index": lambda: builders.index([]),
    "chart": builders.chart,
    "artifact": lambda: builders.artifact("application/vnd.example.wasm", [builders.blob(b"wasm")]),
    "artifact without layers": builders.bare_artifact,
    "unknown types": opaque,
    "unknown manifest": unknown_manifest,
    "sha512 blobs": sha512_image,
    "zero-length blob": empty_layer,
    "one layer twice": twice_the_same_layer,
}


@pytest.fixture(params=["memory", "folder"])
def storage(request):
    return request.param


def test_every_kind_of_content_arrives_as_it_was(tmp_path, storage):
    """Manifests, blobs, types and tags are the same on both sides, in memory or on disk."""
    folders = [tmp_path / "out", tmp_path / "in"] if storage == "folder" else [None, None]
    made = {f"kinds/k{number}": make() for number, make in enumerate(KINDS.values())}
    with EmbeddedRegistry(folder=folders[0]) as outside:
        for name, content in made.items():
            builders.push(outside.repository(name), content, tag="1.0")
        result = export([f"{outside.host}/{name}:1.0" for name in made], tmp_path / "all.tar")
    assert result.failed == ()
    assert_sound(tmp_path / "all.tar")
    # the source is gone by now: an import that asked it anything would fail
    with EmbeddedRegistry(folder=folders[1]) as inside:
        imported = bring(tmp_path / "all.tar", f"{inside.host}/mirror")
        assert imported.bundle_id == result.plan.bundle_id
        assert {image.outcome for image in imported.images} == {"pushed"}
        for name, content in made.items():
            assert_holds(inside, f"mirror/{name}", content, "1.0")


def test_a_pipe_carries_the_same(tmp_path, outside, inside):
    """Export to a stream and import from one: the same bytes as through a file."""
    made = [make() for make in KINDS.values()]
    names = [f"{outside.host}/kinds/k{number}:1" for number in range(len(made))]
    for number, content in enumerate(made):
        builders.push(outside.repository(f"kinds/k{number}"), content, tag="1")
    stream = io.BytesIO()
    piped = export(names, stream)
    export(names, tmp_path / "file.tar")
    assert stream.getvalue() == (tmp_path / "file.tar").read_bytes()
    assert piped.path == "-"
    imported = bring(stream.getvalue(), inside.host)
    assert imported.failed == ()
    for number, content in enumerate(made):
        assert_holds(inside, f"kinds/k{number}", content, "1")


def test_a_platform_choice_travels_and_says_what_it_left(tmp_path, outside, inside):
    """The index is the same byte for byte; the others stay behind with their attestations."""
    multi = builders.multi_platform([AMD64, ARM64, WINDOWS])
    builders.push(outside.repository("app"), multi, tag="1")
    chosen = (Platform("linux", "arm64"),)
    export(f"{outside.host}/app:1", tmp_path / "b.tar", platforms=chosen)
    assert_sound(tmp_path / "b.tar")
    left = [c for n, c in enumerate(multi.children) if n % 3 != 1]
    omitted = {o.descriptor.digest: o.reason for o in catalog_of(tmp_path / "b.tar").omitted}
    assert omitted == {content.digest: "platform" for content in left}
    assert outside.count("GET", str(left[0].digest)) == 0
    bring(tmp_path / "b.tar", inside.host)
    assert_holds(inside, "app", multi, "1", without=left)


def test_an_image_by_digest_arrives_by_digest_or_under_a_made_up_tag(tmp_path, outside, inside):
    """No tag at the source means none inside, unless one is asked for."""
    image = builders.push(outside.repository("app"), builders.image())
    export(f"{outside.host}/app@{image.digest}", tmp_path / "b.tar")
    bring(tmp_path / "b.tar", inside.host)
    assert_holds(inside, "app", image)
    assert list(inside.repository("app").tags()) == []
    bring(tmp_path / "b.tar", inside.host, tag_digests="d-")
    assert list(inside.repository("app").tags()) == [f"d-{image.digest.hex[:12]}"]


def test_a_manifest_with_a_sha512_digest_arrives(tmp_path, outside, inside):
    """A digest of another algorithm is kept, not made anew."""
    layer = builders.layer(400, algorithm="sha512")
    config = builders.blob(b'{"os":"linux","architecture":"amd64"}', mediatype.OCI_CONFIG)
    image = builders.manifest(config, [layer], algorithm="sha512")
    builders.push(outside.repository("app"), image)
    export(f"{outside.host}/app@{image.digest}", tmp_path / "b.tar")
    assert_sound(tmp_path / "b.tar")
    bring(tmp_path / "b.tar", inside.host)
    assert_holds(inside, "app", image)


def test_two_names_of_one_digest_both_arrive(tmp_path, outside, inside):
    """The content is in the bundle once, and both tags are set."""
    image = builders.image()
    for tag in ("1.0", "latest"):
        builders.push(outside.repository("app"), image, tag=tag)
    export([f"{outside.host}/app:1.0", f"{outside.host}/app:latest"], tmp_path / "b.tar")
    assert len(catalog_of(tmp_path / "b.tar").blobs) == len(image.blobs)
    bring(tmp_path / "b.tar", inside.host)
    for tag in ("1.0", "latest"):
        assert_holds(inside, "app", image, tag)


def test_a_layer_that_is_not_distributable_stays_and_is_listed(tmp_path, outside, inside):
    """It is left out by name, and the image arrives without it, as such images do."""
    layer = builders.foreign_layer("https://example.com/layer")
    image = builders.push(
        outside.repository("win"), builders.image(layers=(layer, 100), platform=WINDOWS), tag="1"
    )
    export(f"{outside.host}/win:1", tmp_path / "b.tar")
    assert_sound(tmp_path / "b.tar")
    [omission] = catalog_of(tmp_path / "b.tar").omitted
    assert (omission.descriptor.digest, omission.reason) == (
        layer.descriptor.digest,
        "non-distributable",
    )
    bring(tmp_path / "b.tar", inside.host)
    assert_holds(inside, "win", image, "1")


def test_a_layer_that_is_not_distributable_travels_when_asked_for(tmp_path, outside, inside):
    """A registry that has it gives it, and the other side gets it as a blob."""
    layer = builders.foreign_layer("https://example.com/layer")
    builders.push_blob(outside.repository("win"), layer)
    image = builders.image(layers=(layer, 100), platform=WINDOWS)
    builders.push(outside.repository("win"), image, tag="1")
    export(f"{outside.host}/win:1", tmp_path / "b.tar", non_distributable=True)
    assert catalog_of(tmp_path / "b.tar").omitted == ()
    bring(tmp_path / "b.tar", inside.host)
    assert bytes_of(inside.repository("win"), layer.descriptor) == layer.data


@pytest.mark.parametrize("by_pipe", [False, True])
def test_a_manifest_that_is_a_layer_of_another_arrives_as_both(tmp_path, outside, inside, by_pipe):
    """The registry inside gets its bytes as a blob where a manifest carries them as a layer."""
    inner = builders.image()
    builders.push(outside.repository("inner"), inner, tag="1")
    layer = builders.Blob(inner.descriptor, inner.raw)
    carrier = builders.artifact("application/vnd.example.carrier", [layer])
    builders.push(outside.repository("carrier"), carrier, tag="1")
    export([f"{outside.host}/inner:1", f"{outside.host}/carrier:1"], tmp_path / "b.tar")
    assert_sound(tmp_path / "b.tar")
    bring((tmp_path / "b.tar").read_bytes() if by_pipe else tmp_path / "b.tar", inside.host)
    assert_holds(inside, "inner", inner, "1")
    assert_holds(inside, "carrier", carrier, "1")


def test_the_same_images_give_the_same_bytes(tmp_path, outside):
    """Whatever the order of the references, the threads and the time."""
    for number in range(4):
        builders.push(
            outside.repository(f"r{number}"), builders.multi_platform(seed=number), tag="1"
        )
    names = [f"{outside.host}/r{number}:1" for number in range(4)]
    first = export(names, tmp_path / "a.tar", jobs=1)
    second = export([*names[::-1], names[0]], tmp_path / "b.tar", jobs=4)
    assert first.plan.bundle_id == second.plan.bundle_id
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_a_single_image_is_asked_for_its_platform_once(tmp_path, outside):
    """Its config decides, and is not fetched a second time."""
    image = builders.push(outside.repository("app"), builders.image(), tag="1")
    export(f"{outside.host}/app:1", tmp_path / "b.tar", platforms=(AMD64,))
    assert_sound(tmp_path / "b.tar")
    assert outside.count("GET", str(image.blobs[0].descriptor.digest)) == 1
    with pytest.raises(ContentNotFoundError, match="linux/arm64"):
        export(f"{outside.host}/app:1", tmp_path / "c.tar", platforms=(ARM64,))
    assert not (tmp_path / "c.tar").exists()


def test_a_tag_of_a_manifest_with_another_algorithm_can_be_imported_again(
    tmp_path, outside, inside
):
    """Registries make sha256 of what is pushed by tag: the pinned digest is there, too, and the
    tag is no conflict the second time.
    """
    config = builders.blob(b'{"os":"linux","architecture":"amd64"}', mediatype.OCI_CONFIG)
    image = builders.manifest(config, [builders.layer(100)], algorithm="sha512")
    builders.push(outside.repository("app"), image)
    export(f"{outside.host}/app:1@{image.digest}", tmp_path / "b.tar")
    for _ in range(2):
        inside.clear()
        bring(tmp_path / "b.tar", inside.host)
        assert_holds(inside, "app", image)
        assert inside.repository("app").manifest("1").raw == image.raw
    assert sent(inside) == []


def test_a_medium_may_be_taken_out_after_an_export_to_it(tmp_path, outside, monkeypatch):
    """The result says whether the file lies on a mounted medium; it is synced by then."""
    builders.push(outside.repository("app"), builders.image(), tag="1")
    for is_medium in (False, True):
        monkeypatch.setattr(posix, "is_medium", lambda _path, answer=is_medium: answer)
        result = export(f"{outside.host}/app:1", tmp_path / "b.tar", overwrite=True)
        assert result.is_removable is is_medium
