"""Garbage collection, deletion and orders while clients push and pull."""

from __future__ import annotations

import json
import random
import threading

import pytest

from airgap.content.repository import StoredRepository
from airgap.errors import (
    CancelledError,
    ContentNotFoundError,
    LockedError,
    SettingsError,
    UnavailableError,
)
from airgap.run.cancel import CancelToken
from airgap.server import control, gc, orders
from airgap.server.control import ControlServer, ask_server, hold_server
from airgap.server.database.check import check_storage
from airgap.server.database.recency import REFRESH_SECONDS
from airgap.server.gc import GRACE_SECONDS, collect_garbage
from tests.contract.store_contract import read
from tests.support import builders
from tests.support.builders import push
from tests.support.command_line import airgap
from tests.support.datafolders import DAY, Clock, digests, files, opened
from tests.support.served import served
from tests.support.wire import Wire


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def depot(root, clock):
    depot = opened(root, clock)
    yield depot
    depot.close()


class _EagerClock(Clock):
    """A time in which each look is later than everything that was before by more than the grace."""

    def __call__(self) -> float:
        self.now += (GRACE_SECONDS + REFRESH_SECONDS) / 50
        return self.now


def test_a_push_that_races_with_collection_loses_nothing(root, monkeypatch):
    """However old everything seems, what was acknowledged as a whole image is there in the end."""
    # the clock runs so fast that blobs are garbage a moment after they came: pushes are refused
    # then, and never half done
    # how long partial files lie still is told by the time of the file system, which is the real one
    monkeypatch.setattr(gc, "STALE_SECONDS", 1e12)
    depot, stop = opened(root, _EagerClock()), threading.Event()
    acknowledged: dict[str, builders.Content] = {}
    refused, errors = [], []

    def pushes(number):
        store, rng = depot.repository(f"r{number % 2}"), random.Random(number)
        try:
            for step in range(60):
                # few different images, so that both repositories and all threads share blobs
                content = builders.image(seed=rng.randrange(12), layers=[300, 400])
                try:
                    push(store, content, tag=f"t{number}-{step % 7}")
                except ContentNotFoundError:
                    refused.append(content)
                    continue
                acknowledged[f"r{number % 2}/t{number}-{step % 7}"] = content
                if rng.random() < 0.3:
                    store.delete_tag(f"t{number}-{step % 7}")
                    acknowledged.pop(f"r{number % 2}/t{number}-{step % 7}")
        except Exception as error:
            errors.append(error)

    def collects():
        try:
            while not stop.is_set():
                collect_garbage(depot, untagged_days=0)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=pushes, args=(number,)) for number in range(4)]
    collector = threading.Thread(target=collects)
    for thread in (*threads, collector):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    collector.join()
    assert errors == []
    for name, content in acknowledged.items():
        repository, tag = name.split("/")
        store = depot.repository(repository)
        assert store.manifest(tag).raw == content.raw
        for blob in content.blobs:
            assert read(store, blob.descriptor) == blob.data
    depot.close()
    assert check_storage(root) == ()
    assert acknowledged


def test_a_blob_between_its_file_and_its_row_is_left_alone(depot, root, clock, monkeypatch):
    """Collection in the very moment in which a push has put the file and not yet the row."""
    data = b"pushed, collected, pushed again"
    store = depot.repository("a")
    builders.push_blob(store, builders.blob(data))
    clock.advance(DAY)
    freed = []
    real = StoredRepository._link

    def link(self, digest):
        freed.append(collect_garbage(depot).blobs)
        real(self, digest)

    monkeypatch.setattr(StoredRepository, "_link", link)
    upload = depot.repository("b").start_upload()
    upload.append(data)
    descriptor = upload.commit(builders.blob(data).descriptor.digest)
    assert freed == [0]
    assert read(depot.repository("b"), descriptor) == data


def test_a_pull_goes_on_while_its_blob_is_freed(depot, clock):
    """Who reads a blob reads it to its end."""
    blob = builders.random_blob(3_000_000)
    store = depot.repository("a")
    builders.push_blob(store, blob)
    with store.open(blob.descriptor) as chunks:
        first = next(chunks)
        clock.advance(DAY)
        assert collect_garbage(depot).blobs == 1
        assert first + b"".join(chunks) == blob.data


def test_a_running_server_collects_for_the_command(root, clock):
    """`airgap gc` asks the process that serves the folder, and works itself where there is none."""
    with served("--data", root) as server, Wire(server.host) as wire:
        wire.ask("POST", "/v2/a/blobs/uploads/", status=202)
        done = airgap("gc", "--data", root, "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out.splitlines()[-1])["blobs"] == 0
        assert (root / "unclean").exists()
    done = airgap("gc", "--data", root)
    assert done.code == 0, done.err
    assert done.out.startswith("freed 0 B: 0 blobs")
    assert airgap("gc", "--data", root / "nothing").code == 2


def test_images_are_deleted_by_the_command(root):
    """By tag with what belongs to nothing else, by digest, and only if all of them are there."""
    depot = opened(root)
    store = depot.repository("team/app")
    image, other = builders.multi_platform(seed=1), builders.image(seed=2)
    push(store, image, tag="1.0")
    push(store, image, tag="also")
    push(store, other, tag="2.0")
    sbom = push(store, builders.sbom(image.descriptor))
    tag, signature = builders.cosign_signature(sbom.descriptor)
    push(store, signature, tag=tag)
    depot.close()

    def delete(*arguments):
        return airgap("delete", "image", "--data", root, *arguments)

    assert delete("team/app:1.0", "team/app:nothing").code == 10
    done = delete("team/app:1.0", "--dry-run")
    assert done.out.splitlines()[0] == "would delete team/app:1.0"
    done = delete("team/app:1.0", "--json")
    removed = json.loads(done.out.splitlines()[-1])["removed"][0]
    assert (removed["tags"], removed["manifests"]) == (["1.0"], [])
    done = delete("team/app:also", "--json")
    removed = json.loads(done.out.splitlines()[-1])["removed"][0]
    gone = {str(part.digest) for part in image.walk()} | {str(sbom.digest), str(signature.digest)}
    assert set(removed["tags"]) == {"also", tag}
    assert set(removed["manifests"]) == gone
    depot = opened(root, Clock(4_000_000_000.0))
    assert list(depot.repository("team/app").tags()) == ["2.0"]
    collect_garbage(depot)
    depot.close()
    assert files(root) == digests(other)
    assert delete(f"team/app@{other.digest}").code == 0
    assert delete(f"team/app@{other.digest}").code == 10
    for wrong in ("team/app", "host:5000/team/app:1.0", "Team:1.0", "a@sha256:0", ""):
        assert delete(wrong).code in (2, 13), wrong
    assert delete().code == 2


def test_the_newest_images_are_kept(depot, root, clock):
    """Per repository, by the time of their push; tags that speak of a subject do not count."""
    store = depot.repository("team/app")
    images = [builders.image(seed=seed) for seed in range(5)]
    for number, image in enumerate(images):
        clock.advance(60)
        push(store, image, tag=f"1.{number}")
    clock.advance(60)
    push(store, images[1], tag="stable")
    tag, signature = builders.cosign_signature(images[4].descriptor)
    push(store, signature, tag=tag)
    push(depot.repository("other"), images[0], tag="1.0")
    token = CancelToken()
    values = {"names": [], "keep_newest": 2}
    told = orders.delete_images(depot, values | {"is_dry_run": True}, token)
    assert list(store.tags()) == sorted([f"1.{n}" for n in range(5)] + ["stable", tag])
    done = orders.delete_images(depot, values, token)
    assert done == told
    assert list(store.tags()) == sorted(["1.1", "1.4", "stable", tag])
    assert list(depot.repository("other").tags()) == ["1.0"]
    with pytest.raises(SettingsError):
        orders.delete_images(depot, {"names": ["a:1"], "keep_newest": 1}, token)


def test_what_another_index_lists_stays(depot):
    """Deleting an index leaves alone what another one needs."""
    store = depot.repository("a")
    shared = builders.image(seed=1)
    first, second = builders.index([shared]), builders.index([shared, builders.image(seed=2)])
    push(store, first, tag="first")
    push(store, second, tag="second")
    values = {"names": ["a:first"], "keep_newest": None}
    done = orders.delete_images(depot, values, CancelToken())
    assert done["removed"][0]["manifests"] == [str(first.digest)]
    assert store.resolve(str(shared.digest)) is not None


def test_orders_arrive_in_a_folder_with_a_long_name(tmp_path, clock):
    """Sockets have short names only; a file says where this one is."""
    root = tmp_path / ("long" * 30) / "data"
    depot = opened(root, clock)
    with ControlServer(depot):
        assert not (root / "control.sock").exists()
        assert ask_server(root, "gc", {})["blobs"] == 0
    depot.close()
    assert not (root / "control").exists()
    with pytest.raises(UnavailableError):
        ask_server(root, "gc", {})


def test_what_goes_wrong_with_an_order_is_said(depot, root, monkeypatch):
    """An error of the server arrives as the same error; a bug as one line without a traceback."""
    with ControlServer(depot):
        with pytest.raises(SettingsError, match="does not know the order 'dance'"):
            ask_server(root, "dance", {})
        with pytest.raises(ContentNotFoundError, match="no a:b"):
            ask_server(root, "delete", {"names": ["a:b"]})
        with hold_server(root), pytest.raises(LockedError):
            ask_server(root, "gc", {})

        def broken(*_):
            raise RuntimeError("secret")

        monkeypatch.setattr(control, "ORDERS", {"gc": broken})
        with pytest.raises(control.StorageError) as caught:
            ask_server(root, "gc", {})
        assert "secret" not in str(caught.value)


def test_a_server_that_ends_stops_what_was_ordered(depot, root, monkeypatch):
    """It does not wait for hours until a large collection is done."""
    begun = threading.Event()

    def endless(depot, values, cancel):
        begun.set()
        for _ in range(3000):
            cancel.check()
            threading.Event().wait(0.01)
        raise AssertionError("it was not told to stop")

    monkeypatch.setattr(control, "ORDERS", {"gc": endless})
    errors = []

    def ask():
        try:
            ask_server(root, "gc", {})
        except (CancelledError, UnavailableError) as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    with ControlServer(depot):
        thread.start()
        assert begun.wait(20)
    thread.join(20)
    assert len(errors) == 1


def test_the_socket_of_a_server_that_was_killed_is_no_server(root):
    """After a kill the command works on the folder itself, and the next server takes orders."""
    with served("--data", root) as server:
        server.process.kill()
        server.process.wait()
    assert (root / "control.sock").exists()
    assert airgap("gc", "--data", root).code == 0
    with served("--data", root):
        assert ask_server(root, "gc", {})["is_dry_run"] is False
