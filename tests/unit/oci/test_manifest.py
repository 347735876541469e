"""Manifests and indexes: the view, and what is refused."""

from __future__ import annotations

import json

import pytest

from airgap.errors import InvalidContentError
from airgap.oci import mediatype
from airgap.oci.digest import Digest
from airgap.oci.manifest import MAX_MANIFEST_SIZE, Index, Manifest, parse_manifest


def entry(letter: str, media_type: str, **more: object) -> dict:
    """A descriptor as JSON."""
    return {"mediaType": media_type, "digest": "sha256:" + letter * 64, "size": 7, **more}


CONFIG = entry("c", mediatype.OCI_CONFIG)
LAYERS = [entry("1", mediatype.OCI_LAYER_GZIP), entry("2", mediatype.OCI_LAYER)]
IMAGE = {
    "schemaVersion": 2,
    "mediaType": mediatype.OCI_MANIFEST,
    "config": CONFIG,
    "layers": LAYERS,
}
CHILDREN = [
    entry("a", mediatype.OCI_MANIFEST, platform={"os": "linux", "architecture": "amd64"}),
    entry("b", mediatype.OCI_INDEX),
]
LIST = {"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": CHILDREN}


def raw(value: object) -> bytes:
    """A document with white space that a rewrite would lose."""
    return json.dumps(value, indent=3).encode()


def without(value: dict, *keys: str) -> dict:
    """The document without some fields."""
    return {key: field for key, field in value.items() if key not in keys}


def refusal(value: object, media_type: str = "") -> InvalidContentError:
    """The error with which a document is refused."""
    data = value if isinstance(value, bytes) else raw(value)
    with pytest.raises(InvalidContentError) as caught:
        parse_manifest(data, media_type)
    assert "\n" not in caught.value.message
    return caught.value


def test_an_image_shows_its_blobs_and_keeps_its_bytes():
    """The view names config and layers in order; bytes, digest and size are the given ones."""
    data = raw(IMAGE)
    manifest = parse_manifest(data, mediatype.OCI_MANIFEST)
    assert isinstance(manifest, Manifest)
    assert manifest.raw is data
    assert (manifest.descriptor.digest, manifest.descriptor.size) == (Digest.of(data), len(data))
    assert [blob.to_json() for blob in manifest.blobs()] == [CONFIG, *LAYERS]
    assert manifest.children() == ()
    assert manifest.is_runnable


def test_an_index_shows_its_children_and_keeps_its_bytes():
    """The view names the entries in order, nested indexes among them; there are no blobs."""
    data = raw(LIST)
    index = parse_manifest(data, mediatype.OCI_INDEX)
    assert isinstance(index, Index)
    assert index.raw is data
    assert [child.to_json() for child in index.children()] == CHILDREN
    assert index.blobs() == ()


def test_the_digest_is_made_by_the_algorithm_asked_for():
    """A manifest that is named by sha512 is described by sha512."""
    manifest = parse_manifest(raw(IMAGE), "", algorithm="sha512")
    assert manifest.descriptor.digest == Digest.of(raw(IMAGE), "sha512")


def test_an_empty_index_is_allowed():
    """An index without entries is an index (image-spec image-index.md, "manifests")."""
    index = parse_manifest(raw({"schemaVersion": 2, "manifests": []}), mediatype.OCI_INDEX)
    assert index.children() == ()


def test_docker_schema_2_is_read_alike():
    """Docker's own types give the same views and are kept."""
    image = IMAGE | {"mediaType": mediatype.DOCKER_MANIFEST}
    assert parse_manifest(raw(image), mediatype.DOCKER_MANIFEST).blobs()
    index = LIST | {"mediaType": mediatype.DOCKER_LIST}
    parsed = parse_manifest(raw(index), mediatype.DOCKER_LIST)
    assert isinstance(parsed, Index)
    assert parsed.descriptor.media_type == mediatype.DOCKER_LIST


@pytest.mark.parametrize(
    ("inner", "declared", "kind"),
    [
        (mediatype.OCI_MANIFEST, mediatype.OCI_MANIFEST, mediatype.OCI_MANIFEST),
        (mediatype.OCI_MANIFEST, "", mediatype.OCI_MANIFEST),
        (mediatype.DOCKER_MANIFEST, "application/json", mediatype.DOCKER_MANIFEST),
        (mediatype.OCI_MANIFEST, "application/octet-stream", mediatype.OCI_MANIFEST),
        (mediatype.OCI_MANIFEST, "text/plain; charset=utf-8", mediatype.OCI_MANIFEST),
        (None, mediatype.OCI_MANIFEST, mediatype.OCI_MANIFEST),
        ("", mediatype.OCI_MANIFEST, mediatype.OCI_MANIFEST),
        (None, mediatype.OCI_MANIFEST.upper() + " ; charset=utf-8", mediatype.OCI_MANIFEST),
        (None, "", mediatype.OCI_MANIFEST),
        ("application/vnd.future+json", "", "application/vnd.future+json"),
    ],
)
def test_the_media_type_is_settled_from_header_and_body(inner, declared: str, kind: str):
    """The body's type counts where the header is vague, the header's where the body has none."""
    document = parse_manifest(raw(IMAGE | {"mediaType": inner}), declared)
    assert document.descriptor.media_type == kind


def test_the_form_tells_an_index_where_nothing_else_does():
    """Without any media type, a list of manifests is an index."""
    document = parse_manifest(raw(without(LIST, "mediaType")), "application/json")
    assert document.descriptor.media_type == mediatype.OCI_INDEX


def test_an_unknown_type_is_carried_with_all_that_it_names():
    """A type that nobody knows is read by its fields: image-like or index-like."""
    image = parse_manifest(raw(IMAGE | {"mediaType": "application/x"}), "application/x")
    assert len(image.blobs()) == 3
    index = parse_manifest(raw(LIST | {"mediaType": "application/x"}), "application/x")
    assert len(index.children()) == 2


def test_an_artifact_shows_its_type_subject_and_annotations():
    """Subject and annotations are read, and the artifact type is the manifest's own."""
    value = IMAGE | {
        "artifactType": "application/spdx+json",
        "config": entry("e", mediatype.OCI_EMPTY),
        "layers": [entry("5", "application/spdx+json")],
        "subject": entry("f", mediatype.OCI_MANIFEST),
        "annotations": {"created": "today"},
    }
    manifest = parse_manifest(raw(value), mediatype.OCI_MANIFEST)
    assert manifest.artifact_type == "application/spdx+json"
    assert manifest.subject is not None
    assert manifest.subject.digest.hex == "f" * 64
    assert manifest.annotations == {"created": "today"}
    assert isinstance(manifest, Manifest)
    assert not manifest.is_runnable


def test_the_config_type_stands_in_for_the_artifact_type():
    """Without its own artifact type a manifest is listed under its config's type."""
    assert parse_manifest(raw(IMAGE), "").artifact_type == mediatype.OCI_CONFIG


def test_an_index_may_be_a_referrer():
    """An index may have a subject and an artifact type of its own, and no other."""
    value = LIST | {"subject": entry("f", mediatype.OCI_INDEX), "artifactType": "application/y"}
    index = parse_manifest(raw(value), "")
    assert index.subject is not None
    assert index.artifact_type == "application/y"
    assert parse_manifest(raw(LIST), "").artifact_type is None


def test_the_old_artifact_manifest_names_its_blobs():
    """The artifact manifest of image-spec 1.1's release candidates has blobs and no config."""
    value = {"mediaType": mediatype.OCI_ARTIFACT, "blobs": LAYERS, "artifactType": "application/z"}
    manifest = parse_manifest(raw(value), mediatype.OCI_ARTIFACT)
    assert isinstance(manifest, Manifest)
    assert len(manifest.blobs()) == 2
    assert manifest.config is None


@pytest.mark.parametrize("layers", [None, []])
def test_an_artifact_without_layers_is_allowed(layers: object):
    """No layers, or null for them, is no error."""
    manifest = parse_manifest(raw(IMAGE | {"layers": layers}), "")
    assert len(manifest.blobs()) == 1


def test_a_layer_may_stand_twice():
    """A layer that stands twice in an image stays twice, in order."""
    manifest = parse_manifest(raw(IMAGE | {"layers": LAYERS + LAYERS}), "")
    assert len(manifest.blobs()) == 5


@pytest.mark.parametrize("foreign", ["chart", "layer"])
def test_only_images_with_tar_layers_run(foreign: str):
    """A chart's config or a layer that is no tar makes a manifest that no engine can run."""
    change = (
        {"config": entry("c", "application/vnd.cncf.helm.config.v1+json")}
        if foreign == "chart"
        else {"layers": [entry("1", "application/vnd.cncf.helm.chart.content.v1.tar+gzip")]}
    )
    manifest = parse_manifest(raw(IMAGE | change), "")
    assert isinstance(manifest, Manifest)
    assert not manifest.is_runnable


@pytest.mark.parametrize(
    ("value", "declared"),
    [
        ({"schemaVersion": 1, "name": "x", "fsLayers": []}, ""),
        ({"schemaVersion": 2}, sorted(mediatype.SCHEMA1)[0]),
        ({"schemaVersion": 1}, sorted(mediatype.SCHEMA1)[1] + "; charset=utf-8"),
        ({"mediaType": sorted(mediatype.SCHEMA1)[0]}, "application/json"),
    ],
)
def test_schema_1_gets_a_clear_refusal(value: dict, declared: str):
    """Docker's schema 1 is named, and the hint says what to do."""
    error = refusal(value, declared)
    assert "schema 1" in error.message
    assert "push the image again" in (error.hint or "")


@pytest.mark.parametrize(
    ("value", "declared", "says"),
    [
        (b"<html>log in</html>", "text/html", "HTML"),
        (IMAGE, "text/html; charset=utf-8", "HTML"),
        (b"<html>log in</html>", mediatype.OCI_MANIFEST, "HTML"),
        (b"", mediatype.OCI_MANIFEST, "JSON"),
        (b"[]", mediatype.OCI_MANIFEST, "JSON object"),
        (IMAGE, mediatype.OCI_INDEX, "came as"),
        (LIST, mediatype.OCI_MANIFEST, "came as"),
        (IMAGE | {"mediaType": 5}, "", "mediaType"),
        (IMAGE | {"mediaType": "a/b\nc"}, "", "mediaType"),
        (IMAGE, "a/b\x1b[2J", "Content-Type"),
        ({"schemaVersion": 2}, "", "without a media type"),
        ({"schemaVersion": 2}, mediatype.OCI_MANIFEST, "no config"),
        (IMAGE | {"config": None}, "", "no config"),
        (IMAGE | {"config": []}, "", "object"),
        (IMAGE | {"layers": {}}, "", "layers"),
        (IMAGE | {"layers": [None]}, "", "object"),
        (IMAGE | {"layers": [entry("1", "")]}, "", "mediaType"),
        (LIST | {"manifests": "x"}, "", "manifests"),
        (LIST | {"manifests": [{"size": 1}]}, "", "digest"),
        (IMAGE | {"subject": "sha256:abc"}, "", "object"),
        (IMAGE | {"annotations": {"a": 1}}, "", "annotations"),
        (IMAGE | {"artifactType": 1}, "", "artifactType"),
        (b'{"config":{},"config":{}}', "", "twice"),
    ],
)
def test_what_is_no_manifest_is_refused_by_name(value: object, declared: str, says: str):
    """Wrong types, wrong fields and pages of proxies are refused with what is wrong."""
    assert says in refusal(value, declared).message


@pytest.mark.parametrize("lacking", ["mediaType", "config", "layers"])
@pytest.mark.parametrize("declared", [mediatype.OCI_MANIFEST, mediatype.OCI_INDEX, "application/x"])
def test_a_document_that_reads_in_two_ways_is_refused(declared: str, lacking: str):
    """An image that is an index too would lose what its reader does not see."""
    both = without(IMAGE | LIST, "mediaType", lacking)
    assert "index and as an image" in refusal(both, declared).message


def test_a_document_may_be_four_mebibytes_and_no_more():
    """The size that every registry takes is the limit."""
    padding = MAX_MANIFEST_SIZE - len(json.dumps(IMAGE | {"pad": ""}))
    largest = json.dumps(IMAGE | {"pad": "x" * padding}).encode()
    assert parse_manifest(largest, "").descriptor.size == MAX_MANIFEST_SIZE
    assert str(MAX_MANIFEST_SIZE) in refusal(largest + b" ").message


def test_a_manifest_nested_too_deep_is_refused():
    """A depth bomb in an unknown field is refused like any other."""
    bomb = b'{"config":{},"x":' + b"[" * 100 + b"]" * 100 + b"}"
    assert "nested" in refusal(bomb).message
