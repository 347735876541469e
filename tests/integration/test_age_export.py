"""Exports that only some can read, against the program `age` and against what interrupts them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import replace

import pyrage
import pytest

from airgap.bundle.check import check_bundle
from airgap.bundle.check_encrypted import check_encrypted_bundle
from airgap.bundle.envelope import Envelope
from airgap.bundle.par2_tool import find_tool
from airgap.bundle.parity import ParityRequest
from airgap.content.age import Identities, Recipients
from airgap.errors import (
    AirgapError,
    ConflictError,
    IntegrityError,
    SettingsError,
    StorageError,
    StorageFullError,
    UnauthorizedError,
)
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.run import Run
from airgap.transfer import encrypted
from airgap.transfer.encrypted import Encryption
from airgap.transfer.export import ExportOptions, export_images
from airgap.transfer.protect import ProtectOptions
from tests.support import builders
from tests.support.embedded import Status
from tests.support.transfers import open_client

pytestmark = pytest.mark.skipif(shutil.which("age") is None, reason="needs the program age")
KEY = pyrage.x25519.Identity.generate()
ONE = ExportOptions(encrypt=Encryption(Recipients((str(KEY.to_public()),))))
LIMIT = 1_100_000
VOLUMES = replace(ONE, volume_size=LIMIT)
LAYERS = (2_500_000, 900_000, 900_000)


@pytest.fixture
def name(outside):
    """An image of about four volumes, one of its layers in three of them."""
    image = builders.image(layers=LAYERS, seed=3)
    builders.push(outside.repository("app"), image, tag="1")
    return f"{outside.host}/app:1"


def run_export(name, path, options=ONE, run=None):
    with open_client() as client:
        return export_images(
            [Reference.parse(name)], path, client=client, options=options, run=run or Run()
        )


def opened(path, folder, text=str(KEY)):
    """What `age -d` makes of a file."""
    key = folder / "key.txt"
    key.write_text(text + "\n")
    command = ["age", "-d", "-i", str(key), str(path)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def test_age_opens_the_bundle_that_a_plain_export_writes(name, tmp_path):
    """Nothing plain is written, and the checksums beside it are those of the encrypted bytes."""
    run_export(name, tmp_path / "plain.tar", ExportOptions())
    result = run_export(name, tmp_path / "release.tar")
    file = tmp_path / "release.tar.age"
    assert result.files == (str(file),)
    assert opened(file, tmp_path) == (tmp_path / "plain.tar").read_bytes()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"plain.tar", "key.txt", "release.tar.age", "release.airgap.json"}
    raw = (tmp_path / "release.airgap.json").read_bytes()
    (entry,) = Envelope.parse(raw).entries
    assert entry.blocks == (Digest.of(file.read_bytes()),)
    assert b"app" not in raw.replace(b"application", b"")
    assert b"keys" not in raw


def test_encrypted_volumes_are_those_of_a_plain_export_and_fit(name, tmp_path):
    """Each is a valid volume once it is opened, also those with pieces of cut blobs."""
    result = run_export(name, tmp_path / "release.tar.age", VOLUMES)
    assert len(result.files) >= 4
    (tmp_path / "open").mkdir()
    for number, file in enumerate(map(type(tmp_path), result.files), 1):
        assert file.name == f"release.{number:03d}.tar.age"
        assert LIMIT - 200_000 < file.stat().st_size <= LIMIT or number == len(result.files)
        (tmp_path / "open" / file.stem).write_bytes(opened(file, tmp_path))
    report = check_bundle(tmp_path / "open", run=Run())
    assert report.findings == ()
    assert report.volumes == len(result.files)


def test_several_recipients_each_open_it(name, tmp_path):
    """Every reader has a key of their own."""
    other = pyrage.x25519.Identity.generate()
    both = Recipients((str(KEY.to_public()), str(other.to_public())))
    run_export(name, tmp_path / "r.tar", ExportOptions(encrypt=Encryption(both)))
    file = tmp_path / "r.tar.age"
    assert opened(file, tmp_path) == opened(file, tmp_path, str(other))


def test_a_passphrase_opens_the_key_beside_the_bundle(name, tmp_path):
    """It is a key file as `age -p` protects it, and its owner's only."""
    options = ExportOptions(encrypt=Encryption(passphrase="open sesame"))
    run_export(name, tmp_path / "r.tar", options)
    key = tmp_path / "r.key.age"
    assert key.stat().st_mode & 0o77 == 0
    (text,) = Identities.read([key], lambda _: "open sesame").texts
    run_export(name, tmp_path / "plain.tar", ExportOptions())
    assert opened(tmp_path / "r.tar.age", tmp_path, text) == (tmp_path / "plain.tar").read_bytes()


def interrupt(monkeypatch, at):
    """Let an export fail when it begins a volume."""
    real = encrypted.EncryptingStream
    begun = []

    def start(fd, recipients, *, name):
        begun.append(name)
        if len(begun) == at:
            raise StorageError("the medium is gone")
        return real(fd, recipients, name=name)

    monkeypatch.setattr(encrypted, "EncryptingStream", start)
    return begun


@pytest.mark.parametrize("passphrase", [None, "open sesame"])
def test_finished_volumes_stay_and_the_begun_one_begins_anew(
    name, tmp_path, monkeypatch, passphrase
):
    """A medium that was pulled is put back, and the same command goes on."""
    options = VOLUMES
    if passphrase:
        options = replace(VOLUMES, encrypt=Encryption(passphrase=passphrase))
    path = tmp_path / "release.tar"
    with monkeypatch.context() as patch:
        interrupt(patch, 4)
        with pytest.raises(StorageError, match="gone"):
            run_export(name, path, options)
    finished = sorted(p for p in tmp_path.glob("*.tar.age"))
    assert 1 <= len(finished) <= 3
    before = {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in finished}
    begun = interrupt(monkeypatch, 0)
    result = run_export(name, path, options)
    assert len(begun) == len(result.files) - len(finished)
    for file, digest in before.items():
        assert hashlib.sha256(file.read_bytes()).hexdigest() == digest
    assert not list(tmp_path.glob("*.partial"))
    assert Envelope.parse((tmp_path / "release.airgap.json").read_bytes()).is_complete


def test_an_export_for_other_readers_does_not_go_on_with_volumes_of_the_first(
    name, tmp_path, monkeypatch
):
    """Else one of them could read some volumes only."""
    with monkeypatch.context() as patch:
        interrupt(patch, 4)
        with pytest.raises(StorageError, match="gone"):
            run_export(name, tmp_path / "r.tar", VOLUMES)
    other = Recipients((str(pyrage.x25519.Identity.generate().to_public()),))
    options = replace(VOLUMES, encrypt=Encryption(other))
    with pytest.raises(ConflictError, match="other readers"):
        run_export(name, tmp_path / "r.tar", options)
    one, two = (replace(VOLUMES, encrypt=Encryption(passphrase=text)) for text in "ab")
    with monkeypatch.context() as patch:
        interrupt(patch, 4)
        with pytest.raises(StorageError, match="gone"):
            run_export(name, tmp_path / "s.tar", one)
    with pytest.raises(UnauthorizedError):
        run_export(name, tmp_path / "s.tar", two)


def test_a_finished_export_is_replaced_only_when_that_is_wanted(name, tmp_path):
    """As with plain bundles."""
    run_export(name, tmp_path / "r.tar")
    before = (tmp_path / "r.tar.age").read_bytes()
    with pytest.raises(ConflictError, match="exists"):
        run_export(name, tmp_path / "r.tar")
    assert (tmp_path / "r.tar.age").read_bytes() == before
    run_export(name, tmp_path / "r.tar", replace(ONE, overwrite=True))
    assert (tmp_path / "r.tar.age").read_bytes() != before


def test_replacing_keeps_the_key_that_opens_what_is_still_there(name, outside, tmp_path):
    """A run that ends early leaves the old volumes, which nothing else opens."""
    secret = replace(ONE, encrypt=Encryption(passphrase="one"), overwrite=True)
    run_export(name, tmp_path / "r.tar", secret)
    key = (tmp_path / "r.key.age").read_bytes()
    other = replace(secret, encrypt=Encryption(passphrase="two"))
    with pytest.raises(UnauthorizedError):
        run_export(name, tmp_path / "r.tar", other)
    outside.fail(Status(404), method="GET", path="/blobs/", times=99)
    with pytest.raises(AirgapError):
        run_export(name, tmp_path / "r.tar", secret)
    assert (tmp_path / "r.key.age").read_bytes() == key


def test_an_old_volume_is_not_taken_for_the_new_one_that_was_to_replace_it(
    name, tmp_path, monkeypatch
):
    """The new one was noted, and had no name yet when the run was killed; sizes may be the same."""
    run_export(name, tmp_path / "r.tar")

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(encrypted.PartialFile, "publish", die)
        patch.setattr(encrypted.PartialFile, "cut", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            run_export(name, tmp_path / "r.tar", replace(ONE, overwrite=True))
    # the header has a part of random size, so that the sizes are the same only now and then
    (entry,) = Envelope.parse((tmp_path / "r.airgap.json").read_bytes()).entries
    (tmp_path / "r.tar.age").write_bytes(bytes(entry.size))
    run_export(name, tmp_path / "r.tar", replace(ONE, overwrite=True))
    report = check_encrypted_bundle([tmp_path], run=Run())
    assert report.findings == ()
    assert not list(tmp_path.glob("*.partial"))


def test_a_layer_that_is_damaged_at_the_source_leaves_no_volume_of_it(name, outside, tmp_path):
    """What has left for the encryption is given up, also where the damage lies in another one."""
    digest = builders.image(layers=LAYERS, seed=3).blobs[1].descriptor.digest
    wrong = bytes(LAYERS[0] - 1) + b"1"
    outside.fail(Status(200, body=wrong), method="GET", path=f"/blobs/{digest}", times=99)
    with pytest.raises(IntegrityError):
        run_export(name, tmp_path / "r.tar", VOLUMES)
    left = [path for path in tmp_path.iterdir() if path.suffix == ".age"]
    assert all(b"pieces" not in opened(path, tmp_path) for path in left)
    assert not list(tmp_path.glob("*.partial"))


def test_no_room_is_said_before_the_first_byte(name, outside, tmp_path, monkeypatch):
    """The size of what is encrypted is known before."""
    monkeypatch.setattr(encrypted, "free_bytes", lambda _: 1 << 20)
    with pytest.raises(StorageFullError):
        run_export(name, tmp_path / "r.tar")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_counts_as_room(name, tmp_path, monkeypatch):
    """It begins anew in its place, also on a medium that is just large enough."""
    (tmp_path / "r.tar.age.partial").write_bytes(bytes(8 << 20))
    monkeypatch.setattr(encrypted, "free_bytes", lambda _: 1 << 20)
    run_export(name, tmp_path / "r.tar")
    assert not (tmp_path / "r.tar.age.partial").exists()


def test_checksums_beside_encrypted_volumes_are_those_of_the_files(name, tmp_path):
    """sha256sum needs no key."""
    run_export(name, tmp_path / "r.tar", replace(VOLUMES, protect=ProtectOptions(checksums=True)))
    subprocess.run(["sha256sum", "-c", "--strict", "r.sha256"], cwd=tmp_path, check=True)


def test_parity_rebuilds_an_encrypted_volume_without_a_key(name, tmp_path):
    """Any PAR2 tool can: to it they are files like others."""
    parity = ProtectOptions(parity=ParityRequest.parse("1volume"))
    result = run_export(name, tmp_path / "r.tar", replace(VOLUMES, protect=parity))
    assert result.beside is not None
    path = tmp_path / "r.002.tar.age"
    before = path.read_bytes()
    path.unlink()
    assert check_encrypted_bundle([tmp_path], run=Run()).missing_volumes == (2,)
    tool = str(find_tool())
    subprocess.run([tool, "repair", "-q", "r.par2"], cwd=tmp_path, check=True, capture_output=True)
    assert path.read_bytes() == before
    assert check_encrypted_bundle([tmp_path], run=Run()).findings == ()


def test_a_pipe_is_not_encrypted(name, tmp_path):
    """`| age` does that."""
    with pytest.raises(SettingsError, match="pipe"), (tmp_path / "x").open("wb") as stream:
        run_export(name, stream)
