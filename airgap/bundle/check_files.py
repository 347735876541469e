"""The files that a check is to read, found without believing that they are sound."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from airgap.bundle.discovery import candidates, read_placement
from airgap.bundle.finding import Finding
from airgap.bundle.partial import SUFFIX
from airgap.bundle.survey import Survey, survey_file
from airgap.bundle.volume_file import open_file
from airgap.content.filesystem import drop_cache_file
from airgap.content.posix import raise_open_files
from airgap.content.storage import storage_errors
from airgap.errors import AirgapError, ContentNotFoundError, StorageError
from airgap.oci.digest import Digest

_ENDINGS = (".tar", f".tar{SUFFIX}")
_MANY = 500
"""Systems let a process open about twice as many files before it asks for more."""


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
    wanted = candidates(paths, endings=_ENDINGS)
    if len(wanted) > _MANY:
        raise_open_files()
    sound: dict[Digest, Survey] = {}
    for path, is_named in wanted.items():
        if read_back:
            drop_cache_file(path)
        stream = stack.enter_context(open_file(path))
        found, size = _survey(path, stream)
        if found.error is None and found.catalog is not None:
            # what all volumes of a bundle carry is in memory once, however many there are
            found.adopt(sound.setdefault(found.catalog.id, found))
        if not is_named and not _is_bundle(found):
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
    for path in candidates(paths, endings=_ENDINGS):
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


def _is_bundle(found: Survey) -> bool:
    """Whether a file is, or once was, a bundle: a tar of other things in a folder is none."""
    is_known = found.catalog is not None or found.placement is not None
    return is_known or (found.error is not None and found.error.kind != "structure")
