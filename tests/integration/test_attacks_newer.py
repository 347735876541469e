"""Files of newer versions: each command says so by name, exits with 22, and does nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from airgap.oci.document import canonical_bytes
from airgap.trust.keys import PrivateKey
from airgap.trust.revocations import RevocationList, Revocations
from airgap.trust.signatures import KeySignature
from tests.support import builders
from tests.support.bundles import make_bundle, pack, signed, unpack
from tests.support.command_line import airgap
from tests.support.custody import numbered
from tests.support.known import inventory, need
from tests.support.receipts import make_receipt
from tests.support.signing import revoking, signed_by, trust_file
from tests.support.transfers import sent

A, REVOKER = PrivateKey.generate("ed25519"), PrivateKey.generate("ed25519")
APP = builders.image(layers=(3000,), seed=1)
MADE = make_bundle()
VERSIONS = [(b'"formatVersion":1', b'"formatVersion":2'), (b'"requires":[]', b'"requires":["x"]')]
Change = Callable[[bytes], bytes]


def newer_list(change: Change) -> bytes:
    """A list of revoked keys of a newer version, rightly signed."""
    text = change(RevocationList.parse(revoking([A], REVOKER)).signed)
    signature = KeySignature(REVOKER.id, REVOKER.sign(text))
    return RevocationList(1, (), text, (signature,)).to_bytes()


def newer_catalog(change: Change) -> bytes:
    """A bundle whose catalog is of a newer version."""
    parts = unpack(MADE.data)
    catalog = "airgap/catalog.json"
    return pack((parts | {catalog: change(parts[catalog])}).items())


def newer_signatures(change: Change) -> bytes:
    raw = signed_by(MADE, A).catalog.signatures
    return signed(MADE, change(raw)).data


def revoking_bundle(change: Change) -> bytes:
    """A bundle that brings a list of a newer version."""
    value = json.loads(signed_by(MADE, A).catalog.signatures)
    value["revocations"] = json.loads(newer_list(change))
    return signed(MADE, canonical_bytes(value)).data


LOCK = b"version = 2\nplatforms = []\n\n[end]\n"
IMPORT = ("import", "bundle", "FILE", "--to", "INSIDE")
EXPORT = ("export", "images", "OUTSIDE/app:1", "-o", "OUT")
FILES: dict[str, tuple[Callable[[Change], bytes], tuple[str, ...]]] = {
    "a bundle": (newer_catalog, IMPORT),
    "a bundle that is looked at": (newer_catalog, ("inspect", "bundle", "FILE")),
    "signatures": (newer_signatures, (*IMPORT, "--trust", "TRUST")),
    "a list of revoked keys in a bundle": (revoking_bundle, (*IMPORT, "--trust", "TRUST")),
    "a list of revoked keys": (newer_list, (*EXPORT, "--sign", "KEY", "--revocations", "FILE")),
    "an inventory": (
        lambda change: change(inventory({"app:1": APP}).raw), (*EXPORT, "--against", "FILE"),
    ),
    "an inventory that is verified": (
        lambda change: change(inventory({"app:1": APP}).raw), ("verify", "inventory", "FILE"),
    ),
    "a need": (
        lambda change: change(need(MADE.catalog.id, {"example.com/app:1": APP}, []).raw),
        ("export", "images", "--exactly", "FILE", "-o", "OUT"),
    ),
    "a receipt": (lambda change: change(make_receipt().raw), (*EXPORT, "--against", "FILE")),
    "a receipt that is verified": (
        lambda change: change(make_receipt().raw), ("verify", "receipt", "FILE"),
    ),
    "a catalog": (lambda change: change(MADE.catalog.raw), (*EXPORT, "--against", "FILE")),
}  # fmt: skip


@pytest.fixture(name="run")
def command_runner(outside, inside, tmp_path):
    """Runs a command on a file."""
    builders.push(outside.repository("app"), APP, tag="1")
    outside.clear()
    trust = trust_file(tmp_path, ("release", A, ""), ("security", REVOKER, "revoker = true"))
    (tmp_path / "release.key").write_bytes(A.to_pem())
    places = {
        "FILE": tmp_path / "thing", "OUT": tmp_path / "out.tar", "TRUST": trust,
        "KEY": tmp_path / "release.key", "INSIDE": inside.host,
        "OUTSIDE/app:1": f"{outside.host}/app:1",
    }  # fmt: skip

    def run(raw: bytes, words: tuple[str, ...]):
        (tmp_path / "thing").write_bytes(raw)
        return airgap(*(places.get(word, word) for word in words))

    return run


@pytest.mark.parametrize("version", VERSIONS, ids=["version", "demand"])
@pytest.mark.parametrize("file", FILES)
def test_a_file_of_a_newer_version_is_refused_as_such(
    run, outside, inside, tmp_path, file, version
):
    """It is not called damaged or wrongly signed; the hint is to read it with a newer airgap."""
    make, words = FILES[file]

    def change(raw: bytes) -> bytes:
        assert version[0] in raw
        return raw.replace(*version, 1)

    done = run(make(change), words)
    assert done.code == 22, done.err
    assert "newer" in done.err.splitlines()[-1], done.err
    assert "damaged" not in done.err
    assert sent(inside) == []
    assert outside.count() == 0
    assert not list(tmp_path.glob("out.tar*"))


def test_a_lock_of_a_newer_version_is_refused_as_such(run, outside, tmp_path):
    """Nothing is exported of the part that would be understood."""
    for words in (("export", "images", "-f", "FILE", "-o", "OUT"), ("lock", "-f", "FILE")):
        done = run(LOCK, words)
        assert done.code == 22, done.err
        assert "version 2" in done.err
        assert "a newer one" in done.err
        assert outside.count() == 0
        assert not (tmp_path / "out.tar").exists()


def test_a_log_of_a_newer_version_is_not_built_upon(run, inside, tmp_path):
    """Its entries are not guessed at, and an import that needs the log ends before it sends."""
    lines = numbered(2)
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"".join(lines).replace(b'"formatVersion":1', b'"formatVersion":2'))
    before = path.read_bytes()
    done = airgap("log", "verify", path)
    assert done.code == 22, done.err
    words = (*IMPORT, "--receipt", str(tmp_path / "r"), "--custody-log", str(path))
    done = run(MADE.data, words)
    assert done.code != 0
    assert sent(inside) == []
    assert path.read_bytes() == before


def test_known_revocations_of_a_newer_version_let_nothing_pass(run, inside, tmp_path, monkeypatch):
    """What a newer airgap learned here is not forgotten by an older one."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    known = Revocations(((REVOKER.id, RevocationList.parse(revoking([A], REVOKER))),)).to_bytes()
    path = tmp_path / "state/airgap/revocations.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(known.replace(b'"formatVersion":1', b'"formatVersion":2'))
    done = run(signed_by(MADE, A).data, (*IMPORT, "--trust", "TRUST"))
    assert done.code == 22, done.err
    assert sent(inside) == []
