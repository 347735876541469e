"""Files of keys and signatures: read with limits, written for their owner only."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from airgap.content.storage import storage_errors
from airgap.errors import ConflictError, SettingsError
from airgap.trust.keys import PrivateKey, PublicKey, is_encrypted
from airgap.trust.pem import MAX_PEM
from airgap.trust.signatures import Signatures, parse_detached
from airgap.trust.signed import MAX_SIZE

MAX_DETACHED = 64
"""The most signatures that are looked for beside a bundle: anybody may have put files there."""
_ENDS = (".sig", ".sigstore.json")
_PRIVATE = 0o600
_OPEN = 0o644


def read_limited(path: Path, limit: int) -> bytes:
    """Read a small file.

    Args:
        path: Where it lies.
        limit: One byte more than this is read at most, so that whoever parses it sees its excess.

    Raises:
        SettingsError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read: {error.strerror or error}",
            hint="check that the file is there and that you may read it",
        ) from error


def read_public(path: Path) -> PublicKey:
    """Read a public key.

    Raises:
        SettingsError: The file cannot be read, or holds none that airgap takes.
    """
    return PublicKey.parse(read_limited(path, MAX_PEM), what=str(path))


def read_private(path: Path, passphrase: Callable[[Path], str]) -> PrivateKey:
    """Read a private key.

    Args:
        path: Where it lies.
        passphrase: Asked for the passphrase of a file that has one.

    Raises:
        SettingsError: The file cannot be read, or holds none that airgap takes; or the passphrase
            does not open it.
    """
    raw, what = read_limited(path, MAX_PEM), str(path)
    word = passphrase(path) if is_encrypted(raw, what=what) else None
    return PrivateKey.parse(raw, word, what=what)


def write_key(path: Path, key: PrivateKey, passphrase: str | None) -> Path:
    """Write a key for its owner only, and its public half beside it; gives that one's path.

    Args:
        path: Where; nothing may be there.
        key: The key.
        passphrase: What the file is encrypted with; None leaves it open to who reads it.

    Raises:
        ConflictError: One of the files is there already.
        StorageError: They could not be written.
    """
    public = public_path(path)
    for there in (path, public):
        if os.path.lexists(there):
            raise ConflictError(
                f"{there} is there already, and a key is never replaced",
                hint="give another name, or put the old key away first",
                origin="local",
            )
    _write_new(path, key.to_pem(passphrase), mode=_PRIVATE)
    _write_new(public, key.public.to_pem(), mode=_OPEN)
    return public


def public_path(path: Path) -> Path:
    """Where the public half of a key lies: release.pub beside release.key."""
    return path.with_suffix(".pub") if path.suffix == ".key" else path.with_name(f"{path.name}.pub")


def read_detached(paths: Iterable[Path]) -> Signatures:
    """Read signatures out of files of their own.

    Raises:
        SettingsError: One cannot be read.
        SignatureError: One is no signature.
        BundleFormatError: One needs a newer airgap.
    """
    found = Signatures()
    for path in paths:
        found = found.merge(parse_detached(read_limited(path, MAX_SIZE), what=str(path)))
    return found


def find_detached(bundle: Iterable[Path]) -> tuple[Path, ...]:
    """The files beside a bundle that may hold signatures of it, sorted by name.

    Beside a file those begin with its name; in a folder of volumes each of them counts.

    Args:
        bundle: The files and folders of the bundle.

    Raises:
        SettingsError: There are more than anybody signs with.
        StorageError: A folder cannot be read.
    """
    found: set[Path] = set()
    for path in bundle:
        with storage_errors(path):
            is_folder = path.is_dir()
            if not (is_folder or path.exists()):
                continue  # whoever opens it says so
            folder, start = (path, "") if is_folder else (path.parent, f"{path.name}.")
            found.update(
                file
                for file in folder.iterdir()
                if file.name.startswith(start) and file.name.endswith(_ENDS) and file.is_file()
            )
    if len(found) > MAX_DETACHED:
        raise SettingsError(
            f"{len(found)} files beside the bundle look like signatures, and at most {MAX_DETACHED}"
            " are looked at",
            hint="take away those that are none, or put the bundle elsewhere",
        )
    return tuple(sorted(found))


def _write_new(path: Path, data: bytes, *, mode: int) -> None:
    """Write a file that must not be there yet; what was begun does not stay."""
    with storage_errors(path):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            with open(fd, "wb") as file:  # noqa: PTH123 -- it has no path yet
                file.write(data)
                file.flush()
                os.fsync(fd)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
