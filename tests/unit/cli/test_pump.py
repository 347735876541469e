"""The pump between the engine's threads and what shows events."""

from __future__ import annotations

import threading
from datetime import datetime

import pytest

from airgap.cli.pump import STOPPING, EventPump
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.run import CancelToken, Event
from airgap.run.events import BlobAdvanced, BlobFinished, BlobStarted, Notice


class Recorder:
    """A sink that keeps what it takes."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.is_closed = False

    def take(self, event: Event, _when: datetime, /) -> None:
        self.events.append(event)

    def tick(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True


def blob(number: int = 1) -> Descriptor:
    return Descriptor("a/b", Digest("sha256", f"{number:064x}"), 100)


def test_only_the_latest_advance_of_each_blob_is_handed_on() -> None:
    """Of many advances between two looks the last one arrives, after the blob's start."""
    sink = Recorder()
    pump = EventPump([sink], CancelToken())
    pump.emit(BlobStarted(blob(), "p"))
    for offset in range(1, 51):
        pump.emit(BlobAdvanced(blob(), "p", offset))
    pump.pump()
    assert sink.events == [BlobStarted(blob(), "p"), BlobAdvanced(blob(), "p", 50)]
    pump.pump()
    assert len(sink.events) == 2


def test_no_advance_comes_after_the_end_of_its_blob() -> None:
    """The end of a blob takes away the advances that came before it."""
    sink = Recorder()
    pump = EventPump([sink], CancelToken())
    pump.emit(BlobAdvanced(blob(), "p", 50))
    pump.emit(BlobFinished(blob(), "p"))
    pump.emit(BlobAdvanced(blob(), "q", 50))
    pump.pump()
    assert sink.events == [BlobFinished(blob(), "p"), BlobAdvanced(blob(), "q", 50)]


def test_stopping_is_said_once() -> None:
    """A cancelled run says that it is stopping, without anybody emitting it."""
    sink, token = Recorder(), CancelToken()
    pump = EventPump([sink], token)
    pump.pump()
    token.cancel()
    pump.pump()
    pump.pump()
    assert sink.events == [STOPPING]


def test_events_of_many_threads_all_arrive() -> None:
    """Nothing is lost while a thread hands on what others emit."""
    sink = Recorder()
    pump = EventPump([sink], CancelToken(), interval=0.001)
    pump.start()

    def emit() -> None:
        for number in range(500):
            pump.emit(Notice("debug", "c", str(number)))

    threads = [threading.Thread(target=emit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pump.close()
    assert len(sink.events) == 2000
    assert sink.is_closed


def test_a_failing_sink_is_told_of_in_the_end_and_harms_no_other() -> None:
    """The first failure of a sink is raised when the pump closes; other sinks get everything."""

    class Failing(Recorder):
        def take(self, _event: Event, _when: datetime, /) -> None:
            raise OSError("full")

    sink = Recorder()
    pump = EventPump([Failing(), sink], CancelToken())
    pump.start()
    pump.emit(Notice("info", "c", "m"))
    with pytest.raises(OSError, match="full"):
        pump.close()
    assert len(sink.events) == 1
    assert sink.is_closed
