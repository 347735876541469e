"""Exporting a bundle to several media: volumes are written, read back, and the next is asked for.

The plan is frozen before the first byte. Volumes go straight to their medium; a blob that is cut
across media is fetched again for the second one. What is wrong on one medium goes to the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from airgap.bundle.medium import MediumWriter, volume_file
from airgap.bundle.reader import numbers_text
from airgap.bundle.volumes import VolumePlan
from airgap.content.posix import free_bytes, mount_point
from airgap.content.storage import storage_errors
from airgap.errors import (
    ConflictError,
    IncompleteBundleError,
    PartialError,
    StorageError,
    StorageFullError,
)
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.registry.client import Client
from airgap.run import Run
from airgap.run.events import MediumWanted, Notice, PhaseFinished, PhaseStarted
from airgap.transfer.bundle_source import Holdings
from airgap.transfer.export import ExportOptions, open_sources
from airgap.transfer.export_selection import select, warn_of
from airgap.transfer.fetch import PHASE, Fetcher
from airgap.transfer.image_evidence import check_selection
from airgap.transfer.left import left_by
from airgap.transfer.locked import write_wanted_lock
from airgap.transfer.outcome import Failure, Protection
from airgap.transfer.presence import find_lost
from airgap.transfer.protect import protect_bundle
from airgap.transfer.resolve import Resolver
from airgap.transfer.spread_check import (
    check_mounted,
    drop_files,
    is_parity_whole,
    is_planned,
    is_whole,
)
from airgap.transfer.spread_outcome import SpreadResult, WrittenMedium
from airgap.transfer.spread_state import (
    SpreadFolder,
    SpreadState,
    request_digest,
    spread_folder,
)
from airgap.transfer.volume_plan import plan_files
from airgap.wording import size_text

Prompt = Callable[[MediumWanted], bool]
"""Asks for another medium, and waits for it; False where none will come."""

_VAIN = 3
"""So many media in a row that take nothing: whoever changes them does not do it."""


@dataclass(frozen=True, slots=True)
class Spreading:
    """How an export goes from medium to medium.

    Attributes:
        state: Where the frozen plan is kept, in a folder of its own for each output.
        prompt: Asks for the next medium; None ends with the first one.
    """

    state: Path
    prompt: Prompt | None = None


def spread_images(
    references: Sequence[Reference],
    output: Path,
    *,
    client: Client | Holdings,
    spreading: Spreading,
    options: ExportOptions,
    run: Run | None = None,
) -> SpreadResult:
    """Export images to volumes on several media that are mounted one after the other.

    Args:
        references: What is asked for.
        output: The bundle's path on the medium, such as `/media/usb/release.tar`.
        client: Talks to registries; or the bundles and layouts that stand in for them.
        spreading: How it goes from medium to medium.
        options: What of the images is wanted.
        run: Progress and cancellation.

    Raises:
        IncompleteBundleError: There are volumes for which no medium came; run it again.
        ConflictError: Another export to this path has begun and is not done.
        AirgapError: A source failed; what is on media stays and counts.
    """
    options.check_spreadable()
    if isinstance(client, Holdings):
        options = options.out_of(client.catalogs)
    work = Spread(references, output, client, options, run or Run())
    with closing(SpreadFolder(spread_folder(spreading.state, output))) as folder:
        return fill_media(work, folder, spreading.prompt)


def fill_media(work: Spread, folder: SpreadFolder, prompt: Prompt | None) -> SpreadResult:
    """Fill medium after medium, until all is written or none comes any more."""
    work.prepare(folder)
    vain = 0
    while work.rest:
        before = work.rest
        work.fill_medium(folder)
        vain = vain + 1 if work.rest == before else 0
        if work.rest:
            work.ask(prompt if vain < _VAIN else None)
    result = work.result()
    folder.remove()
    return result


class Spread:
    """One export over several media, each with parity of its own."""

    def __init__(
        self,
        references: Sequence[Reference],
        output: Path,
        client: Client | Holdings,
        options: ExportOptions,
        run: Run,
    ) -> None:
        self._references = references
        self._output = output
        self._client = client
        self._options = options
        self._run = run
        self._started = time.monotonic()
        self._state: SpreadState
        self._plan: VolumePlan
        self._written: list[WrittenMedium] = []
        self._fetched_bytes = 0

    @property
    def left(self) -> tuple[int, ...]:
        """The volumes that are on no medium yet."""
        done = self._state.done
        return tuple(n for n in range(1, self._plan.count + 1) if n not in done)

    @property
    def rest(self) -> tuple[str, ...]:
        """What is on no medium yet, by name."""
        return tuple(f"volume {number}" for number in self.left)

    def prepare(self, folder: SpreadFolder) -> None:
        """Take up the plan of an earlier run, or make one and freeze it.

        Raises:
            ConflictError: The earlier run was about something else.
        """
        names = [str(reference) for reference in self._references]
        request = request_digest(names, self._asked())
        found = folder.load()
        if found is not None:
            self._state, self._plan = found
            if self._state.request != request:
                raise ConflictError(
                    f"another export to {self._output} is not done: volumes "
                    f"{numbers_text(self.left)} of {self._plan.count} are still to be written",
                    hint="finish it with the command that began it; or choose another name with "
                    "-o or another place with --state",
                    origin="local",
                )
            return
        self._make_plan(request)
        folder.begin(self._state, self._plan)

    def _asked(self) -> tuple[object, ...]:
        """What else than its images makes this another request."""
        options = self._options
        return options.selection, options.volume_size, *options.conditions

    def _make_plan(self, request: Digest) -> None:
        options = self._options
        registries = len({reference.registry for reference in self._references})
        sources = open_sources(
            self._client, registries=registries, jobs=options.jobs, run=self._run
        )
        keep_going = options.keep_going
        resolver = Resolver(sources, options.selection, keep_going=keep_going, run=self._run)
        resolution = resolver.resolve(self._references)
        selection = select(resolution, options)
        if options.allow_missing_at_source:
            # later, the catalog of the first medium could not be changed any more
            lost = find_lost(sources, selection.fetches, run=self._run)
            selection = select(resolution, options, lost=lost)
        check_selection(selection, options, sources, run=self._run)
        warn_of(selection, options, run=self._run)
        assert options.volume_size is not None, "it was looked at"
        failed = tuple((str(name), error.message) for name, error in selection.failed)
        self._plan = plan_files(selection, volume_size=options.volume_size)
        with storage_errors(self._output.parent):
            mount = str(mount_point(self._output.parent))
        self._state = SpreadState(
            request, options.volume_size, tuple(selection.fetches), mount=mount, failed=failed
        )

    def ask(self, prompt: Prompt | None) -> None:
        """Ask for the next medium.

        Raises:
            IncompleteBundleError: None comes.
        """
        plan, left = self._plan, self.left
        wanted = MediumWanted(str(plan.catalog.id), plan.count, left)
        self._run.emit(wanted)
        if prompt is None or not prompt(wanted):
            several = len(left) > 1
            what = f"volume{'s' if several else ''} {numbers_text(left)} of {plan.count}"
            raise IncompleteBundleError(
                f"{what if left else 'some of the parity'} {'are' if several else 'is'} on no "
                "medium yet",
                missing=self.rest,
                hint="put in the next medium and run the same command again",
            )
        self._run.cancel.check()

    def fill_medium(self, folder: SpreadFolder) -> None:
        """Write to this medium what it has room for, and remember what is proved to be there."""
        try:
            check_mounted(self._output.parent, self._state.mount)
            here = self._found_here()
            numbers, beside = self._prove([*here, *self._write(here)])
        except StorageError as error:
            if error.origin == "source":  # no other medium would help
                raise
            # the next medium may be right: nothing on this one counts
            self._run.warn("medium", error.message)
            return
        self._state = self._state.with_medium(numbers, carried=self._carried(beside))
        folder.save(self._state)
        files = tuple(str(self._file(number)) for number in numbers)
        self._written.append(WrittenMedium(tuple(numbers), files, beside))
        text = f"volume{'s' if len(numbers) > 1 else ''} {numbers_text(numbers)} of "
        text = text + str(self._plan.count) if numbers else "a part of the parity"
        text += " on this medium: synced, read back and whole"
        self._run.emit(Notice("info", "medium", text))

    def _carried(self, _: Protection | None) -> tuple[str, ...]:
        """What on this medium is a part of the parity of all volumes, by name."""
        return ()

    def result(self) -> SpreadResult:
        """What was done; the lock file that is wanted beside it is written."""
        plan = self._plan
        write_wanted_lock(self._options, plan)
        return SpreadResult(
            plan.catalog.id,
            tuple(image.reference.tagged for image in plan.catalog.images),
            plan.sizes,
            self._state.media,
            tuple(self._written),
            self._fetched_bytes,
            tuple(Failure(name, PartialError(why)) for name, why in self._state.failed),
            time.monotonic() - self._started,
            bases=plan.catalog.bases,
            left_by=left_by(plan.catalog),
        )

    def _file(self, number: int) -> Path:
        return volume_file(self._output, self._plan, number)

    def _found_here(self) -> list[int]:
        """The volumes that an interrupted run finished on this medium and did not note."""
        return [n for n in self.left if is_planned(self._file(n), self._plan, n)]

    def _room_for(self, here: Sequence[int]) -> list[int]:
        """The next volumes that fit, with the parity of all that then lie here."""
        parent = self._output.parent
        with storage_errors(parent):
            free = free_bytes(parent)
        numbers: list[int] = []
        used = 0
        for number in self.left:
            if number in here:
                continue
            used += self._plan.sizes[number - 1]
            if used > free or used + self._parity_size([*here, *numbers, number]) > free:
                break
            numbers.append(number)
        return numbers

    def _parity_size(self, numbers: Sequence[int]) -> int:
        sizes = [self._plan.sizes[number - 1] for number in numbers]
        plan = self._options.protect.plan(sizes, self._output.parent)
        return plan.size if plan else 0

    def _write(self, here: Sequence[int]) -> list[int]:
        """Write as many volumes as there is room for; gives their numbers."""
        numbers = self._room_for(here)
        while numbers:
            try:
                self._write_volumes(numbers)
            except StorageFullError:
                # the file system itself needs room as well; the last volume goes to the next
                numbers.pop()
                continue
            return numbers
        return []

    def _write_volumes(self, numbers: Sequence[int]) -> None:
        with MediumWriter(
            self._plan,
            self._output,
            numbers,
            overwrite=self._options.overwrite,
            run=self._run,
        ) as medium:
            fetches = [f for f in self._state.fetches if f.descriptor.digest in medium.wanted]
            size = sum(fetch.descriptor.size for fetch in fetches)
            self._run.emit(PhaseStarted(PHASE, len(fetches), size))
            registries = {name.partition("/")[0] for f in fetches for name in f.repositories}
            sources = open_sources(
                self._client,
                registries=max(1, len(registries)),
                jobs=self._options.jobs,
                run=self._run,
            )
            fetcher = Fetcher(
                sources,
                medium,
                replace(self._options.selection, allow_missing_at_source=False),
                contents={},
                keep_going=False,
                run=self._run,
            )
            fetcher.fetch(fetches)
            self._fetched_bytes += fetcher.fetched_bytes
            medium.finish()
            self._run.emit(PhaseFinished(PHASE))

    def _prove(self, numbers: list[int]) -> tuple[list[int], Protection | None]:
        """Make parity, and see that the medium gives every byte back; what it does not is removed.

        Parity comes first: a medium that lies may keep it in the place of what was good before.

        Raises:
            StorageError: Nothing on this medium is right.
        """
        if not numbers:
            raise self._no_room()
        jobs, run = self._options.jobs, self._run
        while numbers:
            beside = self._protect(numbers)
            files = {number: self._file(number) for number in numbers}
            bad = [n for n, path in files.items() if not is_whole(path, jobs=jobs, run=run)]
            more = beside.files if beside else ()
            if not bad and is_parity_whole(more, run=run):
                return numbers, beside
            # where all volumes are right, the parity is not: and so is the medium
            bad = bad or numbers
            drop_files([*(files[number] for number in bad), *map(Path, more)])
            numbers = [number for number in numbers if number not in bad]
        raise StorageError(
            f"{self._output.parent} does not keep what is written to it",
            hint="throw this medium away, and put in another one",
            origin="local",
        )

    def _protect(self, numbers: Sequence[int]) -> Protection | None:
        options = self._options
        if options.protect.is_empty or not numbers:
            return None
        files = [self._file(number) for number in numbers]
        # a name of its own for each medium: they may be copied into one folder later
        name = files[0] if self._plan.is_split else self._output
        return protect_bundle(files, name, options.protect, jobs=options.jobs, run=self._run)

    def _no_room(self) -> StorageFullError:
        number = self.left[0]
        with storage_errors(self._output.parent):
            free = free_bytes(self._output.parent)
        return StorageFullError(
            f"{self._output.parent} has no room for volume {number}: it needs "
            f"{size_text(self._plan.sizes[number - 1] + self._parity_size([number]))}, and "
            f"{size_text(free)} are free",
            hint="put in an empty medium",
            origin="local",
        )
