"""A bundle in a file, opened by its front alone and read at the offsets of its placement."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NoReturn, Self

from airgap.bundle import members
from airgap.bundle.catalog import Catalog
from airgap.bundle.foreign import DAMAGED
from airgap.bundle.front import Front, Tape, of_bundle, read_front
from airgap.bundle.layout import Layout
from airgap.bundle.placement import Extent, Placement, Seal
from airgap.content.posix import read_at
from airgap.content.storage import storage_errors
from airgap.content.store import CHUNK_SIZE, Chunks
from airgap.errors import (
    BundleFormatError,
    ContentNotFoundError,
    IncompleteBundleError,
    InvalidContentError,
)
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest, Verifier
from airgap.oci.manifest import Document

MAX_CONFIG_SIZE = 4 * 1024 * 1024
"""Blobs that are read into memory have no more bytes."""

UNFINISHED = "run the export again to finish it, or copy it again from where it is whole"
"""What to do about a file that an export left before its end."""


def open_bundle(path: Path) -> BundleReader:
    """Open a bundle, reading its front and its seal and nothing between.

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
        reader = BundleReader(stream, size=size, name=str(path), front=front)
        reader.check_seal()
    except BaseException:
        stream.close()
        raise
    return reader


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
                hint="what comes through a pipe can be imported: airgap import bundle - < FILE",
                origin="bundle",
            )
        # The buffer makes reading the front cheap; blobs are read past it, with pread.
        return path.open("rb", buffering=CHUNK_SIZE)


class BundleReader:
    """A bundle to read from: a `content.store.Source` of what lies in one file.

    Any thread may read. The bytes of a blob are not verified here: who receives them does that.
    Made by `open_bundle`; a context manager that closes the file.

    Attributes:
        name: The path, for people.
        size: The bytes of the file.
        catalog: What the bundle carries.
        documents: Every manifest and index, by digest.
        layout: Every byte of the file but the blobs', as it must be.
    """

    def __init__(self, stream: BinaryIO, *, size: int, name: str, front: Front) -> None:
        self._stream = stream
        self._fd = stream.fileno()
        self.name = name
        self.size = size
        self.catalog: Catalog = front.catalog
        self.documents: Mapping[Digest, Document] = front.documents
        self.layout: Layout = front.layout
        self._extents = {extent.digest: extent for extent in front.layout.placement.extents}

    @property
    def id(self) -> Digest:
        """The bundle id."""
        return self.layout.placement.bundle

    @property
    def placement(self) -> Placement:
        """Where the content lies."""
        return self.layout.placement

    def extent(self, digest: Digest) -> Extent | None:
        """Where in the file some content lies, for who reads it with `fileno` directly."""
        return self._extents.get(digest)

    def fileno(self) -> int:
        """The descriptor of the open file; it must not be moved or closed."""
        return self._fd

    def resolve(self, reference: str, /) -> Descriptor | None:
        """Find what a full name or a digest names; None when there is no such manifest."""
        for image in self.catalog.images:
            if image.reference.tagged == reference:
                return self.documents[image.digest].descriptor
        try:
            document = self.documents.get(Digest.parse(reference))
        except InvalidContentError:
            return None
        return document.descriptor if document else None

    def manifest(self, reference: str, /, *, media_type: str = "") -> Document:
        """Get a manifest or index by full name or digest; its type stands in the catalog.

        Raises:
            ContentNotFoundError: There is none.
        """
        del media_type
        descriptor = self.resolve(reference)
        if descriptor is None:
            raise self._lacks(reference)
        return self.documents[descriptor.digest]

    def has_blob(self, descriptor: Descriptor, /) -> bool:
        """Whether the blob lies in this file."""
        return descriptor.digest in self._extents

    @contextmanager
    def open(self, descriptor: Descriptor, /, *, offset: int = 0) -> Iterator[Chunks]:
        """Read a blob from an offset on, in chunks of at most `CHUNK_SIZE` bytes.

        Raises:
            ContentNotFoundError: There is no such blob.
            IncompleteBundleError: The file ends before the blob does.
            StorageError: The medium could not be read.
        """
        extent = self._extents.get(descriptor.digest)
        if extent is None:
            raise self._lacks(str(descriptor.digest))
        yield self._chunks(extent, offset)

    def read_blob(self, digest: Digest) -> bytes:
        """Read a small blob, such as a config, and verify it.

        Raises:
            ContentNotFoundError: There is no such blob.
            BundleFormatError: It is too large to be read into memory.
            DigestMismatchError: It does not have its digest.
        """
        extent = self._extents.get(digest)
        if extent is None:
            raise self._lacks(str(digest))
        if extent.length > MAX_CONFIG_SIZE:
            raise BundleFormatError(
                f"{digest} has {extent.length} bytes; more than {MAX_CONFIG_SIZE} are not read"
                " into memory",
                origin="bundle",
            )
        data = b"".join(self._chunks(extent, 0))
        verifier = Verifier(digest, extent.length, origin="bundle")
        verifier.update(data)
        verifier.finish()
        return data

    def read_config(self, digest: Digest) -> bytes | None:
        """Read a config; None where the bundle leaves it out or it is too large to be one."""
        extent = self._extents.get(digest)
        if extent is None or extent.length > MAX_CONFIG_SIZE:
            return None
        return self.read_blob(digest)

    def check_seal(self) -> None:
        """See that the file has its planned size and ends with its seal.

        Raises:
            IncompleteBundleError: It is cut short or was never finished.
            BundleFormatError: The seal is another one, or something lies behind it.
        """
        missing = self.layout.size - self.size
        if missing > 0:
            raise cut_short(self.name, missing, self.layout.size)
        if missing < 0:
            raise behind_the_end(self.name, -missing)
        tail = self.layout.tail()
        start = self.layout.placement.seal
        with storage_errors(self.name):
            actual = b"".join(_pieces(self._fd, start, len(tail)))
        if actual != tail:
            refuse_tail(actual, name=self.name)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _chunks(self, extent: Extent, offset: int) -> Iterator[bytes]:
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

    def _lacks(self, what: str) -> ContentNotFoundError:
        return ContentNotFoundError(f"{self.name} does not hold {what[:300]}", origin="bundle")


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
