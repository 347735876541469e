"""PAR2 files beside volumes: made by the tool, found by what they say."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap.bundle.par2_packets import (
    Collected,
    ProtectedFile,
    collect,
)
from airgap.bundle.par2_tool import find_tool, limits, progress, run_tool, tool_error
from airgap.bundle.parity import ParityPlan
from airgap.content.posix import free_bytes, sync_data, sync_folder
from airgap.content.storage import storage_errors
from airgap.errors import StorageError, StorageFullError
from airgap.run import Run
from airgap.run.events import PhaseFinished, PhaseStarted

SUFFIX = ".par2"
WORK = ".airgap-parity-"
"""How the folders are called in which parity is made; a crash may leave them."""


@dataclass(frozen=True, slots=True)
class ParitySet:
    """PAR2 files that belong together.

    Attributes:
        set_id: What the set is called in each packet.
        paths: Its PAR2 files.
        block_size: Bytes of a block.
        protected: The files that it protects, in the order of their blocks.
        recovery_blocks: How many recovery blocks its files have.
        is_described: Whether all that describes the set is there.
    """

    set_id: bytes
    paths: tuple[Path, ...]
    block_size: int
    protected: tuple[ProtectedFile, ...]
    recovery_blocks: int
    is_described: bool

    @property
    def data_blocks(self) -> int:
        """How many blocks the protected files have."""
        return sum(-(-file.size // self.block_size) for file in self.protected)


def create_parity(
    files: Sequence[Path],
    base: Path,
    plan: ParityPlan,
    *,
    memory: int | None,
    jobs: int,
    run: Run,
) -> tuple[Path, ...]:
    """Make PAR2 files for files of one folder; those of an earlier run are replaced.

    Nothing has its name before everything is complete and synced, and `BASE.par2` gets its last.

    Args:
        files: What is protected, all in one folder.
        base: Folder and first part of the name of the PAR2 files.
        plan: The numbers.
        memory: About how many bytes the tool may use; None leaves it to the tool.
        jobs: How many threads it may use.
        run: Progress and cancellation.

    Raises:
        SettingsError: The tool is not installed.
        StorageFullError: There is no room for the parity.
        StorageError: A file could not be read or written.
        CancelledError: Somebody asked to stop; nothing of the new parity is there.
    """
    tool, folder = find_tool(), base.parent
    remove_leftovers(folder)
    for file in files:
        with storage_errors(file), file.open("rb"):
            pass
    _check_room(folder, plan)
    run.emit(PhaseStarted("parity", len(files), plan.source_size))
    work = folder / f"{WORK}{secrets.token_hex(8)}"
    with storage_errors(work):
        work.mkdir()
    try:
        arguments = [
            *(str(tool), "create", *limits(memory=memory, jobs=jobs)),
            *(f"-s{plan.block_size}", f"-c{plan.recovery_blocks}"),
            *("-u", f"-n{plan.recovery_files}", f"-B{files[0].parent.absolute()}", "--"),
            str((work / base.name).absolute()) + SUFFIX,
            *(str(file.absolute()) for file in files),
        ]
        advance = progress(run, "parity", plan.source_size, "Processing")
        result = run_tool(arguments, run=run, advance=advance)
        if result.status != 0:
            raise tool_error(result, f"parity for {base}")
        _check_made(work, files, plan)
        paths = _put_in_place(work, base, run=run)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    run.emit(PhaseFinished("parity"))
    return paths


def find_parity(folder: Path) -> tuple[ParitySet, ...]:
    """The sets of which PAR2 files lie in a folder, found by what they say and not by name.

    Raises:
        StorageError: The folder or a file could not be read.
    """
    sets = collect(parity_files(folder))
    return tuple(_as_set(set_id, found) for set_id, found in sorted(sets.items()))


def parity_files(folder: Path) -> list[Path]:
    """The PAR2 files of a folder.

    Raises:
        StorageError: It could not be read.
    """
    with storage_errors(folder):
        return sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() == SUFFIX and not path.is_symlink() and path.is_file()
        )


def remove_leftovers(folder: Path) -> None:
    """Remove what runs that were killed left half made."""
    with storage_errors(folder):
        for path in folder.glob(f"{WORK}*"):
            shutil.rmtree(path, ignore_errors=True)


def _as_set(set_id: bytes, found: Collected) -> ParitySet:
    ids = found.file_ids() if found.main else []
    protected = tuple(found.described[key] for key in ids if key in found.described)
    return ParitySet(
        set_id,
        tuple(found.paths),
        found.block_size(),
        protected,
        len(found.exponents),
        bool(ids) and all(key in found.described and key in found.checksums for key in ids),
    )


def _check_room(folder: Path, plan: ParityPlan) -> None:
    with storage_errors(folder):
        free = free_bytes(folder)
    if free < plan.size:
        raise StorageFullError(
            f"{folder}: parity takes {plan.size:,} bytes and {free:,} are free",
            hint="make room, or ask for less parity",
            origin="local",
        )


def _check_made(work: Path, files: Sequence[Path], plan: ParityPlan) -> None:
    """See that the tool left nothing out: it does so without failing."""
    wanted = {(file.name, file.stat().st_size) for file in files}
    found = find_parity(work)
    made = {(file.name, file.size) for each in found for file in each.protected}
    if len(found) != 1 or {file for file in wanted if file[1]} - made:
        raise StorageError(
            "the PAR2 tool left out some of the files",
            hint="put them into one folder and give them plain names",
        )
    if found[0].recovery_blocks != plan.recovery_blocks or not found[0].is_described:
        raise StorageError("the PAR2 tool wrote less parity than was asked for")


def _put_in_place(work: Path, base: Path, *, run: Run) -> tuple[Path, ...]:
    """Sync what was made, give it its names, and only then remove what it replaces."""
    index = f"{base.name}{SUFFIX}"
    names = sorted((path.name for path in work.iterdir()), key=lambda name: (name == index, name))
    for name in names:
        run.cancel.check()
        with storage_errors(base.parent / name), (work / name).open("rb+") as file:
            sync_data(file.fileno())
    ours = re.compile(re.escape(base.name) + r"(\.vol[0-9]+\+[0-9]+)?\.par2")
    with storage_errors(base.parent):
        stale = [p for p in base.parent.iterdir() if ours.fullmatch(p.name) and p.name not in names]
        for name in names:
            (work / name).replace(base.parent / name)
        sync_folder(base.parent)
        for path in stale:
            path.unlink()
    return tuple(base.parent / name for name in sorted(names))
