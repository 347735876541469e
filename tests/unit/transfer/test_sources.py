"""How much goes on at the sources at once."""

from __future__ import annotations

import pytest

from airgap.registry.client import Client
from airgap.run import Run
from airgap.transfer.sources import MAX_THREADS, RegistrySources


@pytest.mark.parametrize(
    ("registries", "jobs", "width"),
    [(1, 4, 4), (3, 4, 12), (20, 4, MAX_THREADS), (1, 200, 200), (3, 200, 200)],
)
def test_a_registry_gets_as_many_jobs_as_were_asked_for(registries, jobs, width) -> None:
    """Only the threads for several registries together are limited."""
    with Client() as client:
        sources = RegistrySources(client, registries=registries, jobs=jobs, run=Run())
        assert sources.width == width
