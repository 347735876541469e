"""Which bundles came, remembered in a folder: one small file for each, written in one step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airgap.content.arrival import Arrival, ArrivedImage
from airgap.content.atomic import make_folder, write_file
from airgap.content.storage import storage_errors
from airgap.errors import InvalidContentError
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes, parse_object

MAX_READ = 10_000
"""Of how many bundles the latest are read."""


class ArrivalFolder:
    """Remembers arrivals. A `content.arrival.ArrivalLedger`.

    Args:
        root: The folder; it is made with the first arrival.
        durable: Whether what was noted must survive a power cut.
    """

    def __init__(self, root: Path, *, durable: bool = True) -> None:
        self._root = root
        self._durable = durable

    def note_arrival(self, arrival: Arrival, /) -> None:
        """Remember one.

        Raises:
            StorageError: It could not be written.
        """
        make_folder(self._root, durable=self._durable)
        when = arrival.when or datetime.fromtimestamp(0, UTC)
        name = f"{when.astimezone(UTC):%Y%m%dT%H%M%S%f}-{arrival.bundle.hex[:12]}.json"
        write_file(self._root / name, canonical_bytes(_to_json(arrival)), durable=self._durable)

    def arrivals(self) -> Iterator[Arrival]:
        """All of them, the latest first; a file that says nothing sensible is passed over."""
        with storage_errors(self._root):
            paths = sorted(self._root.glob("*.json"), reverse=True) if self._root.is_dir() else []
        for path in paths[:MAX_READ]:
            with storage_errors(path):
                raw = path.read_bytes()
            with suppress(InvalidContentError, KeyError, TypeError, ValueError):
                yield _from_json(parse_object(raw, what=path.name))


def _to_json(arrival: Arrival) -> dict[str, Any]:
    return {
        "formatVersion": 1,
        "bundle": str(arrival.bundle),
        "name": arrival.name,
        "when": arrival.when.isoformat() if arrival.when else None,
        "who": arrival.who,
        "sentBytes": arrival.sent_bytes,
        "notes": list(arrival.notes),
        "images": [
            {
                "source": image.source,
                "repository": image.repository,
                "tag": image.tag,
                "digest": str(image.digest),
                "outcome": image.outcome,
            }
            for image in arrival.images
        ],
    }


def _from_json(value: dict[str, Any]) -> Arrival:
    when = value["when"]
    return Arrival(
        Digest.parse(value["bundle"]),
        str(value["name"]),
        tuple(
            ArrivedImage(
                str(image["source"]),
                str(image["repository"]),
                str(image["tag"]),
                Digest.parse(image["digest"]),
                str(image["outcome"]),
            )
            for image in value["images"]
        ),
        datetime.fromisoformat(when) if when else None,
        str(value["who"]),
        int(value["sentBytes"]),
        tuple(str(note) for note in value["notes"]),
    )
