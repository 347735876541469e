"""Attacks with inventories, receipts, needs and locks: an export builds on nothing that is forged.

And where a record is right but of another place, the receiver finds out before anything is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airgap.bundle.catalog import Catalog
from airgap.errors import AirgapError, BundleFormatError
from airgap.oci.digest import Digest
from airgap.record.inventory import Inventory
from airgap.record.lock import Lock
from airgap.record.receipt_format import parse_receipt
from airgap.transfer.records import open_record
from airgap.trust import signed
from airgap.trust.keys import PrivateKey
from airgap.trust.signatures import KeySignature, Signatures
from tests.support import builders
from tests.support.builders import Content
from tests.support.bundles import differential, make_bundle
from tests.support.command_line import Outcome, airgap, assert_refused
from tests.support.embedded import EmbeddedRegistry
from tests.support.inventories import make_inventory
from tests.support.known import inventory, need
from tests.support.receipts import make_receipt
from tests.support.signing import revoking, trust_file, write_public
from tests.support.transfers import catalog_of, sent

A, STRANGER, REVOKER = (PrivateKey.generate("ed25519") for _ in range(3))
APP = builders.image(layers=(30_000, 2000), seed=1)
NEXT = builders.image(layers=(APP.blobs[1], 3000), seed=2)
HELD = inventory({"app:1": APP}).raw
OTHER = inventory({"app:1": builders.image(seed=9)}).raw
RECEIPT = make_receipt().raw
LACKING = need(Digest.of(b"a bundle"), {"example.com/app:1": APP}, []).raw
RECORDS = {
    "inventory": ("--against", HELD),
    "receipt": ("--against", RECEIPT),
    "need": ("--exactly", LACKING),
}


def by(key: PrivateKey, raw: bytes, of: bytes | None = None) -> bytes:
    """A record with the signature of a key, of something else where that is given."""
    return signed.join(raw, Signatures.sign(raw if of is None else of, [key]).to_bytes())


def forged(raw: bytes) -> bytes:
    """A signature that says it is by the trusted key, made with another one."""
    document = Signatures((KeySignature(A.id, STRANGER.sign(raw)),)).to_bytes()
    return signed.join(raw, document)


def moved(raw: bytes) -> bytes:
    """A signed record that was changed so that it is still well formed."""
    changed = raw.replace(b"2026-01-31", b"2026-01-30").replace(b"2026-11-25", b"2026-11-24")
    assert changed != raw
    return by(A, changed, of=raw)


def newer(raw: bytes) -> bytes:
    changed = raw.replace(b'"formatVersion":1', b'"formatVersion":2', 1)
    assert changed != raw
    return by(A, changed)


def revoked(raw: bytes) -> bytes:
    """Signed by the trusted key, with the list that takes it back."""
    list_ = revoking([A], REVOKER)
    return signed.join(raw, Signatures.sign(raw, [A], revocations=list_).to_bytes())


ATTACKS: dict[str, tuple[Callable[[bytes], bytes], int, str]] = {
    "unsigned": (lambda raw: raw, 21, "is not signed"),
    "by a stranger": (lambda raw: by(STRANGER, raw), 21, "not trusted"),
    "forged": (forged, 21, "is wrong"),
    "changed": (moved, 21, "changed after signing"),
    "the signature of another": (lambda raw: by(A, raw, of=OTHER), 21, "is wrong"),
    "cut in the record": (lambda raw: by(A, raw[:-9], of=raw), 22, ""),
    "cut in the signatures": (lambda raw: by(A, raw)[:-30], 21, "cut short"),
    "signatures of a cut record": (lambda raw: by(A, raw[: len(raw) // 2]), 22, ""),
    "signatures cut off": (lambda raw: by(A, raw).partition(signed.BEGIN)[0], 21, "is not signed"),
    "newer": (newer, 22, "version 2"),
    "by a key that is revoked": (revoked, 21, "is revoked"),
}


@pytest.fixture(name="trusted")
def trusted_keys(tmp_path: Path) -> Path:
    """A trust file with the key of the other side and a revoker."""
    return trust_file(tmp_path, ("inside", A, ""), ("security", REVOKER, "revoker = true"))


@pytest.fixture(name="source")
def filled_registry(outside: EmbeddedRegistry) -> EmbeddedRegistry:
    """A registry with two releases, of which nothing was asked yet."""
    builders.push(outside.repository("app"), APP, tag="1")
    builders.push(outside.repository("app"), NEXT, tag="2")
    outside.clear()
    return outside


def export_on(
    source: EmbeddedRegistry, folder: Path, option: str, raw: bytes, *more: object
) -> Outcome:
    """Export with a record."""
    path = folder / "record"
    path.write_bytes(raw)
    names = () if option == "--exactly" else (f"{source.host}/app:2",)
    return airgap("export", "images", *names, option, path, "-o", folder / "u.tar", *more)


def assert_not_exported(source: EmbeddedRegistry, folder: Path) -> None:
    """No registry was asked for anything, and no file was begun."""
    assert source.count() == 0
    assert not list(folder.glob("u.tar*"))


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("record", RECORDS)
def test_an_export_builds_on_no_record_that_is_not_signed_well(
    source, trusted, tmp_path, record, attack
):
    """Neither on what the receiver is to hold nor on what it is to need; nothing is asked for."""
    option, raw = RECORDS[record]
    spoil, code, says = ATTACKS[attack]
    done = export_on(source, tmp_path, option, spoil(raw), "--trust", trusted)
    assert_refused(done, code, "signature" if code == 21 else "bundle-format", says)
    assert_not_exported(source, tmp_path)


def test_the_same_record_signed_well_is_built_on(source, trusted, tmp_path):
    """So that it is the attack for which the others are refused."""
    done = export_on(source, tmp_path, "--against", by(A, HELD), "--trust", trusted)
    assert done.code == 0, done.err
    assert APP.blobs[1].descriptor.digest in {b.digest for b in catalog_of(tmp_path / "u.tar").held}


def test_what_the_system_trusts_holds_for_records(source, tmp_path, monkeypatch):
    """Options of the user do not loosen it for what an export builds on."""
    system = tmp_path / "etc"
    trust_file(system, ("inside", A, ""))
    monkeypatch.setattr("airgap.cli.settings.SYSTEM_FILE", system / "airgap.toml")
    [mine] = write_public(tmp_path, mine=STRANGER)
    for raw in (HELD, by(STRANGER, HELD)):
        for options in ((), ("--trust", mine)):
            done = export_on(source, tmp_path, "--against", raw, *options)
            assert done.code == 21, done.err
            assert_not_exported(source, tmp_path)


def test_a_key_beside_a_record_is_not_read(source, tmp_path, trusted):
    """Who can swap an inventory can put a key beside it."""
    stick = tmp_path / "stick"
    trust_file(stick, ("inside", STRANGER, ""))
    write_public(stick, inside=STRANGER)
    done = export_on(source, stick, "--against", by(STRANGER, HELD), "--trust", trusted)
    assert_refused(done, 21, "signature", "not trusted")
    assert_not_exported(source, stick)


def bring_update(registry: EmbeddedRegistry, folder: Path) -> Outcome:
    return airgap("import", "bundle", folder / "u.tar", "--to", registry.host)


def assert_base_is_missed(done: Outcome, registry: EmbeddedRegistry) -> None:
    """The guard named what is missing, and nothing was sent."""
    digest = APP.blobs[1].descriptor.digest
    assert done.code == 23, done.err
    assert "error[missing-base]" in done.err
    assert f"/app:2 lacks 1 blob ({APP.blobs[1].descriptor.size / 1000:.1f} kB): {digest}" in (
        done.err
    )
    assert sent(registry) == []
    assert list(registry.depot.repositories()) == []


def test_an_inventory_of_another_registry_is_found_out_by_the_receiver(
    source, inside, trusted, tmp_path
):
    """Swapped for one that the same key signed, it passes outside and fails inside."""
    done = export_on(source, tmp_path, "--against", by(A, HELD), "--trust", trusted)
    assert done.code == 0, done.err
    assert_base_is_missed(bring_update(inside, tmp_path), inside)


def test_a_receipt_that_is_replayed_for_another_registry_is_found_out_by_the_receiver(
    source, inside, tmp_path
):
    """What arrived in one registry is not in the other one, whoever signed the receipt."""
    (tmp_path / "inside.key").write_bytes(A.to_pem())
    [public] = write_public(tmp_path, inside=A)
    name = f"{source.host}/app:1"
    assert airgap("export", "images", name, "-o", tmp_path / "1.tar").code == 0
    with EmbeddedRegistry() as elsewhere:
        done = airgap(
            "import", "bundle", tmp_path / "1.tar", "--to", elsewhere.host,
            "--receipt", tmp_path / "1.receipt", "--sign", tmp_path / "inside.key",
        )  # fmt: skip
        assert done.code == 0, done.err
        raw = (tmp_path / "1.receipt").read_bytes()
        done = export_on(source, tmp_path, "--against", raw, "--trust", public)
        assert done.code == 0, done.err
        [base] = catalog_of(tmp_path / "u.tar").bases
        assert (base.kind, base.place) == ("receipt", elsewhere.host)
        assert_base_is_missed(bring_update(inside, tmp_path), inside)
        assert bring_update(elsewhere, tmp_path).code == 0


def test_the_receipt_of_a_bundle_that_was_refused_proves_nothing(source, inside, tmp_path):
    """It names what a stranger's bundle says it carries, and no export leaves any of that out."""
    for name, key in (("inside", A), ("stranger", STRANGER)):
        (tmp_path / f"{name}.key").write_bytes(key.to_pem())
    [public] = write_public(tmp_path, inside=A)
    bundle, receipt = tmp_path / "1.tar", tmp_path / "1.receipt"
    words = (f"{source.host}/app:1", "-o", bundle, "--sign", tmp_path / "stranger.key")
    assert airgap("export", "images", *words).code == 0
    done = airgap(
        "import", "bundle", bundle, "--to", inside.host, "--trust", public,
        "--receipt", receipt, "--sign", tmp_path / "inside.key",
    )  # fmt: skip
    assert done.code == 21, done.err
    assert sent(inside) == []
    done = export_on(source, tmp_path, "--against", receipt.read_bytes(), "--trust", public)
    assert done.code == 0, done.err
    assert catalog_of(tmp_path / "u.tar").held == ()
    assert APP.blobs[1].descriptor.digest in dict(catalog_of(tmp_path / "u.tar").blobs)


def test_no_need_is_found_for_a_bundle_that_nobody_trusted_signed(
    source, inside, tmp_path, monkeypatch
):
    """A courier's own bundle would name images, and a signed need make the other side send them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    trust_file(tmp_path / "config/airgap", ("release", A, ""))
    for name, key in (("release", A), ("stranger", STRANGER)):
        (tmp_path / f"{name}.key").write_bytes(key.to_pem())
    held = tmp_path / "held"
    held.write_bytes(by(A, HELD))
    for signing, code in ((), 21), (("stranger",), 21), (("release",), 0):
        path, need_file = tmp_path / f"{len(signing)}{code}.tar", tmp_path / "need.inventory"
        words = [word for name in signing for word in ("--sign", tmp_path / f"{name}.key")]
        done = airgap(
            "export", "images", f"{source.host}/app:2", "--against", held, "-o", path, *words
        )
        assert done.code == 0, done.err
        done = airgap(
            "export", "inventory", "--from", inside.host, "--missing-for", path, "-o", need_file
        )
        assert done.code == code, done.err
        assert need_file.exists() == (code == 0)
        assert (inside.count() == 0) == (code != 0)
    assert open_record(need_file).content.need == catalog_of(path).id


def locked(content: Content, registry: EmbeddedRegistry, folder: Path) -> bytes:
    """The lock of an image."""
    path = folder / "images.lock"
    done = airgap("lock", f"{registry.host}/app:1", f"{registry.host}/app:2", "-o", path)
    assert done.code == 0, done.err
    raw = path.read_bytes()
    assert str(content.digest).encode() in raw
    return raw


def export_lock(registry: EmbeddedRegistry, folder: Path, raw: bytes) -> Outcome:
    path = folder / "forged.lock"
    path.write_bytes(raw)
    registry.clear()
    return airgap("export", "images", "-f", path, "-o", folder / "u.tar")


def test_a_lock_takes_no_place_of_what_must_be_signed(source, trusted, tmp_path):
    """What a file is shows in its content, which may have been exchanged; its name was typed."""
    raw = locked(APP, source, tmp_path)
    source.clear()
    done = export_on(source, tmp_path, "--against", raw, "--trust", trusted)
    assert_refused(done, 21, "signature", "its name does not say so")
    assert_not_exported(source, tmp_path)
    more = ("--against", tmp_path / "images.lock", "-o", tmp_path / "u.tar", "--trust", trusted)
    assert airgap("export", "images", f"{source.host}/app:2", *more).code == 0


def test_a_forged_lock_gives_nothing_under_a_wrong_digest(source, tmp_path):
    """A digest that the source does not have is an error; nothing else is taken for it."""
    raw = locked(APP, source, tmp_path)
    fake = raw.replace(APP.digest.hex.encode(), Digest.of(b"fake").hex.encode())
    done = export_lock(source, tmp_path, fake)
    assert done.code == 10, done.err
    assert f"does not have the manifest app@{Digest.of(b'fake')}" in done.err
    assert not (tmp_path / "u.tar").exists()


def test_a_lock_with_swapped_digests_says_so(source, tmp_path):
    """It gives what it says and tells that the source calls something else by that name."""
    one, two = APP.digest.hex.encode(), NEXT.digest.hex.encode()
    raw = locked(APP, source, tmp_path).replace(one, b"?").replace(two, one).replace(b"?", two)
    done = export_lock(source, tmp_path, raw)
    assert done.code == 0, done.err
    for tag, content in (("1", APP), ("2", NEXT)):
        assert f"{source.host}/app:{tag} is {content.digest} now" in done.err
    images = {i.reference.tag: i.digest for i in catalog_of(tmp_path / "u.tar").images}
    assert images == {"1": NEXT.digest, "2": APP.digest}


def test_a_lock_that_is_cut_anywhere_is_refused(source, tmp_path):
    """Also between two images, and in the digits of a size: nothing is left out in silence."""
    raw = locked(APP, source, tmp_path)
    assert len(Lock.parse(raw).images) == 2
    for end in range(len(raw.rstrip())):
        with pytest.raises(BundleFormatError):
            Lock.parse(raw[:end])
    done = export_lock(source, tmp_path, raw[: raw.rindex(b"[[image]]")])
    assert_refused(done, 22, "bundle-format", "was cut short")
    assert_not_exported(source, tmp_path)


CATALOG = differential(make_bundle(), [next(iter(make_bundle().contents))]).catalog.raw
TRICKS = {
    "a letter that looks like another": "to\u043el",
    "a letter that nobody sees": "to\u200bol",
    "a turn of direction": "to\u202eol",
    "a composed letter": "too\u0301l",
    "a wide letter": "\uff54ool",
    "a control character": "to\u001bol",
    "a line break": "to\nol",
    "a way out": "../tool",
    "half of a character": "to\ud800ol",
}
FIELDS = {
    "the name of an image": '"example.com/tool:2"',
    "the registry of an image": '"tool.example.com/x:2"',
    "the tag of an image": '"example.com/x:tool"',
    "the place of a base": '"tool:5000"',
    "the repository of a blob": '"team/tool"',
}
OLD = {
    "the place of a base": '"registry.internal:5000"',
    "the repository of a blob": '"team/app"',
}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("trick", [None, *TRICKS])
def test_a_name_with_a_trick_makes_a_catalog_none(field, trick):
    """Names are of plain letters, so that no two look the same and none obeys a terminal."""
    old = OLD.get(field, '"example.com/tool:2"')
    assert old.encode() in CATALOG
    text = FIELDS[field]
    if trick is None:
        Catalog.parse(CATALOG.replace(old.encode(), text.encode()))
        return
    shown = text.replace("tool", TRICKS[trick]).replace("\n", "\\n").replace("\x1b", "\\u001b")
    raw = CATALOG.replace(old.encode(), shown.encode(errors="surrogatepass"))
    with pytest.raises(AirgapError) as caught:
        Catalog.parse(raw)
    assert isinstance(caught.value, BundleFormatError)
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("trick", TRICKS)
def test_a_name_with_a_trick_makes_no_record(trick):
    """Neither an inventory nor a receipt nor a lock has such a name of an image or repository."""
    text = TRICKS[trick].encode(errors="surrogatepass")
    held = make_inventory([(Digest.of(b"x"), 1, "tool")], [("tool:1", Digest.of(b"x"))]).raw
    length = held.count(b"tool") * (len(text) - len(b"tool"))
    was, grown = b'"nameBytes":12', b'"nameBytes":%d' % (12 + length)
    assert was in held
    with pytest.raises(BundleFormatError):
        Inventory.parse(held.replace(b"tool", text).replace(was, grown))
    escaped = text.replace(b"\n", b"\\n").replace(b"\x1b", b"\\u001b")
    for name in (b"docker.io/library/app:1", b"mirror/library/app"):
        assert name in RECEIPT
        with pytest.raises(BundleFormatError):
            parse_receipt(RECEIPT.replace(name, name.replace(b"app", escaped)))
    assert parse_receipt(RECEIPT.replace(b"library/app", b"library/abb"))
