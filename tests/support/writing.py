"""Filling bundles that are being written, with blobs that are in memory."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from airgap.bundle.catalog import CatalogImage
from airgap.bundle.layout import Layout
from airgap.bundle.pipe import PipeWriter
from airgap.bundle.volumes import VolumePlan
from airgap.bundle.writer import BundleWriter
from airgap.content.store import Chunks
from airgap.errors import UnavailableError
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.run import Run
from tests.support.builders import blob, manifest
from tests.support.bundles import MadeBundle, assemble


def opener(
    data: bytes, *, chunk: int = 1000, opened: list[int] | None = None
) -> Callable[[int], AbstractContextManager[Chunks]]:
    """Opens bytes in memory; notes the offsets at which that was asked."""

    @contextmanager
    def open_at(offset: int) -> Iterator[Chunks]:
        if opened is not None:
            opened.append(offset)
        yield (data[at : at + chunk] for at in range(offset, len(data), chunk))

    return open_at


def descriptors(layout: Layout) -> list[Descriptor]:
    """The blobs of a layout, in order."""
    return [Descriptor(mediatype.OCTET_STREAM, e.digest, e.length) for e in layout.blobs]


def write_volumes(
    path: Path, made: MadeBundle, plan: VolumePlan, *, clock: Callable[[], float] = lambda: 0.0
) -> int:
    """Write a bundle in volumes, or go on with them; gives the bytes of blobs that it took."""
    with BundleWriter.open(path, overwrite=False, is_split=True, run=Run(), clock=clock) as writer:
        writer.begin(plan)
        fetched = put(writer, made.layout, made.contents)
        writer.finish()
    return fetched


def put(
    writer: BundleWriter | PipeWriter,
    layout: Layout,
    contents: Mapping[Digest, bytes],
    *,
    limit: int | None = None,
) -> int:
    """Write the blobs that are missing, at most `limit` of them; gives the bytes that it took."""
    fetched = 0
    missing = [d for d in descriptors(layout) if not writer.has_blob(d)]
    for descriptor in missing[:limit]:
        opened: list[int] = []
        with writer.ingest(descriptor) as ingest:
            ingest.receive(opener(contents[descriptor.digest], opened=opened))
            ingest.commit()
        fetched += sum(descriptor.size - offset for offset in opened)
    return fetched


def write(path: Path, made: MadeBundle, *, clock: Callable[[], float] = lambda: 0.0) -> int:
    """Write a whole bundle, or go on with one; gives the bytes of blobs that it took."""
    with BundleWriter.open(path, overwrite=False, run=Run(), clock=clock) as writer:
        writer.begin(made.plan)
        fetched = put(writer, made.layout, made.contents)
        writer.finish()
    return fetched


def hurried() -> Callable[[], float]:
    """A clock on which it is time to sync whenever it is asked."""
    now = [0.0]

    def clock() -> float:
        now[0] += 2
        return now[0]

    return clock


def bundle_of(
    layers: Iterable[bytes],
    *,
    name: str = "example.com/app:1",
    config: bytes = b'{"os":"linux","architecture":"amd64"}',
) -> MadeBundle:
    """A bundle of one image with these layers, which lie in it in this order."""
    image = manifest(
        blob(config, mediatype.OCI_CONFIG), [blob(data, mediatype.OCI_LAYER) for data in layers]
    )
    return assemble(
        {image.digest: image.document},
        {found.descriptor.digest: found.data for found in image.blobs},
        images=[CatalogImage(Reference.parse(name), image.digest)],
    )


BIG = random.Random(1).randbytes(50_000)
"""A layer that comes in many chunks."""


def big(made: MadeBundle) -> Descriptor:
    """The largest blob of a bundle."""
    return max(descriptors(made.layout), key=lambda d: d.size)


def partial(target: Path) -> Path:
    """Where a bundle lies until it is whole."""
    return target.with_name(target.name + ".partial")


def journal(target: Path) -> Path:
    """Where its journal lies until then."""
    return target.with_name(target.name + ".partial.journal")


def opened(target: Path, *, run: Run | None = None, overwrite: bool = False) -> BundleWriter:
    """A writer for which no time passes."""
    return BundleWriter.open(target, overwrite=overwrite, run=run or Run(), clock=lambda: 0.0)


def broken_off(data: bytes, at: int) -> Callable[[int], AbstractContextManager[Chunks]]:
    """An opener whose source breaks off after so many bytes."""

    @contextmanager
    def open_at(offset: int) -> Iterator[Chunks]:
        def chunks() -> Chunks:
            for start in range(offset, at, 1000):
                yield data[start : start + 1000]
            raise UnavailableError("cut")

        yield chunks()

    return open_at
