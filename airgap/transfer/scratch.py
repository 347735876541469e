"""Exporting to several media with parity over all their volumes, which is made on a disk before.

Against the loss of a whole medium parity must know every volume, so all of them lie in one folder
first. From there volumes and PAR2 files go on media; the folder stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

from airgap.bundle.finished import finished_files
from airgap.bundle.par2 import find_parity
from airgap.bundle.partial import PartialFile
from airgap.bundle.reader import open_bundle
from airgap.bundle.volume_names import beside, volumes_there
from airgap.bundle.volumes import VolumePlan, plan_volumes
from airgap.content.atomic import make_folder
from airgap.content.filesystem import drop_cache_file
from airgap.content.posix import free_bytes, mount_point
from airgap.content.storage import storage_errors
from airgap.content.store import CHUNK_SIZE
from airgap.errors import (
    ConflictError,
    SettingsError,
    StorageError,
    StorageFullError,
)
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest, Hasher
from airgap.oci.reference import Reference
from airgap.registry.client import Client
from airgap.run import Run
from airgap.transfer.bundle_source import Holdings
from airgap.transfer.export import ExportOptions, export_images, plan_export
from airgap.transfer.outcome import Failure, Protection
from airgap.transfer.plan import Fetch
from airgap.transfer.protect import CHECKSUMS, ProtectOptions, is_protected
from airgap.transfer.spread import Spread, Spreading, fill_media
from airgap.transfer.spread_check import drop_files, is_parity_whole
from airgap.transfer.spread_outcome import SpreadResult
from airgap.transfer.spread_state import SpreadFolder, SpreadState, spread_folder

_RECOVERY = re.compile(r"\.vol[0-9]+\+([0-9]+)\.par2")
_BLOB = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Scratch:
    """The folder with the whole bundle and its parity.

    Attributes:
        target: The name of the bundle as a whole in it.
        protect: What lies beside the volumes.
    """

    target: Path
    protect: ProtectOptions

    def volumes(self) -> tuple[Path, ...]:
        """The files of the bundle, or where they would be."""
        return tuple(volumes_there(self.target).values()) or (self.target,)

    def read_plan(self, volume_size: int) -> VolumePlan:
        """How the bundle that lies here is shared out to volumes."""
        with open_bundle(self.volumes()) as reader:
            return plan_volumes(reader.catalog, reader.documents, volume_size=volume_size)

    def holds(self, plan: VolumePlan) -> bool:
        """Whether exactly this bundle is here, with all that was wanted beside it."""
        files = finished_files(self.target, plan)
        return files is not None and is_protected(files, self.target, self.protect)

    def parity(self, plan: VolumePlan) -> Parity:
        """What lies beside the volumes, in the order in which it goes on media."""
        names = {path.name for path in self.volumes()}
        found = next(
            each
            for each in find_parity(self.target.parent)
            if names <= {file.name for file in each.protected}
        )
        files = list(found.paths)
        if self.protect.checksums:
            files.append(beside(self.target, CHECKSUMS))
        blocks = tuple(-(-size // found.block_size) for size in plan.sizes)
        return Parity(tuple(files), found.recovery_blocks, blocks)


@dataclass(frozen=True, slots=True)
class Parity:
    """The parity of all volumes.

    Attributes:
        files: Its files.
        recovery_blocks: How many recovery blocks they have.
        data_blocks: How many blocks each volume has.
    """

    files: tuple[Path, ...]
    recovery_blocks: int
    data_blocks: tuple[int, ...]

    def spare(self, numbers: Sequence[int]) -> int:
        """How many recovery blocks may be lost together with some volumes; negative: too few."""
        return self.recovery_blocks - sum(self.data_blocks[number - 1] for number in numbers)


def spread_from_scratch(
    references: Sequence[Reference],
    output: Path,
    *,
    client: Client | Holdings,
    spreading: Spreading,
    scratch: Path,
    options: ExportOptions,
    run: Run | None = None,
) -> SpreadResult:
    """Export images to several media, with parity that survives the loss of one of them.

    Args:
        references: What is asked for.
        output: The bundle's path on the medium, such as `/media/usb/release.tar`.
        client: Talks to registries; or the bundles and layouts that stand in for them.
        spreading: How it goes from medium to medium.
        scratch: A folder with room for all volumes and the parity; what is written there stays.
        options: What of the images is wanted, and how much parity.
        run: Progress and cancellation.

    Raises:
        StorageFullError: The folder has no room for all of it; nothing was written.
        IncompleteBundleError: There is something for which no medium came; run it again.
        ConflictError: Another export to this path has begun, or the folder holds another bundle.
        AirgapError: A source failed; what is in the folder and on media stays and counts.
    """
    options.check_spreadable()
    if options.protect.parity is None:
        raise SettingsError(
            "--scratch is where parity of all volumes is made, and none is asked for",
            hint="add --parity, such as --parity 2volumes; or leave out --scratch",
        )
    make_folder(scratch)
    with storage_errors(scratch):
        if scratch.resolve() == output.parent.resolve():
            raise SettingsError(
                f"--scratch {scratch} is where the medium is",
                hint="name a folder on a disk of this machine",
            )
    place = Scratch(scratch / output.name, options.protect)
    work = _FromScratch(references, output, client, options, run or Run(), scratch=place)
    with closing(SpreadFolder(spread_folder(spreading.state, output))) as folder, closing(work):
        return fill_media(work, folder, spreading.prompt)


class _FromScratch(Spread):
    """An export whose volumes and parity come from a folder in which they lie already."""

    def __init__(
        self,
        references: Sequence[Reference],
        output: Path,
        client: Client | Holdings,
        options: ExportOptions,
        run: Run,
        *,
        scratch: Scratch,
    ) -> None:
        # what lies in the folder was chosen when it was written; media take all of it
        media = replace(options, protect=ProtectOptions(), non_distributable=True)
        super().__init__(references, output, client, media, run)
        self._scratch = scratch
        self._wanted = options
        self._parity: Parity
        self._exported_bytes = 0
        self._stack = ExitStack()

    @property
    def rest(self) -> tuple[str, ...]:
        """What is on no medium yet, by name."""
        return (*super().rest, *(path.name for path in self._left_parity()))

    def close(self) -> None:
        """Let go of the files in the folder."""
        self._stack.close()

    def prepare(self, folder: SpreadFolder) -> None:
        """Take up the plan of an earlier run, or write the folder and freeze what lies in it.

        Raises:
            ConflictError: The folder does not hold what was begun with.
        """
        super().prepare(folder)
        if not self._scratch.holds(self._plan):
            raise ConflictError(
                f"{self._scratch.target.parent} does not hold {self._plan.catalog.id} and its "
                "parity any more, of which some is on media",
                hint="put back what was there; or begin again with another name after -o",
                origin="local",
            )
        self._parity = self._scratch.parity(self._plan)
        self._client = self._stack.enter_context(Holdings(self._scratch.volumes()))

    def result(self) -> SpreadResult:
        """What was done."""
        folder = str(self._scratch.target.parent)
        return replace(super().result(), scratch=folder, fetched_bytes=self._exported_bytes)

    def _asked(self) -> tuple[object, ...]:
        wanted = self._wanted
        parity = wanted.protect.parity
        return wanted.selection, wanted.volume_size, "scratch", parity, *wanted.conditions

    def _make_plan(self, request: Digest) -> None:
        failed = self._export()
        size = self._wanted.volume_size
        assert size is not None, "it was looked at"
        self._plan = plan = self._scratch.read_plan(size)
        names = tuple(dict.fromkeys(image.reference.name for image in plan.catalog.images))
        fetches = tuple(
            Fetch(Descriptor(_BLOB, digest, size), names) for digest, size in plan.catalog.blobs
        )
        with storage_errors(self._output.parent):
            mount = str(mount_point(self._output.parent))
        told = tuple((failure.name, failure.error.message) for failure in failed)
        self._state = SpreadState(request, size, fetches, mount=mount, failed=told)

    def _export(self) -> tuple[Failure, ...]:
        """Write the bundle and its parity, or see that an earlier run did all of that."""
        target, options, client = self._scratch.target, self._wanted, self._client
        try:
            done = export_images(
                self._references, target, client=client, options=options, run=self._run
            )
        except ConflictError:
            plan = plan_export(
                self._references, target, client=client, options=options, run=self._run
            )
            assert options.volume_size is not None, "it was looked at"
            there = self._scratch.read_plan(options.volume_size)
            if there.catalog.id != plan.bundle_id or not self._scratch.holds(there):
                raise
            return plan.failed
        self._exported_bytes = done.fetched_bytes
        return done.failed

    def _left_parity(self) -> list[Path]:
        return [path for path in self._parity.files if path.name not in self._state.carried]

    def _carried(self, beside: Protection | None) -> tuple[str, ...]:
        return tuple(Path(file).name for file in beside.files) if beside else ()

    def _prove(self, numbers: list[int]) -> tuple[list[int], Protection | None]:
        if numbers or self.left:
            return super()._prove(numbers)
        carried = self._protect(numbers)
        if carried is None:
            raise StorageFullError(
                f"{self._output.parent} has no room for any of the PAR2 files that are left",
                hint="put in an empty medium",
                origin="local",
            )
        if not is_parity_whole(carried.files, run=self._run):
            drop_files(map(Path, carried.files))
            raise self._forgetful()
        return numbers, carried

    def _protect(self, numbers: Sequence[int]) -> Protection | None:
        """Copy what has room of the parity; never so much that its loss would cost the volumes."""
        spare = self._parity.spare(numbers)
        if spare < 0:
            self._run.warn("parity", "were this medium lost, parity would not rebuild its volumes")
            spare = self._parity.recovery_blocks
        copied: list[Path] = []
        for source in self._left_parity():
            found = _RECOVERY.search(source.name)
            blocks = int(found[1]) if found else 0
            target = self._output.parent / source.name
            try:
                if blocks <= spare and self._carry(source, target):
                    copied.append(target)
                    spare -= blocks
            except StorageFullError:
                break  # the file system itself needs room as well
        return Protection(tuple(map(str, copied))) if copied else None

    def _carry(self, source: Path, target: Path) -> bool:
        """Copy a file and read it back; False where there is no room."""
        with storage_errors(target):
            size, is_there = source.stat().st_size, target.exists()
            free = free_bytes(target.parent)
        digest = _digest(source, self._run)
        if is_there and _digest(target, self._run) == digest:
            return True  # an interrupted run did not get to noting it
        if size > free:
            return False
        file = PartialFile(target, overwrite=self._options.overwrite)
        try:
            file.cut(0)
            file.reserve(size)
            offset = 0
            for chunk in _chunks(source, self._run):
                file.write(chunk, offset)
                offset += len(chunk)
            file.sync()
            file.publish()
        except BaseException:
            file.cut(0)
            raise
        finally:
            file.close()
        drop_cache_file(target)
        if _digest(target, self._run) != digest:
            drop_files([target])
            raise self._forgetful()
        return True

    def _forgetful(self) -> StorageError:
        return StorageError(
            f"{self._output.parent} does not keep what is written to it",
            hint="throw this medium away, and put in another one",
            origin="local",
        )


def _chunks(path: Path, run: Run) -> Iterator[bytes]:
    with storage_errors(path), path.open("rb") as file:
        while chunk := file.read(CHUNK_SIZE):
            run.cancel.check()
            yield chunk


def _digest(path: Path, run: Run) -> Digest:
    hasher = Hasher()
    for chunk in _chunks(path, run):
        hasher.update(chunk)
    return hasher.digest()
