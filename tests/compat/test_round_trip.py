"""Transfers there and back between two CNCF registries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.registries import CncfRegistry
from tests.support.round_trip import RoundTrip, run_exact_recovery, run_round_trip

pytestmark = pytest.mark.compat


@pytest.fixture
def trip(tmp_path: Path) -> Iterator[RoundTrip]:
    """Two people with a registry each, and three releases outside."""
    with CncfRegistry(tmp_path / "a") as outside, CncfRegistry(tmp_path / "b") as inside:
        yield RoundTrip.begin(tmp_path, outside.host, inside.host)


def test_a_lost_bundle_is_recovered_by_a_fresh_inventory(trip: RoundTrip) -> None:
    """Nothing is sent that cannot be completed, and what arrived is proven each time."""
    run_round_trip(trip)


def test_exactly_what_is_missing_can_be_fetched(trip: RoundTrip) -> None:
    """A need brings the one layer that was lost, and the refused bundle goes on from there."""
    run_exact_recovery(trip)
