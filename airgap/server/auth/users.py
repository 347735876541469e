"""The folder of the users: `htpasswd`, `groups` and `access.toml`, read and written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from airgap.content.atomic import PRIVATE, make_folder, write_file
from airgap.content.posix import give_owner, lock
from airgap.content.storage import storage_error, storage_errors
from airgap.errors import ConflictError, ContentNotFoundError, LockedError, StorageError
from airgap.run.cancel import CancelToken
from airgap.server.access import Principal
from airgap.server.auth.groups import GroupFile
from airgap.server.auth.htpasswd import Entry, PasswordFile
from airgap.server.auth.names import ADMINS, check_group, check_user
from airgap.server.auth.rules import DEFAULT_TEXT, Rules, parse_rules

MAX_FILE = 16 << 20
LOCK_SECONDS = 10.0
_LOCK_TRIES = 0.05
_PRIVATE = 0o600

Signature = tuple[tuple[int, ...] | None, ...]
"""What changes with the files, without reading them."""


@dataclass(frozen=True, slots=True)
class User:
    """A user as the files say.

    Attributes:
        name: The user.
        groups: In which groups, in lexical order.
        is_admin: Whether the user may do everything.
        problem: Why the user cannot sign in; empty where that is possible.
    """

    name: str
    groups: tuple[str, ...]
    is_admin: bool
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the files said at one time.

    Attributes:
        entries: The users' lines in the password file.
        groups: The groups of each user who is in any.
        rules: Who may do what.
        problems: What in the files means nothing, a line for each.
        passwords: The hashes of those who can sign in.
    """

    entries: tuple[Entry, ...]
    groups: Mapping[str, frozenset[str]]
    rules: Rules
    problems: tuple[str, ...] = ()
    passwords: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    @property
    def has_users(self) -> bool:
        """Whether there is any user, even if only such as cannot sign in."""
        return bool(self.entries)

    @property
    def costs(self) -> tuple[int, ...]:
        """The costs of all hashes."""
        return tuple(int(stored[4:6]) for stored in self.passwords.values())

    def principal(self, name: str) -> Principal | None:
        """A user who can sign in; None where there is none of that name."""
        if name not in self.passwords:
            return None
        groups = self.groups.get(name, frozenset())
        return Principal(name, groups, self.rules.is_admin(name, groups))

    def users(self) -> tuple[User, ...]:
        """All users in lexical order."""
        found: dict[str, User] = {}
        for entry in self.entries:
            groups = self.groups.get(entry.name, frozenset())
            is_admin = self.rules.is_admin(entry.name, groups)
            user = User(entry.name, tuple(sorted(groups)), is_admin, entry.problem)
            found.setdefault(entry.name, user)
        return tuple(found[name] for name in sorted(found))


class UserFolder:
    """Reads and writes the files of the users.

    Args:
        folder: Where they lie: the data folder of a registry, or one of their own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.passwords = folder / "htpasswd"
        self.groups = folder / "groups"
        self.access = folder / "access.toml"

    def signature(self) -> Signature:
        """What tells whether a file has changed since, as cheap as can be."""
        return tuple(_signature(path) for path in (self.passwords, self.groups, self.access))

    def load(self) -> Snapshot:
        """Read all files.

        Raises:
            StorageError: One cannot be read.
            SettingsError: `access.toml` makes no sense.
        """
        passwords = PasswordFile.parse(_read(self.passwords) or "")
        groups = GroupFile.parse(_read(self.groups) or "")
        text = _read(self.access)
        rules = parse_rules(DEFAULT_TEXT if text is None else text, what=str(self.access))
        problems = [
            f"{self.passwords}, line {entry.line}: {entry.name[:80]!r} {entry.problem}"
            for entry in passwords.entries
            if entry.problem
        ]
        problems += [f"{self.groups}, line {line}: {why}" for line, why in groups.problems()]
        return Snapshot(
            passwords.entries,
            groups.memberships(),
            rules,
            tuple(problems),
            {entry.name: entry.stored for entry in passwords.entries if entry.stored},
        )

    def add(
        self, name: str, stored: str, *, groups: Iterable[str] = (), is_admin: bool = False
    ) -> tuple[str, ...]:
        """Add a user, who is in these groups and in no others.

        Returns:
            The groups.

        Raises:
            ConflictError: There is one of that name.
            SettingsError: A name is none.
            StorageError: The files cannot be written.
        """
        check_user(name)
        wanted = [check_group(group) for group in groups] + ([ADMINS] if is_admin else [])
        wanted = list(dict.fromkeys(wanted))
        with self._locked():
            passwords = PasswordFile.parse(_read(self.passwords) or "")
            _refuse_known(passwords, name)
            # whoever can sign in must not meet rules or groups that are not there yet
            if _read(self.access) is None:
                self._write(self.access, DEFAULT_TEXT, mode=0o644)
            before = GroupFile.parse(_read(self.groups) or "")
            after = before.without(name)
            for group in wanted:
                after = after.with_member(group, name)
            if after != before:
                self._write(self.groups, after.text(), mode=0o644)
            self._write(self.passwords, passwords.with_hash(name, stored).text())
        return tuple(wanted)

    def check_new(self, name: str) -> None:
        """Refuse a name that is taken, before anybody is asked for a password.

        Raises:
            ConflictError: There is a user of that name.
        """
        _refuse_known(PasswordFile.parse(_read(self.passwords) or ""), name)

    def check_known(self, name: str) -> None:
        """Refuse a name that nobody has.

        Raises:
            ContentNotFoundError: There is no such user.
        """
        self._with_user(name)

    def set_password(self, name: str, stored: str) -> None:
        """Give a user another password.

        Raises:
            ContentNotFoundError: There is no such user.
            StorageError: The files cannot be written.
        """
        with self._locked():
            passwords = self._with_user(name)
            self._write(self.passwords, passwords.with_hash(name, stored).text())

    def remove(self, name: str) -> None:
        """Remove a user, also from all groups.

        Raises:
            ContentNotFoundError: There is no such user.
            StorageError: The files cannot be written.
        """
        with self._locked():
            self._write(self.passwords, self._with_user(name).without(name).text())
            before = GroupFile.parse(_read(self.groups) or "")
            after = before.without(name)
            if after != before:
                self._write(self.groups, after.text())

    def _with_user(self, name: str) -> PasswordFile:
        passwords = PasswordFile.parse(_read(self.passwords) or "")
        if not passwords.has(name):
            raise ContentNotFoundError(
                f"there is no user {name[:80]!r} in {self.passwords}",
                hint="airgap user list shows who there is",
            )
        return passwords

    def _write(self, path: Path, text: str, *, mode: int = _PRIVATE) -> None:
        with storage_errors(path):
            path = path.resolve()  # a link stays one
            is_there = path.exists()
            mode = path.stat().st_mode & 0o777 if is_there else mode
        data = text.encode("utf-8", "surrogateescape")
        write_file(path, data, mode=mode, like=path if is_there else self.folder)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the folder against others who change it by this class."""
        # it becomes the data folder of a registry, which holds more than the users
        make_folder(self.folder, mode=PRIVATE)
        with lock_folder(self.folder):
            yield


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold the files of the users against other processes while they are changed.

    Raises:
        LockedError: Somebody else holds them for long.
        StorageError: The folder cannot be written to.
    """
    path = folder / ".users.lock"
    with storage_errors(path):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)
    try:
        with storage_errors(path):
            give_owner(fd, folder)
        token = CancelToken()
        for _ in range(int(LOCK_SECONDS / _LOCK_TRIES)):
            if lock(fd):
                break
            token.sleep(_LOCK_TRIES)
        else:
            raise LockedError(
                f"somebody else changes the users in {folder}", hint="try again in a moment"
            )
        yield
    finally:
        os.close(fd)


def _refuse_known(passwords: PasswordFile, name: str) -> None:
    if passwords.has(name):
        raise ConflictError(
            f"there is a user {name}", hint=f"airgap user password {name} sets a password"
        )


def _signature(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return (error.errno or -1,)
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path) -> str | None:
    """The text of a file; None where there is none."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(error, path) from error
    if len(raw) > MAX_FILE:
        raise StorageError(f"{path} has more than {MAX_FILE} bytes", origin="local")
    return raw.decode("utf-8", "surrogateescape")
