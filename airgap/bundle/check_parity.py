"""Checking the PAR2 files beside volumes: each packet of them has a checksum of its own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from airgap.bundle.finding import Finding
from airgap.bundle.par2 import find_parity, parity_files
from airgap.bundle.par2_packets import Gap, scan
from airgap.errors import StorageError
from airgap.run import Run


def find_parity_files(folders: Sequence[Path], names: Collection[str]) -> list[Path]:
    """The PAR2 files in folders that protect some files, and those that say nothing any more.

    Args:
        folders: Where to look.
        names: What the protected files are called.

    Raises:
        StorageError: A folder or a file could not be read.
    """
    found: list[Path] = []
    for folder in folders:
        others = {
            path
            for parity in find_parity(folder)
            if not any(file.name in names for file in parity.protected)
            for path in parity.paths
            if parity.protected
        }
        found += [path for path in parity_files(folder) if path not in others]
    return found


def check_parity_file(path: Path, run: Run) -> list[Finding]:
    """Read a PAR2 file and say which bytes of it are no whole packet.

    Raises:
        CancelledError: Somebody asked to stop.
    """
    findings: list[Finding] = []
    hint = "make the parity again from the volumes while they are whole"
    try:
        for packet in scan(path, is_deep=True):
            run.cancel.check()
            if isinstance(packet, Gap):
                text = f"{path}: {packet.length} bytes of the parity are damaged"
                findings.append(Finding("parity", text, hint, None, packet.offset, packet.length))
    except StorageError as error:
        findings.append(Finding.of(error))
    return [replace(finding, path=str(path)) for finding in findings]
