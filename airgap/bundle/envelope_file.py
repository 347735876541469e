"""Encrypted files on a medium, and the envelopes that lie beside them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from airgap.bundle.envelope import MAX_SIZE, SUFFIX, Envelope
from airgap.content.storage import is_folder, storage_errors
from airgap.errors import BundleFormatError, ContentNotFoundError

ENDING = ".age"
KEY_ENDING = ".key.age"
"""How the name of a key ends that a passphrase opens; it lies beside the volumes."""


def read_envelope(path: Path) -> Envelope | None:
    """What lies beside encrypted volumes; None where nothing does.

    Raises:
        BundleFormatError: It is damaged.
        StorageError: It cannot be read.
    """
    with storage_errors(path):
        try:
            with path.open("rb") as stream:
                raw = stream.read(MAX_SIZE + 1)
        except FileNotFoundError:
            return None
    return Envelope.parse(raw)


def encrypted_files(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The encrypted files among files, and in folders.

    Raises:
        ContentNotFoundError: A path is not there.
        StorageError: A folder cannot be read.
    """
    found: dict[Path, None] = {}
    for path in paths:
        with storage_errors(path):
            if path.is_dir():
                found.update(dict.fromkeys(p for p in sorted(path.iterdir()) if _is_encrypted(p)))
            elif not path.exists():
                raise ContentNotFoundError(
                    f"{path}: there is no such file", hint="check the path", origin="local"
                )
            elif _is_encrypted(path):
                found[path] = None
    return tuple(found)


def envelopes_at(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The envelopes among files, in folders, and beside files.

    Raises:
        StorageError: A folder cannot be read.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.name.endswith(SUFFIX) and not is_folder(path):
            found[path] = None
            continue
        folder = path if is_folder(path) else path.parent
        with storage_errors(folder):
            found.update(dict.fromkeys(sorted(folder.glob("*" + SUFFIX))))
    return tuple(found)


def known_size(path: Path) -> int | None:
    """How many bytes a file has according to an envelope beside it, where there is one."""
    for beside in envelopes_at([path]):
        with suppress(BundleFormatError):  # a damaged one says nothing
            envelope = read_envelope(beside)
            for entry in envelope.entries if envelope else ():
                if entry.name == path.name:
                    return entry.size
    return None


def _is_encrypted(path: Path) -> bool:
    return path.name.endswith(ENDING) and not path.name.endswith(KEY_ENDING) and path.is_file()
