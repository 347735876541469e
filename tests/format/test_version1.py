"""Format version 1 is read forever, and what is written today is still the same."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from airgap.bundle.check import check_bundle
from airgap.bundle.reader import open_bundle
from airgap.bundle.stream import BundleStream
from airgap.oci.digest import Digest
from airgap.run import Run
from tests.format import version1
from tests.support.writing import write

FILE = "sha256:2e721bf7931090b45890edd34e41c63ac8c7522769985d6b0dc5f2748b4245ce"
BUNDLE_ID = "sha256:9c836e6ec8629a6f36f87b7c3ee153b14572c5d86df260a0942efe50bb68b8d4"


@pytest.fixture(scope="module")
def data() -> bytes:
    """The file as it was committed."""
    return version1.PATH.read_bytes()


def test_the_file_is_the_one_that_was_made(data: bytes) -> None:
    """The committed bundle has not been made anew."""
    assert str(Digest.of(data)) == FILE


def test_the_same_input_makes_the_same_bytes(data: bytes, tmp_path: Path) -> None:
    """Today's code plans and writes the very bytes of the committed bundle."""
    made = version1.bundle()
    assert made.data == data
    write(tmp_path / "again.tar", made)
    assert (tmp_path / "again.tar").read_bytes() == data


def test_it_is_read_by_seeking() -> None:
    """Names, referrers, what is left out and every blob are read from the file."""
    with open_bundle(version1.PATH) as bundle:
        assert str(bundle.id) == BUNDLE_ID
        names = [image.reference.tagged for image in bundle.catalog.images]
        assert names[0] == "docker.io/library/app:1.4"
        assert names[1].startswith("registry.example/app@sha256:")
        assert names[2] == "registry.example/charts/app:2"
        assert {bool(referrer.tag) for referrer in bundle.catalog.referrers} == {False, True}
        assert [o.reason for o in bundle.catalog.omitted] == ["platform"]
        expected = {version1.CONFIG, version1.LAYER, version1.CHART, version1.PACKAGES, b"{}", b""}
        assert {bundle.read_blob(digest) for digest, _ in bundle.catalog.blobs} == expected


def test_it_is_read_from_a_pipe() -> None:
    """The same comes out of the file in one pass, up to the seal."""
    with version1.PATH.open("rb") as file:
        stream = BundleStream(file, run=Run())
        front = stream.front()
        assert str(front.catalog.id) == BUNDLE_ID
        contents = {blob.digest: b"".join(blob.chunks) for blob in stream.blobs()}
        stream.finish()
    assert contents == version1.bundle().contents


def test_it_is_found_whole() -> None:
    """A check of the committed bundle finds nothing."""
    assert check_bundle(version1.PATH, run=Run()).findings == ()


def test_it_is_a_plain_tar() -> None:
    """A tool that knows nothing of airgap finds the layout and the docker archive in it."""
    with tarfile.open(version1.PATH) as tar:
        names = tar.getnames()
        assert names[:3] == ["oci-layout", "index.json", "manifest.json"]
        assert names[-1] == "airgap/seal.json"
        assert all(info.isfile() for info in tar)
