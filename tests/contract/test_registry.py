"""A repository of a registry, reached by the client, is a Store."""

from __future__ import annotations

import pytest

from airgap.registry.client import Client
from airgap.registry.credentials import CredentialStore
from airgap.registry.options import ClientOptions
from airgap.run import Run
from tests.contract.store_contract import BlobContract, ManifestContract, MountContract
from tests.support.embedded import EmbeddedRegistry


class TestRegistry(BlobContract, ManifestContract, MountContract):
    """Repositories of the project's own registry, through HTTP."""

    keeps_partials = False

    @pytest.fixture(params=["memory", "folder"])
    def registry(self, request, tmp_path):
        folder = tmp_path / "data" if request.param == "folder" else None
        with EmbeddedRegistry(folder=folder) as registry:
            yield registry

    @pytest.fixture
    def client(self, tmp_path):
        credentials = CredentialStore(tmp_path / "config.json", ())
        with Client(ClientOptions(), credentials, run=Run()) as client:
            yield client

    @pytest.fixture
    def store(self, client, registry):
        return client.repository(registry.host, "team/app", origin="destination")

    @pytest.fixture
    def other(self, client, registry):
        return client.repository(registry.host, "team/other", origin="destination")
