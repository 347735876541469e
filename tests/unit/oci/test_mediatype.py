"""What kind of content a media type is."""

from __future__ import annotations

import pytest

from airgap.oci import mediatype


@pytest.mark.parametrize(
    ("media_type", "index", "manifest"),
    [
        (mediatype.OCI_INDEX, True, True),
        (mediatype.DOCKER_LIST, True, True),
        (mediatype.OCI_MANIFEST, False, True),
        (mediatype.DOCKER_MANIFEST, False, True),
        (mediatype.OCI_ARTIFACT, False, True),
        (mediatype.OCI_CONFIG, False, False),
        (mediatype.OCI_LAYER_GZIP, False, False),
        ("application/json", False, False),
    ],
)
def test_indexes_and_manifests_are_told_apart(media_type: str, index: bool, manifest: bool):
    """An index is a manifest too, a blob is neither."""
    assert mediatype.is_index(media_type) is index
    assert mediatype.is_manifest(media_type) is manifest


@pytest.mark.parametrize(
    ("media_type", "tar", "kept_out"),
    [
        (mediatype.OCI_LAYER, True, False),
        (mediatype.OCI_LAYER_GZIP, True, False),
        ("application/vnd.oci.image.layer.v1.tar+zstd", True, False),
        (mediatype.DOCKER_LAYER_GZIP, True, False),
        ("application/vnd.docker.image.rootfs.diff.tar", True, False),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", True, True),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", True, True),
        ("application/vnd.cncf.helm.chart.content.v1.tar+gzip", False, False),
        (mediatype.OCI_EMPTY, False, False),
    ],
)
def test_layers_are_known_by_their_type(media_type: str, tar: bool, kept_out: bool):
    """Tar layers are known in every compression, and which of them may not be passed on."""
    assert mediatype.is_tar_layer(media_type) is tar
    assert mediatype.is_non_distributable(media_type) is kept_out


def test_a_client_asks_for_every_type_by_name():
    """Registries hide types that are not named, so Accept names all that can be carried."""
    assert set(mediatype.ACCEPT) >= mediatype.INDEXES | mediatype.MANIFESTS


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("application/vnd.oci.image.index.v1+json", True),
        ("text/plain; charset=utf-8", True),
        ("x", True),
        ("a" * 255, True),
        ("a" * 256, False),
        ("", False),
        (" a/b", False),
        ("a/b ", False),
        ("a/b\r\nSet-Cookie: x", False),
        ("a/\x00", False),
        ("ä/b", False),
    ],
)
def test_only_what_fits_in_a_header_is_a_media_type(text: str, fits: bool):
    """Unknown types are fine; line breaks, other scripts and endless texts are not."""
    assert mediatype.is_media_type(text) is fits
