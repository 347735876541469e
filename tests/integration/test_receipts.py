"""Receipts of imports: what they say, however the bundle came."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyrage
import pytest

from airgap.trust import signed
from airgap.trust.keys import PrivateKey
from airgap.trust.signatures import Signatures
from tests.support import builders
from tests.support.command_line import airgap, assert_refused
from tests.support.differentials import pack_against, put_blob, told
from tests.support.embedded import EmbeddedRegistry
from tests.support.receipted import outcomes, read, take
from tests.support.transfers import catalog_of, export

BASE = builders.layer(40_000, seed=1)
APP = builders.image(layers=(BASE, 2000), seed=1)
WEB = builders.image(layers=(3000,), seed=2)
MULTI = builders.multi_platform(seed=3)


@pytest.fixture(name="receipt")
def receipt_file(tmp_path: Path) -> Path:
    """Where the receipt goes."""
    return tmp_path / "out.receipt"


def test_a_receipt_names_everything_that_arrived(pack, inside, receipt):
    """Every image, manifest and blob is there, with its repository and how it came."""
    tag, cosign = builders.cosign_signature(MULTI.descriptor)
    bundle = pack({"app:1": APP, "multi:1": MULTI}, referrers=[("multi", cosign, tag)])
    done = take(bundle, inside, receipt, "--by", "Zoë")
    assert done.code == 0, done.err
    found = read(receipt)
    catalog = catalog_of(bundle)
    assert (found.bundle, found.bases) == (catalog.id, ())
    assert (found.registry, found.prefix, found.by) == (inside.host, "mirror", "Zoë")
    assert (found.outcome, found.error, found.failed) == ("complete", None, ())
    assert found.started <= found.finished
    assert outcomes(found) == {"app:1": "pushed", "multi:1": "pushed"}
    assert {m.digest for m in found.manifests} == {m.digest for m in catalog.manifests}
    assert {(b.digest, b.size) for b in found.blobs} == set(catalog.blobs)
    assert {(t.repository, t.tag, t.digest) for t in found.tags} == {
        ("mirror/multi", tag, cosign.digest)
    }
    assert found.log is not None
    assert f"receipt: {receipt} (complete), {found.id}" in done.out


def test_the_receipt_of_a_second_import_says_that_all_was_there(pack, inside, receipt):
    """What is there already is told from what was sent; the first receipt is replaced."""
    bundle = pack({"app:1": APP})
    take(bundle, inside, receipt)
    first = read(receipt)
    assert {entry.outcome for entry in first.blobs} == {"pushed"}
    assert {entry.outcome for entry in first.manifests} == {"pushed"}
    assert take(bundle, inside, receipt).code == 0
    again = read(receipt)
    assert outcomes(again) == {"app:1": "present"}
    assert {entry.outcome for entry in (*again.blobs, *again.manifests)} == {"present"}
    assert [e.digest for e in again.blobs] == [e.digest for e in first.blobs]
    assert again.log is not None
    assert first.log is not None
    assert again.log.length == first.log.length + 1


def test_a_receipt_is_the_same_however_the_bundle_came(pack, outside, inside, receipt, tmp_path):
    """A file, a pipe, volumes and encrypted files leave receipts of the same content."""
    bundle = pack({"app:1": APP})
    catalog = catalog_of(bundle)
    key = pyrage.x25519.Identity.generate()
    (tmp_path / "key.txt").write_text(str(key))
    builders.push(outside.repository("app"), APP, tag="1")
    made = airgap(
        "export", "images", f"{outside.host}/app:1", "-o", tmp_path / "e.tar",
        "--encrypt-to", str(key.to_public()),
    )  # fmt: skip
    assert made.code == 0, made.err
    encrypted = tmp_path / "e.tar.age"
    said = []
    for number, (source, more) in enumerate(
        [
            ((bundle,), {}),
            (("-",), {"stdin": bundle.read_bytes()}),
            ((encrypted, "--identity", tmp_path / "key.txt"), {}),
        ]
    ):
        with EmbeddedRegistry() as registry:
            path = tmp_path / f"{number}.receipt"
            done = take(source[0], registry, path, *source[1:], **more)
            assert done.code == 0, done.err
            found = read(path)
            said.append((outcomes(found), found.blobs, found.manifests, found.outcome))
    assert said[0] == said[1] == said[2]
    assert {entry.digest for entry in said[0][1]} == {digest for digest, _ in catalog.blobs}


def test_a_receipt_from_several_media_covers_all_of_them(outside, inside, receipt, tmp_path):
    """Each medium alone leaves a receipt of what came; the last names what was there before."""
    big = builders.image(layers=(900_000, 900_000, 900_000), seed=5)
    builders.push(outside.repository("app"), big, tag="1")
    folder = tmp_path / "volumes"
    folder.mkdir()
    export(f"{outside.host}/app:1", folder / "b.tar", volume_size=1_100_000)
    first, *others = sorted(folder.iterdir())
    state = ("--state", tmp_path / "state")
    done = take(first, inside, receipt, *state)
    assert done.code == 23
    found = read(receipt)
    assert (found.outcome, found.error.code if found.error else "") == ("failed", "incomplete")
    assert outcomes(found) == {"app:1": "waiting"}
    came = {entry.digest for entry in found.blobs}
    assert came
    for path in others:
        done = take(path, inside, receipt, *state)
    assert done.code == 0, done.err
    found = read(receipt)
    assert (found.outcome, outcomes(found)) == ("complete", {"app:1": "pushed"})
    assert {e.digest for e in found.blobs if e.outcome == "present"} >= came


def test_a_receipt_over_media_that_are_asked_for_joins_the_passes(
    outside, inside, receipt, tmp_path
):
    """One run that is given one medium after the other leaves one receipt of all that it sent."""
    big = builders.image(layers=(900_000, 900_000, 900_000), seed=5)
    builders.push(outside.repository("app"), big, tag="1")
    folder, usb = tmp_path / "volumes", tmp_path / "usb"
    folder.mkdir()
    usb.mkdir()
    export(f"{outside.host}/app:1", folder / "b.tar", volume_size=1_100_000)
    volumes = sorted(folder.iterdir())
    volumes[0].rename(usb / volumes[0].name)
    following = f"mv {folder}/* {usb}/"
    done = take(usb, inside, receipt, "--state", tmp_path / "s", "--next-command", following)
    assert done.code == 0, done.err
    found = read(receipt)
    assert (found.outcome, outcomes(found)) == ("complete", {"app:1": "pushed"})
    assert {entry.outcome for entry in found.blobs} == {"pushed"}
    assert {(e.digest, e.size) for e in found.blobs} == set(catalog_of_folder(usb))


def catalog_of_folder(folder: Path) -> tuple[Any, ...]:
    """The blobs that volumes say they carry."""
    from airgap.bundle.reader import open_bundle

    with open_bundle([folder]) as reader:
        return reader.catalog.blobs


def test_a_receipt_says_what_was_mounted_copied_and_left_out(inside, receipt, tmp_path):
    """What came from within the registry is told apart, and images nobody asked for are left."""
    put_blob(inside.repository("team/os"), BASE)
    bundle = pack_against(tmp_path, {"app:1": APP, "web:1": WEB}, {"team/os": [BASE]})
    assert take(bundle, inside, receipt, "--only", "**/app").code == 0
    found = read(receipt)
    assert outcomes(found) == {"app:1": "pushed", "web:1": "left"}
    assert found.outcome == "complete"
    [entry] = [entry for entry in found.blobs if entry.digest == BASE.descriptor.digest]
    assert (entry.repository, entry.outcome) == ("mirror/app", "mounted")
    assert [base.kind for base in found.bases] == ["inventory"]


def test_a_receipt_is_signed_on_wish(pack, inside, receipt, tmp_path):
    """The signature covers the receipt's bytes and stands behind them."""
    key = PrivateKey.generate("ed25519")
    (tmp_path / "inside.key").write_bytes(key.to_pem())
    done = take(pack({"app:1": APP}), inside, receipt, "--sign", tmp_path / "inside.key")
    assert done.code == 0, done.err
    payload, document = signed.split(receipt.read_bytes())
    [signature] = Signatures.parse(document).by_key
    assert key.public.verify(payload, signature.value)
    assert read(receipt).raw == payload


@pytest.mark.parametrize("content", [b"my thesis", b"{}", b""])
def test_a_file_that_is_no_receipt_is_not_replaced(pack, inside, receipt, content):
    """What lies under the receipt's name is left alone, and nothing is imported."""
    receipt.write_bytes(content)
    assert_refused(take(pack({"app:1": APP}), inside, receipt), 40, "conflict")
    assert receipt.read_bytes() == content
    assert list(inside.depot.repositories()) == []


def test_the_receipt_of_another_import_is_not_replaced(pack, inside, receipt):
    """A receipt of another bundle or registry stays, and nothing is imported under its name."""
    assert take(pack({"app:1": APP}), inside, receipt).code == 0
    before = receipt.read_bytes()
    done = take(pack({"web:1": WEB}), inside, receipt)
    assert_refused(done, 40, "conflict", "another name")
    assert inside.repository("mirror/web").resolve("1") is None
    assert receipt.read_bytes() == before


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--dry-run",), "a dry run has no receipt"),
        (("--by", "a\u202eb"), "--by takes"),
        (("--mount-from", "No/Such"), "is not a repository"),
    ],
)
def test_options_that_make_no_sense_are_refused(pack, inside, receipt, more, said):
    """What cannot be is said before anything is asked."""
    done = take(pack({"app:1": APP}), inside, receipt, *more)
    assert done.code == 2
    assert said in done.err
    assert inside.seen == []
    assert not receipt.exists()


def test_a_receipt_needs_a_folder_and_a_signature_a_receipt(pack, inside, tmp_path):
    """A receipt cannot go where there is no folder; what is about one is no wish without one."""
    bundle = pack({"app:1": APP})
    assert take(bundle, inside, tmp_path / "no" / "r").code == 2
    assert take(bundle, inside, tmp_path).code == 2
    assert take(bundle, inside, Path("/dev/null")).code == 2
    for more in (("--sign", tmp_path / "k"), ("--by", "Ada")):
        done = airgap("import", "bundle", bundle, "--to", inside.host, *more)
        assert_refused(done, 2, "settings", "--receipt FILE")
    assert inside.seen == []


def test_the_json_result_names_the_receipt(pack, inside, receipt):
    """Scripts find the receipt's file, id and outcome in the result."""
    done = take(pack({"app:1": APP}), inside, receipt, "--json")
    [result] = [line for line in done.lines if line["type"] == "result"]
    found = read(receipt)
    assert result["receipt"] == {
        "path": str(receipt),
        "id": str(found.id),
        "outcome": "complete",
    }
    assert result["blobs_copied"] == 0
    assert re.fullmatch(r"\S+@\S+", json.loads(found.raw)["by"])


def test_a_receipt_serves_as_what_the_receiver_has(pack, outside, inside, receipt, tmp_path):
    """The next export leaves out what the receipt names, and the next import finds it."""
    assert take(pack({"app:1": APP}), inside, receipt).code == 0
    newer = builders.image(layers=(BASE, 5000), seed=9)
    builders.push(outside.repository("app"), newer, tag="2")
    update = tmp_path / "update.tar"
    made = airgap("export", "images", f"{outside.host}/app:2", "-o", update, "--against", receipt)
    assert made.code == 0, made.err
    carried = {digest for digest, _ in catalog_of(update).blobs}
    assert BASE.descriptor.digest not in carried
    done = airgap("import", "bundle", update, "--to", f"{inside.host}/mirror")
    assert done.code == 0, done.err
    assert inside.repository("mirror/app").resolve("2").digest == newer.digest


def test_a_supplement_leaves_a_partial_receipt_of_waiting_images(pack, inside, receipt):
    """Images that wait for another bundle are told as waiting, and the command exits with 0."""
    bundle = pack({"app:1": APP}, known=told({"app": [BASE]}, kind="need"))
    done = take(bundle, inside, receipt)
    assert done.code == 0, done.err
    assert "waiting for more" in done.out
    found = read(receipt)
    assert (found.outcome, outcomes(found)) == ("partial", {"app:1": "waiting"})
    assert found.failed == ()
