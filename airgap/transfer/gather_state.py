"""What an import from several media remembers between them: volumes that came, pieces kept.

A piece of a cut blob whose rest lies on another medium is kept in a folder until the registry has
the blob. What whole blobs arrived is not noted: the registry is asked, it knows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from airgap.bundle.placement import Extent
from airgap.content.atomic import (
    PRIVATE,
    TEMPORARY,
    make_folder,
    remove_file,
    write_chunks,
    write_file,
)
from airgap.content.posix import free_bytes, lock
from airgap.content.storage import storage_errors
from airgap.content.store import CHUNK_SIZE, Chunks
from airgap.errors import (
    AirgapError,
    BundleFormatError,
    IntegrityError,
    LockedError,
    StorageFullError,
)
from airgap.oci.digest import Digest, Verifier
from airgap.oci.document import canonical_bytes, parse_object
from airgap.run import Run
from airgap.wording import size_text

_VERSION = 1
_FILE = "state.json"
_LOCK = "lock"
_NAME = re.compile(r"[0-9a-f]+-[0-9]{13,}")
_MAX_SIZE = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class KeptPiece:
    """A piece that is kept.

    Attributes:
        digest: The blob that it is a piece of.
        start: Where in the blob it begins.
        length: How many bytes it has.
        content: What it hashes to itself.
        volume: The volume that it came from.
    """

    digest: Digest
    start: int
    length: int
    content: Digest
    volume: int

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.digest.hex}-{self.start:013d}"

    def to_json(self) -> dict[str, Any]:
        """The piece as it stands in the state."""
        return {
            "digest": str(self.digest),
            "start": self.start,
            "length": self.length,
            "content": str(self.content),
            "volume": self.volume,
        }


@dataclass(frozen=True, slots=True)
class GatherState:
    """What is known of one bundle on its way to one destination.

    Attributes:
        bundle: Its id.
        destination: Where it goes.
        arrived: The volumes that were read.
        pieces: What is kept of cut blobs.
    """

    bundle: Digest
    destination: str
    arrived: frozenset[int] = frozenset()
    pieces: tuple[KeptPiece, ...] = field(default=())

    def to_bytes(self) -> bytes:
        """The canonical bytes of the state."""
        return canonical_bytes(
            {
                "formatVersion": _VERSION,
                "bundle": str(self.bundle),
                "destination": self.destination,
                "arrived": sorted(self.arrived),
                "pieces": [piece.to_json() for piece in self.pieces],
            }
        )

    @classmethod
    def parse(cls, raw: bytes) -> GatherState:
        """Read a state.

        Raises:
            AirgapError: It is damaged, or of another version.
        """
        value = parse_object(raw, what="the state")
        if value.get("formatVersion") != _VERSION:
            raise BundleFormatError("the state is of another version of airgap")
        destination, arrived = value.get("destination"), value.get("arrived")
        pieces = value.get("pieces")
        if not (
            isinstance(destination, str) and isinstance(arrived, list) and isinstance(pieces, list)
        ):
            raise BundleFormatError("the state is damaged")
        return cls(
            Digest.parse(value.get("bundle")),
            destination,
            frozenset(_number(number) for number in arrived),
            tuple(_piece(entry) for entry in pieces),
        )


class KeptPieces:
    """The folder where pieces wait for each other. Nothing is made before there is one.

    One thread changes it; any thread may read pieces.

    Args:
        folder: Where.
        bundle: The bundle.
        destination: Where the bundle goes.
        run: Takes warnings.

    Raises:
        LockedError: Another run uses it.
        StorageError: It cannot be read.
    """

    def __init__(self, folder: Path, bundle: Digest, destination: str, *, run: Run) -> None:
        self._folder = folder
        self._run = run
        self._lock: int | None = None
        self._sound: set[KeptPiece] = set()
        self._state = GatherState(bundle, destination)
        if folder.is_dir():
            self._take_lock()
            try:
                self._read()
            except BaseException:
                self.close()
                raise

    @property
    def arrived(self) -> frozenset[int]:
        """The volumes that were read so far."""
        return self._state.arrived

    def of(self, digest: Digest) -> Mapping[int, KeptPiece]:
        """The pieces of a blob that are kept, by the volume they came from."""
        return {p.volume: p for p in self._state.pieces if p.digest == digest}

    def keep(self, found: Mapping[KeptPiece, Iterator[bytes]]) -> None:
        """Keep pieces, each verified by what its volume says it hashes to.

        Args:
            found: The pieces, and what gives their bytes.

        Raises:
            StorageFullError: There is no room for all of them; none is written.
            IntegrityError: The medium gave other bytes.
            StorageError: One could not be read, or not written.
        """
        wanted = {p: chunks for p, chunks in found.items() if p not in self._state.pieces}
        if not wanted:
            return
        self._make()
        needed = sum(piece.length for piece in wanted)
        with storage_errors(self._folder):
            free = free_bytes(self._folder)
        if needed > free:
            raise StorageFullError(
                f"{self._folder}: pieces of blobs that go on in another volume need "
                f"{size_text(needed)}, and {size_text(free)} are free",
                hint="--state DIR names a folder with more room",
                origin="local",
            )
        for piece, chunks in wanted.items():
            write_chunks(self._folder / piece.name, self._checked(piece, chunks), mode=0o600)
            self._sound.add(piece)
            self._save(replace(self._state, pieces=(*self._state.pieces, piece)))

    def drop(self, digests: frozenset[Digest]) -> None:
        """Give up the pieces of blobs: the registry has them."""
        gone = [piece for piece in self._state.pieces if piece.digest in digests]
        if gone:
            self._forget(gone)

    def note(self, volumes: frozenset[int]) -> None:
        """Remember that volumes were read to their end."""
        if not volumes <= self._state.arrived:
            self._make()
            self._save(replace(self._state, arrived=self._state.arrived | volumes))

    def check(self, piece: KeptPiece) -> bool:
        """Whether a piece is still what it was; one that is not is given up."""
        if piece in self._sound:
            return True
        try:
            for _ in self._checked(piece, self.chunks(piece, 0)):
                self._run.cancel.check()
        except IntegrityError as error:
            self._run.warn("kept-piece", f"{self._folder / piece.name}: {error.message}")
            self._forget([piece])
            return False
        self._sound.add(piece)
        return True

    def chunks(self, piece: KeptPiece, offset: int) -> Iterator[bytes]:
        """The bytes of a kept piece, from an offset in it on."""
        path = self._folder / piece.name
        with storage_errors(path):
            if not path.exists():
                return
            with path.open("rb", buffering=0) as file:
                file.seek(offset)
                while chunk := file.read(CHUNK_SIZE):
                    yield chunk

    def remove(self) -> None:
        """Remove all of it: the work is done."""
        if self._lock is None:
            return
        self._forget(self._state.pieces)
        for name in (_FILE, _LOCK):
            remove_file(self._folder / name)
        with suppress(OSError):  # somebody else keeps something there
            self._folder.rmdir()

    def close(self) -> None:
        """Let others use it. A second time does nothing."""
        fd, self._lock = self._lock, None
        if fd is not None:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _checked(self, piece: KeptPiece, chunks: Chunks) -> Iterator[bytes]:
        verifier = Verifier(piece.content, piece.length, origin="bundle")
        for chunk in chunks:
            self._run.cancel.check()
            verifier.update(chunk)
            yield chunk
        verifier.finish()

    def _make(self) -> None:
        if self._lock is None:
            make_folder(self._folder, mode=PRIVATE)
            self._take_lock()

    def _take_lock(self) -> None:
        path = self._folder / _LOCK
        with storage_errors(path):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not lock(fd):
                os.close(fd)
                raise LockedError(
                    f"{self._folder}: another run imports this bundle to the same place",
                    hint="wait for it, or stop it",
                )
        self._lock = fd

    def _read(self) -> None:
        """Take over what an earlier run left, as far as it can be believed."""
        path = self._folder / _FILE
        with storage_errors(path):
            try:
                with path.open("rb") as file:
                    raw = file.read(_MAX_SIZE)
            except FileNotFoundError:
                raw = b""
        if raw:
            try:
                found = GatherState.parse(raw)
            except AirgapError as error:
                self._run.warn("state", f"{path}: {error.message}; what it kept is read again")
            else:
                mine = (self._state.bundle, self._state.destination)
                if (found.bundle, found.destination) == mine:
                    self._state = found
        self._clear()

    def _clear(self) -> None:
        """Remove what nothing speaks of: it was being written or removed when a run was killed."""
        names = {piece.name for piece in self._state.pieces} | {_FILE, _LOCK}
        with storage_errors(self._folder):
            for path in self._folder.iterdir():
                is_ours = path.name.startswith(TEMPORARY) or _NAME.fullmatch(path.name)
                if is_ours and path.name not in names:
                    path.unlink()

    def _forget(self, pieces: tuple[KeptPiece, ...] | list[KeptPiece]) -> None:
        gone = set(pieces)
        self._save(
            replace(self._state, pieces=tuple(p for p in self._state.pieces if p not in gone))
        )
        for piece in gone:
            remove_file(self._folder / piece.name)

    def _save(self, state: GatherState) -> None:
        write_file(self._folder / _FILE, state.to_bytes(), mode=0o600)
        self._state = state


def kept_piece(extent: Extent, volume: int, content: Digest) -> KeptPiece:
    """A piece of a volume as it would be kept."""
    assert extent.start is not None, "only pieces are kept"
    return KeptPiece(extent.digest, extent.start, extent.length, content, volume)


def _piece(entry: object) -> KeptPiece:
    if not isinstance(entry, dict):
        raise BundleFormatError("the state is damaged")
    return KeptPiece(
        Digest.parse(entry.get("digest")),
        _number(entry.get("start")),
        _number(entry.get("length")),
        Digest.parse(entry.get("content")),
        _number(entry.get("volume")),
    )


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BundleFormatError("the state is damaged")
    return value
