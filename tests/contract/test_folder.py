"""The depot in a folder is a Store."""

from __future__ import annotations

import pytest

from airgap.content.folder import FolderDepot
from tests.contract.store_contract import (
    BlobContract,
    DeleteContract,
    ManifestContract,
    MountContract,
)


class TestFolder(BlobContract, ManifestContract, MountContract, DeleteContract):
    """Repositories of one depot in a folder."""

    @pytest.fixture
    def depot(self, tmp_path):
        depot = FolderDepot(tmp_path / "data", durable=False)
        yield depot
        depot.close()

    @pytest.fixture
    def store(self, depot):
        return depot.repository("team/app")

    @pytest.fixture
    def other(self, depot):
        return depot.repository("team/other")
