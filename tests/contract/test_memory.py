"""The depot in memory is a Store."""

from __future__ import annotations

import pytest

from airgap.content.memory import MemoryDepot
from tests.contract.store_contract import (
    BlobContract,
    DeleteContract,
    ManifestContract,
    MountContract,
)


class TestMemory(BlobContract, ManifestContract, MountContract, DeleteContract):
    """Repositories of one depot in memory."""

    @pytest.fixture
    def depot(self):
        return MemoryDepot()

    @pytest.fixture
    def store(self, depot):
        return depot.repository("team/app")

    @pytest.fixture
    def other(self, depot):
        return depot.repository("team/other")
