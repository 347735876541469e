"""Names of repositories from options and list files."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from airgap.content.storage import storage_errors
from airgap.errors import SettingsError
from airgap.oci.reference import is_repository, without_credentials

MAX_FILE = 64 * 1024 * 1024
_HINT = "write its path in the registry: team/app; a list has one a line, and # begins a comment"


def read_repositories(
    names: Iterable[str], files: Iterable[Path], *, registry: str
) -> tuple[str, ...]:
    """Read the names of options, then those of list files, each one once.

    Args:
        names: Paths of repositories, with or without the registry before them.
        files: Lists of such names; `-` is standard input.
        registry: The registry that they are of.

    Raises:
        SettingsError: A name or a list makes no sense; its place is named.
        StorageError: A list cannot be read.
    """
    found = [_repository(name, "--repository", registry) for name in names]
    for path in files:
        found += [_repository(name, where, registry) for name, where in _listed(path)]
    return tuple(dict.fromkeys(found))


def _listed(path: Path) -> Iterator[tuple[str, str]]:
    is_pipe = str(path) == "-"
    title = "standard input" if is_pipe else str(path)
    with storage_errors(path):
        if is_pipe:
            raw = sys.stdin.buffer.read(MAX_FILE + 1)
        else:
            with path.open("rb") as file:
                raw = file.read(MAX_FILE + 1)
    if len(raw) > MAX_FILE:
        raise SettingsError(f"{title} has more than {MAX_FILE} bytes", hint=_HINT)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{title} is not text in UTF-8", hint=_HINT) from error
    for number, line in enumerate(text.split("\n"), 1):
        name = line.partition("#")[0].strip()
        if name:
            yield name, f"{title}, line {number}"


def _repository(text: str, where: str, registry: str) -> str:
    name = text.removeprefix(f"{registry}/")
    if not is_repository(name):
        raise SettingsError(
            f"{where}: {without_credentials(text)!r} is not a repository", hint=_HINT
        )
    return name
