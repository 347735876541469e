"""Repairing encrypted files without a key: from parity, and from other copies of them.

What a file must be stands in the envelope beside it, block by block. A file is replaced only by one
of which every block is right.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from airgap.bundle.check_encrypted import check_encrypted, check_encrypted_bundle, find_envelope
from airgap.bundle.envelope import Envelope, EnvelopeEntry
from airgap.bundle.finding import CheckReport
from airgap.bundle.par2 import ParitySet, find_parity
from airgap.bundle.partial import PartialFile
from airgap.content.atomic import move_file
from airgap.content.storage import storage_errors
from airgap.oci.digest import Digest
from airgap.run import Run
from airgap.run.events import PhaseFinished, PhaseStarted
from airgap.transfer.parity_repair import folders_of, rebuild_by_parity, workshop
from airgap.transfer.repair import RepairedFile, RepairOptions, RepairResult

_PHASE = "rebuild"


def repair_encrypted(
    paths: Sequence[Path],
    *,
    copies: Sequence[Path] = (),
    options: RepairOptions | None = None,
    run: Run | None = None,
) -> RepairResult:
    """Find out what is wrong with encrypted files and rebuild them, from parity first.

    Args:
        paths: The files, or folders with them and their envelope.
        copies: Folders with other copies of the same files.
        options: How.
        run: Progress and cancellation.

    Returns:
        What was done. Where `after` has findings, not all could be repaired.

    Raises:
        AirgapError: The envelope is not there or damaged, or files cannot be read or written; those
            that are there are unchanged, or were replaced by sound ones.
    """
    return _Repair(paths, copies, options or RepairOptions(), run or Run()).work()


@dataclass(slots=True)
class _Repair:
    paths: Sequence[Path]
    copies: Sequence[Path]
    options: RepairOptions
    run: Run
    started: float = field(default_factory=time.monotonic)
    repaired: list[RepairedFile] = field(default_factory=list[RepairedFile])

    def work(self) -> RepairResult:
        envelope = find_envelope(self.paths)
        before = after = self._check()
        if before.findings:
            for folder in folders_of(self.paths):
                with storage_errors(folder):
                    sets = find_parity(folder)
                for found in sets:
                    self._from_parity(found, folder, envelope)
            after = self._check() if self.repaired else before
        if after.findings and self.copies:
            wrong = {finding.volume for finding in after.findings}
            for entry in envelope.entries:
                if entry.volume in wrong:
                    self._from_copies(entry, envelope.block)
            after = self._check()
        return RepairResult(before, tuple(self.repaired), after, time.monotonic() - self.started)

    def _check(self) -> CheckReport:
        new = [Path(file.path) for file in self.repaired] if self.options.output else []
        names = {path.name for path in new}
        here = [p for p in self._files() if p.name not in names] if new else [*self.paths]
        return check_encrypted_bundle([*here, *new], run=self.run, jobs=self.options.jobs)

    def _files(self) -> Iterator[Path]:
        for path in self.paths:
            with storage_errors(path):
                yield from sorted(path.iterdir()) if path.is_dir() else [path]

    def _from_parity(self, found: ParitySet, folder: Path, envelope: Envelope) -> None:
        entries = {entry.name: entry for entry in envelope.entries}
        place = self.options.output or folder
        with workshop(place) as work:
            done = rebuild_by_parity(
                found,
                self.paths,
                work,
                memory=self.options.memory,
                jobs=self.options.jobs,
                has_copies=bool(self.copies),
                run=self.run,
            )
            if done is None:
                return
            for name, whole in done.intact:
                # a whole file that has the name of a lost one gets its own before that comes back
                if name in entries and whole.name != name and not (whole.parent / name).exists():
                    move_file(whole, whole.parent / name)
            for path in done.rebuilt:
                entry = entries.get(path.name)
                if entry is None or not self._is_right(path, entry, envelope.block):
                    self.run.warn("parity", f"what was rebuilt of {path.name} is not right")
                    continue
                if any(_is_same(place / path.name, whole) for _, whole in done.intact):
                    self.run.warn("parity", f"{place / path.name} is another volume, and stays")
                    continue
                move_file(path, place / path.name)
                self.repaired.append(RepairedFile(str(place / path.name), "parity"))

    def _is_right(self, path: Path, entry: EnvelopeEntry, block: int) -> bool:
        quiet = Run(cancel=self.run.cancel)
        findings, _ = check_encrypted(path, entry, block=block, run=quiet, jobs=self.options.jobs)
        return not findings

    def _from_copies(self, entry: EnvelopeEntry, block: int) -> None:
        """Put a file together of the blocks that are right, wherever they are."""
        here = [folder / entry.name for folder in folders_of(self.paths)]
        there = [c / entry.name if c.is_dir() else c for c in self.copies]
        target = (self.options.output or folders_of(self.paths)[0]) / entry.name
        sources = [path for path in dict.fromkeys([*here, *there]) if path.is_file()]
        self.run.emit(PhaseStarted(_PHASE, len(entry.blocks), entry.size))
        with ExitStack() as stack:
            file = PartialFile(target, overwrite=True)
            stack.callback(file.close)
            stack.callback(file.cut, 0)
            file.reserve(entry.size)
            for number, wanted in enumerate(entry.blocks):
                offset = number * block
                length = min(block, entry.size - offset)
                data = self._block(sources, offset, length, wanted)
                if data is None:
                    self.run.warn("repair", f"{entry.name}: no copy is right at byte {offset:,}")
                    return
                file.write(data, offset)
            file.sync()
            file.publish()
            stack.pop_all()
            file.close()
        self.run.emit(PhaseFinished(_PHASE))
        places = tuple(dict.fromkeys(str(path.parent) for path in sources if path in there))
        self.repaired.append(RepairedFile(str(target), "copies", 1, places))

    def _block(
        self, sources: Sequence[Path], offset: int, length: int, wanted: Digest
    ) -> bytes | None:
        for path in sources:
            self.run.cancel.check()
            try:
                with path.open("rb") as stream:
                    stream.seek(offset)
                    data = stream.read(length)
            except OSError:  # this copy cannot be read here: another one may
                continue
            if Digest.of(data) == wanted:
                return data
        return None


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:  # one of them is not there
        return False
