"""Checking encrypted files without a key: every byte against the envelope beside them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from airgap.bundle.envelope import SUFFIX, Envelope, EnvelopeEntry
from airgap.bundle.envelope_file import encrypted_files, envelopes_at, read_envelope
from airgap.bundle.finding import CheckedFile, CheckReport, Finding
from airgap.bundle.volume_file import open_file
from airgap.content.filesystem import drop_cache_file
from airgap.content.posix import read_into
from airgap.content.storage import is_folder, storage_error
from airgap.content.store import CHUNK_SIZE
from airgap.errors import ConflictError, ContentNotFoundError, DigestMismatchError
from airgap.oci.digest import Digest, Hasher
from airgap.run import Run
from airgap.run.events import ItemFinished, PhaseFinished, PhaseStarted

PHASE = "check"
_COPY_AGAIN = "copy it again from where it is whole, or rebuild it from parity"


@dataclass(frozen=True, slots=True)
class _Bad:
    """A run of bytes that are wrong, or that the medium does not give."""

    offset: int
    length: int
    error: str | None


def is_encrypted(paths: Sequence[Path]) -> bool:
    """Whether files are encrypted ones, or folders hold such.

    Raises:
        ContentNotFoundError: A path is not there.
        StorageError: A folder cannot be read.
    """
    named = [path for path in paths if is_folder(path) or path.name.endswith(SUFFIX)]
    return bool(encrypted_files(paths) or envelopes_at(named))


def check_encrypted_bundle(
    paths: Sequence[Path],
    *,
    run: Run,
    jobs: int = 4,
    read_back: bool = False,
    expect: Digest | None = None,
) -> CheckReport:
    """Say everything that is wrong with the encrypted files of a bundle.

    What is in them is not looked at: that takes an identity.

    Args:
        paths: The files, their envelope, or the folders that hold them.
        run: Where progress goes, and a cancellation comes from.
        jobs: How many blocks are hashed at the same time.
        read_back: Whether the medium is read even where its bytes are still in memory.
        expect: The bundle id that it should have.

    Raises:
        ContentNotFoundError: There is no envelope.
        ConflictError: There are several, of other bundles.
        DigestMismatchError: It is another bundle than the expected one.
        BundleFormatError: The envelope is damaged.
        StorageError: The files cannot be looked for.
        CancelledError: Somebody asked to stop.
    """
    envelope = find_envelope(paths, expect)
    here = {path.name: path for path in encrypted_files(_places(paths))}
    findings: list[Finding] = []
    files: list[CheckedFile] = []
    missing: list[int] = []
    for number in range(1, envelope.volumes + 1):
        entry = envelope.entry(number)
        if entry is None or entry.name not in here:
            missing.append(number)
            findings.append(_missing(number, envelope, entry))
            run.warn("missing-volume", findings[-1].message)
    present = [entry for entry in envelope.entries if entry.name in here]
    run.emit(PhaseStarted(PHASE, len(present), sum(entry.size for entry in present)))
    for entry in present:
        path = here.pop(entry.name)
        if read_back:
            drop_cache_file(path)
        found, checked = check_encrypted(path, entry, block=envelope.block, run=run, jobs=jobs)
        findings += found
        size = path.stat().st_size
        files.append(CheckedFile(str(path), entry.volume, size, checked, len(found)))
        run.emit(ItemFinished(PHASE, path.name))
    run.emit(PhaseFinished(PHASE))
    for path in here.values():
        run.warn("not-in-envelope", f"{path} is in no envelope, and cannot be checked")
    return CheckReport(
        name=str(paths[0]),
        bundle_id=envelope.bundle,
        catalog=None,
        size=sum(file.size for file in files),
        bytes_checked=sum(file.bytes_checked for file in files),
        manifests=0,
        blobs=0,
        findings=tuple(findings),
        files=tuple(files),
        volumes=envelope.volumes,
        missing_volumes=tuple(missing),
        notes=("what is encrypted was checked for damage from outside; nothing was opened",),
    )


def check_encrypted(
    path: Path, entry: EnvelopeEntry, *, block: int, run: Run, jobs: int
) -> tuple[list[Finding], int]:
    """Compare every byte of an encrypted file with its checksums.

    Args:
        path: The file.
        entry: What the envelope says of it.
        block: How many bytes each checksum covers.
        run: Cancellation.
        jobs: How many blocks are hashed at the same time.

    Returns:
        What is wrong, with the bytes that are concerned; and how many bytes were hashed.

    Raises:
        CancelledError: Somebody asked to stop.
    """
    with open_file(path) as stream:
        blocks = _Blocks(stream.fileno(), entry, block, run)
        with ThreadPoolExecutor(max(1, jobs), thread_name_prefix="check") as pool:
            bad = [found for found in pool.map(blocks.check, range(len(entry.blocks))) if found]
        size = path.stat().st_size
    findings = [_damage(path, entry, found) for found in _merged(bad, size)]
    if size != entry.size:
        findings.append(_size_finding(path, entry, size))
    return findings, blocks.checked


class _Blocks:
    """Hashes blocks of a file, each thread with a buffer of its own."""

    def __init__(self, fd: int, entry: EnvelopeEntry, block: int, run: Run) -> None:
        self._fd = fd
        self._entry = entry
        self._block = block
        self._run = run
        self._buffers = threading.local()
        self._lock = threading.Lock()
        self.checked = 0

    def check(self, number: int) -> _Bad | None:
        """What is wrong with a block; None where nothing is."""
        offset = number * self._block
        length = min(self._block, self._entry.size - offset)
        buffer = self._buffer()
        hasher = Hasher()
        try:
            while hasher.size < length:
                self._run.cancel.check()
                room = min(CHUNK_SIZE, length - hasher.size)
                count = read_into(self._fd, [buffer[:room]], offset + hasher.size)
                if not count:
                    break
                hasher.update(buffer[:count])
        except OSError as error:
            return _Bad(offset, length, storage_error(error, "the medium").message)
        with self._lock:
            self.checked += hasher.size
        is_right = hasher.digest() == self._entry.blocks[number]
        return None if is_right else _Bad(offset, length, None)

    def _buffer(self) -> memoryview:
        buffer: memoryview | None = getattr(self._buffers, "view", None)
        if buffer is None:
            buffer = self._buffers.view = memoryview(bytearray(CHUNK_SIZE))
        return buffer


def _merged(bad: Sequence[_Bad], size: int) -> Iterator[_Bad]:
    """Runs of bad blocks as one; what lies behind the end of the file is no damage of its own."""
    last: _Bad | None = None
    for found in bad:
        if found.offset >= size or (found.offset + found.length > size and not found.error):
            continue
        if last and last.offset + last.length == found.offset and last.error == found.error:
            last = _Bad(last.offset, last.length + found.length, last.error)
            continue
        if last:
            yield last
        last = found
    if last:
        yield last


def _damage(path: Path, entry: EnvelopeEntry, bad: _Bad) -> Finding:
    what = f"{path.name} does not have the bytes that were written"
    return Finding(
        "digest-mismatch" if bad.error is None else "unreadable",
        what if bad.error is None else f"{path.name}: {bad.error}",
        _COPY_AGAIN,
        offset=bad.offset,
        length=bad.length,
        path=str(path),
        volume=entry.volume,
    )


def _size_finding(path: Path, entry: EnvelopeEntry, size: int) -> Finding:
    is_short = size < entry.size
    return Finding(
        "cut-short" if is_short else "size-mismatch",
        f"{path.name} has {size:,} bytes and should have {entry.size:,}",
        _COPY_AGAIN,
        offset=min(size, entry.size),
        length=abs(entry.size - size),
        path=str(path),
        volume=entry.volume,
    )


def _missing(number: int, envelope: Envelope, entry: EnvelopeEntry | None) -> Finding:
    what = f"volume {number} of {envelope.volumes}"
    if entry is None:
        return Finding(
            "unfinished",
            f"{what} was never finished",
            "run the same export again: it goes on with this volume",
            volume=number,
        )
    return Finding(
        "missing-volume",
        f"{what} is missing: {entry.name}",
        "find the medium that holds it, or rebuild it from parity",
        volume=number,
    )


def find_envelope(paths: Sequence[Path], expect: Digest | None = None) -> Envelope:
    """The envelope of encrypted files.

    Raises:
        ContentNotFoundError: There is none.
        ConflictError: There are several, of other bundles.
        DigestMismatchError: It is that of another bundle than the expected one.
        BundleFormatError: It is damaged.
        StorageError: It cannot be read.
    """
    found: dict[Digest, Envelope] = {}
    places = envelopes_at(paths)
    for place in places:
        if (envelope := read_envelope(place)) is not None:
            found.setdefault(Digest.of(envelope.to_bytes()), envelope)
    if expect is not None and any(envelope.bundle == expect for envelope in found.values()):
        found = {key: envelope for key, envelope in found.items() if envelope.bundle == expect}
    if not found:
        raise ContentNotFoundError(
            f"{paths[0]}: what says how it should be, NAME{SUFFIX}, is not there",
            hint="copy it from where the bundle was made; or import it, which checks it, too",
            origin="local",
        )
    if len(found) > 1:
        raise ConflictError(
            f"there are several: {', '.join(place.name for place in places[:5])}",
            hint=f"name one of the files that end with {SUFFIX}, or give --expect",
            origin="local",
        )
    (envelope,) = found.values()
    if expect is not None and envelope.bundle != expect:
        raise DigestMismatchError(
            f"this is the bundle {envelope.bundle}, and {expect} is expected",
            expected=str(expect),
            actual=str(envelope.bundle),
            hint="compare the id with the one that `airgap export` printed",
            origin="bundle",
        )
    return envelope


def _places(paths: Sequence[Path]) -> list[Path]:
    """Where the files lie: those that are named, else all that lie beside their envelope."""
    return [
        path.parent if path.name.endswith(SUFFIX) and path.is_file() else path for path in paths
    ]
