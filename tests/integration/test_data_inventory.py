"""The inventory of a data folder is read where the folder lies."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from airgap.content.folder import FolderDepot
from airgap.errors import AirgapError, SettingsError, StorageError
from airgap.record.inventory import Inventory
from airgap.server.data_inventory import inventory_of_data_folder
from airgap.version import __version__
from tests.support.builders import Content, image, push
from tests.support.command_line import airgap, assert_refused
from tests.support.datafolders import opened
from tests.support.embedded import EmbeddedRegistry
from tests.support.served import served
from tests.support.told_inventories import ask, fill
from tests.support.wire import Wire

MADE = datetime(2026, 11, 25, 8, 30, 1, tzinfo=UTC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with something in it that nobody serves."""
    root = tmp_path / "data"
    depot = opened(root)
    fill(depot)
    depot.close()
    return root


def read(root: Path, **more: str) -> Inventory:
    return inventory_of_data_folder(root, made=MADE, **more)


def send(wire: Wire) -> Content:
    """Push an image as clients do."""
    content = image(seed=77)
    for blob in content.blobs:
        path = f"/v2/new/app/blobs/uploads/?digest={blob.descriptor.digest}"
        wire.ask("POST", path, blob.data, status=201)
    kind = {"Content-Type": content.descriptor.media_type}
    wire.ask("PUT", "/v2/new/app/manifests/1", content.document.raw, kind, status=201)
    return content


def test_it_is_what_the_server_would_answer(root: Path) -> None:
    """But for when, where and by whom, which the caller says."""
    depot = opened(root)
    with EmbeddedRegistry(depot=depot) as registry, Wire(registry.host) as wire:
        answered = ask(wire)
    depot.close()
    inventory = read(root, place=registry.host, by="alice")
    assert inventory.content_digest == answered.content_digest
    assert (inventory.made, inventory.by, inventory.version) == (MADE, "alice", __version__)
    assert (inventory.kind, inventory.is_complete) == ("registry", True)
    assert read(root).place == ""


def test_nothing_in_the_folder_is_changed(root: Path) -> None:
    """Neither a file nor its time, and no lock is left."""

    def state() -> dict[str, tuple[int, int]]:
        return {
            str(path.relative_to(root)): (path.stat().st_size, path.stat().st_mtime_ns)
            for path in root.rglob("*")
            if path.is_file()
        }

    before = state()
    assert read(root).raw == read(root).raw
    assert state() == before


def test_a_folder_that_is_served_can_be_read(root: Path) -> None:
    """Without waiting for the server, and with what was pushed a moment ago."""
    before = read(root)
    with served("--data", root) as process:
        assert read(root).raw == before.raw
        with Wire(process.host) as wire:
            content = send(wire)
            now = read(root, place=process.host)
            assert now.content_digest == ask(wire).content_digest
        found = now.find(content.digest)
        assert found is not None
        assert found.repositories == ("new/app",)


def test_a_folder_that_a_crash_left_behind_can_be_read(root: Path) -> None:
    """What was acknowledged before the process was killed is there."""
    with served("--data", root) as process:
        with Wire(process.host) as wire:
            content = send(wire)
        process.process.kill()
        process.process.wait()
    assert (root / "unclean").exists()
    found = read(root).find(content.digest)
    assert found is not None
    assert found.repositories == ("new/app",)


def other_folder(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()
    (root / "something").write_text("else")


def no_database(root: Path) -> None:
    (root / "registry.db").unlink()


def damaged_database(root: Path) -> None:
    (root / "registry.db").write_bytes(os.urandom(8192))


def empty_database(root: Path) -> None:
    (root / "registry.db").unlink()
    sqlite3.connect(root / "registry.db").close()
    (root / "registry.db").touch()


def foreign_database(root: Path) -> None:
    change(root, "UPDATE folders SET id = 'another'")


def newer_database(root: Path) -> None:
    change(root, "UPDATE folders SET version = 99")


def older_database(root: Path) -> None:
    change(root, "UPDATE folders SET version = 0")


def newer_folder(root: Path) -> None:
    value = json.loads((root / "version").read_text())
    (root / "version").write_text(json.dumps(value | {"airgapData": 99}))


def older_folder(root: Path) -> None:
    shutil.rmtree(root)
    depot = FolderDepot(root, durable=False)
    push(depot.repository("a"), image(), tag="1")
    depot.close()


def unmigrated_folder(root: Path) -> None:
    value = json.loads((root / "version").read_text())
    (root / "version").write_text(json.dumps(value | {"airgapData": 0}))


def change(root: Path, statement: str) -> None:
    connection = sqlite3.connect(root / "registry.db")
    with connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    ("damage", "error", "text"),
    [
        (shutil.rmtree, SettingsError, "is not a data folder"),
        (other_folder, SettingsError, "is not a data folder"),
        (older_folder, SettingsError, "is not a data folder of this version"),
        (unmigrated_folder, SettingsError, "is not a data folder of this version"),
        (newer_folder, StorageError, "of version 99"),
        (no_database, StorageError, "registry.db is missing"),
        (empty_database, StorageError, "registry.db is empty"),
        (damaged_database, StorageError, "registry.db: SQLITE_NOTADB"),
        (foreign_database, StorageError, "belongs to another data folder"),
        (newer_database, StorageError, "is of version 99"),
        (older_database, StorageError, "is of an older version"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_is_no_data_folder_is_refused(
    root: Path, damage: object, error: type[AirgapError], text: str
) -> None:
    """By name, and without making anything of it."""
    damage(root)  # type: ignore[operator]  # a function of those above
    before = sorted(root.rglob("*"))
    with pytest.raises(error, match=text) as caught:
        read(root)
    assert caught.value.hint
    assert sorted(root.rglob("*")) == before


def test_a_database_elsewhere_must_be_named(root: Path) -> None:
    """And one that is in the folder must not."""
    with pytest.raises(SettingsError, match=r"its own registry\.db"):
        read(root, database_url="postgresql+psycopg://nobody@localhost/none")


@pytest.mark.parametrize(
    "command",
    [
        ("compare", "{data}", "{data}"),
        ("export", "images", "example.com/a:1", "-o", "{data}.tar", "--against", "{data}"),
        ("export", "images", "-o", "{data}.tar", "--from", "{data}"),
    ],
)
def test_a_data_folder_is_no_empty_image_layout(root: Path, command: tuple[str, ...]) -> None:
    """It has the files of one, and would seem to hold nothing: the hint says what reads it."""
    done = airgap(*(part.format(data=root) for part in command))
    assert_refused(done, 2, "settings", "is the data of a registry", "airgap export inventory")
