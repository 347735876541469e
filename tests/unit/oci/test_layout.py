"""Names in an image layout."""

from __future__ import annotations

import json

import pytest

from airgap.oci.digest import Digest
from airgap.oci.layout import LAYOUT_BYTES, blob_digest, blob_path


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_blob_path_leads_back_to_its_digest(algorithm: str):
    """A blob lies under its algorithm and hex, and the path tells the digest."""
    digest = Digest.of(b"content", algorithm)
    assert blob_path(digest) == f"blobs/{algorithm}/{digest.hex}"
    assert blob_digest(blob_path(digest)) == digest


@pytest.mark.parametrize(
    "path",
    [
        "",
        "index.json",
        "blobs",
        "blobs/sha256",
        "blobs/sha256/",
        "blobs/sha256/abc",
        "blobs/sha256/" + "A" * 64,
        "blobs/sha512/" + "a" * 64,
        "blobs/md5/" + "a" * 32,
        "./blobs/sha256/" + "a" * 64,
        "/blobs/sha256/" + "a" * 64,
        "blobs/sha256/../sha256/" + "a" * 64,
        "blobs/sha256/" + "a" * 64 + "/",
        "blobs/sha256/" + "a" * 64 + "\n",
        "blobs\\sha256\\" + "a" * 64,
        "x/blobs/sha256/" + "a" * 64,
    ],
)
def test_no_other_path_names_a_blob(path: str):
    """Anything but the exact path of a blob names none."""
    assert blob_digest(path) is None


def test_the_layout_file_is_of_version_one():
    """The file says the only version that there is (image-spec image-layout.md)."""
    assert json.loads(LAYOUT_BYTES) == {"imageLayoutVersion": "1.0.0"}
