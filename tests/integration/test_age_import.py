"""Imports of what is encrypted: nothing plain on disk, and every kind of damage told apart."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pyrage
import pytest

from airgap.content.age import Identities, Recipients
from airgap.errors import (
    AirgapError,
    BundleFormatError,
    ConflictError,
    ContentNotFoundError,
    IncompleteBundleError,
    IntegrityError,
    UnauthorizedError,
)
from airgap.oci.reference import Reference
from airgap.run import Run
from airgap.transfer.decrypted import EncryptedBundle
from airgap.transfer.destination import Destination
from airgap.transfer.encrypted import Encryption
from airgap.transfer.export import ExportOptions, export_images
from airgap.transfer.publish import ImportOptions, import_bundle
from tests.support import builders
from tests.support.transfers import open_client

KEY = pyrage.x25519.Identity.generate()
KEYS = Identities((str(KEY),))
ONE = ExportOptions(encrypt=Encryption(Recipients((str(KEY.to_public()),))))
VOLUMES = replace(ONE, volume_size=1_100_000)
LAYERS = (2_500_000, 900_000, 900_000)
IMAGE = builders.image(layers=LAYERS, seed=3)


@pytest.fixture
def name(outside):
    """An image of about four volumes, one of its layers in three of them."""
    builders.push(outside.repository("app"), IMAGE, tag="1")
    return f"{outside.host}/app:1"


@pytest.fixture
def folder(name, tmp_path):
    """Encrypted volumes of it."""
    run_export(name, tmp_path / "v" / "release.tar", VOLUMES)
    return tmp_path / "v"


def run_export(name, path, options=ONE):
    path.parent.mkdir(exist_ok=True)
    with open_client() as client:
        return export_images([Reference.parse(name)], path, client=client, options=options)


def run_import(paths, inside, keys=KEYS, **options):
    to = Destination.parse(f"{inside.host}/in")
    with open_client() as client, EncryptedBundle(paths, keys, run=Run()) as bundle:
        return import_bundle(bundle, to, client=client, options=ImportOptions(**options), run=Run())


def assert_there(inside):
    """All of the image is in the registry, with its tag."""
    repository = inside.repository("in/app")
    assert repository.resolve("1").digest == IMAGE.digest
    for blob in IMAGE.blobs:
        assert repository.has_blob(blob.descriptor)


def test_an_encrypted_bundle_arrives(name, inside, tmp_path):
    """All of it, from one file, and nothing is written beside that."""
    run_export(name, tmp_path / "r.tar")
    before = sorted(tmp_path.iterdir())
    run_import([tmp_path / "r.tar.age"], inside)
    assert_there(inside)
    assert sorted(tmp_path.iterdir()) == before


def test_encrypted_volumes_arrive_with_blobs_that_are_cut(folder, inside):
    """Whatever their names and their order are, and without the envelope."""
    (folder / "release.airgap.json").unlink()
    for number, path in enumerate(sorted(folder.glob("*.age"), reverse=True)):
        path.rename(folder / f"part-{number}.age")
    result = run_import([folder], inside)
    assert_there(inside)
    assert result.failed == ()
    assert result.blobs_pushed == len(IMAGE.blobs)


def test_what_the_registry_has_is_passed_over(folder, inside):
    """Also of blobs that are cut; the same import may be repeated."""
    run_import([folder], inside)
    inside.clear()
    result = run_import([folder], inside)
    assert result.blobs_pushed == 0
    assert not inside.matching("PATCH")


def test_a_dry_run_sends_nothing(folder, inside):
    """It looks at the fronts alone."""
    run_import([folder], inside, dry_run=True)
    assert not inside.matching("PUT")


@pytest.mark.skipif(shutil.which("age") is None, reason="needs the program age")
def test_a_plain_bundle_that_age_encrypted_arrives(name, inside, tmp_path):
    """With the envelope of nobody."""
    run_export(name, tmp_path / "r.tar", ExportOptions())
    command = ["age", "-r", str(KEY.to_public()), "-o", "r.tar.age", "r.tar"]
    subprocess.run(command, cwd=tmp_path, check=True)
    run_import([tmp_path / "r.tar.age"], inside)
    assert_there(inside)


def test_another_identity_imports_nothing(folder, inside):
    """It is a matter of credentials."""
    with pytest.raises(UnauthorizedError) as caught:
        run_import([folder], inside, Identities((str(pyrage.x25519.Identity.generate()),)))
    assert caught.value.exit_code == 11


def test_a_missing_volume_is_said_before_anything_is_sent(folder, inside):
    """With its number."""
    (folder / "release.002.tar.age").unlink()
    with pytest.raises(IncompleteBundleError, match="2 is missing"):
        run_import([folder], inside)
    assert not inside.matching("PATCH")


def test_volumes_of_two_exports_do_not_mix(name, folder, inside):
    """A volume that is there twice is one too many, as is one of other volumes."""
    run_export(name, folder / "other.tar", replace(VOLUMES, volume_size=1_300_000))
    with pytest.raises(ConflictError):
        run_import([folder], inside)
    for path in folder.glob("other.*"):
        path.unlink()
    shutil.copy(folder / "release.001.tar.age", folder / "copy.age")
    with pytest.raises(ConflictError, match="same volume"):
        run_import([folder], inside)


def test_a_volume_of_another_size_does_not_fill_a_gap(name, folder, inside):
    """Every number is there once, and yet it is not one set."""
    run_export(name, folder / "other.tar", replace(VOLUMES, volume_size=1_300_000))
    (folder / "release.002.tar.age").unlink()
    for path in folder.glob("other.*"):
        if path.name != "other.002.tar.age":
            path.unlink()
    with pytest.raises(ConflictError, match="other bundles"):
        run_import([folder], inside)
    assert not inside.matching("PATCH")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_seal_that_is_damaged_inside_is_found(folder, inside, number):
    """Also that of a volume in whose midst a blob goes on: age vouches for no content."""
    path = folder / f"release.{number:03d}.tar.age"
    plain = bytearray(pyrage.decrypt(path.read_bytes(), [KEY]))
    plain[plain.rindex(b'"uncovered"') + 1] ^= 1
    path.write_bytes(pyrage.encrypt(bytes(plain), [KEY.to_public()]))
    with pytest.raises(BundleFormatError):
        run_import([folder], inside)
    assert not inside.matching("PUT", r"/manifests/1$")


def test_what_is_not_encrypted_is_not_taken_for_it(name, inside, tmp_path):
    """A plain file with such a name is no age file; a folder without any is empty."""
    with pytest.raises(ContentNotFoundError):
        run_import([tmp_path], inside)
    run_export(name, tmp_path / "r.tar", ExportOptions())
    (tmp_path / "r.tar").rename(tmp_path / "r.tar.age")
    with pytest.raises(BundleFormatError):
        run_import([tmp_path / "r.tar.age"], inside)


def damaged(path: Path, place: float) -> None:
    """Flip one bit of a file."""
    raw = bytearray(path.read_bytes())
    raw[int(place * (len(raw) - 1))] ^= 16
    path.write_bytes(raw)


@pytest.mark.parametrize("place", [0.3, 0.7, 1.0])
@pytest.mark.parametrize("number", [1, 3])
def test_a_flipped_bit_sets_no_tag(folder, inside, number, place):
    """Wherever it is, also in the last chunk, which the known size tells from a missing end."""
    damaged(folder / f"release.{number:03d}.tar.age", place)
    with pytest.raises(IntegrityError):
        run_import([folder], inside)
    assert inside.repository("in/app").resolve("1") is None


@pytest.mark.parametrize("kept", [0.001, 0.5, 0.9999])
def test_a_volume_that_is_cut_short_sets_no_tag(folder, inside, kept):
    """It is incomplete, whether the cut is in the front, in a piece or in the seal."""
    path = folder / "release.002.tar.age"
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * kept)])
    with pytest.raises(IncompleteBundleError):
        run_import([folder], inside)
    assert inside.repository("in/app").resolve("1") is None


def test_chunks_of_a_file_in_another_order_are_found_out(folder, inside):
    """Each is bound to its place."""
    path = folder / "release.001.tar.age"
    raw = path.read_bytes()
    start = raw.index(b"\n", raw.index(b"\n--- ") + 1) + 1 + 16
    size = 65_552
    one, two = raw[start + size * 4 :][:size], raw[start + size * 5 :][:size]
    path.write_bytes(raw[: start + size * 4] + two + one + raw[start + size * 6 :])
    with pytest.raises(AirgapError) as caught:
        run_import([folder], inside)
    assert caught.value.exit_code == 20
