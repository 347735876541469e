"""Repairing a bundle: from parity, and from other copies; nothing good is ever given up for it.

A volume is rebuilt as a new file, which is checked as a whole before it takes the place of the
damaged one. What cannot be repaired stays as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from airgap.bundle.catalog import Catalog
from airgap.bundle.check import check_bundle
from airgap.bundle.check_set import set_signatures
from airgap.bundle.discovery import read_placement
from airgap.bundle.finding import CheckReport
from airgap.bundle.layout import Layout, plan_layout
from airgap.bundle.lost import lost_share, original_layout
from airgap.bundle.par2 import ParitySet, find_parity
from airgap.bundle.placement import Extent, Placement
from airgap.bundle.reader import BundleReader, numbers_text
from airgap.bundle.rebuild import Copy, Rebuilder
from airgap.bundle.signed import first_signatures
from airgap.bundle.survey import Survey, survey_file
from airgap.bundle.volume_names import volume_path
from airgap.content.atomic import move_file
from airgap.content.storage import storage_errors
from airgap.errors import (
    AirgapError,
    CancelledError,
    ConflictError,
    IncompleteBundleError,
)
from airgap.oci.digest import Digest
from airgap.oci.manifest import Document
from airgap.run import Run
from airgap.transfer.parity_repair import folders_of, rebuild_by_parity, workshop
from airgap.wording import count_text

_OF_THE_SET = frozenset({"missing-volume", "other-bundle", "signature"})
"""Findings that say nothing against the file that they name."""
_OTHER_NAMES = (".rebuilt", *(f".rebuilt{number}" for number in range(2, 10)))


CopyOpener = Callable[[Catalog, Mapping[Digest, Document]], Sequence[Copy]]
"""Opens other places, given what the bundle carries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairOptions:
    """How a bundle is repaired.

    Attributes:
        output: A folder for what is rebuilt, where the medium has no room; None puts it in place
            of what is damaged.
        memory: About how many bytes the parity tool may use; None leaves it to the tool.
        jobs: How much goes on at once.
    """

    output: Path | None = None
    memory: int | None = None
    jobs: int = 4


@dataclass(frozen=True, slots=True)
class RepairedFile:
    """A file that was rebuilt.

    Attributes:
        path: Where it is.
        method: What it was rebuilt from.
        taken: How many of its blobs came from other copies.
        places: Which copies these were.
    """

    path: str
    method: Literal["parity", "copies"]
    taken: int = 0
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RepairResult:
    """What a repair did.

    Attributes:
        before: What was wrong.
        repaired: The files that were rebuilt.
        after: What is still wrong.
        seconds: How long it took.
    """

    before: CheckReport
    repaired: tuple[RepairedFile, ...]
    after: CheckReport
    seconds: float


def repair_bundle(
    paths: Sequence[Path],
    *,
    copies: CopyOpener | None = None,
    options: RepairOptions | None = None,
    run: Run | None = None,
) -> RepairResult:
    """Find out what is wrong with a bundle and rebuild it, from parity first.

    Args:
        paths: Its files, or folders with them.
        copies: Opens other places that may have good blobs, where these are needed.
        options: How.
        run: Progress and cancellation.

    Returns:
        What was done. Where `after` has findings, not all could be repaired.

    Raises:
        AirgapError: The files could not be read or written; those that are there are unchanged, or
            were replaced by sound ones.
    """
    return _Repair(paths, copies, options or RepairOptions(), run or Run()).work()


@dataclass(slots=True)
class _Repair:
    paths: Sequence[Path]
    copies: CopyOpener | None
    options: RepairOptions
    run: Run
    started: float = field(default_factory=time.monotonic)
    repaired: list[RepairedFile] = field(default_factory=list[RepairedFile])
    bundle: Digest | None = None
    damaged: dict[int, Path] = field(default_factory=dict[int, Path])
    files: tuple[Path, ...] = ()

    def work(self) -> RepairResult:
        before = after = self._check()
        self.bundle = before.bundle_id
        self.files = tuple(Path(file.path) for file in before.files)
        self.damaged = {
            finding.volume: Path(finding.path)
            for finding in before.findings
            if finding.kind not in _OF_THE_SET and finding.volume and finding.path
        }
        if before.findings:
            for folder in folders_of(self.paths):
                for found in _parity(folder):
                    self._from_parity(found, folder)
            after = self._check() if self.repaired else before
        if after.findings and self.copies is not None:
            count = len(self.repaired)
            self._from_copies(after)
            after = self._check() if len(self.repaired) > count else after
        return RepairResult(before, tuple(self.repaired), after, time.monotonic() - self.started)

    def _check(self) -> CheckReport:
        paths = [*self.paths]
        if self.options.output is not None and self.repaired:
            # what was rebuilt there stands for what is damaged here
            new = {Path(file.path) for file in self.repaired}
            names = {path.name for path in new}
            paths = [path for path in self.files if path.name not in names] + sorted(new)
        return check_bundle(paths, run=self.run, jobs=self.options.jobs)

    # -- parity ------------------------------------------------------------------------------

    def _from_parity(self, found: ParitySet, folder: Path) -> None:
        """Rebuild what a parity set protects; what is beyond it is said, and left."""
        with workshop(self.options.output or folder) as work:
            done = rebuild_by_parity(
                found,
                self.paths,
                work,
                memory=self.options.memory,
                jobs=self.options.jobs,
                has_copies=self.copies is not None,
                run=self.run,
            )
            for path in done.rebuilt if done else ():
                self._settle(path, folder)

    def _settle(self, new: Path, folder: Path) -> None:
        """Let a file take its place if nothing is wrong with it; else what is there stays."""
        # alone it is only one of several, which is not worth a warning
        quiet = Run(cancel=self.run.cancel)
        report = check_bundle([new], run=quiet, jobs=self.options.jobs)
        wrong = [f.message for f in report.findings if f.kind not in _OF_THE_SET]
        if self.bundle not in (None, report.bundle_id):
            # its names may be the same: parity stays where an export replaces volumes
            wrong.append("it is of another bundle")
        if wrong:
            self.run.warn("parity", f"what was rebuilt of {new.name} is not taken: {wrong[0]}")
            return
        placement = read_placement(new)
        # the damaged file may have the name of another volume
        old = self.damaged.get(placement.volume)
        name = old.name if old is not None and old.parent == folder else new.name
        target = self._vacant(name, folder, placement)
        move_file(new, target)
        self.repaired.append(RepairedFile(str(target), "parity"))

    def _vacant(self, name: str, folder: Path, wanted: Placement) -> Path:
        """Where a volume goes: by its name, unless something else that may be good has that.

        Volumes are known by what they say. So one that is whole may have the name of a lost one.
        """
        goes_to = self.options.output or folder
        path = Path(name)
        names = (f"{path.stem}{end}{path.suffix}" for end in ("", *_OTHER_NAMES))
        for free in names:
            if not any(_is_of_other(place / free, wanted) for place in (goes_to, folder)):
                return goes_to / free
        raise ConflictError(
            f"{goes_to / name}: other volumes have this name",
            hint="let what is rebuilt go to another folder: -o DIR",
            origin="local",
        )

    # -- copies ------------------------------------------------------------------------------

    def _from_copies(self, report: CheckReport) -> None:
        files = {
            file.volume or 1: Path(file.path)
            for file in report.files
            if file.volume is not None or report.volumes in (None, 1)
        }
        surveys = {number: _survey(path) for number, path in files.items()}
        damaged = {
            f.volume or 1
            for f in report.findings
            if f.kind not in _OF_THE_SET
            and f.path is not None
            and (f.volume is not None or report.volumes in (None, 1))
        }
        sound = next((s for s in surveys.values() if s.layout and s.catalog), None)
        if sound is None or sound.catalog is None or self.copies is None:
            return
        copies = self.copies(sound.catalog, sound.documents)
        signatures = _signatures(surveys, copies)
        rebuilder = Rebuilder(copies, run=self.run)
        for number in sorted(damaged | set(report.missing_volumes)):
            layout = _own_layout(number, surveys, signatures)
            if layout is None and number in surveys and surveys[number].layout is not None:
                self.run.warn(
                    "repair", f"volume {number}: its signatures are damaged; name a copy with them"
                )
                continue
            layout = layout or _layout_of_copy(number, sound, copies)
            layout = layout or _layout_by_others(number, surveys, signatures)
            if layout is None:
                self.run.warn(
                    "repair", f"volume {number}: what it held is not known any more; name a copy"
                )
                continue
            old = files.get(number)
            target = self._target(layout, old, files)
            survey = surveys.get(number)
            try:
                taken = rebuilder.rebuild(
                    layout, target, old=old, pieces=_pieces(survey) if survey else {}
                )
            except CancelledError:
                raise
            except IncompleteBundleError as error:
                self.run.warn("repair", error.message)
                continue
            places = tuple(dict.fromkeys(taken.values()))
            self.repaired.append(RepairedFile(str(target), "copies", len(taken), places))

    def _target(self, layout: Layout, old: Path | None, files: Mapping[int, Path]) -> Path:
        if old is not None:
            return self.options.output / old.name if self.options.output else old
        beside = next(iter(files.values()))
        stem = beside.name.removesuffix(".tar").rpartition(".")[0] or beside.stem
        name = volume_path(Path(f"{stem}.tar"), layout.placement.volume).name
        return self._vacant(name, beside.parent, layout.placement)


def _is_of_other(path: Path, wanted: Placement) -> bool:
    """Whether a file is another volume, or one of another bundle, as far as it can be read."""
    try:
        found = read_placement(path)
    except AirgapError:  # not there, or as damaged as what is to be replaced
        return False
    return (found.bundle, found.volume) != (wanted.bundle, wanted.volume)


def _parity(folder: Path) -> tuple[ParitySet, ...]:
    with storage_errors(folder):
        return find_parity(folder)


def _survey(path: Path) -> Survey:
    with storage_errors(path), path.open("rb") as stream:
        return survey_file(stream, name=str(path), size=path.stat().st_size)


def _pieces(survey: Survey) -> dict[Extent, Digest]:
    """What the pieces of a volume hash to by its seal, if that can be read."""
    if survey.seal is None or survey.layout is None:
        return {}
    return dict(zip(survey.layout.pieces, survey.seal.pieces, strict=False))


def _signatures(surveys: Mapping[int, Survey], copies: Sequence[Copy]) -> bytes:
    """The signatures of the bundle: of a sound volume, else of a copy, else what is left of any."""
    sound = [s for s in surveys.values() if s.error is None and s.is_sealed]
    readers = [copy for copy in copies if isinstance(copy, BundleReader)]
    own = {survey.catalog.id for survey in surveys.values() if survey.catalog}
    return first_signatures(
        [
            set_signatures(sound),
            *(reader.catalog.signatures for reader in readers if reader.id in own),
            set_signatures(surveys.values()),
        ]
    )


def _own_layout(number: int, surveys: Mapping[int, Survey], signatures: bytes) -> Layout | None:
    """Where everything lies in a volume, by what is left of it."""
    own = surveys.get(number)
    return None if own is None else original_layout(own, signatures)


def _layout_of_copy(number: int, sound: Survey, copies: Sequence[Copy]) -> Layout | None:
    """Where everything lies in a volume, by a copy of it: so it gets the bytes that it had."""
    wanted = sound.layout.placement if sound.layout else None
    for copy in copies:
        volume = copy.volumes.get(number) if isinstance(copy, BundleReader) else None
        placement = volume.layout.placement if volume else None
        if volume is None or placement is None or wanted is None:
            continue
        if (placement.bundle, placement.homes) == (wanted.bundle, wanted.homes):
            return volume.layout
    return None


def _layout_by_others(
    number: int, surveys: Mapping[int, Survey], signatures: bytes
) -> Layout | None:
    """Where everything may lie in a volume, by what the volumes beside it say."""
    sound = next((s for s in surveys.values() if s.layout is not None), None)
    if sound is None or sound.catalog is None:
        return None
    known: dict[int, Placement] = {
        n: s.placement for n, s in surveys.items() if s.placement is not None and n != number
    }
    share = lost_share(number, sound.catalog, known)
    catalog = replace(sound.catalog, signatures=signatures)
    return None if share is None else plan_layout(catalog, sound.documents, share)


def describe_failure(report: CheckReport) -> AirgapError | None:
    """The error of a bundle that is still damaged; None where it is whole."""
    if not report.findings:
        return None
    if all(finding.kind == "missing-volume" for finding in report.findings):
        missing = report.missing_volumes
        return IncompleteBundleError(
            f"{report.name}: what is here is whole; of {report.volumes} volumes "
            f"{numbers_text(missing)} {'are' if len(missing) > 1 else 'is'} not here",
            missing=[f"volume {number}" for number in missing],
            hint="they may lie on other media; parity of all volumes or --from makes them again",
        )
    return IncompleteBundleError(
        f"{report.name}: {count_text(len(report.findings), 'problem')} could not be repaired",
        missing=[str(f.digest) for f in report.findings if f.digest is not None],
        hint="--from names another copy, bundle, layout or registry; `airgap verify bundle` lists "
        "what is wrong",
    )
