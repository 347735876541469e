"""Inventories are made one at a time, while everybody else goes on."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from airgap.content.holdings import Holdings
from airgap.content.memory import MemoryDepot
from tests.support.builders import Content, image, push
from tests.support.datafolders import opened
from tests.support.embedded import EmbeddedRegistry
from tests.support.told_inventories import PATH, ask, held, walked
from tests.support.wire import Wire


class _Waiting(MemoryDepot):
    """Tells what it holds when it is allowed to."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.count = 0

    @contextmanager
    def holdings(self, names: Sequence[str], /) -> Iterator[Holdings]:
        self.count += 1
        self.begun.release()
        assert self.go_on.wait(30)
        yield Holdings((), ())


@pytest.fixture
def waiting() -> Iterator[tuple[EmbeddedRegistry, _Waiting]]:
    depot = _Waiting()
    with EmbeddedRegistry(depot=depot) as registry:
        try:
            yield registry, depot
        finally:
            depot.go_on.set()


def test_others_are_answered_meanwhile(waiting: tuple[EmbeddedRegistry, _Waiting]) -> None:
    """While one inventory is made, pulls go on, and a second inventory waits for its turn."""
    registry, depot = waiting
    push(depot.repository("a"), image(), tag="1")
    results: list[int] = []

    def get() -> None:
        with Wire(registry.host) as wire:
            results.append(ask(wire).blob_count)

    threads = [threading.Thread(target=get) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert depot.begun.acquire(timeout=30)
    with Wire(registry.host) as wire:
        for _ in range(5):
            wire.ask("GET", "/v2/a/manifests/1", status=200)
    assert (depot.count, results) == (1, [])
    depot.go_on.set()
    for thread in threads:
        thread.join(30)
    assert (depot.count, results) == (3, [0, 0, 0])


def test_nothing_is_made_for_who_does_not_wait(
    waiting: tuple[EmbeddedRegistry, _Waiting],
) -> None:
    """Whoever goes away before the turn comes costs nothing."""
    registry, depot = waiting
    first = threading.Thread(target=lambda: _get_and_forget(registry.host))
    first.start()
    assert depot.begun.acquire(timeout=30)
    gone = [http.client.HTTPConnection(registry.host) for _ in range(3)]
    for connection in gone:
        connection.request("GET", PATH)
    with Wire(registry.host) as other:  # what came before was read by now
        while registry.count("GET", PATH) < 4:
            other.ask("GET", "/v2/", status=200)
        for connection in gone:
            connection.close()
        for _ in range(3):  # and by now it is known that they are gone
            other.ask("GET", "/v2/", status=200)
        depot.go_on.set()
        first.join(30)
        assert ask(other).blob_count == 0
    assert depot.count == 2


def _get_and_forget(host: str) -> None:
    with Wire(host) as wire:
        wire.ask("GET", PATH)


def test_pushes_meanwhile_are_in_it_whole_or_not_at_all(tmp_path: Path) -> None:
    """Every image of an inventory is there with all that it needs, however many come and go."""
    depot = opened(tmp_path / "data")
    contents: dict[str, Content] = {}
    errors: list[Exception] = []
    done = threading.Event()

    def pushes(number: int) -> None:
        try:
            store = depot.repository(f"r{number}")
            for step in range(25):
                content = image(layers=(60, 70), seed=100 * number + step)
                contents[f"r{number}:{step}"] = content
                push(store, content, tag=str(step))
                if step % 3 == 2:
                    store.delete_manifest(contents[f"r{number}:{step - 1}"].digest)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=pushes, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    seen = []
    with EmbeddedRegistry(depot=depot) as registry, Wire(registry.host) as wire:
        while not done.is_set():
            if not any(thread.is_alive() for thread in threads):
                done.set()
            inventory = ask(wire)
            here = held(inventory)
            for name, digest in inventory.images:
                content = contents[name]
                assert content.digest == digest
                for blob in content.blobs:
                    assert name.partition(":")[0] in here[str(blob.descriptor.digest)][1]
            seen.append(len(inventory.images))
        assert held(inventory) == walked(wire)[0]
    depot.close()
    assert errors == []
    assert seen[-1] == 3 * 17
