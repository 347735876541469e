"""Whether a bundle that was planned is there already, whole."""

from __future__ import annotations

from pathlib import Path

from airgap.bundle.volume_names import volume_path
from airgap.bundle.volumes import VolumePlan
from airgap.content.storage import storage_errors


def finished_files(target: Path, plan: VolumePlan) -> tuple[Path, ...] | None:
    """The files of a bundle that an earlier run finished; None where any is not as planned.

    They are known by their size and their front. Their blobs are not hashed: a file has its final
    name only after all of them were.

    Args:
        target: The name of the whole.
        plan: Where everything lies.
    """
    files = [target]
    if plan.is_split:
        files = [volume_path(target, number) for number in range(1, plan.count + 1)]
    for number, (file, size) in enumerate(zip(files, plan.sizes, strict=True)):
        with storage_errors(file):
            if not file.is_file() or file.stat().st_size != size:
                return None
            front = plan.layout(number).front
            with file.open("rb") as stream:
                if stream.read(len(front)) != front:
                    return None
    return tuple(files)
