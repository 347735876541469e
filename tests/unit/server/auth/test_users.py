"""The folder of the users: files that other tools read and write as well."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from airgap.errors import (
    ConflictError,
    ContentNotFoundError,
    LockedError,
    SettingsError,
    StorageError,
)
from airgap.server.auth import users as module
from airgap.server.auth.passwords import hash_password
from airgap.server.auth.rules import DEFAULT_TEXT
from airgap.server.auth.users import User, UserFolder, lock_folder

HASH = hash_password("x", cost=4)


@pytest.fixture
def folder(tmp_path: Path) -> UserFolder:
    return UserFolder(tmp_path / "data")


def names(folder: UserFolder) -> list[str]:
    return [user.name for user in folder.load().users()]


def test_a_folder_that_is_not_there_has_no_users(folder: UserFolder) -> None:
    """Reading makes nothing, and the default rules count."""
    found = folder.load()
    assert not found.has_users
    assert found.users() == ()
    assert len(found.rules.rules) == 2
    assert not folder.folder.exists()


def test_the_first_user_brings_the_files(folder: UserFolder) -> None:
    """Rules that can be read and changed, groups, and hashes that only the owner may read."""
    assert folder.add("amy", HASH, groups=["payments"], is_admin=True) == ("payments", "admins")
    assert folder.passwords.read_text() == f"amy:{HASH}\n"
    assert folder.passwords.stat().st_mode & 0o777 == 0o600
    assert folder.groups.read_text() == "payments: amy\nadmins: amy\n"
    assert folder.access.read_text() == DEFAULT_TEXT
    assert folder.load().users() == (User("amy", ("admins", "payments"), is_admin=True),)


def test_the_folder_is_for_its_owner_only(folder: UserFolder) -> None:
    """Content may lie in it later; a folder that is there already keeps its mode."""
    before = os.umask(0)
    try:
        folder.add("alice", HASH)
    finally:
        os.umask(before)
    assert folder.folder.stat().st_mode & 0o777 == 0o700
    folder.folder.chmod(0o750)
    folder.add("bob", HASH)
    assert folder.folder.stat().st_mode & 0o777 == 0o750


def test_what_others_wrote_stays(folder: UserFolder) -> None:
    """Comments, foreign lines, rules, links and the mode of the file are kept."""
    folder.folder.mkdir()
    real = folder.folder / "real"
    real.write_text("# ours\neve:$apr1$x$y\n")
    real.chmod(0o640)
    folder.passwords.symlink_to(real)
    folder.access.write_text("version = 1\n")
    folder.add("bob", HASH)
    assert folder.passwords.is_symlink()
    assert real.read_text() == f"# ours\neve:$apr1$x$y\nbob:{HASH}\n"
    assert real.stat().st_mode & 0o777 == 0o640
    assert folder.access.read_text() == "version = 1\n"
    assert not folder.groups.exists()
    assert [problem.count("apr1") for problem in folder.load().problems] == [1]


def test_bytes_that_are_no_text_stay(folder: UserFolder) -> None:
    """A comment in an old encoding survives a change."""
    folder.folder.mkdir()
    folder.passwords.write_bytes(b"# M\xfcller\n")
    folder.add("bob", HASH)
    assert folder.passwords.read_bytes() == b"# M\xfcller\n" + f"bob:{HASH}\n".encode()


def test_a_user_is_added_once(folder: UserFolder) -> None:
    """A second one of that name is a conflict, also where the first cannot sign in."""
    folder.add("bob", HASH)
    with pytest.raises(ConflictError):
        folder.add("bob", HASH)
    folder.passwords.write_text("eve:{SHA}x\n")
    with pytest.raises(ConflictError):
        folder.check_new("eve")
    folder.check_new("bob")


def test_a_new_user_does_not_inherit_groups(folder: UserFolder) -> None:
    """Another tool may have removed one of that name and left it in the groups."""
    folder.folder.mkdir()
    folder.groups.write_text("payments: bob amy\n")
    folder.add("bob", HASH, groups=["sales"])
    assert folder.load().groups == {"amy": {"payments"}, "bob": {"sales"}}


def test_a_removed_user_is_in_no_group(folder: UserFolder) -> None:
    """And cannot be removed twice."""
    folder.add("bob", HASH, groups=["payments"])
    folder.add("amy", HASH, groups=["payments"])
    folder.remove("bob")
    assert names(folder) == ["amy"]
    assert folder.groups.read_text() == "payments: amy\n"
    with pytest.raises(ContentNotFoundError):
        folder.remove("bob")
    folder.remove("amy")
    assert not folder.load().has_users


def test_a_password_is_changed_in_place(folder: UserFolder) -> None:
    """Only for a user that is there."""
    folder.add("bob", HASH)
    folder.set_password("bob", other := hash_password("y", cost=4))
    assert folder.load().passwords == {"bob": other}
    for change in (lambda: folder.set_password("eve", HASH), lambda: folder.check_known("eve")):
        with pytest.raises(ContentNotFoundError):
            change()


def test_names_are_checked_before_anything_is_written(folder: UserFolder) -> None:
    """A wrong name of a user or a group leaves nothing behind."""
    with pytest.raises(SettingsError):
        folder.add("a:b", HASH)
    with pytest.raises(SettingsError):
        folder.add("bob", HASH, groups=["Bad"])
    assert not folder.folder.exists()


def test_changes_at_the_same_time_are_all_there(folder: UserFolder) -> None:
    """Nobody overwrites what somebody else has just written."""
    folder.add("first", HASH)

    def work(number: int) -> None:
        mine = UserFolder(folder.folder)
        mine.add(f"user{number}", HASH, groups=["team"])
        mine.set_password(f"user{number}", HASH)
        if number % 2:
            mine.remove(f"user{number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(folder) == ["first", "user0", "user2", "user4", "user6", "user8"]
    assert set(folder.load().groups) == {"user0", "user2", "user4", "user6", "user8"}


def test_who_waits_too_long_is_told(folder: UserFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that hangs with the lock does not hang all others."""
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.1)
    folder.folder.mkdir()
    with lock_folder(folder.folder), pytest.raises(LockedError):
        folder.add("bob", HASH)


def test_every_change_shows_in_the_signature(folder: UserFolder) -> None:
    """Made, replaced, changed in place, and removed."""
    seen = [folder.signature()]
    folder.folder.mkdir()
    folder.passwords.write_text("a:b\n")
    seen.append(folder.signature())
    replacement = folder.folder / "new"
    replacement.write_text("a:c\n")
    replacement.replace(folder.passwords)
    seen.append(folder.signature())
    stat = folder.passwords.stat()
    folder.passwords.write_text("a:b\nb:c\n")
    os.utime(folder.passwords, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    seen.append(folder.signature())
    folder.groups.write_text("")
    seen.append(folder.signature())
    folder.access.write_text("")
    seen.append(folder.signature())
    folder.access.unlink()
    assert folder.signature() == seen[-2]
    assert len(set(seen)) == len(seen)


def test_files_that_cannot_be_read_are_told(folder: UserFolder) -> None:
    """A folder in place of a file, and a file that is far too large."""
    folder.passwords.mkdir(parents=True)
    with pytest.raises(StorageError):
        folder.load()
    folder.passwords.rmdir()
    with folder.passwords.open("wb") as file:
        file.truncate(module.MAX_FILE + 1)
    with pytest.raises(StorageError, match="more than"):
        folder.load()
