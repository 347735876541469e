"""A registry that is killed under parallel pushes, many times over, loses nothing acknowledged.

`make soak` (AIRGAP_SOAK=1) kills more often. AIRGAP_SEED chooses other moments and contents.
"""

from __future__ import annotations

import http.client
import os
import random
import threading
from dataclasses import dataclass, field

import pytest

from airgap.errors import StorageError
from airgap.oci.digest import Digest
from airgap.server.database.check import check_storage
from airgap.server.gc import collect_garbage
from tests.contract.store_contract import read
from tests.support import builders
from tests.support.builders import push
from tests.support.datafolders import DAY, Clock, digests, files, opened
from tests.support.served import served
from tests.support.wire import Wire

IS_SOAK = bool(os.environ.get("AIRGAP_SOAK"))
SEED = int(os.environ.get("AIRGAP_SEED", "20261"))
ROUNDS = 500 if IS_SOAK else 12
CLIENTS = 4


@dataclass
class Acknowledged:
    """What the server said it has, by name and digest; filled by one client."""

    blobs: dict[Digest, bytes] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    errors: list[BaseException] = field(default_factory=list)


class Client(threading.Thread):
    """Pushes image after image in different ways until the server is gone."""

    def __init__(self, host: str, name: str, seed: int) -> None:
        super().__init__(daemon=True)
        self.host = host
        self.repository = name
        self.random = random.Random(seed)
        self.known = Acknowledged()

    def run(self) -> None:
        try:
            with Wire(self.host) as wire:
                for number in range(10_000):
                    self.push(wire, number)
        except (OSError, http.client.HTTPException):
            pass  # killed
        except BaseException as error:
            self.known.errors.append(error)

    def push(self, wire: Wire, number: int) -> None:
        size = self.random.choice([100, 5_000, 300_000])
        content = builders.image(seed=self.random.randrange(10**6), layers=[size, 50])
        for blob in content.blobs:
            self.push_blob(wire, blob)
        # a few tags only, so that they move all the time
        tag, path = f"t{number % 3}", f"/v2/{self.repository}/manifests/"
        self.known.unsure.add(tag)
        headers = {"Content-Type": content.descriptor.media_type}
        wire.ask("PUT", path + tag, content.raw, headers, status=201)
        self.known.tags[tag] = str(content.digest)
        self.known.unsure.discard(tag)
        self.known.manifests[str(content.digest)] = content.raw

    def push_blob(self, wire: Wire, blob: builders.Blob) -> None:
        digest, data = blob.descriptor.digest, blob.data
        uploads = f"/v2/{self.repository}/blobs/uploads/"
        way = self.random.randrange(3)
        if way == 0:
            wire.ask("POST", f"{uploads}?digest={digest}", data, status=201)
        else:
            location = wire.ask("POST", uploads, status=202).headers["Location"]
            if way == 1:
                cut = len(data) // 2
                wire.ask("PATCH", location, iter([data[:cut]]), status=202)
                wire.ask("PUT", f"{location}?digest={digest}", data[cut:], status=201)
            else:
                wire.ask("PUT", f"{location}?digest={digest}", data, status=201)
        self.known.blobs[digest] = data


@pytest.mark.timeout(7200 if IS_SOAK else 300)
def test_nothing_acknowledged_is_lost(tmp_path):
    """Killed at any moment, the registry has every blob, manifest and tag that it answered 201 to,
    and the check of its storage finds nothing."""
    root, moments = tmp_path / "data", random.Random(SEED)
    tags: dict[str, dict[str, str]] = {}
    total = 0
    for number in range(ROUNDS):
        clients = []
        with served("--data", root) as server:
            for client in range(CLIENTS):
                # two of them share a repository, and so push the same tags at once
                name = f"team/r{client // 2}"
                clients.append(Client(server.host, name, SEED + 100 * number + client))
                clients[-1].start()
            threading.Event().wait(moments.uniform(0.0, 0.8))
            server.process.kill()
            server.process.wait()
            for client in clients:
                client.join()
        assert [error for client in clients for error in client.known.errors] == []
        depot = opened(root)
        try:
            assert depot.report.lost == ()
            for client in clients:
                check(depot, client)
                total += len(client.known.blobs) + len(client.known.manifests)
            check_tags(depot, clients, tags)
        finally:
            depot.close()
        assert check_storage(root) == (), f"seed {SEED}, round {number}"
    assert total > 10 * ROUNDS, "hardly anything was pushed"


def check(depot, client: Client) -> None:
    """Everything that one client was told is there."""
    store = depot.repository(client.repository)
    for digest, data in client.known.blobs.items():
        descriptor = store.find_blob(digest)
        assert descriptor is not None, f"{digest} was acknowledged and is gone"
        assert read(store, descriptor) == data
    for digest, raw in client.known.manifests.items():
        assert store.manifest(digest).raw == raw


def check_tags(depot, clients: list[Client], earlier: dict[str, dict[str, str]]) -> None:
    """Each tag names what one of its clients was last told, or what came while it was killed."""
    for name in {client.repository for client in clients}:
        store, own = depot.repository(name), [c for c in clients if c.repository == name]
        before = earlier.setdefault(name, {})
        for tag in set(before).union(*(c.known.tags for c in own)):
            found = store.resolve(tag)
            assert found is not None, f"{name}:{tag} was acknowledged and is gone"
            last = {c.known.tags[tag] for c in own if tag in c.known.tags}
            is_unsure = any(tag in c.known.unsure for c in own)
            expected = last or {before[tag]}
            assert is_unsure or str(found.digest) in expected
            before[tag] = str(found.digest)


def test_what_was_sent_before_a_kill_need_not_be_sent_again(tmp_path):
    """A client that asks finds its upload where it was acknowledged, and finishes it."""
    data = random.Random(SEED).randbytes(3_000_000)
    uploads, half = "/v2/a/blobs/uploads/", len(data) // 2
    with served("--data", tmp_path / "data") as server, Wire(server.host) as wire:
        location = wire.ask("POST", uploads, status=202).headers["Location"]
        wire.ask("PATCH", location, iter([data[:half]]), status=202)
        server.process.kill()
        server.process.wait()
    with served("--data", tmp_path / "data") as server, Wire(server.host) as wire:
        answer = wire.ask("GET", location, status=204)
        assert answer.headers["Range"] == f"0-{half - 1}"
        digest = Digest.of(data)
        wire.ask("PUT", f"{location}?digest={digest}", data[half:], status=201)
        assert wire.ask("GET", f"/v2/a/blobs/{digest}", status=200).body == data


def test_a_collection_that_is_cut_short_is_finished_by_the_next(tmp_path, monkeypatch):
    """Between the row and the file of a blob a crash leaves nothing that is served or lost."""
    root, clock = tmp_path / "data", Clock()
    depot = opened(root, clock)
    gone = push(depot.repository("a"), builders.image(seed=1), tag="1.0")
    kept = push(depot.repository("a"), builders.image(seed=2), tag="2.0")
    depot.repository("a").delete_manifest(gone.digest)
    clock.advance(DAY)

    def crash(_):
        raise StorageError("killed")

    monkeypatch.setattr(depot.pool, "remove", crash)
    with pytest.raises(StorageError, match="killed"):
        collect_garbage(depot)
    depot.close()
    (root / "unclean").touch()
    assert files(root) == digests(gone, kept)
    depot = opened(root, clock)
    assert depot.report.adopted == 3
    assert depot.repository("a").find_blob(gone.blobs[0].descriptor.digest) is None
    assert check_storage(root) == ()
    clock.advance(DAY)
    assert collect_garbage(depot).blobs == 3
    depot.close()
    assert files(root) == digests(kept)
    assert check_storage(root) == ()
