"""Bundles in several volumes, made in memory and as small as one likes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap.bundle.layout import Layout
from airgap.bundle.placement import Extent
from airgap.bundle.volumes import VolumePlan, plan_shares
from airgap.oci.digest import Digest
from tests.support.bundles import MadeBundle


@dataclass(frozen=True)
class MadeVolumes:
    """The volumes of a bundle: what each must be, and its bytes."""

    made: MadeBundle
    layouts: tuple[Layout, ...]
    data: tuple[bytes, ...]

    def write(self, folder: Path, data: Sequence[bytes | None] | None = None) -> list[Path]:
        """Write the volumes, or what became of them; None leaves one out."""
        paths = []
        for number, content in enumerate(self.data if data is None else data, 1):
            if content is not None:
                path = folder / f"bundle.{number:03d}.tar"
                path.write_bytes(content)
                paths.append(path)
        return paths

    def holders(self, digest: Digest) -> list[tuple[int, Extent]]:
        """Where a blob or its pieces lie: volumes, from 0, and the extents."""
        return [
            (index, extent)
            for index, layout in enumerate(self.layouts)
            for extent in layout.blobs
            if extent.digest == digest
        ]

    @property
    def cut(self) -> list[Digest]:
        """The blobs that lie in more than one volume."""
        found = [e.digest for layout in self.layouts for e in layout.pieces]
        return list(dict.fromkeys(found))


def split(made: MadeBundle, limit: int) -> MadeVolumes:
    """Volumes with so many bytes of blobs each, however small that is: blobs are cut anywhere."""
    return fill(made, plan(made, limit))


def plan(made: MadeBundle, limit: int) -> VolumePlan:
    """The plan of these volumes."""
    contents: list[list[Extent]] = [[]]
    room = limit
    for extent in made.layout.blobs:
        start = 0
        while True:
            length = min(extent.length - start, room)
            is_whole = length == extent.length
            if is_whole or length:
                contents[-1].append(Extent(extent.digest, 0, length, None if is_whole else start))
            start, room = start + length, room - length
            if not room:
                contents.append([])
                room = limit
            if start == extent.length:
                break
    volumes = [tuple(extents) for extents in contents if extents]
    return plan_shares(made.layout, made.documents, volumes)


def fill(made: MadeBundle, plan: VolumePlan) -> MadeVolumes:
    """The bytes of planned volumes."""
    layouts = tuple(plan.layout(index) for index in range(plan.count))
    return MadeVolumes(made, layouts, tuple(_bytes(made, layout) for layout in layouts))


def _bytes(made: MadeBundle, layout: Layout) -> bytes:
    file = bytearray(layout.size)
    file[: len(layout.front)] = layout.front
    pieces = []
    for offset, frame in layout.frames():
        file[offset : offset + len(frame)] = frame
    for extent in layout.blobs:
        start = extent.start or 0
        content = made.contents[extent.digest][start : start + extent.length]
        file[extent.offset : extent.end] = content
        if extent.start is not None:
            pieces.append(Digest.of(content))
    tail = layout.tail(tuple(pieces))
    file[layout.placement.seal :] = tail
    return bytes(file)
