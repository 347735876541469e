"""`airgap verify receipt`: against signatures, the bundle, and what the registry holds today."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage
import pytest

from airgap.content.depot import Repository
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes
from airgap.oci.platform import Platform
from airgap.trust import signed
from airgap.trust.keys import PrivateKey
from airgap.trust.signatures import Signatures
from tests.support import builders
from tests.support.bundles import BundleBuilder
from tests.support.command_line import Outcome, airgap, assert_refused
from tests.support.differentials import pack_against, put_blob
from tests.support.embedded import EmbeddedRegistry, Status
from tests.support.transfers import export

BASE = builders.layer(40_000, seed=1)
APP = builders.image(layers=(BASE, 2000), seed=1)
MULTI = builders.multi_platform(seed=3)
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(name="bundle")
def bundle_file(pack: Any) -> Path:
    """A bundle of two images and a signature of one."""
    tag, cosign = builders.cosign_signature(MULTI.descriptor)
    made: Path = pack({"app:1": APP, "multi:1": MULTI}, referrers=[("multi", cosign, tag)])
    return made


@pytest.fixture(name="receipt")
def receipt_file(bundle: Path, inside: EmbeddedRegistry, tmp_path: Path) -> Path:
    """The receipt of its import."""
    path = tmp_path / "out.receipt"
    done = airgap("import", "bundle", bundle, "--to", f"{inside.host}/in", "--receipt", path)
    assert done.code == 0, done.err
    inside.clear()
    return path


def verify(*arguments: object) -> Outcome:
    """Run the command."""
    return airgap("verify", "receipt", *arguments)


def kinds(done: Outcome) -> list[str]:
    """What was found, of the lines of JSON."""
    [result] = [line for line in done.lines if line["type"] == "result"]
    return [finding["kind"] for finding in result["findings"]]


def changed(receipt: Path, change: Change) -> Path:
    """The receipt with a change that keeps its form."""
    value = json.loads(signed.split(receipt.read_bytes())[0])
    change(value)
    path = receipt.with_name("forged.receipt")
    path.write_bytes(canonical_bytes(value))
    return path


def test_a_right_receipt_passes_everywhere(bundle, inside, receipt):
    """Alone, against its bundle and against its registry, there is nothing wrong with it."""
    assert verify(receipt).code == 0
    done = verify(receipt, "--bundle", bundle, "--registry", inside.host)
    assert done.code == 0, done.err
    assert "no problem, compared with" in done.out
    assert "2 images (2 arrived)" in done.out
    assert {seen.method for seen in inside.seen} <= {"HEAD", "GET"}
    value = json.loads(receipt.read_bytes())
    asked = {str(seen).partition("?")[0] for seen in inside.matching("HEAD", "/v2/in/")}
    for entry in value["blobs"]:
        assert any(f"/v2/{entry['repository']}/blobs/{entry['digest']}" in path for path in asked)
    for entry in value["manifests"]:
        path = f"/v2/{entry['repository']}/manifests/{entry['digest']}"
        assert any(path in seen for seen in asked)


def test_a_receipt_of_a_differential_names_what_was_left_to_the_registry(inside, tmp_path):
    """What the registry had to have is accounted for, and missed when it goes away."""
    put_blob(inside.repository("in/app"), BASE)
    bundle = pack_against(tmp_path, {"app:1": APP}, {"in/app": [BASE]})
    path = tmp_path / "d.receipt"
    done = airgap("import", "bundle", bundle, "--to", f"{inside.host}/in", "--receipt", path)
    assert done.code == 0, done.err
    assert verify(path, "--bundle", bundle, "--registry", inside.host).code == 0
    forged = changed(
        path,
        lambda v: v.update(
            blobs=[b for b in v["blobs"] if b["digest"] != str(BASE.descriptor.digest)]
        ),
    )
    assert verify(forged, "--bundle", bundle).code == 23
    inside.repository("in/app").delete_blob(BASE.descriptor.digest)
    done = verify(path, "--registry", inside.host)
    assert done.code == 23
    assert f"does not have the blob {BASE.descriptor.digest}" in done.out


def test_a_receipt_of_another_bundle_is_refused(pack, receipt, inside):
    """A receipt that is swapped for another one does not fit the bundle."""
    other = pack({"web:1": builders.image(layers=(100,), seed=8)})
    done = verify(receipt, "--bundle", other, "--json")
    assert done.code == 20
    assert kinds(done) == ["other-bundle"]


def test_a_receipt_that_is_replayed_for_another_registry_is_refused(bundle, receipt):
    """Even a registry that has the same content is not the one of the receipt; none is asked."""
    with EmbeddedRegistry() as twin:
        done = airgap("import", "bundle", bundle, "--to", f"{twin.host}/in")
        assert done.code == 0, done.err
        twin.clear()
        done = verify(receipt, "--registry", twin.host, "--json")
        assert done.code == 20
        assert kinds(done) == ["other-registry"]
        assert twin.seen == []
        home = json.loads(receipt.read_bytes())["registry"]
        assert verify(receipt, "--registry", twin.host, "--as", home).code == 0
        assert verify(receipt, "--registry", twin.host, "--as", "other:5000").code == 20


def lose_blob(repository: Repository) -> None:
    repository.delete_blob(BASE.descriptor.digest)


def lose_manifest(repository: Repository) -> None:
    repository.delete_manifest(APP.digest)


def lose_tag(repository: Repository) -> None:
    repository.delete_tag("1")


def move_tag(repository: Repository) -> None:
    builders.push(repository, builders.image(layers=(10,), seed=77), tag="1")


@pytest.mark.parametrize(
    ("change", "code", "expected"),
    [
        (lose_blob, 23, ["missing"]),
        (lose_manifest, 23, ["missing", "missing"]),
        (lose_tag, 23, ["missing"]),
        (move_tag, 20, ["tag-moved"]),
    ],
)
def test_what_the_registry_lost_or_changed_since_is_found(inside, receipt, change, code, expected):
    """A blob, a manifest or a tag that is gone, and a tag that moved, are listed."""
    change(inside.repository("in/app"))
    done = verify(receipt, "--registry", inside.host, "--json")
    assert done.code == code
    assert kinds(done) == expected


def test_a_tag_of_a_signature_that_is_gone_is_found(inside, receipt):
    """Tags that name no image came with the bundle as well, and are asked for."""
    [tag] = json.loads(receipt.read_bytes())["tags"]
    inside.repository(tag["repository"]).delete_tag(tag["tag"])
    done = verify(receipt, "--registry", inside.host, "--json")
    assert done.code == 23
    assert kinds(done) == ["missing"]


def test_a_tag_that_a_registry_names_by_another_algorithm_has_not_moved(inside, tmp_path):
    """A registry may know a manifest by sha512, and say its sha256 where a tag is asked for."""
    long = builders.manifest(APP.blobs[0], [BASE], artifact_type="text/plain", algorithm="sha512")
    made = BundleBuilder()
    made.add(long, "example.com/long:1")
    bundle, path = made.build().write(tmp_path), tmp_path / "long.receipt"
    done = airgap("import", "bundle", bundle, "--to", inside.host, "--receipt", path)
    assert done.code == 0, done.err
    [image] = json.loads(path.read_bytes())["images"]
    assert image["named"] == str(long.digest)
    assert inside.repository("long").resolve("1").digest == Digest.of(long.raw)
    assert verify(path, "--bundle", bundle, "--registry", inside.host).code == 0
    builders.push(inside.repository("long"), APP, tag="1")
    done = verify(path, "--registry", inside.host, "--json")
    assert (done.code, kinds(done)) == (20, ["tag-moved"])


def test_a_single_image_that_came_instead_of_its_index_is_accounted_for(pack, inside, tmp_path):
    """What was not wanted of an index is not missed, and what was wanted is."""
    bundle = pack({"multi:1": MULTI}, platforms=(Platform.parse("linux/amd64"),))
    path, to = tmp_path / "one.receipt", inside.host
    done = airgap("import", "bundle", bundle, "--to", to, "--receipt", path, "--sparse", "image")
    assert done.code == 0, done.err
    [image] = json.loads(path.read_bytes())["images"]
    assert image["outcome"] == "image-only"
    done = verify(path, "--bundle", bundle, "--registry", inside.host)
    assert done.code == 0, done.out
    forged = changed(path, lambda v: v["manifests"].pop())
    assert verify(forged, "--bundle", bundle).code == 23


def test_a_blob_of_another_size_is_found(inside, receipt):
    """What a registry has under a digest with another size is not what arrived."""
    path = f"/v2/in/app/blobs/{BASE.descriptor.digest}"
    inside.fail(Status(200, body=b"short"), method="HEAD", path=path, times=9)
    done = verify(receipt, "--registry", inside.host, "--json")
    assert done.code == 20
    assert kinds(done) == ["size-mismatch"]


def test_a_manifest_of_another_size_is_found(inside, receipt):
    """A registry that gives a digest with another size is not believed to have it."""
    said = {"Docker-Content-Digest": str(APP.digest), "Content-Type": APP.descriptor.media_type}
    path = f"/v2/in/app/manifests/{APP.digest}"
    inside.fail(Status(200, headers=said, body=b"short"), method="HEAD", path=path, times=9)
    done = verify(receipt, "--registry", inside.host, "--json")
    assert (done.code, kinds(done)) == (20, ["size-mismatch"])


def test_a_registry_that_cannot_tell_is_no_finding(inside, receipt):
    """An error of the registry ends the check as such, and nothing counts as missing."""
    inside.fail(Status(403), path="/v2/in/app/blobs/", times=99)
    done = verify(receipt, "--registry", inside.host)
    assert done.code == 11
    assert "missing:" not in done.out


@pytest.mark.parametrize(
    ("change", "code", "expected"),
    [
        (lambda v: v["images"].pop(), 23, {"unaccounted"}),
        (lambda v: v["blobs"].pop(), 23, {"unaccounted"}),
        (lambda v: v["manifests"].pop(0), 23, {"unaccounted"}),
        (lambda v: v["blobs"][0].update(size=1), 20, {"contradiction"}),
        (lambda v: v["images"][0].update(named=v["bundle"]), 20, {"contradiction"}),
        (lambda v: v["images"][0].update(digest=v["bundle"]), 20, {"contradiction"}),
        (lambda v: v.update(bases=[{"kind": "bundle", "id": v["bundle"], "place": ""}]), 20,
         {"contradiction"}),
        (lambda v: v["blobs"].append(v["blobs"][-1] | {"digest": "sha256:" + "f" * 64}), 20,
         {"unexplained"}),
        (lambda v: v["blobs"][0].update(repository="in/zzz"), 23, {"unaccounted"}),
        (lambda v: v["images"].append(v["images"][0] | {"name": "z.example/z:1"}), 20,
         {"unexplained"}),
        (lambda v: (v["images"].pop(), v["images"][0].update(named=v["bundle"])), 20,
         {"unaccounted", "contradiction"}),
    ],
)  # fmt: skip
def test_a_forged_receipt_does_not_fit_its_bundle(bundle, receipt, change, code, expected):
    """What was taken out of a receipt, put in or changed is found by comparing with the bundle."""
    done = verify(changed(receipt, change), "--bundle", bundle, "--json")
    assert done.code == code
    assert set(kinds(done)) == expected


def test_one_volume_is_enough_to_compare_with(outside, inside, tmp_path):
    """Every volume says what the whole bundle carries."""
    builders.push(
        outside.repository("app"),
        builders.image(layers=(900_000, 900_000), seed=5),
        tag="1",
    )
    (tmp_path / "v").mkdir()
    export(f"{outside.host}/app:1", tmp_path / "v" / "b.tar", volume_size=1_100_000)
    path = tmp_path / "r.receipt"
    done = airgap("import", "bundle", tmp_path / "v", "--to", inside.host, "--receipt", path)
    assert done.code == 0, done.err
    for volume in sorted((tmp_path / "v").iterdir()):
        assert verify(path, "--bundle", volume).code == 0


def test_an_encrypted_bundle_is_compared_with_its_key(outside, inside, tmp_path):
    """Who can open an encrypted bundle can compare a receipt with it, and nobody else."""
    key = pyrage.x25519.Identity.generate()
    identity = tmp_path / "key.txt"
    identity.write_text(str(key))
    builders.push(outside.repository("app"), APP, tag="1")
    name, path = f"{outside.host}/app:1", tmp_path / "e.tar"
    made = airgap("export", "images", name, "-o", path, "--encrypt-to", str(key.to_public()))
    assert made.code == 0, made.err
    bundle, receipt = tmp_path / "e.tar.age", tmp_path / "e.receipt"
    opened = ("--identity", identity)
    done = airgap("import", "bundle", bundle, *opened, "--to", inside.host, "--receipt", receipt)
    assert done.code == 0, done.err
    assert verify(receipt, "--bundle", bundle, *opened).code == 0
    assert_refused(verify(receipt, "--bundle", bundle), 2, "settings", "is encrypted")


def sign(receipt: Path, key: PrivateKey) -> None:
    """Put a signature behind a receipt."""
    payload, _ = signed.split(receipt.read_bytes())
    receipt.write_bytes(signed.join(payload, Signatures.sign(payload, [key]).to_bytes()))


@pytest.fixture(name="key")
def key_pair(tmp_path: Path) -> PrivateKey:
    """A key of the other side; its public half lies in inside.pub."""
    key = PrivateKey.generate("ed25519")
    (tmp_path / "inside.pub").write_bytes(key.public.to_pem())
    return key


def test_a_trusted_signature_is_wanted_and_found(receipt, key, tmp_path):
    """With --trust an unsigned receipt is refused, a signed one passes and says by whom."""
    public = tmp_path / "inside.pub"
    assert_refused(verify(receipt, "--trust", public), 21, "signature")
    assert "note: the receipt is not signed" in verify(receipt).out
    sign(receipt, key)
    done = verify(receipt, "--trust", public)
    assert done.code == 0, done.err
    assert "signed by inside" in done.out
    assert "nobody is trusted" in verify(receipt).out


def test_a_signature_by_somebody_else_or_of_something_else_is_refused(receipt, key, tmp_path):
    """Unknown keys, changed receipts and signatures of another receipt all exit with 21."""
    public = tmp_path / "inside.pub"
    sign(receipt, PrivateKey.generate("ed25519"))
    assert verify(receipt, "--trust", public).code == 21
    sign(receipt, key)
    _, document = signed.split(receipt.read_bytes())
    forged = changed(receipt, lambda v: v.update(by="somebody else"))
    forged.write_bytes(signed.join(forged.read_bytes(), document))
    assert verify(forged, "--trust", public).code == 21


def test_a_truncated_receipt_is_refused_wherever_it_was_cut(receipt, key, tmp_path):
    """Cut in its content or in its signatures, a receipt is never taken for a whole one."""
    sign(receipt, key)
    raw = receipt.read_bytes()
    cut = tmp_path / "cut.receipt"
    for length in range(1, len(raw), 97):
        cut.write_bytes(raw[:length])
        assert verify(cut, "--trust", tmp_path / "inside.pub").code in (21, 22), length


def test_what_is_no_receipt_is_refused(bundle, tmp_path):
    """Another kind of record, or no record at all, is named as such."""
    assert_refused(verify(bundle), 22, "bundle-format", "no receipt")
    assert verify(tmp_path / "none").code == 10


def test_a_receipt_of_a_partial_import_ends_with_three(inside, tmp_path):
    """A receipt that is right and says that something failed is no success."""
    web = builders.image(layers=(3000,), seed=2)
    bundle = pack_against(tmp_path, {"app:1": APP, "web:1": web}, {"team/os": [BASE]})
    path = tmp_path / "p.receipt"
    done = airgap(
        "import", "bundle", bundle, "--to", inside.host, "--receipt", path, "--keep-going"
    )
    assert done.code == 3
    done = verify(path, "--bundle", bundle, "--registry", inside.host)
    assert done.code == 3
    assert "1 arrived" in done.out
    assert "1 failed" in done.out
    assert "no problem" in done.out
    assert "says that not everything arrived" in done.err


def test_names_and_files_that_make_no_sense_are_refused(receipt, tmp_path):
    """A registry with a path, --as alone, and a catalog for a bundle are usage errors."""
    assert verify(receipt, "--registry", "inside:5000/in").code == 2
    assert verify(receipt, "--as", "inside:5000").code == 2
    assert_refused(verify(receipt, "--bundle", receipt), 2, "settings", "name the bundle")
