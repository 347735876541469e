"""Which bundles there are among files and folders, by what each file says of itself.

Only the beginning of a file is read, and nothing is believed for good: whoever reads the bundle
checks it. Names do not matter, nor does order.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from airgap.bundle import members
from airgap.bundle.catalog import MAX_SIZE
from airgap.bundle.envelope_file import encrypted_files
from airgap.bundle.foreign import encrypted_error, refuse_beginning
from airgap.bundle.layout import PLACEMENT_FILE
from airgap.bundle.partial import SUFFIX
from airgap.bundle.placement import Placement
from airgap.bundle.volume_file import open_file
from airgap.content.storage import is_folder, storage_errors
from airgap.errors import AirgapError, BundleFormatError, ConflictError, ContentNotFoundError
from airgap.oci.digest import Digest
from airgap.oci.layout import LAYOUT_FILE

_BEGINNING = LAYOUT_FILE.encode() + b"\0"
_MAX_MEMBERS = 8
"""The placement is the fifth member, or the sixth where there are signatures."""


@dataclass(frozen=True, slots=True)
class FoundBundle:
    """A bundle of which some files are here.

    Attributes:
        id: The bundle id that its files name.
        volumes: How many volumes it has; 1 for a bundle of one file.
        files: Where each volume is that is here, by its number.
        doubles: Further files with a volume that is here already, by its number.
    """

    id: Digest
    volumes: int
    files: Mapping[int, Path]
    doubles: Mapping[int, tuple[Path, ...]] = field(default_factory=dict[int, tuple[Path, ...]])

    @property
    def missing(self) -> tuple[int, ...]:
        """The volumes that are not here."""
        return tuple(n for n in range(1, self.volumes + 1) if n not in self.files)


@dataclass(slots=True)
class _Group:
    files: dict[int, list[Path]] = field(default_factory=dict[int, list[Path]])

    def found(self, bundle: Digest, volumes: int) -> FoundBundle:
        files = dict(sorted(self.files.items()))
        return FoundBundle(
            bundle,
            volumes,
            {number: paths[0] for number, paths in files.items()},
            {number: tuple(paths[1:]) for number, paths in files.items() if len(paths) > 1},
        )


def discover(paths: Sequence[Path]) -> tuple[FoundBundle, ...]:
    """Find the bundles among files, and in folders.

    A file that is named must be one; in a folder, what is none or was not finished is passed over.

    Raises:
        ContentNotFoundError: A path is not there, or there is no bundle at all.
        BundleFormatError: A file that was named is no bundle.
        StorageError: A file or folder cannot be read.
    """
    groups: dict[tuple[Digest, int], _Group] = {}
    for path, is_named in candidates(paths).items():
        try:
            placement = read_placement(path)
        except AirgapError:
            if is_named:
                raise
            continue
        group = groups.setdefault((placement.bundle, placement.volumes), _Group())
        group.files.setdefault(placement.volume, []).append(path)
    if not groups:
        if encrypted_files(paths):
            raise encrypted_error(", ".join(map(str, paths)))
        raise ContentNotFoundError(
            f"{', '.join(map(str, paths))}: there is no bundle in it",
            hint="name the files of the bundle, or the folder that holds them",
            origin="local",
        )
    return tuple(group.found(bundle, volumes) for (bundle, volumes), group in groups.items())


def passed_over(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The files of folders that are named like volumes, and say nothing that could be read.

    Raises:
        StorageError: A folder cannot be read.
    """
    return tuple(
        path
        for path, is_named in candidates(paths, endings=(".tar",)).items()
        if not is_named and not _says_what_it_is(path)
    )


def _says_what_it_is(path: Path) -> bool:
    try:
        read_placement(path)
    except AirgapError:
        return False
    return True


def choose(found: Sequence[FoundBundle], expected: Digest | None = None) -> FoundBundle:
    """The one bundle that is meant.

    Args:
        found: Those that there are.
        expected: The id that it must have, if that is known.

    Raises:
        ConflictError: There are several.
    """
    meant = [bundle for bundle in found if bundle.id == expected] or list(found)
    if len(meant) > 1:
        each = "; ".join(
            f"{bundle.id.short} in {', '.join(path.name for path in bundle.files.values())}"
            for bundle in meant[:5]
        )
        raise ConflictError(
            f"these are files of {len(meant)} bundles: {each}",
            hint="name the files of one; or its id, where the command has --expect",
            origin="bundle",
        )
    return meant[0]


def candidates(paths: Sequence[Path], *, endings: tuple[str, ...] = ()) -> dict[Path, bool]:
    """The files, each once, and whether they were named and not found in a folder.

    Args:
        paths: Files and folders.
        endings: Which files of folders are taken however damaged they are, by their names.

    Raises:
        StorageError: A folder cannot be read.
    """
    found: dict[Path, bool] = {}
    seen: set[Path] = set()
    for path in paths:
        is_in_folder = is_folder(path)
        for file in _in_folder(path, endings) if is_in_folder else (path,):
            real = Path(os.path.realpath(file))  # which has no error, also for links in circles
            if real not in seen:
                seen.add(real)
                found[file] = not is_in_folder
    return found


def read_placement(path: Path) -> Placement:
    """What a file says where its content lies, and which volume of which bundle it is.

    Raises:
        ContentNotFoundError: There is no such file.
        BundleFormatError: It is no bundle, or damaged in its front.
        StorageError: It cannot be read.
    """
    with open_file(path) as stream, storage_errors(path):
        size = os.lseek(stream.fileno(), 0, os.SEEK_END)
        stream.seek(0)
        for number in range(_MAX_MEMBERS):
            block = stream.read(members.BLOCK)
            if number == 0:
                refuse_beginning(block, name=str(path))
            header = members.parse_header(block)
            if header is None or header.size > min(2 * MAX_SIZE + members.BLOCK, size):
                break
            if header.name == PLACEMENT_FILE:
                return Placement.parse(stream.read(header.size))
            stream.seek(members.padded(header.size), os.SEEK_CUR)
    raise BundleFormatError(
        f"{path} is not a bundle: it has no placement",
        hint="a bundle is what `airgap export` writes",
        origin="bundle",
    )


def _in_folder(folder: Path, endings: tuple[str, ...]) -> Iterator[Path]:
    with storage_errors(folder):
        for path in sorted(folder.iterdir()):
            # before it is opened: a named pipe would wait for somebody who writes
            if path.is_file() and (
                path.name.endswith(endings)
                or (not path.name.endswith(SUFFIX) and _begins_as_bundle(path))
            ):
                yield path


def _begins_as_bundle(path: Path) -> bool:
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(len(_BEGINNING)) == _BEGINNING
    except OSError:  # what cannot be read is not known to be one
        return False
