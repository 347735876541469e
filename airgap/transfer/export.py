"""Exporting images: what references name at registries becomes one bundle."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from airgap.bundle.finished import finished_files
from airgap.bundle.pipe import PipeWriter
from airgap.bundle.volume_names import volume_path
from airgap.bundle.volumes import VolumePlan
from airgap.bundle.writer import BundleWriter
from airgap.content import posix
from airgap.content.storage import is_there
from airgap.errors import SettingsError
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.registry.client import Client
from airgap.run import Run
from airgap.run.events import PhaseFinished, PhaseStarted
from airgap.transfer.export_options import ExportOptions
from airgap.transfer.export_report import describe_plan, with_selection
from airgap.transfer.export_selection import select, warn_of
from airgap.transfer.fetch import PHASE, Fetcher
from airgap.transfer.outcome import ExportPlan, ExportResult, Protection
from airgap.transfer.plan import ExportSelection
from airgap.transfer.protect import is_protected, protect_bundle
from airgap.transfer.resolution import Resolution
from airgap.transfer.resolve import Resolver
from airgap.transfer.sources import RegistrySources, Sources
from airgap.transfer.volume_plan import plan_files

if TYPE_CHECKING:  # the most usual export needs none of these, and is to start quickly
    from airgap.transfer.bundle_source import Holdings
    from airgap.transfer.encrypted import Encryption

__all__ = ["ExportOptions", "export_images", "plan_export"]


def plan_export(
    references: Sequence[Reference],
    output: Path | None,
    *,
    client: Client | Holdings,
    options: ExportOptions | None = None,
    run: Run | None = None,
) -> ExportPlan:
    """Find out what an export would do, without writing anything.

    Args:
        references: What is asked for.
        output: Where the bundle would go: for the free space and what is there already.
        client: Talks to registries; or the bundles and layouts that stand in for them.
        options: What of the images is wanted.
        run: Progress and cancellation.

    Raises:
        AirgapError: What an export would raise before it writes.
    """
    options, run = options or ExportOptions(), run or Run()
    export = _Export(references, client, options, run)
    selection = export.select()
    volumes = export.lay_out(selection)
    held: Mapping[Digest, int] = {}
    if output is not None:
        held = BundleWriter.left_at(output, is_split=volumes.is_split).sizes()
    return export.describe(selection, volumes, held, output)


def export_images(
    references: Sequence[Reference],
    output: Path | BinaryIO,
    *,
    client: Client | Holdings,
    options: ExportOptions | None = None,
    run: Run | None = None,
) -> ExportResult:
    """Export images to one bundle; an interrupted export to the same file is continued.

    Args:
        references: What is asked for.
        output: The bundle's path, or a stream that takes its bytes in order.
        client: Talks to registries; or the bundles and layouts that stand in for them.
        options: What of the images is wanted.
        run: Progress and cancellation.

    Returns:
        What was written. With `keep_going`, `failed` names what is not in it.

    Raises:
        AirgapError: Nothing is under the final name then; what was fetched is kept beside it.
    """
    options, run = options or ExportOptions(), run or Run()
    export = _Export(references, client, options, run)
    if not isinstance(output, Path):
        return export.to_pipe(output)
    if options.encrypt is not None:
        return export.to_encrypted(output, options.encrypt)
    return export.to_file(output)


def open_sources(client: Client | Holdings, *, registries: int, jobs: int, run: Run) -> Sources:
    """What blobs come from: registries, or bundles and layouts that stand in for them."""
    if isinstance(client, Client):
        return RegistrySources(client, registries=registries, jobs=jobs, run=run)
    from airgap.transfer.bundle_source import BundleSources  # loaded by who opened them

    return BundleSources(client, jobs=jobs, run=run)


class _Export:
    """One export: resolve, select, lay out, fetch, and again without what cannot be had."""

    def __init__(
        self,
        references: Sequence[Reference],
        client: Client | Holdings,
        options: ExportOptions,
        run: Run,
    ) -> None:
        if not references:
            raise SettingsError("no images are given", hint="name them, or a list with -f FILE")
        self._references = references
        self._options = options
        self._run = run
        self._started = time.monotonic()
        registries = len({reference.registry for reference in references})
        self._sources = open_sources(client, registries=registries, jobs=options.jobs, run=run)
        if not isinstance(client, Client):
            self._options = options.out_of(client.catalogs)
        self._resolution: Resolution | None = None

    def to_file(self, path: Path) -> ExportResult:
        """Write to files at planned offsets, and what is wanted beside them."""
        if (there := self._only_unprotected(path)) is not None:
            return there
        overwrite, is_split = self._options.overwrite, self._options.volume_size is not None
        with BundleWriter.open(
            path, overwrite=overwrite, is_split=is_split, run=self._run
        ) as writer:
            selection = self.select()
            volumes = self.lay_out(selection)
            writer.begin(volumes, beside=self._room_beside(volumes, path))
            plan = self.describe(selection, volumes, writer.held, path)
            fetcher = self._fetcher(writer)
            while True:
                missing = [f for f in selection.fetches if not writer.has_blob(f.descriptor)]
                if not missing:
                    break
                self._begin_fetch(volumes, sum(f.descriptor.size for f in missing))
                fetcher.fetch(missing)
                if fetcher.lost:
                    selection = self.select(fetcher)
                    volumes = self.lay_out(selection)
                    writer.replan(volumes)
            self._run.emit(PhaseFinished(PHASE))
            files = writer.finish()
        beside = self._protect(files, path)
        result = self._result(selection, volumes, plan, fetcher.fetched_bytes, files)
        return replace(result, beside=beside)

    def _only_unprotected(self, path: Path) -> ExportResult | None:
        """Go on where an earlier run wrote the bundle and did not get to what lies beside it."""
        options = self._options
        if options.protect.is_empty or options.overwrite:
            return None
        if not any(map(is_there, (path, volume_path(path, 1)))):
            return None
        selection = self.select()
        volumes = self.lay_out(selection)
        files = finished_files(path, volumes)
        if files is None or is_protected(files, path, options.protect):
            return None
        plan = self.describe(selection, volumes, dict(volumes.catalog.blobs), path)
        beside = self._protect(files, path)
        return replace(self._result(selection, volumes, plan, 0, files), beside=beside)

    def _room_beside(self, volumes: VolumePlan, path: Path) -> int:
        """How much room what lies beside the bundle takes, as far as that is worth counting."""
        plan = self._options.protect.plan(volumes.sizes, path.parent)
        return plan.size if plan else 0

    def _protect(self, files: tuple[Path, ...], path: Path) -> Protection | None:
        options = self._options
        if options.protect.is_empty:
            return None
        return protect_bundle(files, path, options.protect, jobs=options.jobs, run=self._run)

    def to_encrypted(self, path: Path, encryption: Encryption) -> ExportResult:
        """Write files that only some can read. The plan is fixed, as with a pipe."""
        from airgap.transfer.encrypted import EncryptedTarget  # loaded by who wants it

        options = self._options
        target = EncryptedTarget(path, encryption, overwrite=options.overwrite, run=self._run)
        selection = self.select()
        volumes = self.lay_out(selection)
        missing = target.begin(volumes)
        plan = self.describe(selection, volumes, target.held(), path)
        self._begin_fetch(volumes, plan.fetch_bytes)
        fetchers = partial(self._fetcher, is_pipe=True)
        fetched = target.write(missing, selection.fetches, fetchers, ends=self._sources.scope)
        self._run.emit(PhaseFinished(PHASE))
        files, sizes = target.finish()
        beside = self._protect(files, target.path)
        written = replace(volumes, sizes=sizes)
        return replace(self._result(selection, written, plan, fetched, files), beside=beside)

    def to_pipe(self, stream: BinaryIO) -> ExportResult:
        """Write front to back. The plan is fixed: bytes that left cannot be called back."""
        if self._options.encrypt is not None:
            raise SettingsError("a pipe is not encrypted", hint="pipe it through age: | age -r …")
        if self._options.volume_size is not None or not self._options.protect.is_empty:
            raise SettingsError(
                "a pipe takes one file and nothing beside it",
                hint="leave out --volume-size, --parity and --checksums, or write to a file",
            )
        selection = self.select()
        volumes = self.lay_out(selection)
        plan = self.describe(selection, volumes, {}, None)
        with PipeWriter(stream, run=self._run) as writer:
            writer.begin(volumes.layout(0))
            fetcher = self._fetcher(writer, is_pipe=True)
            self._begin_fetch(volumes, plan.fetch_bytes)
            fetcher.fetch_in_order(selection.fetches)
            self._run.emit(PhaseFinished(PHASE))
            writer.finish()
        return self._result(selection, volumes, plan, fetcher.fetched_bytes, ())

    def select(self, fetcher: Fetcher | None = None) -> ExportSelection:
        """Decide what travels.

        Raises:
            AirgapError: The first failure, unless failures are to be left out; or nothing is left.
        """
        options = self._options
        if self._resolution is None:
            resolver = Resolver(
                self._sources, options.selection, keep_going=options.keep_going, run=self._run
            )
            self._resolution = resolver.resolve(self._references)
        lost = fetcher.lost if fetcher else {}
        selection = select(self._resolution, options, lost=lost)
        if fetcher is None:
            self._check_images(selection)
            warn_of(selection, options, run=self._run)
        return selection

    def _check_images(self, selection: ExportSelection) -> None:
        if self._options.require_signature:
            from airgap.transfer.image_evidence import check_selection  # only where it is demanded

            check_selection(selection, self._options, self._sources, run=self._run)

    def lay_out(self, selection: ExportSelection) -> VolumePlan:
        """Lay the bundle out, in one file or in volumes.

        Raises:
            SettingsError: No reader would take it, it is so large; or volumes are too small.
        """
        size, encrypt = self._options.volume_size, self._options.encrypt
        if size is not None and encrypt is not None:
            size = encrypt.room(size)
        return plan_files(selection, volume_size=size)

    def describe(
        self,
        selection: ExportSelection,
        volumes: VolumePlan,
        held: Mapping[Digest, int],
        output: Path | None,
    ) -> ExportPlan:
        """The plan as a value for people."""
        parity = 0 if output is None else self._room_beside(volumes, output)
        free = None if output is None else _free_bytes(output)
        return describe_plan(selection, volumes, held, free_bytes=free, parity_bytes=parity)

    def _fetcher(
        self, writer: BundleWriter | PipeWriter, run: Run | None = None, *, is_pipe: bool = False
    ) -> Fetcher:
        assert self._resolution is not None, "select() comes first"
        selection = self._options.selection
        if is_pipe:  # the front has left, and says that every blob comes
            selection = replace(selection, allow_missing_at_source=False)
        return Fetcher(
            self._sources,
            writer,
            selection,
            contents=self._resolution.contents,
            keep_going=self._options.keep_going and not is_pipe,
            run=run or self._run,
        )

    def _begin_fetch(self, volumes: VolumePlan, missing_bytes: int) -> None:
        blobs = volumes.catalog.blobs
        total = sum(size for _, size in blobs)
        self._run.emit(PhaseStarted(PHASE, len(blobs), total, done_bytes=total - missing_bytes))

    def _result(
        self,
        selection: ExportSelection,
        volumes: VolumePlan,
        plan: ExportPlan,
        fetched_bytes: int,
        files: tuple[Path, ...],
    ) -> ExportResult:
        final = with_selection(plan, selection, volumes)
        if self._options.lock is not None:
            from airgap.transfer.locked import write_wanted_lock  # only where it is wanted

            write_wanted_lock(self._options, volumes)
        return ExportResult(
            final,
            str(files[0]) if files else "-",
            time.monotonic() - self._started,
            fetched_bytes,
            final.failed,
            bool(files) and posix.is_medium(files[0].parent),
            tuple(map(str, files)),
        )


def _free_bytes(output: Path) -> int | None:
    try:
        return posix.free_bytes(output.parent)
    except OSError:
        return None
