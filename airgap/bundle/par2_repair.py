"""Rebuilds damaged or lost files from parity into a folder of their own.

The PAR2 tool repairs in place: it renames what is damaged and what has another name. To keep it
away from what is there, it is given a description of the set in which whole files have the names
they really have, reached through links to their folders, and all others are to be written to a new
folder. File ids and blocks stay the same, so the recovery blocks fit.
"""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from airgap.bundle.par2 import SUFFIX, WORK, ParitySet, remove_leftovers
from airgap.bundle.par2_packets import (
    CHECKSUMS,
    DESCRIPTION,
    HEAD,
    MAIN,
    Collected,
    ProtectedFile,
    collect,
    description_body,
    packet_bytes,
)
from airgap.bundle.par2_tool import (
    REPAIR_IMPOSSIBLE,
    ToolResult,
    find_tool,
    limits,
    progress,
    run_tool,
    tool_error,
)
from airgap.content.posix import free_bytes, sync_data, sync_folder
from airgap.content.storage import storage_errors
from airgap.errors import (
    BundleFormatError,
    ConflictError,
    IncompleteBundleError,
    StorageError,
    StorageFullError,
)
from airgap.oci.digest import Md5
from airgap.run import Run
from airgap.run.events import PhaseFinished, PhaseStarted
from airgap.wording import count_text, visible

_CHUNK = 1 << 20
_PLAIN = re.compile(r"[\w .,+=@~()-]+")
"""Names that the tool leaves as they are; it would write others next to where they lie."""


@dataclass(frozen=True, slots=True)
class ParityRepair:
    """What a repair did.

    Attributes:
        rebuilt: The files that were rebuilt: in the new folder, under their own names.
        intact: The names of files that are whole, each with where it lies.
        used_blocks: How many recovery blocks were needed.
    """

    rebuilt: tuple[Path, ...]
    intact: tuple[tuple[str, Path], ...]
    used_blocks: int

    def text(self) -> str:
        """What was done, for people."""
        if not self.rebuilt:
            return f"{count_text(len(self.intact), 'file')} whole, nothing to repair"
        done = count_text(len(self.rebuilt), "file")
        return f"{done} rebuilt with {count_text(self.used_blocks, 'recovery block')}"


def repair_with_parity(
    found: ParitySet,
    sources: Sequence[Path],
    out: Path,
    *,
    memory: int | None,
    jobs: int,
    run: Run,
) -> ParityRepair:
    """Rebuild what is damaged or gone; nothing that is there is changed, renamed or copied.

    Args:
        found: The parity.
        sources: Files, and folders of files, under whatever names.
        out: Takes the rebuilt files; it is created where it is not there.
        memory: About how many bytes the tool may use; None leaves it to the tool.
        jobs: How many threads it may use, and how many files are read at once.
        run: Progress and cancellation.

    Raises:
        SettingsError: The tool is not installed.
        BundleFormatError: The parity does not say all that is needed, or says what is not allowed.
        IncompleteBundleError: More is damaged than the parity can rebuild; `out` holds nothing new.
        ConflictError: `out` holds a file that would be written.
        StorageError: A file could not be read or written.
        CancelledError: Somebody asked to stop; `out` holds nothing new.
    """
    described = _described(found)
    files = _candidates(sources, found)
    intact, others = _find_intact(found, files, jobs=jobs, run=run)
    lost = [file for file in found.protected if file.file_id not in intact]
    whole = tuple((f.name, intact[f.file_id]) for f in found.protected if f.file_id in intact)
    if not lost:
        return ParityRepair((), whole, 0)
    tool = find_tool()
    was_there = out.is_dir()
    _check_out(out, lost)
    work = out / f"{WORK}{secrets.token_hex(8)}"
    try:
        with storage_errors(work):
            work.mkdir(parents=True)
        with tempfile.TemporaryDirectory(prefix="airgap-parity-") as text:
            stage = _Stage(Path(text).resolve())
            fresh = {file.file_id: work.absolute() / file.name for file in lost}
            stage.describe(described, found, intact | fresh)
            options = limits(memory=memory, jobs=jobs)
            arguments = [str(tool), "repair", *options, *stage.arguments([*found.paths, *others])]
            with _kept_in_place([*intact.values(), *others], work):
                result = _run(arguments, found, run=run)
        _check_result(result, found, work)
        rebuilt = _put_in_place(work, out, lost)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        if not was_there and out.is_dir() and not any(out.iterdir()):
            out.rmdir()
        raise
    shutil.rmtree(work, ignore_errors=True)
    used = result.number(r"([0-9]+) recovery blocks? will be used") or 0
    return ParityRepair(rebuilt, whole, used)


def _described(found: ParitySet) -> Collected:
    """The packets that describe the set, once more and complete."""
    if not found.is_described:
        raise BundleFormatError(
            "the parity files do not say what they protect: all copies of that are damaged or gone",
            hint="bring the file that ends in .par2 without a number",
        )
    for file in found.protected:
        if not file.name or file.name in (".", "..") or any(c in file.name for c in "/\\\0"):
            raise BundleFormatError(
                f"parity for {visible(file.name)[:100]!r}: not the plain name of a file",
                hint="do not use these parity files",
            )
    if len({file.name for file in found.protected}) != len(found.protected):
        raise BundleFormatError("the parity files name a file twice")
    return collect(list(found.paths))[found.set_id]


def _candidates(sources: Iterable[Path], found: ParitySet) -> list[Path]:
    """The files that may hold something of the set.

    Of a folder only those with an ending or a size of the set: the tool looks for blocks at every
    byte of a file that it does not know, and a medium may be full of others.
    """
    endings = {Path(file.name).suffix for file in found.protected}
    sizes = {file.size for file in found.protected}
    files: dict[Path, None] = {}
    for source in sources:
        with storage_errors(source):
            if not source.is_dir():
                files[source.resolve()] = None
                continue
            for path in sorted(source.iterdir()):
                if path.suffix.lower() == SUFFIX or not path.is_file():
                    continue
                size = path.stat().st_size
                if size in sizes or (size and path.suffix in endings):
                    files[path.resolve()] = None
    return list(files)


def _find_intact(
    found: ParitySet, files: Sequence[Path], *, jobs: int, run: Run
) -> tuple[dict[bytes, Path], list[Path]]:
    """Which protected file is whole in which file, and the files that are none of them.

    A file that is whole twice is used once; the other one is of no use to the tool and is left out,
    so that it is not moved by it.
    """
    by_key = {(file.size, file.md5): file for file in found.protected}
    heads = {(file.size, file.md5_16k) for file in found.protected}
    run.emit(PhaseStarted("check", len(files)))
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        hashes = list(pool.map(lambda path: _hash(path, heads, run), files))
    run.emit(PhaseFinished("check"))
    intact: dict[bytes, Path] = {}
    others = []
    for path, key in zip(files, hashes, strict=True):
        if key in by_key:
            intact.setdefault(by_key[key].file_id, path)
        else:
            others.append(path)
    # Files of the same bytes under two names are whole where one of them is.
    for file in found.protected:
        twin = by_key[file.size, file.md5]
        if twin.file_id in intact:
            intact.setdefault(file.file_id, intact[twin.file_id])
    return intact, others


def _hash(path: Path, heads: set[tuple[int, bytes]], run: Run) -> tuple[int, bytes] | None:
    """The size and MD5 of a file that begins like one of the set; None for others.

    What cannot be read counts as damaged: repair is for that.
    """
    state, size = Md5(), 0
    try:
        with path.open("rb") as file:
            total = path.stat().st_size
            head = file.read(HEAD)
            if (total, Md5.of(head)) not in heads:
                return None
            state.update(head)
            size = len(head)
            while chunk := file.read(_CHUNK):
                run.cancel.check()
                state.update(chunk)
                size += len(chunk)
    except OSError:
        return None
    return size, state.digest()


def _check_out(out: Path, lost: Sequence[ProtectedFile]) -> None:
    needed = sum(file.size for file in lost)
    above = next(path for path in (out, *out.absolute().parents) if path.is_dir())
    for file in lost:
        if (out / file.name).exists() or (out / file.name).is_symlink():
            raise ConflictError(
                f"{out / visible(file.name)} is there already", hint="give an empty folder"
            )
    if above == out:
        remove_leftovers(out)
    with storage_errors(above):
        free = free_bytes(above)
    if free < needed:
        raise StorageFullError(
            f"{out}: rebuilt files take {needed:,} bytes and {free:,} are free",
            hint="make room, or give a folder elsewhere",
            origin="local",
        )


class _Stage:
    """A folder of links to folders: the tool touches nothing outside of where names begin.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._links: dict[Path, str] = {}

    def describe(self, described: Collected, found: ParitySet, places: dict[bytes, Path]) -> None:
        """Write the set's description with the names that files have, seen from here.

        Raises:
            StorageError: It could not be written.
        """
        packets = [packet_bytes(found.set_id, MAIN, described.main)]
        for file in found.protected:
            body = description_body(file, self._name(places[file.file_id]))
            packets.append(packet_bytes(found.set_id, DESCRIPTION, body))
            packets.append(packet_bytes(found.set_id, CHECKSUMS, described.checksums[file.file_id]))
        with storage_errors(self._folder):
            (self._folder / "set.par2").write_bytes(b"".join(packets))

    def arguments(self, others: Iterable[Path]) -> list[str]:
        """What the tool is given: where names begin, the description, and more files."""
        names = ["set.par2", *(self._name(path.absolute()) for path in others)]
        return [f"-B{self._folder}", "--", *(f"{self._folder}/{name}" for name in names)]

    def _name(self, path: Path) -> str:
        if not _PLAIN.fullmatch(path.name):
            raise StorageError(
                f"{visible(str(path))}: the PAR2 tool does not take such a name",
                hint="give the file a plain name",
            )
        name = self._links.get(path.parent)
        if name is None:
            name = self._links[path.parent] = f"d{len(self._links)}"
            with storage_errors(self._folder):
                (self._folder / name).symlink_to(path.parent, target_is_directory=True)
        return f"{name}/{path.name}"


@contextmanager
def _kept_in_place(paths: Iterable[Path], work: Path) -> Iterator[None]:
    """Undo it where the tool renames a file after all.

    That can only be when a medium gives other bytes to the tool than to us.
    """
    known = {path: _inode(path) for path in paths}
    try:
        yield
    finally:
        for path, inode in known.items():
            if inode is not None and _inode(path) != inode:
                for place in (path.parent, work):
                    moved = [p for p in place.iterdir() if _inode(p) == inode]
                    for found in moved[:1]:
                        found.replace(path)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _run(arguments: Sequence[str], found: ParitySet, *, run: Run) -> ToolResult:
    total = sum(file.size for file in found.protected)
    run.emit(PhaseStarted("repair", len(found.protected), total))
    result = run_tool(arguments, run=run, advance=progress(run, "repair", total, "Repairing"))
    run.emit(PhaseFinished("repair"))
    return result


def _check_result(result: ToolResult, found: ParitySet, work: Path) -> None:
    if result.status == REPAIR_IMPOSSIBLE:
        more = result.number(r"need ([0-9]+) more recovery block") or 0
        there = result.number(r"have ([0-9]+) recovery block") or 0
        raise IncompleteBundleError(
            f"beyond repair: {count_text(more + there, 'block')} damaged or gone, "
            f"and {count_text(there, 'recovery block')} to rebuild them",
            missing=[file.name for file in found.protected],
            hint="bring another copy of a damaged file, or more of the parity files",
        )
    if result.status != 0:
        raise tool_error(result, f"repair into {work.parent}")


def _put_in_place(work: Path, out: Path, lost: Sequence[ProtectedFile]) -> tuple[Path, ...]:
    """Check what was rebuilt, sync it, and give it its place."""
    for file in lost:
        path = work / file.name
        with storage_errors(path), path.open("rb+") as opened:
            state = Md5()
            while chunk := opened.read(_CHUNK):
                state.update(chunk)
            if state.digest() != file.md5:
                raise BundleFormatError(
                    f"what was rebuilt is not {visible(file.name)}",
                    hint="check the parity files, and the memory of this machine",
                )
            sync_data(opened.fileno())
    with storage_errors(out):
        for file in lost:
            (work / file.name).rename(out / file.name)
        sync_folder(out)
    return tuple(out / file.name for file in lost)
