"""Names of repositories from options and list files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from airgap.cli.list_file import list_lines, opened_list
from airgap.errors import SettingsError
from airgap.oci.reference import is_repository, without_credentials

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
        SettingsError: A list cannot be read, or it or a name makes no sense; its place is named.
    """
    found = [_repository(name, "--repository", registry) for name in names]
    for path in files:
        found += [_repository(name, where, registry) for name, where in _listed(path)]
    return tuple(dict.fromkeys(found))


def _listed(path: Path) -> Iterator[tuple[str, str]]:
    with opened_list(path, hint=_HINT) as (file, name):
        for line in list_lines(file, name, hint=_HINT):
            if line.words:
                yield " ".join(line.words), line.where


def _repository(text: str, where: str, registry: str) -> str:
    name = text.removeprefix(f"{registry}/")
    if not is_repository(name):
        raise SettingsError(
            f"{where}: {without_credentials(text)!r} is not a repository", hint=_HINT
        )
    return name
