"""A bundle in one file or in volumes, opened by the fronts alone and read where it lies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from airgap.bundle.catalog import Catalog
from airgap.bundle.discovery import FoundBundle, choose, discover
from airgap.bundle.front import Front
from airgap.bundle.placement import Extent
from airgap.bundle.signed import first_signatures
from airgap.bundle.volume_file import VolumeFile
from airgap.content.storage import is_folder
from airgap.content.store import Chunks
from airgap.errors import (
    AirgapError,
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

Part = tuple[VolumeFile, Extent]


def open_bundle(
    paths: Path | Sequence[Path],
    *,
    expected: Digest | None = None,
    must_be_whole: bool = True,
) -> BundleReader:
    """Open a bundle, reading the front and the seal of each file and nothing between.

    Args:
        paths: Its file, its volumes in any order, or folders that hold them.
        expected: The id that is meant, where there are several bundles.
        must_be_whole: Whether a missing volume is an error.

    Raises:
        ContentNotFoundError: There is no such file, or no bundle in a folder.
        StorageError: A file cannot be read.
        BundleFormatError: It is no bundle, is damaged, or needs a newer airgap.
        IncompleteBundleError: A file is cut short or was never finished, or a volume is missing.
        IntegrityError: A manifest has another digest or size than it should have.
        ConflictError: There are several bundles.
    """
    wanted = [paths] if isinstance(paths, Path) else list(paths)
    if len(wanted) == 1 and not is_folder(wanted[0]):
        volumes = [VolumeFile.open(wanted[0])]
    else:
        volumes = _open_all(choose(discover(wanted), expected))
    try:
        reader = BundleReader(volumes, name=_name(wanted))
        if must_be_whole:
            reader.check_whole()
    except BaseException:
        for volume in volumes:
            volume.close()
        raise
    return reader


def _name(paths: Sequence[Path]) -> str:
    """What a bundle is called whose files or folders these are."""
    shown = ", ".join(map(str, paths[:3]))
    return shown if len(paths) <= 3 else f"{shown} and {len(paths) - 3} more"


def _open_all(found: FoundBundle) -> list[VolumeFile]:
    with ExitStack() as opening:
        volumes = []
        for number, path in found.files.items():
            volume = _open_one((path, *found.doubles.get(number, ())))
            opening.callback(volume.close)
            volumes.append(volume)
        opening.pop_all()
    return volumes


def _open_one(copies: Sequence[Path]) -> VolumeFile:
    """The first copy of a volume that opens; where none does, what is wrong with the first."""
    problem: AirgapError | None = None
    for path in copies:
        try:
            return VolumeFile.open(path)
        except AirgapError as error:
            problem = problem or error
    assert problem is not None, "there is at least one copy"
    raise problem


class BundleReader:
    """A bundle to read from: a `content.store.Source` of what lies in its files.

    Any thread may read. The bytes of a blob are not verified here: who receives them does that.
    Made by `open_bundle`; a context manager that closes the files.

    Args:
        volumes: Its open files.
        name: What it is called, for people.

    Attributes:
        name: The paths, for people.
        catalog: What the bundle carries, with the signatures of the first volume that has any.
        documents: Every manifest and index, by digest.
        volumes: Its files that are here, by the numbers of the volumes.
        volume_count: How many volumes it has.

    Raises:
        BundleFormatError: The files contradict each other.
    """

    def __init__(self, volumes: Sequence[VolumeFile], *, name: str) -> None:
        self.name = name
        front: Front = volumes[0].front
        self.documents: Mapping[Digest, Document] = front.documents
        placement = front.layout.placement
        self.volume_count = placement.volumes
        self.volumes = {volume.layout.placement.volume: volume for volume in volumes}
        signatures = first_signatures(
            self.volumes[number].front.catalog.signatures for number in sorted(self.volumes)
        )
        self.catalog: Catalog = replace(front.catalog, signatures=signatures)
        digests = (digest for digest, _ in self.catalog.blobs)
        self._homes = dict(zip(digests, placement.homes, strict=False))
        self._parts: dict[Digest, list[Part]] = {}
        for volume in volumes:
            other = volume.layout.placement
            if (other.bundle, other.volumes, other.homes) != (
                placement.bundle,
                placement.volumes,
                placement.homes,
            ):
                raise BundleFormatError(
                    f"{volume.name} and {volumes[0].name} contradict each other about what lies "
                    "in which volume",
                    hint="one of them is of another export: name the files that belong together",
                    origin="bundle",
                )
            for extent in other.extents:
                self._parts.setdefault(extent.digest, []).append((volume, extent))
        for parts in self._parts.values():
            parts.sort(key=lambda part: part[1].start or 0)
        self._check_pieces()

    @property
    def id(self) -> Digest:
        """The bundle id."""
        return self.catalog.id

    @property
    def path(self) -> Path:
        """Its file, or the folder of its first volume that is here."""
        first = self.volumes[min(self.volumes)].path
        return first if self.volume_count == 1 else first.absolute().parent

    @property
    def size(self) -> int:
        """The bytes of all files that are here."""
        return sum(volume.size for volume in self.volumes.values())

    @property
    def missing_volumes(self) -> tuple[int, ...]:
        """The volumes that are not here."""
        return tuple(n for n in range(1, self.volume_count + 1) if n not in self.volumes)

    def check_whole(self) -> None:
        """See that all volumes are here.

        Raises:
            IncompleteBundleError: Some are not.
        """
        missing = self.missing_volumes
        if missing:
            several = len(missing) > 1
            raise IncompleteBundleError(
                f"{self.name}: volume{'s' if several else ''} {numbers_text(missing)} of "
                f"{self.volume_count} {'are' if several else 'is'} missing",
                missing=[f"volume {number}" for number in missing],
                hint="name all volumes, or the folder or folders that hold them",
            )

    def parts(self, digest: Digest) -> tuple[Part, ...]:
        """Where some content lies: the files with the extents, in order; none where it is not here.

        A manifest lies in every volume; the first one is given.
        """
        parts = self._parts.get(digest, ())
        return tuple(parts[:1] if digest in self.documents else parts)

    def home(self, digest: Digest) -> tuple[int, int]:
        """The first and the last volume that holds some of a blob."""
        return self._homes.get(digest, (1, 1))

    def length(self, digest: Digest) -> int | None:
        """The bytes of some content that is here as a whole; None where it is not."""
        parts = self.parts(digest)
        if not parts:
            return None
        first, last = parts[0][1], parts[-1][1]
        if first.start is None:
            return first.length
        assert last.start is not None, "one piece, all pieces"
        low, high = self._homes[digest]
        return last.start + last.length if len(parts) == high - low + 1 else None

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
        """Whether all of the blob lies in the files that are here."""
        return self.length(descriptor.digest) is not None

    @contextmanager
    def open(self, descriptor: Descriptor, /, *, offset: int = 0) -> Iterator[Chunks]:
        """Read a blob from an offset on, in chunks of at most `CHUNK_SIZE` bytes.

        Raises:
            ContentNotFoundError: There is no such blob, or some of it is in a volume that is not
                here.
            IncompleteBundleError: A file ends before the blob does.
            StorageError: The medium could not be read.
        """
        if self.length(descriptor.digest) is None:
            raise self._lacks(str(descriptor.digest))
        yield self._chunks(descriptor.digest, offset)

    def read_blob(self, digest: Digest) -> bytes:
        """Read a small blob, such as a config, and verify it.

        Raises:
            ContentNotFoundError: There is no such blob.
            BundleFormatError: It is too large to be read into memory.
            DigestMismatchError: It does not have its digest.
        """
        length = self.length(digest)
        if length is None:
            raise self._lacks(str(digest))
        if length > MAX_CONFIG_SIZE:
            raise BundleFormatError(
                f"{digest} has {length} bytes; more than {MAX_CONFIG_SIZE} are not read"
                " into memory",
                origin="bundle",
            )
        data = b"".join(self._chunks(digest, 0))
        verifier = Verifier(digest, length, origin="bundle")
        verifier.update(data)
        verifier.finish()
        return data

    def read_config(self, digest: Digest) -> bytes | None:
        """Read a config; None where it is not here or is too large to be one."""
        length = self.length(digest)
        return None if length is None or length > MAX_CONFIG_SIZE else self.read_blob(digest)

    def close(self) -> None:
        """Close the files."""
        for volume in self.volumes.values():
            volume.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _check_pieces(self) -> None:
        """See that pieces follow each other as far as they are here, and end where blobs do.

        Raises:
            BundleFormatError: Some do not.
        """
        sizes = dict(self.catalog.blobs)
        for digest, parts in self._parts.items():
            if parts[0][1].start is None:
                continue
            first, last = self._homes[digest]
            before: int | None = None
            for number in range(first, last + 1):
                extent = next((e for v, e in parts if v.layout.placement.volume == number), None)
                if extent is None or extent.start is None:
                    before = None
                    continue
                end = extent.start + extent.length
                wanted = 0 if number == first else before
                is_right = wanted is None or extent.start == wanted
                if not is_right or (end == sizes[digest]) != (number == last):
                    raise BundleFormatError(
                        f"{self.name}: the pieces of {digest} do not follow each other",
                        hint="the volumes are not of one export: make or copy the bundle again",
                        origin="bundle",
                    )
                before = end

    def _chunks(self, digest: Digest, offset: int) -> Iterator[bytes]:
        for volume, extent in self.parts(digest):
            start = extent.start or 0
            if offset < start + extent.length:
                yield from volume.chunks(extent, max(0, offset - start))

    def _lacks(self, what: str) -> ContentNotFoundError:
        missing = self.missing_volumes
        why = f": volume {numbers_text(missing)} is not here" if missing else ""
        return ContentNotFoundError(f"{self.name} does not hold {what[:300]}{why}", origin="bundle")


def numbers_text(numbers: Sequence[int]) -> str:
    """Numbers for people, the first ten."""
    shown = ", ".join(map(str, numbers[:10]))
    return shown if len(numbers) <= 10 else f"{shown} and {len(numbers) - 10} more"
