"""What the files of a bundle in volumes are called: `release.tar` becomes `release.001.tar`.

Names are for people; a reader goes by what a volume says of itself.
"""

from __future__ import annotations

import re
from pathlib import Path

from airgap.bundle.partial import SUFFIX, folder_error, followed
from airgap.content.storage import storage_errors

_ENDING = ".tar"


def volume_path(target: Path, number: int) -> Path:
    """The final name of a volume, numbered from 1."""
    target = followed(target)
    stem, ending = _parts(target)
    return target.with_name(f"{stem}.{number:03d}{ending}")


def volumes_there(target: Path, *, suffix: str = "") -> dict[int, Path]:
    """The volumes beside each other that have such names, by their number.

    Args:
        target: The name of the whole.
        suffix: What stands behind the names, such as `.partial`.

    Raises:
        StorageError: The folder cannot be read.
    """
    target = followed(target)
    stem, ending = _parts(target)
    pattern = re.compile(re.escape(stem) + r"\.([0-9]{3,5})" + re.escape(ending + suffix))
    found: dict[int, Path] = {}
    with storage_errors(target.parent):
        try:
            entries = list(target.parent.iterdir())
        except FileNotFoundError:
            return found
    for path in entries:
        match = pattern.fullmatch(path.name)
        if match and volume_path(target, int(match[1])).name + suffix == path.name:
            found[int(match[1])] = path
    return dict(sorted(found.items()))


def unfinished_volumes(target: Path) -> dict[int, Path]:
    """The volumes that an export left before they were whole, by their number."""
    return volumes_there(target, suffix=SUFFIX)


def beside(target: Path, ending: str) -> Path:
    """The name of a file that belongs to all volumes, such as `release.sha256`."""
    target = followed(target)
    return target.with_name(_parts(target)[0] + ending)


def _parts(target: Path) -> tuple[str, str]:
    if not target.name:  # `.` and `/`
        raise folder_error(target)
    if target.name.endswith(_ENDING) and target.name != _ENDING:
        return target.name.removesuffix(_ENDING), _ENDING
    return target.name, _ENDING
