"""A signed update of format version 1 is read forever, and what is written today is the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airgap.bundle.check import check_bundle
from airgap.bundle.reader import open_bundle
from airgap.bundle.stream import BundleStream
from airgap.oci.digest import Digest
from airgap.oci.layout import CONTAINERD_NAME
from airgap.run import Run
from airgap.trust.keys import PublicKey
from airgap.trust.signatures import Signatures
from tests.format import version1, version1_update
from tests.support.bundles import unpack
from tests.support.volume_sets import plan, split
from tests.support.writing import write, write_volumes

FILE = "f0eb756896362a8ffe814f25b4d6e9142334e442717475f9b3fe8667de07b51e"
FILES = {
    "bundle.001.tar": "14a6ee0bfa5895d58eff832015830325ec460ea43945b2fb78e4e8b0cb4212ad",
    "bundle.002.tar": "c19a7a382dcadac665981900cca1b08dc94f34fb2dcabaa254a8896164904796",
}
BUNDLE_ID = "sha256:187d250e63c84a1ea95996fc89639ded1b26f802d8daf7319f1bb688d5ea6e4a"


def volumes() -> list[Path]:
    """The volumes as they were committed."""
    return sorted(version1_update.VOLUMES.iterdir())


def test_the_files_are_those_that_were_made() -> None:
    """The committed update has not been made anew."""
    assert Digest.of(version1_update.PATH.read_bytes()).hex == FILE
    assert {path.name: Digest.of(path.read_bytes()).hex for path in volumes()} == FILES


def test_the_same_input_makes_the_same_bytes(tmp_path: Path) -> None:
    """Today's code plans and writes the very bytes of the committed files."""
    made = version1_update.update()
    assert made.data == version1_update.PATH.read_bytes()
    write(tmp_path / "again.tar", made)
    assert (tmp_path / "again.tar").read_bytes() == made.data
    committed = [path.read_bytes() for path in volumes()]
    assert list(split(made, version1_update.VOLUME_CONTENTS).data) == committed
    folder = tmp_path / "volumes"
    folder.mkdir()
    write_volumes(folder / "again.tar", made, plan(made, version1_update.VOLUME_CONTENTS))
    assert [path.read_bytes() for path in sorted(folder.iterdir())] == committed


@pytest.mark.parametrize("path", [version1_update.PATH, version1_update.VOLUMES])
def test_it_says_what_it_leaves_and_who_signed(path: Path) -> None:
    """Bases, held blobs, and a signature that its key verifies."""
    with open_bundle(path) as bundle:
        assert str(bundle.id) == BUNDLE_ID
        assert {base.kind for base in bundle.catalog.bases} == {"inventory", "bundle"}
        held = {blob.digest: blob for blob in bundle.catalog.held}
        assert held.keys() == {Digest.of(data) for data in version1_update.HELD}
        layer = held[Digest.of(version1.LAYER)]
        assert bundle.catalog.bases[layer.base].names_sources
        assert layer.repository == "docker.io/library/app"
        expected = {version1.CHART, version1.PACKAGES, b"{}", b""}
        assert {bundle.read_blob(digest) for digest, _ in bundle.catalog.blobs} == expected
        (signature,) = Signatures.parse(bundle.catalog.signatures).by_key
        key = PublicKey.parse(version1_update.KEY)
        assert signature.key == key.id
        assert key.verify(bundle.catalog.raw, signature.value)


def test_it_is_read_from_a_pipe() -> None:
    """The same comes out of the file in one pass, up to the seal."""
    with version1_update.PATH.open("rb") as file:
        stream = BundleStream(file, run=Run())
        assert stream.front().catalog == version1_update.update().catalog
        contents = {blob.digest: b"".join(blob.chunks) for blob in stream.blobs()}
        stream.finish()
    assert contents == version1_update.update().contents


@pytest.mark.parametrize("path", [version1_update.PATH, version1_update.VOLUMES])
def test_it_is_found_whole(path: Path) -> None:
    """A check of the committed files finds nothing, and notes what is left to the receiver."""
    report = check_bundle(path, run=Run())
    assert report.findings == ()
    assert [note.partition(";")[0] for note in report.notes] == [
        "2 blobs (98 B) left to the receiver"
    ]


def test_engines_are_not_offered_what_is_not_whole() -> None:
    """The image whose layer is left to the receiver has no name in its index.json."""
    index = json.loads(unpack(version1_update.PATH.read_bytes())["index.json"])
    assert not [e for e in index["manifests"] if CONTAINERD_NAME in e.get("annotations", {})]
