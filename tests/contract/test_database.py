"""The depot of a data folder, with its database, is a Store."""

from __future__ import annotations

import pytest

from airgap.server.datafolder import open_data
from tests.contract.store_contract import (
    BlobContract,
    DeleteContract,
    ManifestContract,
    MountContract,
)


class TestDataFolder(BlobContract, ManifestContract, MountContract, DeleteContract):
    """Repositories of one data folder."""

    @pytest.fixture
    def depot(self, tmp_path):
        depot = open_data(tmp_path / "data", durable=False)
        yield depot
        depot.close()

    @pytest.fixture
    def store(self, depot):
        return depot.repository("team/app")

    @pytest.fixture
    def other(self, depot):
        return depot.repository("team/other")
