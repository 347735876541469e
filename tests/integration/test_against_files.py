"""What --against and --exactly take: told by what is in a file, and refused by name."""

from __future__ import annotations

import gzip
import os
import tracemalloc

import pytest

from airgap.errors import (
    AirgapError,
    BundleFormatError,
    ContentNotFoundError,
    ExitCode,
    SettingsError,
    SignatureError,
)
from airgap.record.inventory import Inventory
from airgap.record.lock import Lock
from airgap.record.receipt import Receipt
from airgap.transfer.against import read_need
from airgap.transfer.records import Contents, open_record
from airgap.trust import signed
from airgap.trust.keys import PrivateKey
from airgap.trust.signatures import Signatures
from tests.support import builders
from tests.support.builders import AMD64, ARM64
from tests.support.command_line import airgap, assert_refused
from tests.support.differentials import against
from tests.support.inventories import builder, make_inventory
from tests.support.known import inventory, need
from tests.support.receipts import make_receipt
from tests.support.signing import revoking, trust_file
from tests.support.transfers import catalog_of, export

APP = builders.image(layers=(2000, 100), seed=1)
HELD = inventory({"team/app:1.0": APP})
RECEIPT = make_receipt()
LOCK = Lock.build([])
NEED = need(RECEIPT.bundle, {"example.com/team/app:1.0": APP}, [APP.blobs[1].descriptor.digest])


@pytest.fixture
def bundle(outside, tmp_path):
    """A bundle of an image."""
    builders.push(outside.repository("team/app"), APP, tag="1.0")
    export(f"{outside.host}/team/app:1.0", tmp_path / "b.tar")
    return tmp_path / "b.tar"


@pytest.fixture
def written(tmp_path):
    """Writes bytes under a name that says nothing, and gives its path."""

    def write(raw, name="thing"):
        path = tmp_path / name
        path.write_bytes(raw)
        return path

    return write


@pytest.mark.parametrize(
    ("raw", "kind", "own_id"),
    [
        (HELD.raw, Inventory, HELD.id),
        (RECEIPT.raw, Receipt, RECEIPT.id),
        (LOCK.to_bytes(), Lock, LOCK.id),
        (NEED.raw, Inventory, NEED.id),
    ],
)
def test_what_is_in_a_file_tells_what_it_is(written, raw, kind, own_id):
    """The name of the file does not matter, and its id is that of what was signed."""
    record = open_record(written(raw))
    assert isinstance(record.content, kind)
    assert record.id == own_id
    assert record.signatures == b""


@pytest.mark.parametrize("raw", [HELD.raw, RECEIPT.raw])
def test_signatures_are_no_part_of_a_record(written, raw):
    """The id stays the same whoever signs."""
    document = Signatures.sign(raw, [PrivateKey.generate("ed25519")]).to_bytes()
    record = open_record(written(signed.join(raw, document)))
    assert (record.payload, record.signatures) == (raw, document)
    assert record.id == open_record(written(raw)).id


def test_a_bundle_is_opened_whatever_it_is_called(bundle, written, tmp_path):
    """A bundle, its folder and its catalog alone are contents with the bundle's id."""
    catalog = catalog_of(bundle)
    (tmp_path / "folder").mkdir()
    os.link(bundle, tmp_path / "folder" / "x")
    for path in (bundle, tmp_path / "folder", written(catalog.raw)):
        record = open_record(path)
        assert isinstance(record.content, Contents)
        assert record.id == catalog.id
    assert open_record(bundle).content.documents.keys() == {APP.digest}


def swapped(raw, old, new):
    assert old in raw
    return raw.replace(old, new)


NEWER = b'"formatVersion":1', b'"formatVersion":9'
REFUSED = {
    "nothing": (b"", "says nothing"),
    "a list": (b"nginx:1.27\n", "says nothing"),
    "noise": (bytes(range(256)) * 10, "says nothing"),
    "another document": (b'{"mediaType":"application/json"}', "says nothing"),
    "a compressed one": (gzip.compress(HELD.raw), "says nothing"),
    "HTML": (b"<html>login</html>", "says nothing"),
    "JSON that is cut": (RECEIPT.raw[:-10], "damaged"),
    "a receipt that is cut early": (RECEIPT.raw[:60], "cut short"),
    "a catalog that is cut": (b'{"mediaType":"application/vnd.airgap.catalog.v1+json"', "damaged"),
    "an inventory that is cut": (HELD.raw[:-3], "cut short"),
    "an inventory with more": (HELD.raw + b"x", "behind its end"),
    "an inventory cut in its header": (HELD.raw[:100], ""),
    "a newer inventory": (swapped(HELD.raw, *NEWER), "reads up to 1"),
    "a newer receipt": (swapped(RECEIPT.raw, *NEWER), "reads up to 1"),
    "a receipt of a new kind": (swapped(RECEIPT.raw, b"receipt.v1", b"receipt.v2"), "newer airgap"),
    "an inventory of a new kind": (swapped(HELD.raw, b"tory.v1", b"tory.v2"), "newer airgap"),
    "a demand": (swapped(HELD.raw, b'"requires":[]', b'"requires":["x"]'), "requires what"),
    "an inventory called a receipt": (swapped(HELD.raw, b"inventory.v1", b"receipt.v1+json"), ""),
    "a receipt called a catalog": (swapped(RECEIPT.raw, b"receipt.v1", b"catalog.v1"), ""),
    "signatures that are cut": (signed.join(HELD.raw, b"{}")[:-3], ""),
    "an age file": (b"age-encryption.org/v1\n-> X25519 x\n", "is encrypted"),
    "a tar": (b"x".ljust(257, b"\0") + b"ustar\x0000" + bytes(10_000), ""),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_says_nothing_is_refused(written, raw, said):
    """The error names the file in one printable line, has a hint, and exits with 20 to 23."""
    path = written(raw)
    with pytest.raises(AirgapError) as caught:
        open_record(path)
    error = caught.value
    assert said in error.message
    assert str(path) in error.message
    assert error.message.isprintable()
    assert error.hint
    assert 20 <= error.exit_code <= 23


def test_every_byte_of_an_inventory_counts(written):
    """Whichever byte is changed, it is refused or has another id: a swap never goes unseen."""
    for place in range(0, len(HELD.raw), 3):
        raw = bytearray(HELD.raw)
        raw[place] ^= 1
        try:
            record = open_record(written(bytes(raw)))
        except AirgapError:
            continue
        assert record.id != HELD.id


def test_no_file_and_no_reader_of_pipes(tmp_path):
    """What is not there is not found, and a named pipe is refused without waiting for a writer."""
    with pytest.raises(ContentNotFoundError):
        open_record(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BundleFormatError):
        open_record(tmp_path / "pipe")


@pytest.mark.parametrize("kind", ["inventory", "receipt"])
@pytest.mark.parametrize(
    ("raw", "said"),
    [(b"", "is no {}"), (b"nginx:1.27", "is no {}"), (RECEIPT.raw[:60], "cut short")],
)
def test_a_command_for_one_kind_of_record_names_that_kind(written, kind, raw, said):
    """Nobody who checks a receipt is told to give a bundle or a lock file instead."""
    done = airgap("verify", kind, written(raw))
    assert_refused(done, 22, "bundle-format", said.format(kind))
    assert "lock file" not in done.err
    assert "bundle or" not in done.err


@pytest.mark.parametrize("kind", ["inventory", "receipt"])
def test_a_folder_is_no_record(kind, bundle, tmp_path):
    """It is refused as such, and not for the bundles in it."""
    done = airgap("verify", kind, bundle.parent)
    assert_refused(done, 22, "bundle-format", f"{bundle.parent} is no {kind}")


def test_a_registry_is_no_file_to_export_against(outside, tmp_path):
    """The hint says how its inventory is made."""
    name, output = f"{outside.host}/team/app:1.0", tmp_path / "u.tar"
    done = airgap("export", "images", name, "--against", outside.host, "-o", output)
    assert_refused(done, 10, "content-not-found", "`airgap export inventory --from REGISTRY`")


@pytest.mark.parametrize(
    "command",
    [
        ("export", "images", "example.com/a:1", "-o", "{bundle}.new", "--lock", "-"),
        ("import", "bundle", "{bundle}", "--to", "127.0.0.1:1", "--receipt", "-"),
    ],
)
def test_no_file_is_called_like_standard_output(bundle, command, tmp_path, monkeypatch):
    """Elsewhere - stands for it, so no file of this name is what somebody wants."""
    monkeypatch.chdir(tmp_path)
    done = airgap(*(part.format(bundle=bundle) for part in command))
    assert_refused(done, 2, "settings", "can be written to standard output", "name a file")
    assert not (tmp_path / "-").exists()


def test_an_inventory_is_in_memory_once(written):
    """Its tables are read where they lie, and the file is not put together from parts."""
    made = builder()
    for number in range(100_000):
        made.add_link(number.to_bytes(32, "big"), number, made.add_repository("team/app"))
    path = written(made.build().raw)
    size = path.stat().st_size
    tracemalloc.start()
    try:
        assert open_record(path).content.blob_count == 100_000
        assert tracemalloc.get_traced_memory()[1] < 1.8 * size
    finally:
        tracemalloc.stop()


def test_a_need_is_not_taken_for_an_inventory(written, tmp_path):
    """What is missing is not what is there, and the other way round; hints say what to use."""
    lacking, there = written(NEED.raw), written(HELD.raw, "other")
    with pytest.raises(SettingsError) as caught:
        against([lacking])
    assert "--exactly" in caught.value.hint
    with pytest.raises(SettingsError) as caught:
        read_need(there)
    assert "--against" in caught.value.hint


def test_an_inventory_of_a_bundle_names_sources(written):
    """What was told of a bundle or layout has the source's names, and so counts as a bundle."""
    told = make_inventory(
        [(APP.blobs[1].descriptor.digest, APP.blobs[1].descriptor.size, "example.com/team/app")],
        kind="bundle",
        place="",
    )
    known = against([written(told.raw)])
    found = known.find(APP.blobs[1].descriptor, ["example.com/team/app"])
    assert (found.base.kind, found.repository) == ("bundle", "example.com/team/app")


def test_a_lock_of_some_platforms_speaks_of_these_alone(outside, tmp_path):
    """Layers of a platform that the lock leaves out are not taken to be with the receiver."""
    image = builders.multi_platform((AMD64, ARM64), seed=3, layers=(3000,))
    builders.push(outside.repository("team/app"), image, tag="1.0")
    name, lock = f"{outside.host}/team/app:1.0", tmp_path / "amd64.lock"
    assert airgap("lock", name, "--platform", "linux/amd64", "-o", lock).code == ExitCode.OK
    assert asked(outside, lock, tmp_path).code == ExitCode.OK
    catalog = catalog_of(tmp_path / "u.tar")
    amd64, arm64 = ({blob.descriptor.digest for blob in c.blobs} for c in image.children[:2])
    assert amd64 <= {blob.digest for blob in catalog.held}
    assert arm64 <= {digest for digest, _ in catalog.blobs}


@pytest.fixture
def keys(tmp_path):
    """A key that is trusted, and one that is not; the public one lies in a file."""
    one, other = PrivateKey.generate("ed25519"), PrivateKey.generate("ed25519")
    (tmp_path / "inside.pub").write_bytes(one.public.to_pem())
    return one, other


def asked(outside, path, tmp_path, *more):
    """An export against a file, by the command."""
    name = f"{outside.host}/team/app:1.0"
    return airgap("export", "images", name, "--against", path, "-o", tmp_path / "u.tar", *more)


@pytest.mark.usefixtures("bundle")
def test_trust_reaches_what_an_export_builds_on(outside, keys, written, tmp_path):
    """Signed by the right key it counts; unsigned, or by another key, or swapped, it is refused."""
    right, wrong = keys
    trust = ("--trust", tmp_path / "inside.pub")

    def signed_by(key, raw=HELD.raw, over=HELD.raw):
        return written(signed.join(raw, Signatures.sign(over, [key]).to_bytes()))

    made = asked(outside, signed_by(right), tmp_path, *trust)
    assert made.code == ExitCode.OK, made.err
    assert catalog_of(tmp_path / "u.tar").blobs == ()
    (tmp_path / "u.tar").unlink()
    other = inventory({"team/app:1.0": builders.image(seed=9)}).raw
    for path in (
        written(HELD.raw),
        signed_by(wrong),
        signed_by(right, raw=other),
    ):
        refused = asked(outside, path, tmp_path, *trust)
        assert refused.code == ExitCode.SIGNATURE, refused.err
        assert str(path) in refused.err
        assert not (tmp_path / "u.tar").exists()
    assert asked(outside, written(HELD.raw), tmp_path).code == ExitCode.OK


def test_a_cut_trailer_is_no_record_without_signatures(written):
    """Somebody who cuts into the signatures does not get an unsigned record out of it."""
    whole = signed.join(
        HELD.raw, Signatures.sign(HELD.raw, [PrivateKey.generate("ed25519")]).to_bytes()
    )
    for end in range(len(HELD.raw) + 1, len(whole)):
        with pytest.raises((SignatureError, BundleFormatError)):
            open_record(written(whole[:end]))


def test_a_lock_is_no_word_of_another_side(outside, bundle, keys, tmp_path):
    """Where signatures are demanded, a list of one's own counts without any."""
    lock = tmp_path / "images.lock"
    assert airgap("lock", f"{outside.host}/team/app:1.0", "-o", lock).code == ExitCode.OK
    done = asked(outside, lock, tmp_path, "--trust", tmp_path / "inside.pub")
    assert done.code == ExitCode.OK, done.err
    assert catalog_of(tmp_path / "u.tar").blobs == ()


def test_revocations_that_come_with_a_record_are_kept(outside, bundle, written, tmp_path):
    """A key that an inventory takes back signs nothing any more, whatever comes after it."""
    lost, other, revoker = (PrivateKey.generate("ed25519") for _ in range(3))
    trust = trust_file(
        tmp_path, ("lost", lost, ""), ("other", other, ""), ("security", revoker, "revoker = true")
    )

    def by(key, revocations=b""):
        document = Signatures.sign(HELD.raw, [key], revocations=revocations).to_bytes()
        done = asked(outside, written(signed.join(HELD.raw, document)), tmp_path, "--trust", trust)
        (tmp_path / "u.tar").unlink(missing_ok=True)
        return done

    assert by(lost).code == ExitCode.OK
    assert by(other, revoking([lost], revoker)).code == ExitCode.OK
    done = by(lost)
    assert done.code == ExitCode.SIGNATURE
    assert "lost is revoked" in done.err


def test_who_says_nothing_new_is_told_from_who_knows_nothing(outside, bundle, written, tmp_path):
    """Of two that tell the same the first is believed, and the second says nothing more."""
    name, other = f"{outside.host}/team/app:1.0", written(make_inventory([]).raw, "other")
    command = ("export", "images", name, "-o", tmp_path / "u.tar", "--dry-run")
    lines = airgap(*command, "--against", bundle, "--against", written(HELD.raw)).out.splitlines()
    said = [line for line in lines if line.startswith("left to the receiver by")]
    assert [line.endswith(": nothing more") for line in said] == [False, True]
    lines = airgap(*command, "--against", other).out.splitlines()
    assert any(line.endswith(": nothing") for line in lines)
