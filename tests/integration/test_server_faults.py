"""The embedded registry when something goes wrong, and the faults that tests inject."""

from __future__ import annotations

import http.client
import os
import ssl
import threading
import urllib.request

import pytest
import trustme

from airgap.content.folder import FolderDepot
from airgap.content.memory import MemoryDepot
from airgap.errors import StorageError, UnavailableError
from airgap.server.background import serve_in_thread
from tests.support import builders
from tests.support.builders import push_blob, random_blob
from tests.support.embedded import CutAnswer, Drop, EmbeddedRegistry, Lose, Status
from tests.support.wire import Wire

NAME = "team/app"


def test_a_registry_can_speak_tls(tmp_path):
    """With a certificate everything works the same, large files included."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    found = random_blob(3_000_000)
    with EmbeddedRegistry(folder=tmp_path / "data", ssl_context=context) as registry:
        assert registry.url == f"https://{registry.host}"
        push_blob(registry.repository(NAME), found)
        url = f"{registry.url}/v2/{NAME}/blobs/{found.descriptor.digest}"
        with urllib.request.urlopen(url, context=client) as response:
            assert response.read() == found.data


class _Breaking:
    """A repository whose blobs break off after some bytes."""

    def __init__(self, repository, error):
        self._repository = repository
        self._error = error

    def open(self, descriptor, *, offset=0):
        return builders.opened(b"")

    def read_manifest(self, reference):
        raise self._error

    def __getattr__(self, name):
        return getattr(self._repository, name)


class _BreakingDepot(MemoryDepot):
    """A depot whose repositories fail."""

    def repository(self, name):
        return _Breaking(super().repository(name), StorageError("/secret/path: I/O error"))


def test_a_blob_that_breaks_off_does_not_look_whole():
    """The connection is cut, so that no client takes the beginning for the whole."""
    with EmbeddedRegistry(depot=_BreakingDepot()) as registry, Wire(registry.host) as wire:
        found = random_blob(100)
        push_blob(registry.repository(NAME), found)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            wire.ask("GET", f"/v2/{NAME}/blobs/{found.descriptor.digest}")


class _Shrinking:
    """A repository whose blobs lose their end once somebody has asked for their size."""

    def __init__(self, repository):
        self._repository = repository

    def find_blob(self, digest):
        found = self._repository.find_blob(digest)
        os.truncate(self._repository.locate(found).path, found.size // 2)
        return found

    def __getattr__(self, name):
        return getattr(self._repository, name)


def test_a_file_that_shrinks_does_not_look_whole(tmp_path):
    """The connection is cut where the system has fewer bytes to send than were promised."""

    class Shrinking(FolderDepot):
        def repository(self, name):
            return _Shrinking(super().repository(name))

    depot, found = Shrinking(tmp_path, durable=False), random_blob(100_000)
    push_blob(FolderDepot.repository(depot, NAME), found)
    with EmbeddedRegistry(depot=depot) as registry, Wire(registry.host) as wire:
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            wire.ask("GET", f"/v2/{NAME}/blobs/{found.descriptor.digest}")
    depot.close()


def test_a_failure_of_the_storage_is_500_without_paths():
    """A client gets to know that the registry failed, but not where its files lie."""
    with EmbeddedRegistry(depot=_BreakingDepot()) as registry, Wire(registry.host) as wire:
        answer = wire.ask("GET", f"/v2/{NAME}/manifests/x", status=500)
        assert answer.code == "UNKNOWN"
        assert b"secret" not in answer.body


def test_a_slow_store_does_not_stall_other_requests():
    """While one request waits for the storage, others are answered."""
    entered, release = threading.Event(), threading.Event()

    class Slow(MemoryDepot):
        def repositories_page(self, *, last, limit):
            entered.set()
            assert release.wait(30)
            return []

    with EmbeddedRegistry(depot=Slow()) as registry:

        def ask() -> None:
            with Wire(registry.host) as wire:
                wire.ask("GET", "/v2/_catalog", status=200)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            assert entered.wait(30)
            with Wire(registry.host) as wire:
                wire.ask("GET", "/v2/", status=200)
        finally:
            release.set()
            thread.join()


def test_an_address_in_use_is_an_error():
    """A port that somebody else has is said in one line."""
    with EmbeddedRegistry() as registry:
        port = int(registry.host.partition(":")[2])
        with pytest.raises(UnavailableError, match="cannot listen"):
            with serve_in_thread(MemoryDepot(), port=port):
                pass


def test_faults_do_what_they_say(store, registry, wire):
    """The faults that other tests inject happen as often as asked, and are counted."""
    found = random_blob(1000)
    push_blob(store, found)
    path = f"/v2/{NAME}/blobs/{found.descriptor.digest}"
    registry.fail(Status(503, {"Retry-After": "1"}), Drop(), method="GET", path="/blobs/", after=1)
    assert wire.ask("GET", path, status=200).body == found.data
    assert wire.ask("GET", path, status=503).headers["Retry-After"] == "1"
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        wire.ask("GET", path)
    wire.close()
    assert wire.ask("GET", path, status=200).body == found.data
    registry.fail(CutAnswer(after=300), path="/blobs/")
    with pytest.raises(http.client.IncompleteRead) as caught:
        wire.ask("GET", path, headers={"Range": "bytes=500-"})
    assert caught.value.partial == found.data[500:800]
    wire.close()
    registry.fail(Lose(), method="POST")
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        wire.ask("POST", f"/v2/{NAME}/blobs/uploads/?mount={found.descriptor.digest}")
    assert registry.count("GET", "/blobs/") == 5
    assert registry.count("GET", "/blobs/", 503) == 1
    registry.clear()
    assert registry.seen == []
