"""Checksums of whole files beside them, for `sha256sum -c`: for who has nothing but coreutils.

airgap itself does not need them. They cost a second read, which is why they are asked for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from airgap.bundle.volume_file import open_file
from airgap.content.atomic import write_file
from airgap.content.posix import read_into
from airgap.content.storage import storage_errors
from airgap.content.store import CHUNK_SIZE
from airgap.oci.digest import Digest, Hasher
from airgap.run import Run
from airgap.run.events import ItemFinished, PhaseFinished, PhaseStarted

PHASE = "checksums"
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}


def write_checksums(files: Sequence[Path], target: Path, *, run: Run, jobs: int) -> None:
    """Hash files and write what they hash to, in the form that `sha256sum -c` reads.

    Args:
        files: What is hashed; the names are written as they are seen from the target's folder.
        target: The file of checksums; one that is there is replaced.
        run: Where progress goes, and a cancellation comes from.
        jobs: How many files are hashed at the same time.

    Raises:
        ContentNotFoundError: A file is not there.
        StorageError: A file cannot be read, or the target not be written.
        CancelledError: Somebody asked to stop; nothing was written.
    """
    with storage_errors(target):
        size = sum(path.stat().st_size for path in files)
    run.emit(PhaseStarted(PHASE, len(files), size))
    with ThreadPoolExecutor(max(1, min(jobs, len(files))), thread_name_prefix="sums") as pool:
        digests = list(pool.map(lambda path: _hash(path, run), files))
    lines = [
        checksum_line(_relative(path, target.parent), digest)
        for path, digest in zip(files, digests, strict=True)
    ]
    write_file(target, os.fsencode("".join(lines)))
    run.emit(PhaseFinished(PHASE))


def checksum_line(name: str, digest: Digest) -> str:
    """A line as coreutils writes it: with a backslash before it where the name has escapes."""
    escaped = "".join(_ESCAPES.get(character, character) for character in name)
    return f"{'' if escaped == name else chr(92)}{digest.hex}  {escaped}\n"


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path.parent.resolve() / path.name, folder.resolve())


def _hash(path: Path, run: Run) -> Digest:
    buffer = memoryview(bytearray(CHUNK_SIZE))
    hasher = Hasher()
    with open_file(path) as stream, storage_errors(path):
        while count := read_into(stream.fileno(), [buffer], hasher.size):
            run.cancel.check()
            hasher.update(buffer[:count])
    run.emit(ItemFinished(PHASE, path.name))
    return hasher.digest()
