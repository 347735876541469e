"""What a registry lacks for a bundle, and the bundle of exactly that."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airgap.errors import MissingBaseError
from airgap.record.inventory import Inventory
from airgap.transfer.against import read_need
from airgap.transfer.destination import Destination
from airgap.transfer.export import ExportOptions, export_images
from airgap.transfer.missing import MissingOptions, find_missing
from tests.support import builders
from tests.support.differentials import put_blob, told
from tests.support.embedded import EmbeddedRegistry, Status
from tests.support.transfers import (
    assert_holds,
    bring,
    catalog_of,
    export,
    open_client,
    pack_into,
    sent,
)

OS = builders.layer(40_000, seed=1)
LIBS = builders.layer(30_000, seed=2)
APP = builders.image(layers=(OS, LIBS, 2000), seed=1)
WEB = builders.image(layers=(OS, 1000), seed=2)
MADE = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)


def missing(path: Path | Any, inside: EmbeddedRegistry, **options: Any) -> Inventory:
    """Ask for what is missing."""
    with open_client() as client:
        to = Destination.parse(inside.host)
        return find_missing(path, to, client=client, options=MissingOptions(made=MADE, **options))


@pytest.fixture(name="names")
def names_outside(outside: EmbeddedRegistry) -> dict[str, str]:
    """Two images outside that share a layer."""
    builders.push(outside.repository("app"), APP, tag="1")
    builders.push(outside.repository("web"), WEB, tag="1")
    return {"app": f"{outside.host}/app:1", "web": f"{outside.host}/web:1"}


@pytest.fixture(name="update")
def update_bundle(names: dict[str, str], tmp_path: Path) -> Path:
    """Their bundle, which leaves the large layers to the receiver."""
    path = tmp_path / "update.tar"
    export(names.values(), path, known=told({"app": [OS, LIBS], "web": [OS]}))
    return path


def test_a_need_names_what_is_missing_and_for_which_images(update, inside, names):
    """The blobs that are nowhere, their sizes and their images by source name are in the need."""
    put_blob(inside.repository("web"), OS)
    inside.clear()
    need = missing(update, inside, by="Zoë")
    assert (need.kind, need.place, need.by) == ("need", inside.host, "Zoë")
    assert need.need == catalog_of(update).id
    assert [(digest, size) for digest, size, _ in need.blobs()] == [
        (LIBS.descriptor.digest, LIBS.descriptor.size)
    ]
    assert [tuple(image) for image in need.images] == [(names["app"], APP.digest)]
    assert Inventory.parse(need.raw).id == need.id
    assert sent(inside) == []


def test_a_need_of_a_registry_that_has_everything_is_empty(update, inside):
    """Where nothing is missing, the need names nothing."""
    for blob in (OS, LIBS):
        put_blob(inside.repository("app"), blob)
    need = missing(update, inside)
    assert (need.blob_count, tuple(need.images)) == (0, ())


def test_a_need_looks_where_the_import_would(update, inside):
    """Names, repositories to mount from and images that are asked for mean what they mean there."""
    put_blob(inside.repository("mirror"), OS)
    put_blob(inside.repository("mirror"), LIBS)
    assert missing(update, inside).blob_count == 2
    assert missing(update, inside, mount_from=("mirror",)).blob_count == 0
    assert missing(update, inside, only=("**/web",)).blob_count == 1
    host = missing(update, inside, keep_host=True)
    assert host.blob_count == 2
    assert inside.count("HEAD", r"^/v2/127\.0\.0\.1-\d+/app/blobs/") == 2


def test_a_need_is_found_of_a_pipe(update, inside):
    """The beginning of a pipe says all that is asked for."""
    with update.open("rb") as file:
        assert missing(file, inside).blob_count == 2


def test_a_registry_that_cannot_tell_makes_no_need(update, inside):
    """An error is never taken for a blob that is missing."""
    inside.fail(Status(500), path="/blobs/", times=99)
    with pytest.raises(Exception, match="500"):
        missing(update, inside)


def test_a_lost_base_comes_back_by_its_need(update, inside, names, tmp_path):
    """Refused, asked for, exported exactly, imported, and the first bundle is whole in the end."""
    with pytest.raises(MissingBaseError):
        bring(update, inside.host)
    put_blob(inside.repository("web"), OS)
    file = tmp_path / "need.inventory"
    file.write_bytes(missing(update, inside).raw)
    need, supplement = read_need(file), tmp_path / "need.tar"
    with open_client() as client:
        options = ExportOptions(known=need.known)
        export_images(need.references, supplement, client=client, options=options)
    carried = catalog_of(supplement)
    assert [digest for digest, _ in carried.blobs] == [LIBS.descriptor.digest]
    assert [base.kind for base in carried.bases] == ["need"]
    result = bring(supplement, inside.host)
    assert [image.outcome for image in result.images] == ["waiting"]
    assert result.failed == ()
    assert str(catalog_of(update).id) in " ".join(result.notes)
    assert inside.repository("app").has_blob(LIBS.descriptor)
    assert inside.repository("app").resolve("1") is None
    bring(update, inside.host)
    assert_holds(inside, "app", APP, "1")
    assert_holds(inside, "web", WEB, "1")
    inside.clear()
    again = bring(supplement, inside.host)
    assert [image.outcome for image in again.images] == ["present"]
    assert again.notes == ()
    assert sent(inside) == []


def test_a_supplement_that_comes_last_completes_its_images(inside, tmp_path):
    """Where all the rest is there, a supplement's images are whole and tagged at once."""
    rest = [blob for blob in APP.blobs if blob is not LIBS]
    for blob in rest:
        put_blob(inside.repository("app"), blob)
    path = pack_into(tmp_path, {"app:1": APP}, known=told({"app": rest}, kind="need"))
    result = bring(path, inside.host)
    assert [image.outcome for image in result.images] == ["pushed"]
    assert_holds(inside, "app", APP, "1")
    assert inside.count("PUT", re.escape(str(LIBS.descriptor.digest))) == 1
