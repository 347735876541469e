"""The frozen plan of an export over several media, and what of it is done. Durable.

A tag may move between two media, and a bundle must not: from the first medium on, everything is
fetched by the digests that were found then.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from airgap.bundle.front import Tape, read_front
from airgap.bundle.volumes import VolumePlan, plan_volumes
from airgap.content.atomic import PRIVATE, TEMPORARY, make_folder, remove_file, write_file
from airgap.content.folder_lock import FolderLock
from airgap.content.storage import storage_errors
from airgap.errors import AirgapError, BundleFormatError, InvalidContentError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes, parse_object
from airgap.transfer.plan import Fetch

STATE_FILE = "state.json"
FRONT_FILE = "front"
MEDIA_TYPE = "application/vnd.airgap.spread-state.v1+json"
VERSION = 1


@dataclass(frozen=True, slots=True)
class SpreadState:
    """An export over several media.

    Attributes:
        request: What was asked for, as a digest: another request has another state.
        volume_size: The most bytes of a volume.
        fetches: Every blob, and where it can be had.
        media: The volumes on each medium that is done.
        mount: Where media are mounted: if later nothing is, the medium is missing and not empty.
        failed: The references that are not in it, and why, for the last run to tell.
        carried: The files with parity of all volumes that are on media.
    """

    request: Digest
    volume_size: int
    fetches: tuple[Fetch, ...]
    media: tuple[tuple[int, ...], ...] = ()
    mount: str = "/"
    failed: tuple[tuple[str, str], ...] = ()
    carried: tuple[str, ...] = ()

    @property
    def done(self) -> frozenset[int]:
        """The volumes that are on media."""
        return frozenset(number for numbers in self.media for number in numbers)

    def with_medium(self, numbers: Iterable[int], *, carried: Sequence[str] = ()) -> SpreadState:
        """The state after one more medium."""
        media = (*self.media, tuple(sorted(numbers)))
        return replace(self, media=media, carried=(*self.carried, *carried))

    def to_bytes(self) -> bytes:
        """The state file."""
        return canonical_bytes(
            {
                "formatVersion": VERSION,
                "mediaType": MEDIA_TYPE,
                "request": str(self.request),
                "volumeSize": self.volume_size,
                "mount": self.mount,
                "carried": list(self.carried),
                "failed": [list(failure) for failure in self.failed],
                "media": [list(numbers) for numbers in self.media],
                "fetches": [
                    {"descriptor": f.descriptor.to_json(), "repositories": list(f.repositories)}
                    for f in self.fetches
                ],
            }
        )

    @classmethod
    def parse(cls, raw: bytes) -> SpreadState:
        """Read a state file.

        Raises:
            InvalidContentError: It makes no sense, or is of another version.
        """
        value = parse_object(raw, what="the state of the export")
        if value.get("formatVersion") != VERSION or value.get("mediaType") != MEDIA_TYPE:
            raise InvalidContentError("the state of the export is of another version of airgap")
        media, fetches, mount = (value.get(key) for key in ("media", "fetches", "mount"))
        if not (isinstance(media, list) and all(isinstance(m, list) for m in media)):
            raise InvalidContentError("the state of the export names no media")
        if not (isinstance(fetches, list) and isinstance(mount, str)):
            raise InvalidContentError("the state of the export names no blobs")
        return cls(
            Digest.parse(value.get("request")),
            _number(value.get("volumeSize")),
            tuple(_fetch(entry) for entry in fetches),
            tuple(tuple(_number(number) for number in numbers) for numbers in media),
            mount,
            tuple(_failure(entry) for entry in _list(value.get("failed"))),
            tuple(str(name) for name in _list(value.get("carried", []))),
        )


class SpreadFolder:
    """Where the state of one export over several media is. One process uses it at a time.

    Args:
        folder: Where; it is made.

    Raises:
        LockedError: Another run uses it.
        StorageError: It cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        make_folder(folder, mode=PRIVATE)
        self._lock = FolderLock(folder)
        with storage_errors(folder):
            for path in folder.glob(f"{TEMPORARY}*"):  # a run was killed while it wrote them
                path.unlink()

    def load(self) -> tuple[SpreadState, VolumePlan] | None:
        """What an earlier run left; None where there is nothing.

        Raises:
            BundleFormatError: It is damaged, or was made by an airgap that plans otherwise.
            StorageError: It cannot be read.
        """
        path, front = self._folder / STATE_FILE, self._folder / FRONT_FILE
        with storage_errors(path):
            if not path.exists():
                return None
            raw, raw_front = path.read_bytes(), front.read_bytes()
        try:
            state = SpreadState.parse(raw)
            found = read_front(Tape(io.BytesIO(raw_front).read, name=str(front)))
        except AirgapError as error:
            raise self._damaged(error.message) from error
        plan = plan_volumes(found.catalog, found.documents, volume_size=state.volume_size)
        if plan.layout(0).front != raw_front:
            raise self._damaged("this airgap would share the bundle out to other volumes")
        return state, plan

    def begin(self, state: SpreadState, plan: VolumePlan) -> None:
        """Freeze a plan.

        The front of its first volume holds the catalog and every manifest.
        """
        write_file(self._folder / FRONT_FILE, plan.layout(0).front, mode=0o600)
        self.save(state)

    def save(self, state: SpreadState) -> None:
        """Remember how far it is."""
        write_file(self._folder / STATE_FILE, state.to_bytes(), mode=0o600)

    def remove(self) -> None:
        """Remove all of it: the work is done."""
        for name in (STATE_FILE, FRONT_FILE, "lock"):
            remove_file(self._folder / name)
        with storage_errors(self._folder):
            self._folder.rmdir()

    def close(self) -> None:
        """Let others use it."""
        self._lock.close()

    def _damaged(self, why: str) -> BundleFormatError:
        return BundleFormatError(
            f"{self._folder}: the export cannot go on: {why}",
            hint="remove the folder, and begin again with the first medium",
            origin="local",
        )


def spread_folder(base: Path, output: Path) -> Path:
    """Where the state of the export to a path is."""
    return base / f"export-{Digest.of(str(output.absolute()).encode()).hex[:16]}"


def request_digest(references: Sequence[str], options: Sequence[object]) -> Digest:
    """What tells a request from others."""
    value = {"references": sorted(references), "options": [str(option) for option in options]}
    return Digest.of(canonical_bytes(value))


def _fetch(entry: Any) -> Fetch:  # noqa: ANN401 (JSON is anything)
    repositories = entry.get("repositories") if isinstance(entry, dict) else None
    if not (isinstance(repositories, list) and all(isinstance(r, str) for r in repositories)):
        raise InvalidContentError("the state of the export does not say where a blob is")
    return Fetch(Descriptor.from_json(entry.get("descriptor")), tuple(repositories))


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise InvalidContentError("the state of the export has no list where one must be")
    return value


def _failure(entry: object) -> tuple[str, str]:
    match entry:
        case [str(name), str(message)]:
            return name, message
    raise InvalidContentError("the state of the export does not say what failed")


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidContentError("the state of the export has no number where one must be")
    return value
