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
from airgap.trust.keys import PrivateKey
from airgap.trust.signatures import KeySignature, Signatures
from tests.support import builders
from tests.support.bundles import MadeBundle, flip, make_bundle, pack, signed, tiny_bundle, unpack
from tests.support.command_line import airgap, assert_refused
from tests.support.embedded import EmbeddedRegistry
from tests.support.signing import revoking, signed_by, trust_file, write_public
from tests.support.transfers import sent

A, B = PrivateKey.generate("ed25519"), PrivateKey.generate("ecdsa-p256")
STRANGER, REVOKER = PrivateKey.generate("ed25519"), PrivateKey.generate("ecdsa-p256")
MADE = make_bundle()
SIGNED = signed_by(MADE, A)
WAYS = ["file", "pipe"]


@pytest.fixture
def inside():
    """A registry that notes what it is asked."""
    with EmbeddedRegistry() as registry:
        yield registry


@pytest.fixture
def release(tmp_path):
    """The public key that is trusted."""
    [path] = write_public(tmp_path, release=A)
    return path


def bring(registry, tmp_path, data, way, *arguments):
    """Import a bundle's bytes, from a file or a pipe."""
    options = ("--to", registry.host, *arguments)
    if way == "pipe":
        return airgap("import", "bundle", "-", *options, stdin=data)
    folder = tmp_path / "stick"
    folder.mkdir(exist_ok=True)
    (folder / "bundle.tar").write_bytes(data)
    return airgap("import", "bundle", folder / "bundle.tar", *options)


def refused(done, registry, *said, code=21, kind="signature"):
    """The error, and that nothing was asked for that could change something."""
    assert_refused(done, code, kind, *said)
    assert sent(registry) == []


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


def test_the_dates_of_a_key_count(inside, tmp_path):
    """One that has expired, and one that is not valid yet."""
    for line, says in (
        ("not-after = 2020-12-31", "expired on 2020-12-31"),
        ("not-before = 2999-01-01", "not valid before 2999-01-01"),
    ):
        path = trust_file(tmp_path, ("release", A, line))
        refused(bring(inside, tmp_path, SIGNED.data, "pipe", "--trust", path), inside, says)
    path = trust_file(tmp_path, ("release", A, "not-before = 2020-01-01\nnot-after = 2999-12-31"))
    assert bring(inside, tmp_path, SIGNED.data, "pipe", "--trust", path).code == 0


def test_several_signatures_are_demanded_of_different_keys(inside, tmp_path):
    """One key under two names is one key."""
    keys = write_public(tmp_path, one=A, again=A, two=B)
    trust = [text for path in keys for text in ("--trust", path)]
    done = bring(inside, tmp_path, SIGNED.data, "pipe", *trust, "--require", "2")
    refused(done, inside, "1 of 2")
    both = signed_by(MADE, A, B).data
    assert bring(inside, tmp_path, both, "pipe", *trust, "--require", "2").code == 0
    done = bring(inside, tmp_path, both, "pipe", *trust, "--require", "3")
    assert_refused(done, 2, "settings", "3 signatures are asked for")


@pytest.mark.parametrize("way", WAYS)
def test_a_signature_beside_the_bundle_counts(inside, release, tmp_path, way):
    """`airgap sign` writes it; a pipe needs it named."""
    made = MADE.write(tmp_path)
    key = tmp_path / "release.key"
    key.write_bytes(A.to_pem())
    before = made.read_bytes()
    assert airgap("sign", "bundle", made, "--key", key).code == 0
    [beside] = tmp_path.glob("*.sig")
    assert made.read_bytes() == before
    if way == "pipe":
        options = ("--to", inside.host, "--trust", release)
        refused(airgap("import", "bundle", "-", *options, stdin=before), inside, "not signed")
        named = ("--signature", beside)
        done = airgap("import", "bundle", "-", *options, *named, stdin=before)
    else:
        done = airgap("import", "bundle", made, "--to", inside.host, "--trust", release)
    assert done.code == 0, done.err


def test_nothing_beside_a_bundle_is_read_for_trust(inside, tmp_path):
    """Whoever can put a bundle on a stick can put a key there, too."""
    stick = tmp_path / "stick"
    trust_file(stick, ("release", STRANGER, ""))
    write_public(stick, release=STRANGER)
    (stick / "airgap.toml").write_text('trust = "release.pub"\n')
    [trusted] = write_public(tmp_path, release=A)
    bundle = signed_by(MADE, STRANGER).write(stick)
    done = airgap("import", "bundle", bundle, "--to", inside.host, "--trust", trusted)
    refused(done, inside, "not trusted")


def test_a_file_beside_the_bundle_that_is_no_signature_is_left_aside(inside, release, tmp_path):
    """It is told, and neither helps nor hinders."""
    stick = tmp_path / "stick"
    stick.mkdir()
    bundle = SIGNED.write(stick)
    (stick / "bundle.tar.sig").write_text("-----BEGIN PGP SIGNATURE-----\n")
    done = airgap("import", "bundle", bundle, "--to", inside.host, "--trust", release)
    assert done.code == 0
    assert "left aside" in done.err


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


def test_a_signed_bundle_is_verified(release, tmp_path):
    """With the name of who signed it."""
    done = airgap("verify", "bundle", SIGNED.write(tmp_path), "--trust", release)
    assert done.code == 0, done.err
    assert "signed by release" in done.err


@pytest.fixture
def system(tmp_path, monkeypatch):
    """The folder of the system's settings."""
    folder = tmp_path / "etc"
    folder.mkdir()
    monkeypatch.setattr("airgap.cli.settings.SYSTEM_FILE", folder / "airgap.toml")
    return folder


def test_what_the_system_demands_is_not_loosened(inside, system, tmp_path, monkeypatch):
    """By no option, variable or file of the user; and a bundle that satisfies both is taken."""
    trust_file(system, ("vendor", A, ""))
    [mine] = write_public(tmp_path, mine=STRANGER)
    foreign = signed_by(MADE, STRANGER).data
    refused(bring(inside, tmp_path, foreign, "pipe"), inside, "not trusted")
    refused(bring(inside, tmp_path, foreign, "pipe", "--trust", mine), inside, "not trusted")
    monkeypatch.setenv("AIRGAP_TRUST", str(mine))
    monkeypatch.setenv("AIRGAP_REQUIRE", "1")
    refused(bring(inside, tmp_path, foreign, "pipe"), inside, "not trusted")
    chosen = tmp_path / "chosen.toml"
    chosen.write_text("trust = []\n")
    done = bring(inside, tmp_path, foreign, "pipe", "--config", chosen)
    refused(done, inside, "not trusted")
    both = signed_by(MADE, A, STRANGER).data
    assert bring(inside, tmp_path, both, "pipe").code == 0


def test_what_the_system_demands_can_be_tightened(inside, system, tmp_path):
    """By more signatures of its keys, or by a key of the user's own."""
    trust_file(system, ("vendor", A, ""), ("auditor", B, ""))
    assert bring(inside, tmp_path, SIGNED.data, "pipe").code == 0
    inside.clear()
    done = bring(inside, tmp_path, SIGNED.data, "pipe", "--require", "2")
    refused(done, inside, "1 of 2")
    [mine] = write_public(tmp_path, mine=STRANGER)
    refused(bring(inside, tmp_path, SIGNED.data, "pipe", "--trust", mine), inside, "not trusted")
    system.joinpath("airgap.toml").write_text("require = 2\n")
    done = bring(inside, tmp_path, SIGNED.data, "pipe", "--require", "1")
    refused(done, inside, "1 of 2")


def test_trust_in_the_settings_counts_for_every_command(release, tmp_path, monkeypatch):
    """As an option does."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    trust_file(tmp_path / "xdg/airgap", ("release", A, ""))
    made = MADE.write(tmp_path)
    assert airgap("verify", "bundle", made).code == 21
    assert airgap("export", "images", "--from", made, "-o", tmp_path / "n.tar").code == 21
    assert airgap("serve", made, "--listen", "127.0.0.1:0").code == 21


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--require", "1"), "signatures are asked for"),
        (("--signature", "x.sig"), "nobody is trusted"),
        (("--trust", "no.pub"), "cannot be read"),
    ],
)
def test_options_that_make_no_sense_alone_are_refused(inside, tmp_path, arguments, says):
    """A demand that demands nothing is a mistake."""
    done = bring(inside, tmp_path, SIGNED.data, "pipe", *arguments)
    assert_refused(done, 2, "settings", says)
    assert sent(inside) == []


@pytest.fixture
def revoker(tmp_path):
    """A trust file with a release key and a revoker."""
    return trust_file(
        tmp_path, ("release", A, ""), ("next", B, ""), ("security", REVOKER, "revoker = true")
    )


def test_a_revoked_key_is_refused_and_stays_so(inside, revoker, tmp_path):
    """The list that one bundle brings counts for it and for later ones that lack it."""
    news = signed_by(MADE, A, revocations=revoking([A], REVOKER)).data
    done = bring(inside, tmp_path, news, "pipe", "--trust", revoker)
    refused(done, inside, "release is revoked: lost")
    done = bring(inside, tmp_path, SIGNED.data, "pipe", "--trust", revoker)
    refused(done, inside, "release is revoked: lost")
    other = signed_by(MADE, B).data
    assert bring(inside, tmp_path, other, "pipe", "--trust", revoker).code == 0


def test_an_older_list_and_one_by_a_stranger_change_nothing(inside, revoker, tmp_path):
    """Neither gives a revoked key back, nor takes another one away."""
    first = signed_by(MADE, B, revocations=revoking([A], REVOKER, serial=5)).data
    assert bring(inside, tmp_path, first, "pipe", "--trust", revoker).code == 0
    inside.clear()
    for revocations in (
        revoking([], REVOKER, serial=4),
        revoking([], REVOKER, serial=5),
        revoking([], A, serial=9),
        revoking([], STRANGER, serial=9),
    ):
        old = signed_by(MADE, A, revocations=revocations).data
        done = bring(inside, tmp_path, old, "pipe", "--trust", revoker)
        refused(done, inside, "release is revoked")
    stranger = signed_by(MADE, B, revocations=revoking([B], STRANGER, serial=9)).data
    done = bring(inside, tmp_path, stranger, "pipe", "--trust", revoker)
    assert done.code == 0
    assert "nobody who may revoke" in done.err


def test_a_list_that_was_changed_counts_for_nothing(inside, revoker, tmp_path):
    """Its signature covers all of it."""
    document = json.loads(revoking([B], REVOKER))
    document["list"] = document["list"].replace(B.id.hex, A.id.hex)
    changed = signed_by(MADE, A, revocations=canonical_bytes(document)).data
    assert bring(inside, tmp_path, changed, "pipe", "--trust", revoker).code == 0


def test_a_damaged_file_of_known_revocations_stops_all(inside, revoker, tmp_path, monkeypatch):
    """Nobody gives a revoked key back by damaging it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    state = tmp_path / "state/airgap/revocations.json"
    state.parent.mkdir(parents=True)
    state.write_text("{}")
    done = bring(inside, tmp_path, SIGNED.data, "pipe", "--trust", revoker)
    refused(done, inside, "known revocations")


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
