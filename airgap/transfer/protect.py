"""What is written beside a finished bundle: parity, and checksums for other tools.

Both read the files a second time. Neither changes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap.bundle.checksums import write_checksums
from airgap.bundle.parity import ParityPlan, ParityRequest, plan_parity, protection_text
from airgap.bundle.volume_names import beside
from airgap.content.filesystem import file_system
from airgap.content.storage import storage_errors
from airgap.oci.digest import Md5
from airgap.run import Run
from airgap.transfer.outcome import Protection

CHECKSUMS = ".sha256"
DEFAULT_MEMORY = 512 << 20
"""Bytes that making parity may take at most, where nothing else is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectOptions:
    """What is wanted beside a bundle.

    Attributes:
        parity: How much parity; None for none.
        parity_memory: About how many bytes making it may take.
        checksums: Whether a file for `sha256sum -c` is written.
    """

    parity: ParityRequest | None = None
    parity_memory: int = DEFAULT_MEMORY
    checksums: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is wanted."""
        return self.parity is None and not self.checksums

    def plan(self, sizes: Sequence[int], folder: Path) -> ParityPlan | None:
        """Decide on the parity of files of some sizes.

        Raises:
            SettingsError: That much parity cannot be made for them.
        """
        if self.parity is None:
            return None
        return plan_parity(sizes, self.parity, max_file=file_system(folder).max_file)


def protect_bundle(
    files: Sequence[Path], target: Path, options: ProtectOptions, *, jobs: int, run: Run
) -> Protection:
    """Write what is wanted beside the files of a bundle.

    Args:
        files: The bundle, in the order of its volumes.
        target: Its name as a whole, from which the names of what is written are made.
        options: What is wanted.
        jobs: How many files are read at once.
        run: Progress and cancellation.

    Raises:
        SettingsError: The parity tool is not installed, or that much parity cannot be made.
        StorageError: A file could not be read or written; the bundle itself is whole.
    """
    written: list[Path] = []
    plan = options.plan([file.stat().st_size for file in files], target.parent)
    if plan is not None:
        from airgap.bundle.par2 import create_parity  # only where parity is wanted

        written += create_parity(
            files, beside(target, ""), plan, memory=options.parity_memory, jobs=jobs, run=run
        )
    if options.checksums:
        path = beside(target, CHECKSUMS)
        write_checksums([*files, *written], path, run=run, jobs=jobs)
        written.append(path)
    names = tuple(map(str, written))
    if plan is None:
        return Protection(names)
    return Protection(
        names, plan.recovery_blocks, plan.block_size, plan.whole_volumes, protection_text(plan)
    )


def is_protected(files: Sequence[Path], target: Path, options: ProtectOptions) -> bool:
    """Whether an earlier run wrote all that is wanted beside a bundle that is there."""
    if options.checksums and not _has_checksums(files, beside(target, CHECKSUMS)):
        return False
    if options.parity is None:
        return True
    from airgap.bundle.par2 import find_parity  # only where parity is wanted

    # Not by name alone: parity of a bundle that was replaced has the names, too. Which bundle it is
    # stands in the first bytes of each volume.
    wanted = {(file.name, file.stat().st_size, _beginning(file)) for file in files}
    return any(
        wanted <= {(known.name, known.size, known.md5_16k) for known in found.protected}
        for found in find_parity(target.parent)
    )


def _has_checksums(files: Sequence[Path], path: Path) -> bool:
    """Whether checksums were written after the files, and not of a bundle that was replaced."""
    with storage_errors(path):
        if not path.exists():
            return False
        return path.stat().st_mtime_ns >= max(file.stat().st_mtime_ns for file in files)


def _beginning(file: Path) -> bytes:
    """What a parity set says of the first bytes of a file."""
    from airgap.bundle.par2_packets import HEAD  # only where parity is wanted

    with storage_errors(file), file.open("rb") as stream:
        return Md5.of(stream.read(HEAD))
