"""The files that a check is to read, found without believing that they are sound."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from airgap.bundle.discovery import read_placement
from airgap.bundle.finding import Finding
from airgap.bundle.partial import SUFFIX
from airgap.bundle.survey import Survey, survey_file
from airgap.bundle.volume_file import open_file
from airgap.content.filesystem import drop_cache_file
from airgap.content.posix import raise_open_files
from airgap.content.storage import storage_errors
from airgap.errors import AirgapError, ContentNotFoundError, StorageError
from airgap.oci.digest import Digest
from airgap.oci.layout import LAYOUT_FILE

_ENDINGS = (".tar", f".tar{SUFFIX}")
_MANY = 500
"""Systems let a process open about twice as many files before it asks for more."""
_BEGINNING = LAYOUT_FILE.encode() + b"\0"


@dataclass(slots=True)
class OpenFile:
    """A file that is read, and what is known of it.

    Attributes:
        path: Where it is.
        stream: The open file.
        size: Its bytes.
        found: What its front says, or what is left of that.
    """

    path: Path
    stream: BinaryIO
    size: int
    found: Survey


def open_files(
    paths: Sequence[Path], stack: ExitStack, *, read_back: bool
) -> tuple[list[OpenFile], list[Path]]:
    """Open files, and those in folders that are bundles or volumes or look as if they had been.

    Args:
        paths: Files and folders.
        stack: Closes the files.
        read_back: Whether what is in memory is dropped before.

    Returns:
        The files, and those in folders that are left aside.

    Raises:
        ContentNotFoundError: There is no such file, or nothing to check in a folder.
        StorageError: It cannot be opened.
        BundleFormatError: It is something that has no offsets.
    """
    files: list[OpenFile] = []
    aside: list[Path] = []
    wanted = _candidates(paths)
    if len(wanted) > _MANY:
        raise_open_files()
    sound: dict[Digest, Survey] = {}
    for path, is_found in wanted.items():
        if read_back:
            drop_cache_file(path)
        stream = stack.enter_context(open_file(path))
        found, size = _survey(path, stream)
        if found.error is None and found.catalog is not None:
            # what all volumes of a bundle carry is in memory once, however many there are
            found.adopt(sound.setdefault(found.catalog.id, found))
        if is_found and not _is_bundle(found):
            stream.close()
            aside.append(path)
        else:
            files.append(OpenFile(path, stream, size, found))
    if not files:
        raise ContentNotFoundError(
            f"{', '.join(map(str, paths))}: there is no bundle in it",
            hint="name the files of the bundle, or the folder that holds them",
            origin="local",
        )
    return files, aside


def glance(paths: Sequence[Path]) -> list[tuple[Path, Survey]]:
    """What each file says of its place, read in no time; of a damaged one all that is left.

    Raises:
        ContentNotFoundError: There is no such file.
        StorageError: A file cannot be opened.
        BundleFormatError: It is something that has no offsets.
    """
    found: list[tuple[Path, Survey]] = []
    for path in _candidates(paths):
        try:
            survey = Survey(placement=read_placement(path))
        except AirgapError:
            survey = survey_path(path)
        found.append((path, survey))
    return found


def survey_path(path: Path) -> Survey:
    """Read the front of a file, or what is left of it.

    Raises:
        ContentNotFoundError: There is no such file.
        StorageError: It cannot be opened.
        BundleFormatError: It is something that has no offsets.
    """
    with open_file(path) as stream:
        return _survey(path, stream)[0]


def _survey(path: Path, stream: BinaryIO) -> tuple[Survey, int]:
    """What a file says, and its size; that it cannot be read is said, and not raised."""
    with storage_errors(path):
        size = os.lseek(stream.fileno(), 0, os.SEEK_END)
        stream.seek(0)
    try:
        return survey_file(stream, name=str(path), size=size), size
    except StorageError as error:
        return Survey(error=Finding.of(error)), size


def _candidates(paths: Sequence[Path]) -> dict[Path, bool]:
    """The files, each once, and whether they were found in a folder and not named."""
    found: dict[Path, bool] = {}
    seen: set[Path] = set()
    for path in paths:
        is_folder = path.is_dir()
        for file in _in_folder(path) if is_folder else (path,):
            real = file.resolve()
            if real not in seen:
                seen.add(real)
                found[file] = is_folder
    return found


def _in_folder(folder: Path) -> Iterator[Path]:
    with storage_errors(folder):
        for path in sorted(folder.iterdir()):
            if path.is_file() and (path.name.endswith(_ENDINGS) or _begins_as_bundle(path)):
                yield path


def _begins_as_bundle(path: Path) -> bool:
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(len(_BEGINNING)) == _BEGINNING
    except OSError:  # it has no ending of ours, and cannot be read
        return False


def _is_bundle(found: Survey) -> bool:
    """Whether a file is, or once was, a bundle: a tar of other things in a folder is none."""
    is_known = found.catalog is not None or found.placement is not None
    return is_known or (found.error is not None and found.error.kind != "structure")
