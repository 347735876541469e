"""Which bundles came, in a folder."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from airgap.content.arrival import Arrival, ArrivalLedger, ArrivedImage
from airgap.content.arrival_folder import ArrivalFolder
from airgap.oci.digest import Digest


def arrival(number: int) -> Arrival:
    digest = Digest.of(str(number).encode())
    image = ArrivedImage("example.com/a:1", "a", "1", digest, "pushed")
    when = datetime(2026, 1, number, 12, 30, 15, tzinfo=UTC)
    return Arrival(digest, f"b{number}.tar", (image,), when, "alice", 12, ("a note",))


def test_what_was_noted_is_read_again_the_latest_first(tmp_path: Path):
    """Arrivals come back as they were, also after a restart."""
    folder = ArrivalFolder(tmp_path / "arrivals", durable=False)
    assert isinstance(folder, ArrivalLedger)
    assert list(folder.arrivals()) == []
    for number in (2, 1, 3):
        folder.note_arrival(arrival(number))
    again = ArrivalFolder(tmp_path / "arrivals", durable=False)
    assert list(again.arrivals()) == [arrival(3), arrival(2), arrival(1)]


def test_a_damaged_file_hides_nothing_but_itself(tmp_path: Path):
    """A file that says nothing sensible is passed over."""
    folder = ArrivalFolder(tmp_path, durable=False)
    folder.note_arrival(arrival(1))
    (tmp_path / "20990101T000000000000-x.json").write_text('{"bundle": 7}')
    (tmp_path / "20990101T000000000001-x.json").write_text("<html>")
    assert list(folder.arrivals()) == [arrival(1)]
