"""Checking blobs that are cut over volumes, hashing each byte once.

Where all pieces are here, they are hashed through by the blob's own digest, which is what counts;
to hash each piece by the seal's digest as well would take twice the processor time for nothing.
Only where the blob is wrong, or a volume is missing, the seals say which piece is damaged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from airgap.bundle.check_volume import VolumeCheck
from airgap.bundle.placement import Extent
from airgap.errors import AirgapError, CancelledError
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest, Verifier
from airgap.run import Run
from airgap.run.events import BlobAdvanced, BlobFinished, BlobStarted

Part = tuple[VolumeCheck, Extent]
"""A piece, and the file that it lies in."""


@dataclass(frozen=True, slots=True)
class CutBlob:
    """A blob whose pieces are all here.

    Attributes:
        digest: The blob.
        size: Its bytes.
        parts: Its pieces in order.
    """

    digest: Digest
    size: int
    parts: tuple[Part, ...]

    def check(self, buffer: memoryview, run: Run) -> bool:
        """Check it and what stands around its pieces; whether the content is right."""
        for volume, extent in self.parts:
            volume.check_frame(extent)
        descriptor = Descriptor(mediatype.OCTET_STREAM, self.digest, self.size)
        verifier = Verifier(self.digest, self.size, origin="bundle")
        place = self.parts[0][0].name
        run.emit(BlobStarted(descriptor, place))
        try:
            for volume, extent in self.parts:
                for chunk in volume.chunks(extent, buffer):
                    verifier.update(chunk)
                    run.emit(BlobAdvanced(descriptor, place, verifier.size))
            verifier.finish()
        except CancelledError:
            raise
        except AirgapError as error:
            self._blame(error, buffer)
            return False
        run.emit(BlobFinished(descriptor, place))
        return True

    def _blame(self, error: AirgapError, buffer: memoryview) -> None:
        """Say which pieces are damaged: those alone are read twice."""
        verdicts = [volume.check_piece(extent, buffer) for volume, extent in self.parts]
        if False in verdicts:
            return
        suspects = [
            part for part, is_right in zip(self.parts, verdicts, strict=True) if is_right is None
        ]
        for volume, extent in suspects or self.parts:
            volume.add_error(error, extent)


def cut_blobs(
    volumes: Sequence[VolumeCheck], sizes: dict[Digest, int]
) -> tuple[list[CutBlob], list[Part]]:
    """Tell the cut blobs that are here whole from single pieces.

    Args:
        volumes: The files of one bundle. Where two hold the same piece, it is taken from the
            first, and that of the other is a single one.
        sizes: The sizes of blobs by the catalog.
    """
    found: dict[Digest, dict[int, Part]] = {}
    single: list[Part] = []
    for volume in volumes:
        for extent in volume.unread():
            if extent.start is None:
                continue
            here = found.setdefault(extent.digest, {})
            if extent.start in here:
                single.append((volume, extent))
            else:
                here[extent.start] = (volume, extent)
    blobs: list[CutBlob] = []
    for digest, by_start in found.items():
        parts = tuple(by_start[start] for start in sorted(by_start))
        if digest in sizes and _is_whole(parts, sizes[digest]):
            blobs.append(CutBlob(digest, sizes[digest], parts))
        else:
            single.extend(parts)
    return blobs, single


def _is_whole(parts: Iterable[Part], size: int) -> bool:
    end = 0
    for _, extent in parts:
        if extent.start != end:
            return False
        end += extent.length
    return end == size
