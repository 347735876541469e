"""A backup that is taken while the registry is served, and what is made of it."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import threading

import pytest

from airgap.errors import (
    BundleFormatError,
    ConflictError,
    DigestMismatchError,
    IncompleteBundleError,
    LockedError,
    SettingsError,
    StorageError,
)
from airgap.server.backup import write_backup
from airgap.server.control import ControlServer
from airgap.server.database.check import check_storage
from airgap.server.gc import collect_garbage
from airgap.server.restore import restore_backup
from tests.support import builders
from tests.support.builders import push
from tests.support.datafolders import DAY, Clock, files, opened
from tests.support.embedded import EmbeddedRegistry
from tests.support.wire import Wire


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def backup(tmp_path):
    return tmp_path / "backup.tar"


@pytest.fixture
def content():
    return builders.multi_platform()


@pytest.fixture
def filled(root, content):
    """A folder with an image, users and keys, which nobody serves."""
    depot = opened(root)
    push(depot.repository("team/app"), content, tag="1.0")
    depot.close()
    (root / "htpasswd").write_text("alice:x\n")
    (root / "keys/token.key").write_text("key")
    return root


def rewritten(path, change):
    """Write a tar anew with other members: `change` gives name and bytes of each, or None."""
    with tarfile.open(path) as tar:
        members = [(m, tar.extractfile(m).read() if m.isreg() else b"") for m in tar]
    with tarfile.open(path, "w") as tar:
        for member, data in members:
            for made, content in change(member, data):
                made.size = len(content)
                tar.addfile(made, io.BytesIO(content))


def test_a_restored_registry_gives_what_was_pushed(filled, backup, tmp_path, content):
    """Manifest and blobs are pulled from it over the wire; users and keys came along."""
    report = write_backup(filled, backup)
    assert report.blobs == len(files(filled))
    assert report.missing == ()
    restored = tmp_path / "restored"
    assert restore_backup(backup, restored).size == report.size
    assert check_storage(restored) == ()
    assert (restored / "htpasswd").read_text() == "alice:x\n"
    assert (restored / "keys/token.key").read_text() == "key"
    depot = opened(restored)
    with EmbeddedRegistry(depot=depot) as registry, Wire(registry.host) as wire:
        assert wire.ask("GET", "/v2/team/app/manifests/1.0", status=200).body == content.raw
        for part in content.walk():
            for blob in part.blobs:
                path = f"/v2/team/app/blobs/{blob.descriptor.digest}"
                assert wire.ask("GET", path, status=200).body == blob.data
    depot.close()


def test_a_backup_is_for_its_owner_only(filled, backup, tmp_path):
    """There are keys and passwords in it, and in what is made of it."""
    old = os.umask(0)
    try:
        write_backup(filled, backup)
        restore_backup(backup, tmp_path / "restored")
    finally:
        os.umask(old)
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    for name, mode in {".": 0o700, "keys": 0o700, "registry.db": 0o600, "htpasswd": 0o600}.items():
        assert stat.S_IMODE((tmp_path / "restored" / name).stat().st_mode) == mode, name


def test_a_backup_of_a_served_folder_is_one_moment(root, backup, tmp_path):
    """While clients push and delete, the backup holds whole images only."""
    depot, stop = opened(root), threading.Event()
    errors = []

    def work(number):
        try:
            store, seed = depot.repository(f"r{number}"), 0
            while not stop.is_set() and seed < 400:
                made = push(store, builders.image(seed=1000 * number + seed), tag=f"t{seed}")
                if seed % 3 == 0:
                    store.delete_manifest(made.digest)
                seed += 1
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    with ControlServer(depot):
        for thread in threads:
            thread.start()
        try:
            for number in range(3):
                path = backup.with_name(f"{number}.tar")
                write_backup(root, path)
                restore_backup(path, tmp_path / f"restored-{number}")
                assert check_storage(tmp_path / f"restored-{number}") == ()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    depot.close()
    assert errors == []


def test_nothing_is_removed_while_a_backup_reads(root, backup, monkeypatch):
    """The server's garbage collection waits until the backup has all files."""
    clock = Clock()
    depot = opened(root, clock)
    made = push(depot.repository("a"), builders.image(), tag="1.0")
    depot.repository("a").delete_manifest(made.digest)
    clock.advance(DAY)
    refused = []
    real = write_backup.__globals__["_write"]

    def collect_meanwhile(*args):
        try:
            collect_garbage(depot)
        except LockedError as error:
            refused.append(error.message)
        return real(*args)

    monkeypatch.setitem(write_backup.__globals__, "_write", collect_meanwhile)
    with ControlServer(depot):
        report = write_backup(root, backup)
        assert len(refused) == 1
        assert report.missing == ()
        for _ in range(200):  # the server notices the end of the backup a moment later
            try:
                assert collect_garbage(depot).blobs == 3
                break
            except LockedError:
                threading.Event().wait(0.01)
        else:
            pytest.fail("the server still holds its files")
    depot.close()


def test_a_folder_in_use_by_something_else_is_not_backed_up(root, backup):
    """Where a process has the folder that takes no orders, nobody knows what it does."""
    depot = opened(root)
    with pytest.raises(LockedError, match=f"process {os.getpid()}"):
        write_backup(root, backup)
    depot.close()
    assert not backup.exists()


def test_what_is_missing_is_said(filled, backup, tmp_path, content):
    """A backup of a damaged folder is made, and cannot be restored in silence."""
    lost = content.children[0].blobs[0].descriptor.digest
    (filled / "blobs/sha256" / lost.hex).unlink()
    assert write_backup(filled, backup).missing == (str(lost),)
    with pytest.raises(IncompleteBundleError) as caught:
        restore_backup(backup, tmp_path / "restored")
    assert caught.value.missing == (str(lost),)
    with pytest.raises(SettingsError):
        opened(tmp_path / "restored")


def test_nothing_is_overwritten(filled, backup, tmp_path):
    """Neither a file by a backup nor a folder by a restore."""
    write_backup(filled, backup)
    with pytest.raises(ConflictError):
        write_backup(filled, backup)
    with pytest.raises(ConflictError):
        restore_backup(backup, filled)
    assert check_storage(filled) == ()
    with pytest.raises(SettingsError, match="not a data folder"):
        write_backup(tmp_path / "nothing", tmp_path / "x.tar")


def test_a_backup_that_fails_leaves_nothing(filled, backup, content):
    """Half a backup never has the name of one."""
    blob = content.children[0].blobs[0].descriptor.digest
    (filled / "blobs/sha256" / blob.hex).write_bytes(b"")
    with pytest.raises(StorageError, match="shorter"):
        write_backup(filled, backup)
    assert {path.name for path in backup.parent.iterdir()} == {"data"}


def refused(backup, tmp_path, kind, match=None):
    with pytest.raises(kind, match=match):
        restore_backup(backup, tmp_path / "restored")
    with pytest.raises(SettingsError):
        opened(tmp_path / "restored")


def named(name, data=b"x", kind=tarfile.REGTYPE):
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
    return member, data if kind == tarfile.REGTYPE else b""


@pytest.mark.parametrize(
    "extra",
    [
        named("../evil"),
        named("/etc/evil"),
        named("blobs/sha256/../../evil"),
        named("keys/../../evil"),
        named("keys/.hidden"),
        named("keys/deeper/evil"),
        named("lock"),
        named("htpasswd", kind=tarfile.SYMTYPE),
        named("keys/x", kind=tarfile.LNKTYPE),
        named("keys/x", kind=tarfile.CHRTYPE),
        named("keys", kind=tarfile.DIRTYPE),
        named("registry.db"),
    ],
    ids=lambda extra: f"{extra[0].name}-{extra[0].type.decode()}",
)
def test_a_member_that_does_not_belong_there_is_refused(filled, backup, tmp_path, extra):
    """No name becomes a path that leaves the folder, and nothing but files is taken."""
    write_backup(filled, backup)
    rewritten(
        backup,
        lambda m, data: [(m, data), extra] if m.name == "registry.db" else [(m, data)],
    )
    refused(backup, tmp_path, BundleFormatError, "not of airgap")
    assert not (tmp_path / "evil").exists()


def test_changed_content_is_refused(filled, backup, tmp_path):
    """Each blob is hashed on its way in."""
    write_backup(filled, backup)

    def flip(member, data):
        if member.name.startswith("blobs/") and data:
            data = bytes([data[0] ^ 1]) + data[1:]
        return [(member, data)]

    rewritten(backup, flip)
    refused(backup, tmp_path, DigestMismatchError)


@pytest.mark.parametrize("left", [0, 10, 700, 40_000])
def test_a_backup_that_is_cut_short_is_refused(filled, backup, tmp_path, left):
    """At whatever point it ends."""
    write_backup(filled, backup)
    os.truncate(backup, left)
    refused(backup, tmp_path, (BundleFormatError, IncompleteBundleError, StorageError))


@pytest.mark.parametrize("name", ["version", "registry.db"])
def test_a_backup_without_its_documents_is_refused(filled, backup, tmp_path, name):
    """A tar of something else is said to be no backup."""
    write_backup(filled, backup)
    rewritten(backup, lambda member, data: [] if member.name == name else [(member, data)])
    refused(backup, tmp_path, BundleFormatError, "not a backup")


def test_a_newer_backup_is_refused_by_name(filled, backup, tmp_path):
    """As a newer folder is."""
    write_backup(filled, backup)
    newer = b'{"airgapData":5,"id":"x","database":"sqlite"}'
    rewritten(backup, lambda m, data: [(m, newer if m.name == "version" else data)])
    refused(backup, tmp_path, StorageError, "version 5")


def test_a_database_that_is_none_is_refused(filled, backup, tmp_path):
    """What SQLite cannot read is said in one line."""
    write_backup(filled, backup)
    rewritten(
        backup, lambda m, data: [(m, b"no database" * 99 if m.name == "registry.db" else data)]
    )
    refused(backup, tmp_path, StorageError, "registry.db")
