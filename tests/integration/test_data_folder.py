"""A data folder over restarts, versions and crashes, and what does not belong to it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import pytest
from sqlalchemy import insert

from airgap.errors import LockedError, SettingsError, StorageError
from airgap.oci.digest import Digest
from airgap.server.database import tables, tidy
from airgap.server.database.check import check_storage
from airgap.server.datafolder import open_data
from tests.contract.store_contract import read
from tests.support import builders
from tests.support.builders import push
from tests.support.datafolders import DAY, files, opened


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


def kinds(root):
    return sorted(finding.kind for finding in check_storage(root))


def crashed(root):
    """Leave a folder as a process leaves it that is killed: marked, and with its lock let go."""
    (root / "unclean").touch()


def test_everything_is_there_after_a_restart(root):
    """Manifests, tags, links and referrers outlive the process that took them."""
    content = builders.multi_platform()
    first = opened(root, durable=True)
    push(first.repository("team/app"), content, tag="1.0")
    sbom = push(first.repository("team/app"), builders.sbom(content.descriptor))
    first.close()
    second = opened(root)
    store = second.repository("team/app")
    assert store.manifest("1.0").raw == content.raw
    assert [entry.digest for entry in store.referrers(content.digest)] == [sbom.digest]
    assert not second.report
    second.close()
    assert check_storage(root) == ()


def test_the_content_is_an_image_layout_without_names(root):
    """Other tools may look into it; names and rights stay in the database."""
    depot = opened(root)
    push(depot.repository("team/app"), builders.image(), tag="1.0")
    depot.close()
    assert json.loads((root / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((root / "index.json").read_bytes())
    assert (index["schemaVersion"], index["manifests"]) == (2, [])
    assert all(Digest.of((root / "blobs/sha256" / d.hex).read_bytes()) == d for d in files(root))


def test_secrets_are_for_their_owner_only(root):
    """The folder, its database and the places of keys are closed to others."""
    old = os.umask(0)
    try:
        opened(root).close()
    finally:
        os.umask(old)
    for name, mode in {
        ".": 0o700,
        "keys": 0o700,
        "tls": 0o700,
        "registry.db": 0o600,
        "version": 0o600,
        "lock": 0o600,
    }.items():
        assert stat.S_IMODE((root / name).stat().st_mode) == mode, name


def test_one_process_per_folder(root):
    """The second one is told who has it."""
    code = (
        "import sys; from pathlib import Path; from airgap.server.datafolder import open_data;"
        "open_data(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(LockedError, match=f"process {process.pid}"):
            open_data(root)
        process.stdin.close()
    opened(root).close()


def test_an_upload_goes_on_after_a_restart(root):
    """What was acknowledged of a blob need not be sent again."""
    first = opened(root)
    upload = first.repository("a").start_upload()
    upload.append(b"first half, ")
    upload.close()
    first.pool.close()  # the process is killed here
    first.metadata.close()
    second = opened(root)
    found = second.repository("a").find_upload(upload.id)
    assert found.offset == len(b"first half, ")
    found.append(b"second half")
    descriptor = found.commit(Digest.of(b"first half, second half"))
    assert read(second.repository("a"), descriptor) == b"first half, second half"
    second.close()


def test_what_a_crash_left_is_put_in_order(root):
    """Old partial blobs go, whole ones are known again, unfinished small files disappear."""
    depot = opened(root)
    kept = push(depot.repository("a"), builders.image(), tag="1.0")
    depot.close()
    whole, uploads = b"whole, and its row was never written", root / "uploads"
    digest = Digest.of(whole)
    (root / "blobs/sha256" / digest.hex).write_bytes(whole)
    (uploads / ".airgap-0123").write_bytes(b"half a manifest")
    (uploads / "old").write_bytes(b"12345")
    os.utime(uploads / "old", (1, 1))
    (uploads / "young").write_bytes(b"123")
    crashed(root)
    depot = opened(root)
    report = depot.report
    assert (report.dropped_uploads, report.dropped_bytes, report.adopted) == (1, 5, 1)
    assert {path.name for path in uploads.iterdir()} == {"young"}
    assert depot.repository("a").manifest("1.0").raw == kept.raw
    assert depot.repository("a").find_blob(digest) is None
    depot.close()
    assert check_storage(root) == ()


def test_a_blob_that_is_gone_can_be_pushed_again(root):
    """A row without a file is no blob: it is said, refused to manifests, and repaired by a push."""
    content = builders.image()
    depot = opened(root)
    push(depot.repository("a"), content, tag="1.0")
    depot.close()
    lost = content.blobs[0].descriptor
    (root / "blobs/sha256" / lost.digest.hex).unlink()
    assert "lost" in kinds(root)
    crashed(root)
    depot = opened(root)
    assert depot.report.lost == (lost.digest,)
    assert not depot.repository("a").has_blob(lost)
    push(depot.repository("a"), content, tag="1.0")
    depot.close()
    assert check_storage(root) == ()


def test_a_folder_whose_disk_is_not_there_is_refused(root, monkeypatch):
    """Nothing is forgotten because something is not mounted."""
    depot = opened(root)
    for seed in range(8):
        push(depot.repository("a"), builders.image(seed=seed), tag=f"t{seed}")
    depot.close()
    (root / "blobs").rename(root / "elsewhere")
    crashed(root)
    with pytest.raises(StorageError, match="24 of 24"):
        opened(root)
    (root / "blobs").rmdir() if (root / "blobs").is_dir() else None
    (root / "elsewhere").rename(root / "blobs")
    depot = opened(root)
    assert len(list(depot.repository("a").tags())) == 8
    depot.close()
    assert check_storage(root) == ()


def test_a_folder_that_is_something_else_is_refused(root):
    """Nobody's home becomes a data folder by a mistyped option."""
    root.mkdir()
    (root / "letters.txt").write_text("dear all")
    with pytest.raises(SettingsError, match="letters"):
        opened(root)
    assert [path.name for path in root.iterdir()] == ["letters.txt"]
    with pytest.raises(SettingsError, match="not a data folder"):
        opened(root.parent / "nothing", creates=False)


def test_users_may_come_before_the_registry(root):
    """What `airgap user add` wrote does not make the folder a foreign one."""
    (root / "keys").mkdir(parents=True)
    for name in ("htpasswd", "groups", "access.toml", ".users.lock"):
        (root / name).touch()
    opened(root).close()


def test_the_check_finds_what_is_wrong(root):
    """Damaged, lost, unknown, unlinked and dangling things are each found."""
    content = builders.image(layers=[100, 200])
    depot = opened(root)
    push(depot.repository("a"), content, tag="1.0")
    assert check_storage(root) == ()
    config, layer, gone = (blob.descriptor.digest for blob in content.blobs)
    folder = root / "blobs/sha256"
    (folder / layer.hex).write_bytes(b"x" * 100)
    (folder / gone.hex).unlink()
    (folder / ("0" * 64)).write_bytes(b"?")
    (folder / "notes.txt").write_bytes(b"?")

    def damage(connection):
        connection.execute(tables.LINKS.delete().filter_by(digest=str(config)))
        connection.execute(
            insert(tables.TAGS).values(
                repository="a", name="x", digest=str(Digest.of(b"?")), tagged_at=0.0
            )
        )

    depot.metadata.writer.run(damage)
    depot.close()
    found = {(finding.kind, finding.what) for finding in check_storage(root)}
    assert found == {
        ("damaged", str(layer)),
        ("lost", str(gone)),
        ("unknown", f"blobs/sha256/{'0' * 64}"),
        ("unknown", "blobs/sha256/notes.txt"),
        ("unlinked", str(config)),
        ("dangling", "a:x"),
    }


def test_a_clean_start_does_not_look_at_every_file(root, monkeypatch):
    """Only after a crash all files and rows are compared, so that a start is quick."""
    opened(root).close()
    assert not (root / "unclean").exists()
    monkeypatch.setattr(tidy, "_compare", lambda *_: pytest.fail("compared"))
    depot = opened(root)
    assert (root / "unclean").exists()
    depot.close()


def test_uploads_of_a_day_are_kept_at_the_start(root):
    """Within a day an upload can go on, whatever happened to the server."""
    opened(root).close()
    path = root / "uploads/abc"
    path.write_bytes(b"1")
    written = path.stat().st_mtime
    opened(root, now=lambda: written + DAY - 60).close()
    assert path.exists()
    opened(root, now=lambda: written + DAY + 60).close()
    assert not path.exists()
