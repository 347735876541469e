"""The unfinished files of a bundle, one or several, written through one space of addresses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from airgap.bundle.addresses import Addresses, is_cut, locate
from airgap.bundle.journal import Holdings, read_journal
from airgap.bundle.partial import PartialFile, followed, journal_path, partial_path
from airgap.bundle.placement import Extent
from airgap.bundle.volume_names import unfinished_volumes, volume_path, volumes_there
from airgap.content.atomic import move_file, remove_file
from airgap.content.filesystem import file_system
from airgap.content.posix import free_bytes, raise_open_files, sync_folder
from airgap.content.storage import storage_errors
from airgap.errors import AirgapError, ConflictError, StorageError, StorageFullError
from airgap.oci.digest import Digest
from airgap.wording import size_text

_VOLUMES = ".volumes"
_SYNCS = 8
"""How many volumes are made durable at once."""


class BundleFiles:
    """The files of a bundle that this process alone may write.

    `NAME.partial` is the file, or stands for all volumes: whoever has it locked may write them.

    Args:
        target: The final name of the whole.
        overwrite: Whether what has that name may be replaced.
        is_split: Whether volumes are wanted; where all fits into one file, it is one all the same.

    Raises:
        SettingsError: The final name is a folder, a device or the like.
        ConflictError: It is there already, or was begun in the other form.
        LockedError: Another run works on it.
        StorageError: It cannot be created.
    """

    def __init__(self, target: Path, *, overwrite: bool, is_split: bool) -> None:
        self.target = followed(target)
        self._overwrite = overwrite
        self._anchor = PartialFile(target, overwrite=overwrite)
        self._volumes: dict[int, PartialFile] = {}
        self._addresses = Addresses()
        self._wants_volumes = is_split
        self._may_remove = overwrite
        # what was begun as one file is one until a plan wants it otherwise
        self.is_split = is_split and not self._anchor.size
        try:
            self._check_form()
        except BaseException:
            self.close()
            raise

    @property
    def is_locked(self) -> bool:
        """Whether the file system has locks."""
        return self._anchor.is_locked

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return self._anchor.path.parent

    @property
    def journal(self) -> Path:
        """Where their journal lies."""
        return _volumes_journal(self.target) if self.is_split else self._anchor.journal

    @property
    def inode(self) -> int:
        """What tells these files from others that had their names before or got them since."""
        return _inode(_present(self.target)) if self.is_split else self._anchor.inode

    @property
    def fills_gaps(self) -> bool:
        """Whether the file system writes zeros up to where something is written."""
        return not file_system(self.folder).has_holes

    @property
    def has_bytes(self) -> bool:
        """Whether an earlier run left anything."""
        if not self.is_split:
            return self._anchor.size > 0
        return self.journal.exists() or bool(unfinished_volumes(self.target))

    def left(self) -> tuple[Holdings, int] | None:
        """What an earlier run left and of which files its journal speaks; None if not known."""
        return _left(self.target) if self.is_split else _left_in_one(self._anchor)

    def adopt(
        self,
        count: int,
        addresses: Addresses,
        fronts: Iterable[bytes],
        *,
        is_split: bool,
        is_whole: bool,
    ) -> frozenset[int]:
        """Open as many files as there are to be, and learn where blobs lie in them.

        A volume that an earlier run finished while others were not is taken back to its unfinished
        name: it is known by its front. So that volumes that are to be replaced stay until then,
        they are taken back only by a run that already has all blobs.

        Args:
            count: How many files.
            addresses: Where blobs lie.
            fronts: How each file must begin, one after the other.
            is_split: Whether they are volumes.
            is_whole: Whether all blobs are there.

        Returns:
            The files, from 0, that have their final names and stay so until they are replaced:
            what `left` says of them is not in the unfinished ones.

        Raises:
            ConflictError: There is another volume of such a name, or the bundle was begun as one
                file.
            StorageError: They cannot be created.
        """
        self._addresses = addresses
        self._settle_form(is_split=is_split)
        if not self.is_split:
            return frozenset()
        raise_open_files()
        finished = volumes_there(self.target)
        unfinished = unfinished_volumes(self.target)
        takes_back = is_whole or not self._overwrite
        for number, front in zip(range(1, count + 1), fronts, strict=True):
            path = finished.get(number)
            if path is None or number in unfinished or not takes_back:
                continue
            if _begins_with(path, front):
                move_file(path, partial_path(path))
                del finished[number]
        for number in sorted({*range(1, count + 1), *unfinished}):
            if number not in self._volumes:
                wanted = volume_path(self.target, number)
                self._volumes[number] = PartialFile(wanted, overwrite=self._overwrite)
        return frozenset(number - 1 for number in finished if number not in unfinished)

    def reserve(self, sizes: Sequence[int], *, beside: int = 0) -> None:
        """See to it that there is room for files of these sizes, before the first byte.

        Args:
            sizes: Of each file.
            beside: How many bytes must be free beyond that.

        Raises:
            StorageFullError: There is not.
            StorageError: The file system does not take files of such a size.
        """
        limit = file_system(self.folder).max_file
        if limit is not None and max(sizes) > limit:
            raise StorageError(
                f"{self.folder} takes no file of more than {limit:,} bytes, and the bundle has "
                f"{max(sizes):,}",
                hint="add --volume-size fat32",
                origin="local",
            )
        files = self._files()[: len(sizes)]
        needed = sum(file.needed(size) for file, size in zip(files, sizes, strict=True)) + beside
        with storage_errors(self.folder):
            free = free_bytes(self.folder)
        if needed > free:
            raise StorageFullError(
                f"{self.folder}: the bundle needs {size_text(needed)} more, "
                f"and {size_text(free)} are free",
                hint="make room, or choose another place with -o",
                origin="local",
            )
        is_filled = self.fills_gaps
        for file, size in zip(files, sizes, strict=True):
            file.reserve(size, allocates=not is_filled)

    def cut(self, sizes: Sequence[int]) -> None:
        """Cut off what lies behind these sizes, and drop files beyond them."""
        files = self._files()
        for file, size in zip(files, [*sizes, *[0] * (len(files) - len(sizes))], strict=True):
            file.cut(size)
        for number in [n for n in self._volumes if n > len(sizes)]:
            self._volumes.pop(number).close()

    def write(self, data: bytes | memoryview, place: int) -> None:
        """Write bytes at an address.

        Raises:
            StorageFullError: There is no room.
            StorageError: The target is gone, or anything else went wrong.
        """
        view = memoryview(data)
        for start, length in self._addresses.runs(place, len(view)):
            number, offset = locate(start)
            self._file(number).write(view[:length], offset)
            view = view[length:]

    def chunks(self, place: int, length: int) -> Iterator[bytes]:
        """Read bytes from an address on; fewer than asked for where a file ends before."""
        for start, size in self._addresses.runs(place, length):
            number, offset = locate(start)
            yield from self._file(number).chunks(offset, size)

    def forget_cache(self, place: int, length: int) -> None:
        """Have bytes read from the medium itself next time."""
        for start, size in self._addresses.runs(place, length):
            number, offset = locate(start)
            self._file(number).forget_cache(offset, size)

    def copy(self, source: int, length: int, target: int) -> Iterator[int]:
        """Copy bytes from address to address, telling how many are done as it goes.

        Source and target may overlap. Neither is that of a cut blob.
        """
        (number, offset), (to, at) = locate(source), locate(target)
        yield from self._file(number).copy(offset, length, at, to=self._file(to))

    def sync(self) -> None:
        """Make all bytes durable.

        Raises:
            StorageError: They may not be; the system forgets that after it has said so once.
        """
        files = self._files()
        if len(files) == 1:
            files[0].sync()
            return
        # at once, since a file system can make what they wait for durable in one go
        with ThreadPoolExecutor(_SYNCS, thread_name_prefix="airgap-sync") as pool:
            for synced in [pool.submit(file.sync) for file in files]:
                synced.result()

    def publish(self) -> tuple[Path, ...]:
        """Give the synced files their final names, durably, and tell them.

        Volumes of a bundle that is replaced and had more of them are removed then; others are not.

        Raises:
            ConflictError: Meanwhile, somebody else made a file of that name.
        """
        files = self._files()
        for file in files:
            file.publish(durable=False)
        for folder in {file.target.parent for file in files}:
            with storage_errors(folder):
                sync_folder(folder)
        if self._wants_volumes and self._may_remove:
            kept = len(files) if self.is_split else 0
            for number, path in volumes_there(self.target).items():
                if number > kept:
                    remove_file(path)
            if self.is_split and self._overwrite and self.target.exists():
                remove_file(self.target)
        return tuple(file.target for file in files)

    def close(self) -> None:
        """Give up the locks. Files without any bytes are removed. A second time does nothing."""
        for file in self._volumes.values():
            file.close()
        self._volumes.clear()
        self._anchor.close()

    def _files(self) -> list[PartialFile]:
        if not self.is_split:
            return [self._anchor]
        return [self._volumes[number] for number in sorted(self._volumes)]

    def _file(self, number: int) -> PartialFile:
        return self._volumes[number + 1] if self.is_split else self._anchor

    def _settle_form(self, *, is_split: bool) -> None:
        """Keep the form in which the bundle was begun; else take the one that is planned.

        Volumes of which only one is left, since a blob was lost, stay one volume by name.
        """
        if is_split and not self.is_split:
            if self.has_bytes:
                raise _begun_otherwise(
                    self._anchor.path, "as one file", "with a --volume-size that holds all of it"
                )
            self.is_split = True
        elif self.is_split and not is_split and not self._volumes and not self.has_bytes:
            self.is_split = False

    def _check_form(self) -> None:
        """See that nothing is there, nor begun, that this bundle would lie over."""
        begun = _volumes_journal(self.target)
        with storage_errors(begun):
            is_begun_split = begun.exists()
        # an earlier run may have finished more volumes of this bundle than there are to be now
        self._may_remove = self._overwrite or is_begun_split
        finished = volumes_there(self.target)
        if not self.is_split and is_begun_split:
            raise _begun_otherwise(begun, "in volumes", "with its --volume-size")
        if finished and self.is_split and not self._overwrite and not is_begun_split:
            raise ConflictError(
                f"{next(iter(finished.values()))} exists",
                hint="--overwrite replaces the volumes",
                origin="local",
            )


def holdings_left(target: Path, *, is_split: bool = False) -> Holdings:
    """What an interrupted run left of a bundle; locks and changes nothing."""
    try:
        found = _left(followed(target)) if is_split else _left_unlocked(target)
    except AirgapError:
        found = None
    return found[0] if found else Holdings()


def _left(target: Path) -> tuple[Holdings, int] | None:
    found = read_journal(_volumes_journal(target))
    if found is None:
        return None
    holdings, inode = found
    with storage_errors(target):
        sizes = {n: path.stat().st_size for n, path in _present(target).items()}

    def fits(extent: Extent) -> bool:
        if is_cut(extent):
            return True  # its pieces are hashed before they are believed
        number, offset = locate(extent.offset)
        return offset + extent.length <= sizes.get(number + 1, 0)

    if not holdings.is_consistent(fits):
        return None
    for digest in [d for d, extent in holdings.verified.items() if is_cut(extent)]:
        holdings.durable.discard(digest)
    return holdings, inode


def _left_in_one(file: PartialFile) -> tuple[Holdings, int] | None:
    return _believed(read_journal(file.journal), file.size)


def _left_unlocked(target: Path) -> tuple[Holdings, int] | None:
    try:
        size = partial_path(target).stat().st_size
    except OSError:
        return None
    return _believed(read_journal(journal_path(target)), size)


def _believed(found: tuple[Holdings, int] | None, size: int) -> tuple[Holdings, int] | None:
    if found is None or not found[0].is_consistent(lambda extent: extent.end <= size):
        return None
    return found


def _present(target: Path) -> dict[int, Path]:
    """The volumes that are there, finished or not; the unfinished count where both are."""
    return dict(sorted((volumes_there(target) | unfinished_volumes(target)).items()))


def _inode(paths: Mapping[int, Path]) -> int:
    with storage_errors("the volumes"):
        text = ",".join(f"{number}:{path.stat().st_ino}" for number, path in paths.items())
    return int(Digest.of(text.encode()).hex[:16], 16)


def _volumes_journal(target: Path) -> Path:
    partial = partial_path(target)
    return partial.with_name(partial.name + _VOLUMES)


def _begins_with(path: Path, front: bytes) -> bool:
    with storage_errors(path), path.open("rb") as file:
        return file.read(len(front)) == front


def _begun_otherwise(path: Path, form: str, option: str) -> ConflictError:
    return ConflictError(
        f"{path}: this bundle was begun {form} and is not finished",
        hint=f"run it {option} to go on, or remove that file to begin anew",
        origin="local",
    )
