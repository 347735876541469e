"""One file of a bundle: opened by its front and its seal, read at the offsets of its placement."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn

from airgap.bundle import members
from airgap.bundle.foreign import DAMAGED
from airgap.bundle.front import Front, Tape, of_bundle, read_front
from airgap.bundle.layout import Layout
from airgap.bundle.placement import Extent, Seal
from airgap.content.posix import read_at
from airgap.content.storage import storage_errors
from airgap.content.store import CHUNK_SIZE
from airgap.errors import (
    AirgapError,
    BundleFormatError,
    ContentNotFoundError,
    IncompleteBundleError,
)
from airgap.oci.digest import Digest

UNFINISHED = "run the export again to finish it, or copy it again from where it is whole"
"""What to do about a file that an export left before its end."""


class VolumeFile:
    """An open file that is a bundle, or a volume of one. Any thread may read.

    Args:
        stream: The open file; it is closed with this.
        path: Where it is.
        size: Its bytes.
        front: What its front says.
    """

    def __init__(self, stream: BinaryIO, *, path: Path, size: int, front: Front) -> None:
        self._stream = stream
        self._fd = stream.fileno()
        self.path = path
        self.name = str(path)
        self.size = size
        self.front = front

    @classmethod
    def open(cls, path: Path) -> VolumeFile:
        """Open a file, reading its front and its seal and nothing between.

        Raises:
            ContentNotFoundError: There is no such file.
            StorageError: It cannot be read.
            BundleFormatError: It is no bundle, is damaged, or needs a newer airgap.
            IncompleteBundleError: It is cut short or was never finished.
            IntegrityError: A manifest has another digest or size than it should have.
        """
        stream = open_file(path)
        try:
            with storage_errors(path):
                size = os.lseek(stream.fileno(), 0, os.SEEK_END)
                stream.seek(0)
                front = read_front(Tape(stream.read, name=str(path)))
            volume = cls(stream, path=path, size=size, front=front)
            volume.check_seal()
        except BaseException:
            stream.close()
            raise
        return volume

    @property
    def layout(self) -> Layout:
        """Every byte of the file but the blobs', as it must be."""
        return self.front.layout

    def fileno(self) -> int:
        """The descriptor of the open file; it must not be moved or closed."""
        return self._fd

    def check_seal(self) -> None:
        """See that the file has its planned size and ends with its seal.

        Raises:
            IncompleteBundleError: It is cut short or was never finished.
            BundleFormatError: The seal is another one, or something lies behind it.
        """
        layout = self.layout
        missing = layout.size - self.size
        if missing > 0:
            raise cut_short(self.name, missing, layout.size)
        if missing < 0:
            raise behind_the_end(self.name, -missing)
        start = layout.placement.seal
        with storage_errors(self.name):
            actual = b"".join(_pieces(self._fd, start, layout.size - start))
        if actual != expected_tail(layout, actual):
            refuse_tail(actual, name=self.name)

    def piece_digests(self) -> dict[Extent, Digest]:
        """What each piece of a cut blob must hash to, as the seal says.

        Raises:
            BundleFormatError: The seal is damaged.
            StorageError: The medium could not be read.
        """
        layout = self.layout
        if not layout.pieces:
            return {}
        start = layout.placement.seal
        with storage_errors(self.name):
            tail = b"".join(_pieces(self._fd, start, layout.size - start))
        if tail != expected_tail(layout, tail):  # the medium gave another one before
            refuse_tail(tail, name=self.name)
        with of_bundle():
            header = members.parse_header(tail[: members.BLOCK])
            size = header.size if header else 0
            seal = Seal.parse(tail[members.BLOCK : members.BLOCK + size])
        return dict(zip(layout.pieces, seal.pieces, strict=True))

    def chunks(self, extent: Extent, offset: int) -> Iterator[bytes]:
        """The bytes of a blob or piece that lies here, from an offset in it on.

        Raises:
            IncompleteBundleError: The file ends before it does.
            StorageError: The medium could not be read.
        """
        at = extent.offset + offset
        pieces = _pieces(self._fd, at, extent.end - at)
        while True:
            with storage_errors(self.name):
                chunk = next(pieces, None)
            if chunk is None:
                break
            at += len(chunk)
            yield chunk
        if at < extent.end:
            raise IncompleteBundleError(
                f"{self.name} ends {extent.end - at} bytes before {extent.digest} does",
                missing=(str(extent.digest),),
                hint="copy the bundle again from where it is whole",
            )

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def open_file(path: Path) -> BinaryIO:
    """Open a file that may be a bundle.

    Raises:
        ContentNotFoundError: There is no such file.
        StorageError: It cannot be read.
        BundleFormatError: It is a folder, or something else that has no offsets.
    """
    with storage_errors(path):
        try:
            mode = path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ContentNotFoundError(
                f"{path}: there is no such file", hint="check the path", origin="local"
            ) from error
        if stat.S_ISDIR(mode):
            raise BundleFormatError(
                f"{path} is a folder and not a bundle",
                hint="a bundle is one file, as airgap export writes it",
                origin="bundle",
            )
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            raise BundleFormatError(
                f"{path} cannot be read at any offset",
                hint="write it to a file first; `airgap import bundle -` takes bundles from a pipe",
                origin="bundle",
            )
        # The buffer makes reading the front cheap; blobs are read past it, with pread.
        return path.open("rb", buffering=CHUNK_SIZE)


def expected_tail(layout: Layout, actual: bytes) -> bytes:
    """How a file must end, given how it does: what pieces hash to stands only there."""
    if not layout.pieces:
        return layout.tail()
    try:
        header = members.parse_header(actual[: members.BLOCK])
        if header is None:
            return layout.tail()
        seal = Seal.parse(actual[members.BLOCK : members.BLOCK + header.size])
    except AirgapError:
        return layout.tail()
    return layout.tail(seal.pieces) if len(seal.pieces) == len(layout.pieces) else layout.tail()


def cut_short(name: str, missing: int, planned: int) -> IncompleteBundleError:
    """The error for a file that ends too early."""
    return IncompleteBundleError(
        f"{name} is cut short: {missing} of its {planned} bytes are missing",
        missing=("seal",),
        hint="copy it again from where it is whole, or run the export again",
    )


def behind_the_end(name: str, size: int | None = None) -> BundleFormatError:
    """The error for a file that goes on where it should end."""
    return BundleFormatError(
        f"{name}: {size or 'more'} bytes lie behind its end", hint=DAMAGED, origin="bundle"
    )


def refuse_tail(actual: bytes, *, name: str) -> NoReturn:
    """Say why the end of a file is not the seal that belongs there.

    Raises:
        IncompleteBundleError: There is no seal: nobody finished the file.
        BundleFormatError: The seal is damaged, or belongs to another file.
    """
    if not any(actual[: members.BLOCK]):
        raise IncompleteBundleError(
            f"{name} has no seal: it was never finished",
            missing=("seal",),
            hint=UNFINISHED,
        )
    with of_bundle():
        header = members.parse_header(actual[: members.BLOCK])
        if header is not None:
            Seal.parse(actual[members.BLOCK : members.BLOCK + header.size])
    raise BundleFormatError(
        f"{name}: the seal is not the one that the catalog stands for",
        hint=DAMAGED,
        origin="bundle",
    )


def _pieces(fd: int, offset: int, size: int) -> Iterator[bytes]:
    while size > 0 and (piece := read_at(fd, min(size, CHUNK_SIZE), offset)):
        offset += len(piece)
        size -= len(piece)
        yield piece
