"""Checking a whole bundle: every byte once, every finding and not just the first.

`docs/bundle-format.md` says what a bundle must be; here a file, or the volumes of a bundle, are
compared with that. Nothing is written, and no more of the content is in memory than a chunk for
each thread. Each file is checked by itself, and then whether they are all, and belong together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from airgap.bundle import closure
from airgap.bundle.catalog import Catalog
from airgap.bundle.check_cut import CutBlob, Part, cut_blobs
from airgap.bundle.check_files import OpenFile, glance, open_files, survey_path
from airgap.bundle.check_parity import check_parity_file, find_parity_files
from airgap.bundle.check_set import VolumeSet, explain, find_set
from airgap.bundle.check_volume import VolumeCheck
from airgap.bundle.finding import CheckReport, Finding
from airgap.bundle.placement import Extent
from airgap.bundle.survey import survey_again
from airgap.content.store import CHUNK_SIZE
from airgap.errors import StorageError
from airgap.oci.digest import Digest
from airgap.run import Run
from airgap.run.events import PhaseFinished, PhaseStarted
from airgap.wording import count_text, size_text

PHASE = "check"
Trust = Callable[[Catalog], Finding | None]
"""Says what is wrong with the signatures that a catalog has, or lacks."""
_SHOWN = 3
"""So many images are named at once where a volume is missing; the findings name all."""
_LARGE = 16
"""What takes more than this share of a thread's work goes first, so that none ends late."""


def check_bundle(
    paths: Path | Sequence[Path],
    *,
    run: Run,
    jobs: int = 4,
    read_back: bool = False,
    expect: Digest | None = None,
    trust: Trust | None = None,
) -> CheckReport:
    """Read a whole bundle and say everything that is wrong with it.

    Volumes that are missing are told before anything is hashed.

    Args:
        paths: The file, or the files and folders that hold its volumes.
        run: Where progress goes, and a cancellation comes from.
        jobs: How many blobs are hashed at the same time.
        read_back: Whether the medium is read even where its bytes are still in memory.
        expect: The bundle id that it should have.
        trust: Judges the signatures of its catalog; nobody does where there is none.

    Raises:
        ContentNotFoundError: There is no such file.
        StorageError: It cannot be opened, or the medium gave an error at its front.
        BundleFormatError: It is something that has no offsets.
        DigestMismatchError: None of the files belongs to the expected bundle.
        CancelledError: Somebody asked to stop.
    """
    given = [paths] if isinstance(paths, Path) else list(paths)
    _tell_missing(given, expect, run)
    with ExitStack() as stack:
        files, aside = open_files(given, stack, read_back=read_back)
        chosen = find_set([file.found for file in files], expect=expect)
        _check_expected(chosen, expect)
        _look_again(files, chosen)
        folders = [path for path in given if path.is_dir()]
        parity = find_parity_files(folders, {file.path.name for file in files})
        check = _Check(files, chosen, parity, run=run, trust=trust)
        for path in aside:
            check.note("not-a-bundle", f"{path} is no bundle, and is left aside")
        name = str(given[0]) + (f" and {len(given) - 1} more" if len(given) > 1 else "")
        return check.report(name, jobs)


def _tell_missing(paths: Sequence[Path], expect: Digest | None, run: Run) -> None:
    """Tell at once which volumes are missing, before anything larger than placements is read."""
    glanced = glance(paths)
    if not glanced:
        return
    chosen = find_set([found for _, found in glanced], expect=expect)
    if chosen.missing:
        path = next(path for path, found in glanced if found is chosen.leader)
        for finding in replace(chosen, leader=survey_path(path)).missing_findings():
            run.warn(finding.kind, _missing_text(finding))


def _check_expected(chosen: VolumeSet, expect: Digest | None) -> None:
    """Refuse files of another bundle; what is too damaged to tell is left to the check.

    Raises:
        DigestMismatchError: They belong to another one.
    """
    if chosen.leader.catalog is not None and chosen.leader.is_sure:
        chosen.leader.catalog.expect(expect)


def _look_again(files: Sequence[OpenFile], chosen: VolumeSet) -> None:
    """Let a sound volume say what must stand in the damaged ones, and hold it once."""
    leader = chosen.leader
    if leader.error is not None or chosen.volumes == 1:
        return
    for number in chosen.members:
        file = files[number]
        if file.found.error is not None and file.found.error.kind != "unreadable":
            try:
                file.found = survey_again(
                    file.found, leader, fd=file.stream.fileno(), name=str(file.path)
                )
            except StorageError as error:
                file.found.error = Finding.of(error)
        file.found.adopt(leader)


@dataclass(frozen=True, slots=True)
class _Work:
    """Something to be read by one thread."""

    file: int
    offset: int
    size: int
    do: Callable[[memoryview], object]


class _Check:
    """Checks files, and the bundle that they are."""

    def __init__(
        self,
        files: Sequence[OpenFile],
        chosen: VolumeSet,
        parity: Sequence[Path],
        *,
        run: Run,
        trust: Trust | None,
    ) -> None:
        self._chosen = chosen
        self._trust = trust
        self._parity = parity
        self._parity_findings: list[Finding] = []
        self._run = run
        self._notes: list[str] = []
        order = sorted(range(len(files)), key=lambda n: (n not in chosen.members, _rank(files[n])))
        self._files = [
            VolumeCheck(f.stream.fileno(), f.found, name=str(f.path), size=f.size, run=run)
            for f in (files[n] for n in order)
        ]
        self._members = self._files[: len(chosen.members)]
        self._strays = [self._files[order.index(n)] for n in chosen.strays]
        self._proven: set[Digest] = set()

    def note(self, code: str, text: str) -> None:
        """Say something that is worth knowing and not wrong."""
        self._notes.append(text)
        self._run.warn(code, text)

    def report(self, name: str, jobs: int) -> CheckReport:
        """Do all of it."""
        for number in self._chosen.twice:
            same = [check.name for check in self._members if check.volume == number]
            same = same or [check.name for check in self._members]
            self.note("volume-twice", f"volume {number} is here more than once: {', '.join(same)}")
        for check in self._files:
            check.begin()
        self._note_held()
        self._hash_all(self._plan(), jobs)
        found = self._results()
        findings = self._judged() + self._chosen.missing_findings()
        findings += sorted(
            (finding for own in found for finding in own), key=lambda f: f.kind != "unfinished"
        )
        findings += sorted(self._parity_findings, key=lambda f: (f.path or "", *_place(f)))
        summaries = tuple(
            check.summary(len(own)) for check, own in zip(self._files, found, strict=True)
        )
        manifests, blobs = self._counts()
        return CheckReport(
            name,
            self._chosen.bundle,
            self._chosen.catalog,
            sum(summary.size for summary in summaries),
            sum(summary.bytes_checked for summary in summaries),
            manifests,
            blobs,
            tuple(findings),
            summaries,
            self._chosen.volumes,
            self._chosen.missing,
            tuple(self._notes),
        )

    def _note_held(self) -> None:
        """Say what a whole bundle does not hold and does not have to."""
        catalog = self._chosen.catalog
        if catalog is not None and catalog.held and self._chosen.leader.is_sure:
            self._notes.append(
                f"{count_text(len(catalog.held), 'blob')} ({size_text(catalog.held_size)}) left to "
                "the receiver; an import asks for them before it sends anything"
            )

    def _judged(self) -> list[Finding]:
        """What is wrong with the signatures; nothing is signed where no catalog can be read."""
        catalog = self._chosen.catalog
        found = self._trust(catalog) if self._trust is not None and catalog is not None else None
        return [] if found is None else [found]

    def _plan(self) -> list[_Work]:
        """Everything that is to be read."""
        index = {check.name: number for number, check in enumerate(self._files)}
        catalog = self._chosen.leader.catalog
        blobs, single = cut_blobs(self._members, catalog.sizes() if catalog else {})
        others = self._files[len(self._members) :]
        single += [(c, e) for c in others for e in c.unread() if e.start is not None]
        work = [self._cut_work(blob, index) for blob in blobs]
        work += [self._piece_work(part, index) for part in single]
        for number, check in enumerate(self._files):
            for extent in check.unread():
                if extent.start is None:
                    work.append(_member_work(number, check, extent))
        return work + [self._parity_work(path) for path in self._parity]

    def _parity_work(self, path: Path) -> _Work:
        """Parity has no blobs, and so no part in the progress."""

        def do(_: memoryview) -> None:
            self._parity_findings += check_parity_file(path, self._run)

        return _Work(len(self._files), 0, 0, do)

    def _cut_work(self, blob: CutBlob, index: dict[str, int]) -> _Work:
        def do(buffer: memoryview) -> None:
            if blob.check(buffer, self._run):
                self._proven.add(blob.digest)

        check, extent = blob.parts[0]
        return _Work(index[check.name], extent.offset, blob.size, do)

    def _piece_work(self, part: Part, index: dict[str, int]) -> _Work:
        check, extent = part

        def do(buffer: memoryview) -> None:
            check.check_frame(extent)
            if check.check_piece(extent, buffer) is None:
                text = f"the piece of {extent.digest} from its byte {extent.start} on cannot be"
                text += " checked: the seal does not say what it must be"
                check.add("structure", text, digest=extent.digest, extent=extent)

        return _Work(index[check.name], extent.offset, extent.length, do)

    def _hash_all(self, work: list[_Work], jobs: int) -> None:
        """Read everything, some at a time: large things first, the rest in the order of files.

        With one job it is all read in order, as a disc or a slow stick likes it.
        """
        total = sum(item.size for item in work)
        done = sum(check.found.bytes_read for check in self._files)
        large = total // (jobs * _LARGE) if jobs > 1 else total
        self._run.emit(PhaseStarted(PHASE, len(work), total + done, done))
        pending = deque(
            sorted(work, key=lambda w: (-max(w.size, large) if large else 0, w.file, w.offset))
        )

        def read() -> None:
            buffer = memoryview(bytearray(CHUNK_SIZE))
            while item := _next(pending):
                try:
                    item.do(buffer)
                except BaseException:
                    pending.clear()
                    raise

        workers = max(1, min(jobs, len(work)))
        with ThreadPoolExecutor(workers, thread_name_prefix="check") as pool:
            for future in [pool.submit(read) for _ in range(workers)]:
                future.result()
        self._run.emit(PhaseFinished(PHASE))

    def _results(self) -> list[list[Finding]]:
        """The findings of each file, in its order, with the images that each concerns."""
        self._check_references()
        for check in self._members:
            found = self._chosen.signature_finding(check.found, check.name)
            check.findings += [] if found is None else [found]
        for check in self._strays:
            check.findings.append(self._chosen.stray_finding(check.found, check.name))
        results = []
        for number, check in enumerate(self._files):
            is_stray = number >= len(self._members) and check.found.catalog is not None
            knows = check.found if is_stray else self._chosen.leader
            own = explain(check.results(), knows)
            results.append(sorted(own, key=lambda f: (f.kind != "unfinished", *_place(f))))
        return results

    def _check_references(self) -> None:
        """Find content that nothing asks for, and referrers of what is not there."""
        found = self._chosen.leader
        catalog, documents = found.catalog, found.documents
        if catalog is None or not found.is_sure or len(documents) < len(catalog.manifests):
            return
        check = next(check for check in self._members if check.found is found)
        for digest in closure.unreferenced(catalog, documents):
            check.add("unexplained", f"nothing in the bundle asks for {digest}", digest=digest)
        known = catalog.sizes().keys() | catalog.omissions().keys()
        for referrer in catalog.referrers:
            if referrer.subject not in known:
                text = f"{referrer.digest} refers to {referrer.subject}, which is not here"
                check.add("unexplained", text, digest=referrer.digest)

    def _counts(self) -> tuple[int, int]:
        """How many manifests and blobs are right, wherever they lie."""
        manifests: set[Digest] = set()
        blobs: set[Digest] = set(self._proven)
        for check in self._members:
            for extent in check.extents:
                is_whole = extent.start is None and extent.end <= check.size
                if is_whole and extent.digest not in check.wrong:
                    is_manifest = extent.digest in check.found.documents
                    (manifests if is_manifest else blobs).add(extent.digest)
        wrong = {digest for check in self._members for digest in check.wrong}
        return len(manifests - wrong), len(blobs - wrong)


def _rank(file: OpenFile) -> tuple[int, str]:
    placement = file.found.placement
    return placement.volume if placement else 0, str(file.path)


def _place(finding: Finding) -> tuple[int, str]:
    return -1 if finding.offset is None else finding.offset, finding.message


def _member_work(number: int, check: VolumeCheck, extent: Extent) -> _Work:
    return _Work(
        number, extent.offset, extent.length, lambda buffer: check.check_member(extent, buffer)
    )


def _missing_text(finding: Finding) -> str:
    shown = ", ".join(finding.images[:_SHOWN])
    rest = len(finding.images) - _SHOWN
    return (
        finding.message
        + (f"; needed by {shown}" if shown else "")
        + (f" and {count_text(rest, 'more image')}" if rest > 0 else "")
    )


def _next(pending: deque[_Work]) -> _Work | None:
    """The next work, for any thread."""
    try:
        return pending.popleft()
    except IndexError:
        return None
