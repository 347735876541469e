"""Volumes of format version 1 are read forever, and what is written today is still the same."""

from __future__ import annotations

from pathlib import Path

from airgap.bundle.check import check_bundle
from airgap.bundle.reader import open_bundle
from airgap.oci.digest import Digest
from airgap.run import Run
from tests.format import version1
from tests.support.volume_sets import plan, split
from tests.support.writing import write_volumes

FILES = {
    "bundle.001.tar": "e431d5e33d6c7c53ef2089c2c70c35cb6e0533e41d52d5fd33ad245ca7d97f8a",
    "bundle.002.tar": "30f56f150e13224b4d101c2fdd65070c41c2841601c2ccbc3e506f851353420b",
}


def files() -> list[Path]:
    """The volumes as they were committed."""
    return sorted(version1.VOLUMES.iterdir())


def test_the_files_are_those_that_were_made() -> None:
    """The committed volumes have not been made anew."""
    assert {path.name: Digest.of(path.read_bytes()).hex for path in files()} == FILES


def test_the_same_input_makes_the_same_bytes(tmp_path: Path) -> None:
    """Today's code plans and writes the very bytes of the committed volumes."""
    made = version1.bundle()
    committed = [path.read_bytes() for path in files()]
    assert list(split(made, version1.VOLUME_CONTENTS).data) == committed
    write_volumes(tmp_path / "again.tar", made, plan(made, version1.VOLUME_CONTENTS))
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == committed


def test_they_are_the_bundle_that_one_file_is() -> None:
    """Its id is the same, and every blob is read out of them, cut or not."""
    made = version1.bundle()
    with open_bundle(version1.VOLUMES) as bundle:
        assert bundle.id == made.catalog.id
        assert bundle.volume_count == len(files())
        assert any(first != last for first, last in bundle.volumes[1].layout.placement.homes)
        for digest, _ in bundle.catalog.blobs:
            assert bundle.read_blob(digest) == made.contents[digest]


def test_they_are_found_whole() -> None:
    """A check of the committed volumes finds nothing."""
    assert check_bundle([version1.VOLUMES], run=Run()).findings == ()
