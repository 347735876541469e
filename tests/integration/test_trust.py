"""Bundles that are not signed as somebody demands are refused everywhere, and nothing is sent."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from airgap.bundle.catalog import Catalog, CatalogImage
from airgap.bundle.layout import plan_layout
from airgap.oci.document import canonical_bytes
from airgap.oci.reference import Reference
from airgap.trust.signatures import KeySignature, Signatures
from tests.support import builders
from tests.support.bundles import MadeBundle, flip, pack, signed, tiny_bundle, unpack
from tests.support.command_line import airgap
from tests.support.embedded import EmbeddedRegistry
from tests.support.signing import MADE, SIGNED, STRANGER, WAYS, A, B, bring, refused, signed_by
from tests.support.transfers import sent


def with_document(**changes):
    """The signed bundle with changes in its document of signatures."""
    value = json.loads(SIGNED.catalog.signatures) | changes
    return signed(MADE, canonical_bytes(value)).data


def with_members(**changes):
    """The signed bundle with other members: None takes one away."""
    parts = unpack(SIGNED.data)
    names = {"index": "index.json", "manifest": "manifest.json", "catalog": "airgap/catalog.json"}
    for key, change in changes.items():
        parts[names[key]] = change(parts[names[key]])
    return pack(parts.items())


def renamed():
    """A bundle whose catalog names another image, with the signatures of what it was."""
    catalog = MADE.catalog
    images = [
        CatalogImage(Reference.parse("example.com/evil:2"), image.digest)
        if image.reference.tagged == "example.com/tool:2"
        else image
        for image in catalog.images
    ]
    other = Catalog.build(
        images=images,
        referrers=catalog.referrers,
        manifests=catalog.manifests,
        blobs=catalog.blobs,
        omitted=catalog.omitted,
    )
    other = dataclasses.replace(other, signatures=SIGNED.catalog.signatures)
    return MadeBundle(plan_layout(other, MADE.documents), MADE.documents, MADE.contents).data


def entry(key, value):
    return signed(MADE, Signatures((KeySignature(key.id, value),)).to_bytes()).data


ATTACKS = {
    "unsigned": (MADE.data, "is not signed"),
    "forged": (entry(A, STRANGER.sign(MADE.catalog.raw)), "is wrong"),
    "truncated": (entry(A, A.sign(MADE.catalog.raw)[:-1]), "is wrong"),
    "unknown key": (signed_by(MADE, STRANGER).data, STRANGER.id.short),
    "of another bundle": (signed_by(MADE, A, of=tiny_bundle()).data, "changed after signing"),
    "catalog changed": (renamed(), "changed after signing"),
    "swapped": (
        signed(
            MADE,
            Signatures(
                (
                    KeySignature(A.id, B.sign(MADE.catalog.raw)),
                    KeySignature(B.id, A.sign(MADE.catalog.raw)),
                )
            ).to_bytes(),
        ).data,
        "is wrong",
    ),
    "no list of signatures": (with_document(signatures={}), "damaged"),
    "a key twice": (
        with_document(signatures=json.loads(SIGNED.catalog.signatures)["signatures"] * 2),
        "each key once",
    ),
    "another kind of document": (with_document(mediaType="application/json"), "another kind"),
    "ten thousand unknown keys": (
        signed(
            MADE,
            Signatures(
                tuple(KeySignature(dataclasses.replace(A.id, hex=f"{n:064x}"[::-1]), b"x" * 9)
                      for n in range(8_000))
            ).to_bytes(),
        ).data,
        "and 7996 more",
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_bundle_that_is_not_signed_well_is_refused(inside, release, tmp_path, attack, way):
    """By name, before anything is sent, from a file and from a pipe."""
    data, says = ATTACKS[attack]
    done = bring(inside, tmp_path, data, way, "--trust", release)
    refused(done, inside, says)
    assert inside.count() == 0, "it is not even asked for anything"


@pytest.mark.parametrize("way", WAYS)
def test_a_bundle_that_is_signed_is_imported(inside, release, tmp_path, way):
    """And who signed it is said."""
    done = bring(inside, tmp_path, SIGNED.data, way, "--trust", release)
    assert done.code == 0, done.err
    assert f"signed by release ({A.id.short})" in done.err
    assert inside.repository("tool").resolve("2") is not None
    done = bring(inside, tmp_path, SIGNED.data, way, "--trust", release, "--json")
    assert done.lines[-1]["signers"] == [{"name": "release", "key": str(A.id)}]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("changes", [{"formatVersion": 2}, {"requires": ["quantum"]}])
def test_signatures_of_a_newer_airgap_are_refused_as_such(inside, release, tmp_path, changes, way):
    """They are not called wrong."""
    done = bring(inside, tmp_path, with_document(**changes), way, "--trust", release)
    refused(done, inside, "newer format", code=22, kind="bundle-format")


def rename_member(raw):
    return raw.replace(b"example.com/tool", b"example.com/evil")


CHANGED = {
    "index.json": with_members(index=rename_member),
    "manifest.json": with_members(manifest=rename_member),
    "a member more": pack(
        part
        for name, content in unpack(SIGNED.data).items()
        for part in (
            [(name, content), ("airgap/extra.json", b"{}")]
            if name == "airgap/signatures.json"
            else [(name, content)]
        )
    ),
    "signatures too large": pack(
        (name, b"{" + b" " * (1 << 20) + b"}" if name == "airgap/signatures.json" else content)
        for name, content in unpack(SIGNED.data).items()
    ),
    "signatures too deep": pack(
        (name, b'{"a":' * 99 + b"1" + b"}" * 99 if name == "airgap/signatures.json" else content)
        for name, content in unpack(SIGNED.data).items()
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("change", CHANGED)
def test_a_front_that_the_catalog_does_not_explain_is_refused(
    inside, release, tmp_path, change, way
):
    """Other engines would read it: a signed bundle says the same to all, or nothing is sent."""
    assert CHANGED[change] != SIGNED.data
    done = bring(inside, tmp_path, CHANGED[change], way, "--trust", release)
    refused(done, inside, code=22, kind="bundle-format")


@pytest.mark.parametrize("way", WAYS)
def test_the_signatures_cannot_just_be_cut_out(inside, release, tmp_path, way):
    """Without the member nobody has signed, whatever else stands there."""
    parts = unpack(SIGNED.data)
    del parts["airgap/signatures.json"]
    done = bring(inside, tmp_path, pack(parts.items()), way, "--trust", release)
    assert done.code in (21, 22)
    assert sent(inside) == []


@pytest.mark.parametrize("way", WAYS)
def test_a_blob_that_was_changed_after_signing_is_refused(inside, release, tmp_path, way):
    """The signature is right, and covers each blob by its digest; no image appears."""
    extent = max(SIGNED.layout.blobs, key=lambda found: found.length)
    data = flip(SIGNED.data, extent.offset + 10)
    done = bring(inside, tmp_path, data, way, "--trust", release)
    assert done.code == 20, done.err
    names = [name for name in sent(inside) if "/manifests/" in name]
    assert names == []


@pytest.mark.parametrize("word", ["verify", "serve", "export"])
@pytest.mark.parametrize("made", [MADE, signed_by(MADE, STRANGER)], ids=["unsigned", "unknown"])
def test_a_bundle_that_is_not_trusted_is_refused_everywhere(release, tmp_path, word, made):
    """Verify finds it, serve does not start, and an export does not take from it."""
    path = made.write(tmp_path)
    commands = {
        "verify": ("verify", "bundle", path),
        "serve": ("serve", path, "--listen", "127.0.0.1:0"),
        "export": ("export", "images", "--from", path, "-o", tmp_path / "new.tar"),
    }
    done = airgap(*commands[word], "--trust", release)
    assert done.code == 21, done.err
    assert "error[signature]" in done.err
    assert not (tmp_path / "new.tar").exists()


def test_verify_names_the_signature_among_what_is_wrong(release, tmp_path):
    """And everything else that is wrong with the bundle, too: 21 comes before 20."""
    extent = max(MADE.layout.blobs, key=lambda found: found.length)
    path = MADE.write(tmp_path, flip(MADE.data, extent.offset + 10))
    done = airgap("verify", "bundle", path, "--trust", release, "--json")
    kinds = [finding["kind"] for finding in done.lines[-2]["findings"]]
    assert sorted(kinds) == ["digest-mismatch", "signature"]
    assert (done.code, done.lines[-1]["code"]) == (21, "signature")


def test_verify_says_that_signatures_are_newer_and_checks_all_else(release, tmp_path):
    """Nothing can be said of them, and the content is whole: both are told."""
    path = tmp_path / "bundle.tar"
    path.write_bytes(with_document(formatVersion=2))
    done = airgap("verify", "bundle", path, "--trust", release, "--json")
    [finding] = done.lines[-2]["findings"]
    assert finding["kind"] == "signature"
    assert "newer format" in finding["message"]
    assert done.lines[-2]["blobs"] == len(MADE.contents)
    assert done.code == 21


def test_a_signed_bundle_is_verified(release, tmp_path):
    """With the name of who signed it."""
    made = SIGNED.write(tmp_path)
    done = airgap("verify", "bundle", made, "--trust", release)
    assert done.code == 0, done.err
    assert "signed by release" in done.err
    done = airgap("verify", "bundle", made, "--trust", release, "--json")
    assert done.lines[-1]["signers"] == [{"name": "release", "key": str(A.id)}]
    assert airgap("verify", "bundle", made, "--json").lines[-1]["signers"] == []


def test_without_trust_signatures_are_not_looked_at(inside, tmp_path):
    """Whoever demands nothing gets what the bundle says, whatever stands in the document."""
    done = bring(inside, tmp_path, with_document(formatVersion=9), "pipe")
    assert done.code == 0


def test_the_first_of_several_media_is_enough_to_refuse(inside, release, tmp_path):
    """Its front holds the catalog and the signatures, and nothing of it is sent."""
    with EmbeddedRegistry() as outside:
        content = builders.image(layers=(900_000, 900_000, 900_000), seed=4)
        builders.push(outside.repository("app"), content, tag="1")
        done = airgap(
            "export", "images", f"{outside.host}/app:1", "-o", tmp_path / "v.tar",
            "--volume-size", "1100000",
        )  # fmt: skip
        assert done.code == 0, done.err
    first = sorted(tmp_path.glob("v*.tar"))[0]
    stick = tmp_path / "stick"
    stick.mkdir()
    shutil.copy(first, stick)
    done = airgap("import", "bundle", stick, "--to", inside.host, "--trust", release)
    refused(done, inside, "is not signed")
    assert not list(Path(tmp_path).rglob("*.piece"))
