"""Folders with volumes that are being written, and what must lie in them in the end."""

from __future__ import annotations

from pathlib import Path

from airgap.bundle.writer import BundleWriter
from airgap.run import Run
from tests.support.bundles import MadeBundle
from tests.support.volume_sets import fill, plan
from tests.support.writing import put


def volumes(made: MadeBundle, limit: int) -> dict[str, bytes]:
    """What must lie in the folder in the end."""
    data = fill(made, plan(made, limit)).data
    return {f"release.{number:03d}.tar": content for number, content in enumerate(data, 1)}


def state(target: Path) -> dict[str, bytes]:
    """All that lies beside the target, by name."""
    return {path.name: path.read_bytes() for path in target.parent.iterdir()}


def opened(target: Path, *, overwrite: bool = False) -> BundleWriter:
    """A writer of volumes."""
    return BundleWriter.open(target, overwrite=overwrite, is_split=True, run=Run())


def replacing(target: Path, made: MadeBundle, limit: int) -> None:
    """Write volumes over what is there."""
    with opened(target, overwrite=True) as writer:
        writer.begin(plan(made, limit))
        put(writer, made.layout, made.contents)
        writer.finish()
