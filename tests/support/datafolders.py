"""Data folders for tests: with a clock that tests turn, and what lies in them."""

from __future__ import annotations

from pathlib import Path

from airgap.oci.digest import Digest
from airgap.server.datafolder import DataDepot, open_data
from tests.support.builders import Content

HOUR = 3600.0
DAY = 24 * HOUR


class Clock:
    """A time that goes on only when it is told to; begins where files' times are."""

    def __init__(self, start: float = 2_000_000_000.0) -> None:
        self.now = start

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def opened(root: Path, clock: Clock | None = None, **options: object) -> DataDepot:
    """Open a data folder without syncing, which tests need not wait for."""
    if clock is not None:
        options["now"] = clock
    return open_data(root, durable=bool(options.pop("durable", False)), **options)  # type: ignore[arg-type]  # options of tests


def files(root: Path) -> set[Digest]:
    """The digests of all blobs that are in a folder."""
    return {
        Digest(algorithm.name, path.name)
        for algorithm in (root / "blobs").iterdir()
        for path in algorithm.iterdir()
    }


def digests(*contents: Content) -> set[Digest]:
    """The digests of contents with all that is below them."""
    return {
        digest
        for content in contents
        for part in content.walk()
        for digest in (part.digest, *(blob.descriptor.digest for blob in part.blobs))
    }
