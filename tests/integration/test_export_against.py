"""Exports that send only what the receiver does not hold yet."""

from __future__ import annotations

import io
import json
import re
import tarfile
from contextlib import closing

import pyrage
import pytest

from airgap.content.age import Identities, Recipients
from airgap.errors import CancelledError, ContentNotFoundError, ExitCode
from airgap.oci.reference import Reference
from airgap.record.bases import Base
from airgap.record.receipt import ReceiptEntry, in_order
from airgap.run import Run
from airgap.transfer.decrypted import EncryptedBundle
from airgap.transfer.encrypted import Encryption
from airgap.transfer.export import ExportOptions, plan_export
from airgap.transfer.spread import Spread, Spreading, spread_images
from airgap.transfer.spread_state import SpreadFolder, spread_folder
from tests.support import builders
from tests.support.command_line import airgap
from tests.support.differentials import against
from tests.support.embedded import Status
from tests.support.inventories import make_inventory
from tests.support.known import inventory, known_by
from tests.support.receipts import make_receipt
from tests.support.transfers import (
    Recorder,
    assert_holds,
    assert_sound,
    bring,
    cancelling,
    catalog_of,
    export,
    open_client,
)

SHARED = builders.layer(1_500_000, seed=1)
OLD = builders.image(layers=(SHARED, 1000), seed=1)
NEW = builders.image(layers=(SHARED, 400_000), seed=2)
TRAVELS = {NEW.blobs[0].descriptor.digest, NEW.blobs[2].descriptor.digest}


@pytest.fixture
def app(outside, inside):
    """The new release outside, of which the old one is inside; gives its name."""
    repository = outside.repository("team/app")
    builders.push(repository, OLD, tag="1.0")
    builders.push(repository, NEW, tag="1.1")
    builders.push(inside.repository("team/app"), OLD, tag="1.0")
    return f"{outside.host}/team/app:1.1"


@pytest.fixture
def held(inside):
    """The inventory of the old release, as of the registry inside."""
    return inventory({"team/app:1.0": OLD}, place=inside.host)


@pytest.fixture
def file(held, tmp_path):
    """The inventory in a file."""
    path = tmp_path / "inside.inventory"
    path.write_bytes(held.raw)
    return path


def travelling(path):
    """The blobs of a bundle."""
    return {digest for digest, _ in catalog_of(path).blobs}


def test_only_what_is_missing_is_fetched_and_arrives(app, outside, inside, held, tmp_path):
    """The shared layer is not even asked for, and the image is whole on the other side."""
    result = export(app, tmp_path / "update.tar", known=known_by(held))
    assert travelling(tmp_path / "update.tar") == TRAVELS
    assert outside.count("GET", re.escape(str(SHARED.descriptor.digest))) == 0
    assert_sound(tmp_path / "update.tar")
    assert result.plan.left_bytes == SHARED.descriptor.size
    assert result.plan.bases == (Base("inventory", held.id, inside.host),)
    missing = sum(b.descriptor.size for b in NEW.blobs if b.descriptor.digest in TRAVELS)
    assert result.fetched_bytes == missing
    assert result.plan.bundle_size == pytest.approx(missing, abs=20_000)
    bring(tmp_path / "update.tar", inside.host)
    assert_holds(inside, "team/app", NEW, "1.1")


def test_where_nothing_is_missing_the_bundle_has_names_and_manifests(app, held, tmp_path):
    """It is made all the same, is small, and says so."""
    name = app.replace("1.1", "1.0")
    result = export(name, tmp_path / "same.tar", known=known_by(held))
    assert (tmp_path / "same.tar").stat().st_size < 1_000_000
    assert (result.fetched_bytes, result.plan.blob_count) == (0, 0)
    assert_sound(tmp_path / "same.tar")


def test_the_command_says_what_travels_and_what_does_not(app, file, held, tmp_path):
    """The dry run and the export name each image with what is left, by whose word, with sizes."""
    out = tmp_path / "update.tar"
    dry = airgap("export", "images", app, "--against", file, "-o", out, "--dry-run", "--json")
    plan = dry.lines[-1]
    size = SHARED.descriptor.size
    [image] = plan["images"]
    assert (image["left_blobs"], image["left_bytes"]) == (1, size)
    share = {"base": 0, "kind": "inventory", "id": str(held.id), "blobs": 1, "size": size}
    assert image["left_by"] == plan["left_by"] == [share]
    assert (plan["fetch_count"], plan["left_bytes"]) == (2, size)
    assert not out.exists()
    shown = airgap("export", "images", app, "--against", file, "-o", out, "--dry-run").out
    made = airgap("export", "images", app, "--against", file, "-o", out)
    assert made.code == 0, made.err
    for text in (shown, made.out):
        assert f"without 1 blob, 1.5 MB by inventory {held.id.short}" in text
        assert f"left to the receiver by inventory {held.id.short} of" in text
        assert "the receiver has every blob" not in text
    again = airgap("export", "images", app.replace("1.1", "1.0"), "--against", file, "-o", "-")
    assert "the receiver has every blob: the bundle carries manifests and names alone" in again.err


def test_bundles_layouts_and_catalogs_say_what_arrives(app, tmp_path):
    """An earlier bundle, one of its volumes, its catalog and a layout of it all say the same."""
    old = app.replace("1.1", "1.0")
    export(old, tmp_path / "old.tar")
    (tmp_path / "volumes").mkdir()
    export(old, tmp_path / "volumes" / "old.tar", volume_size=1 << 20)
    (tmp_path / "catalog.json").write_bytes(catalog_of(tmp_path / "old.tar").raw)
    first = tmp_path / "volumes" / "old.001.tar"
    with tarfile.open(tmp_path / "old.tar") as tar:
        tar.extractall(tmp_path / "layout", filter="data")
    places = (
        tmp_path / "old.tar",
        first,
        first.parent,
        tmp_path / "catalog.json",
        tmp_path / "layout",
    )
    made = set()
    for number, path in enumerate(places):
        out = tmp_path / f"{number}.update.tar"
        export(app, out, known=against([path]))
        assert travelling(out) == TRAVELS
        assert catalog_of(out).bases == (Base("bundle", catalog_of(tmp_path / "old.tar").id),)
        [left] = catalog_of(out).held
        assert left.repository == app.partition(":1.1")[0]
        made.add(out.read_bytes())
    assert len(made) == 1


def test_a_receipt_says_what_arrived(app, tmp_path):
    """What an import proved to be there is left, by the word of its receipt."""
    entries = [
        ReceiptEntry(blob.descriptor.digest, "team/app", blob.descriptor.size, "pushed")
        for blob in OLD.blobs
    ]
    receipt = make_receipt(registry="registry.internal:5000", blobs=in_order(entries))
    (tmp_path / "one.receipt").write_bytes(receipt.raw)
    export(app, tmp_path / "update.tar", known=against([tmp_path / "one.receipt"]))
    assert travelling(tmp_path / "update.tar") == TRAVELS
    catalog = catalog_of(tmp_path / "update.tar")
    assert catalog.bases == (Base("receipt", receipt.id, "registry.internal:5000"),)
    assert [blob.repository for blob in catalog.held] == ["team/app"]


def test_a_chain_builds_on_what_an_earlier_update_left(app, outside, held, tmp_path):
    """What the second bundle left to the receiver counts as held for the third."""
    export(app, tmp_path / "two.tar", known=known_by(held))
    last = builders.image(layers=(SHARED, builders.layer(400_000, seed=2001), 50), seed=3)
    builders.push(outside.repository("team/app"), last, tag="1.2")
    name = app.replace("1.1", "1.2")
    export(name, tmp_path / "three.tar", known=against([tmp_path / "two.tar"]))
    catalog = catalog_of(tmp_path / "three.tar")
    assert catalog.bases == (Base("bundle", catalog_of(tmp_path / "two.tar").id),)
    digests = {blob.digest for blob in catalog.held}
    assert SHARED.descriptor.digest in digests
    assert NEW.blobs[2].descriptor.digest in digests


def test_a_bundle_whose_volumes_are_not_all_here_says_what_it_carries(app, tmp_path):
    """One volume is enough: the catalog stands in each."""
    export(app.replace("1.1", "1.0"), tmp_path / "old.tar", volume_size=1 << 20)
    (tmp_path / "old.001.tar").unlink()
    export(app, tmp_path / "update.tar", known=against([tmp_path / "old.002.tar"]))
    assert travelling(tmp_path / "update.tar") == TRAVELS


def test_a_size_that_is_not_true_is_not_believed(app, tmp_path):
    """What the inventory says of another size travels, with a warning, and arrives."""

    liar = make_inventory([(SHARED.descriptor.digest, 7, "team/app")])
    recorder = Recorder()
    export(app, tmp_path / "update.tar", known=known_by(liar), run=Run(recorder))
    assert SHARED.descriptor.digest in travelling(tmp_path / "update.tar")
    [warning] = [event for event in recorder.events if getattr(event, "code", "") == "held-size"]
    assert "has 7 bytes and not" in warning.message


@pytest.fixture
def update(app, held, tmp_path):
    """The bytes of an undisturbed update."""
    (tmp_path / "clean").mkdir()
    export(app, tmp_path / "clean" / "u.tar", known=known_by(held))
    return (tmp_path / "clean" / "u.tar").read_bytes()


def test_an_interrupted_update_goes_on(app, held, update, outside, tmp_path):
    """The same command continues, and the result is that of an undisturbed run."""
    run, _ = cancelling(1, lambda event: type(event).__name__ == "BlobFinished")
    with pytest.raises(CancelledError):
        export(app, tmp_path / "u.tar", known=known_by(held), run=run)
    outside.clear()
    result = export(app, tmp_path / "u.tar", known=known_by(held))
    assert (tmp_path / "u.tar").read_bytes() == update
    assert result.fetched_bytes < sum(size for _, size in catalog_of(tmp_path / "u.tar").blobs)


def test_an_export_goes_on_against_an_inventory_that_came_later(app, held, update, tmp_path):
    """What was fetched without it and is wanted still is kept; the result is the update."""
    run, _ = cancelling(1, lambda event: type(event).__name__ == "BlobFinished")
    with pytest.raises(CancelledError):
        export(app, tmp_path / "u.tar", run=run)
    export(app, tmp_path / "u.tar", known=known_by(held))
    assert (tmp_path / "u.tar").read_bytes() == update


def test_a_pipe_gets_the_same_update(app, held, update):
    """Byte for byte."""
    stream = io.BytesIO()
    export(app, stream, known=known_by(held))
    assert stream.getvalue() == update


def test_volumes_and_media_take_an_update(app, held, outside, inside, tmp_path):
    """Volumes are of the same bundle, spread or not, and arrive."""

    big = builders.image(layers=(SHARED, builders.layer(1_800_000, seed=9)), seed=4)
    builders.push(outside.repository("team/app"), big, tag="2.0")
    name = app.replace("1.1", "2.0")
    (tmp_path / "split").mkdir()
    (tmp_path / "usb").mkdir()
    export(name, tmp_path / "split" / "u.tar", known=known_by(held), volume_size=1 << 20)
    with open_client() as client:
        spread_images(
            [Reference.parse(name)],
            tmp_path / "usb" / "u.tar",
            client=client,
            spreading=Spreading(tmp_path / "state"),
            options=ExportOptions(known=known_by(held), volume_size=1 << 20),
        )
    one, two = (sorted((tmp_path / name).glob("*.tar")) for name in ("split", "usb"))
    assert len(one) > 1
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    assert SHARED.descriptor.digest not in travelling(tmp_path / "usb")
    bring(tmp_path / "usb", inside.host)
    assert_holds(inside, "team/app", big, "2.0")


def test_an_update_can_be_encrypted(app, held, update, tmp_path):
    """What is inside is the same bundle."""
    key = pyrage.x25519.Identity.generate()
    encrypt = Encryption(Recipients.parse([str(key.to_public())]))
    export(app, tmp_path / "u.tar", known=known_by(held), encrypt=encrypt)
    [made] = tmp_path.glob("u*.age")
    assert pyrage.decrypt(made.read_bytes(), [key]) == update
    identity = tmp_path / "key"
    identity.write_text(str(key))
    bundle = EncryptedBundle([made], Identities.read([identity], str), run=Run())
    assert bundle is not None


def test_what_the_source_lacks_does_not_matter_where_the_receiver_has_it(
    app, outside, held, tmp_path
):
    """A blob that was collected at the source is left like any other; without a word it fails."""

    digest = re.escape(str(SHARED.descriptor.digest))
    outside.fail(Status(404), method="GET", path=digest, times=100)
    export(app, tmp_path / "update.tar", known=known_by(held))
    with pytest.raises(ContentNotFoundError):
        export(app, tmp_path / "whole.tar")


def test_a_plan_names_what_it_was_made_against_in_the_bundle(app, file, held, tmp_path):
    """`inspect` of the catalog finds the base, whatever the order of the options was."""
    empty = inventory({}, place="other.internal")
    (tmp_path / "empty").write_bytes(empty.raw)
    for name, files in (("a", [file, tmp_path / "empty"]), ("b", [tmp_path / "empty", file])):
        options = [part for path in files for part in ("--against", path)]
        done = airgap("export", "images", app, *options, "-o", tmp_path / f"{name}.tar")
        assert done.code == 0, done.err
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    value = json.loads(catalog_of(tmp_path / "a.tar").raw)
    assert {base["id"] for base in value["bases"]} == {str(held.id), str(empty.id)}
    assert value["requires"] == ["held-blobs"]


def test_the_library_plans_without_writing(app, held, tmp_path):
    """A plan against an inventory fetches no blob at all."""

    with open_client() as client:
        plan = plan_export(
            [Reference.parse(app)],
            tmp_path / "u.tar",
            client=client,
            options=ExportOptions(known=known_by(held)),
        )
    assert (plan.left_blobs, plan.fetch_count) == (1, 2)
    assert list(tmp_path.glob("u*")) == []


def test_another_inventory_is_another_export_to_media(app, held, tmp_path):
    """What was begun against one inventory is not finished against another."""
    (tmp_path / "usb").mkdir()
    out = tmp_path / "usb" / "u.tar"
    command = ("export", "images", app, "-o", out, "--spread", "--volume-size", "1MiB")
    state = ("--state", tmp_path / "state")
    (tmp_path / "inventory").write_bytes(held.raw)
    (tmp_path / "other").write_bytes(inventory({}, place="other.internal").raw)
    with open_client() as client:
        work = Spread([Reference.parse(app)], out, client, _options(held), Run())
        with closing(SpreadFolder(spread_folder(tmp_path / "state", out))) as folder:
            work.prepare(folder)
    done = airgap(*command, *state, "--against", tmp_path / "other")
    assert done.code == ExitCode.CONFLICT, done.err
    done = airgap(*command, *state, "--against", tmp_path / "inventory")
    assert done.code == 0, done.err
    assert f"left to the receiver by inventory {held.id.short} of" in done.out
    assert travelling(tmp_path / "usb") == TRAVELS


def _options(held):
    return ExportOptions(known=known_by(held), volume_size=1 << 20)


def test_parity_over_several_media_takes_an_update(app, held, inside, tmp_path):
    """The folder with parity over all volumes holds the update, and media take it from there."""
    (tmp_path / "usb").mkdir()
    (tmp_path / "inventory").write_bytes(held.raw)
    done = airgap(
        "export", "images", app, "-o", tmp_path / "usb" / "u.tar", "--spread",
        "--volume-size", "1MiB", "--parity", "1volume", "--scratch", tmp_path / "scratch",
        "--against", tmp_path / "inventory", "--state", tmp_path / "state",
    )  # fmt: skip
    assert done.code == ExitCode.INCOMPLETE, done.err  # a medium for the rest of the parity
    assert travelling(tmp_path / "usb") == TRAVELS
    bring(tmp_path / "usb", inside.host)
    assert_holds(inside, "team/app", NEW, "1.1")
